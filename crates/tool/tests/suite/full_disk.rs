//! Install and update on a file system that is full: a clear error, nothing left, the old version in place. The file system is
//! a small one in memory, mounted where nobody but these tests sees it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::http_server::Server;
use crate::support::{Ran, World, peers, repository, snapshot};

/// The small file system's size, in KiB.
const SIZE: u64 = 12 << 10;

/// A process that keeps a mount namespace with a small file system on the world's data directory.
struct Disk {
    keeper: Child,
    data: PathBuf,
}

impl Disk {
    fn new(world: &World) -> Self {
        let data = world.root().join("home/.local/share/tool");
        fs::create_dir_all(&data).unwrap();
        let mut command = Command::new("unshare");
        if !is_root() {
            // Somebody else may mount as root of a user namespace of their own, where the system allows these.
            command.arg("--map-root-user");
        }
        command.args(["--mount", "sh", "-c"]);
        command.arg(format!("mount -t tmpfs -o size={SIZE}k,mode=700 none \"$0\" && echo mounted && exec cat")).arg(&data);
        let mut keeper =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("`unshare` (util-linux) is needed");
        let mut line = String::new();
        BufReader::new(keeper.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "mounted\n", "a file system must be mounted for this test: as root, or in a user namespace");
        Self { keeper, data }
    }

    /// A path of the data directory, as it is in the namespace.
    fn path(&self, relative: &str) -> PathBuf {
        let inside = format!("/proc/{}/root{}", self.keeper.id(), self.data.display());
        Path::new(&inside).join(relative)
    }

    /// Runs the program in the namespace.
    fn tool(&self, world: &World, words: &str) -> Ran {
        let inner = world.command(words.split(' '));
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.keeper.id().to_string());
        if !is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.args(["--mount", "sh", "-c", "cd \"$0\" && exec \"$@\""]);
        command.arg(inner.get_current_dir().unwrap()).arg(inner.get_program()).args(inner.get_args());
        command.env_clear().envs(inner.get_envs().filter_map(|(key, value)| Some((key, value?)))).stdin(Stdio::null());
        Ran::of(command.output().unwrap())
    }

    fn ok(&self, world: &World, words: &str) -> Ran {
        let ran = self.tool(world, words);
        assert_eq!(ran.code, 0, "`tool {words}`:\n{}{}", ran.stdout, ran.stderr);
        ran
    }

    /// Fills the file system but for about `free` KiB.
    fn fill(&self, free: u64) {
        let mut ballast = fs::File::create(self.path("ballast")).unwrap();
        while ballast.write_all(&[1; 4096]).is_ok() {}
        let length = ballast.metadata().unwrap().len();
        ballast.set_len(length.saturating_sub(free << 10)).unwrap();
    }

    fn empty(&self) {
        fs::remove_file(self.path("ballast")).unwrap();
    }

    /// What a user sees of the store, and of its private folder what must not be left behind.
    fn seen(&self) -> BTreeMap<String, String> {
        let mut found = snapshot(&self.path("plugins"));
        found.retain(|path, _| !path.starts_with(".state") || path.contains("/staging/") || path.contains("/.new-"));
        found
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

fn is_root() -> bool {
    String::from_utf8(Command::new("id").arg("-u").output().unwrap().stdout).unwrap().trim() == "0"
}

/// A world with signed packages of `p`: 1.0.0 is small, 2.0.0 has about 3 MB that do not shrink.
fn world() -> World {
    let mut world = World::new();
    world.set("TOOL_KEYRING", repository("testdata/keys/tour.asc").to_str().unwrap());
    for version in ["1.0.0", "2.0.0"] {
        world.plugin("p", version);
        if version == "2.0.0" {
            let mut state = 7_u32;
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            };
            for number in 0..30 {
                world.write(&format!("p/noise/{number}"), (0..100_000).map(|_| next()).collect::<Vec<u8>>());
            }
        }
        world.ok(&format!("plugin package p --sign --keyring {}", repository("testdata/keys/tour.sec.asc").display()));
    }
    world
}

/// The next step is said, and the file that could not be written.
fn is_clear(ran: &Ran, disk: &Disk) {
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    let said = ran.stderr.to_lowercase();
    assert!(said.contains("no space left") && said.contains("make room"), "{}", ran.stderr);
    assert!(ran.stderr.contains(disk.data.to_str().unwrap()), "where: {}", ran.stderr);
}

#[test]
fn k5_an_install_on_a_full_disk_leaves_nothing() {
    if !peers::wanted("a file system of its own") {
        return;
    }
    let world = world();
    let disk = Disk::new(&world);
    disk.ok(&world, "plugin install p-1.0.0.tgz");
    disk.ok(&world, "plugin uninstall p");
    let before = disk.seen();
    let mut failed = 0;
    for free in [0, 4, 8, 16, 24, 40, 100, 1000, 2000, 2990, 3100, 4000, 5000, 5950, 6050, 6100, 6200, 8000] {
        disk.fill(free);
        let ran = disk.tool(&world, "plugin install p-2.0.0.tgz");
        disk.empty();
        if ran.code == 0 {
            assert_eq!(disk.ok(&world, "p x").stdout, "p 2.0.0 x\n");
            disk.ok(&world, "plugin verify p");
            disk.ok(&world, "plugin uninstall p");
        } else {
            is_clear(&ran, &disk);
            failed += 1;
        }
        assert_eq!(disk.seen(), before, "{free} KiB free");
        disk.ok(&world, "plugin list");
    }
    assert!((8..18).contains(&failed), "{failed} of 18 failed");
}

#[test]
fn k5_an_update_on_a_full_disk_keeps_the_old_version() {
    if !peers::wanted("a file system of its own") {
        return;
    }
    let world = world();
    let read = |name: &str| fs::read(world.path(name)).unwrap();
    let (package, provenance) = (read("p-2.0.0.tgz"), read("p-2.0.0.tgz.prov"));
    let server = Server::files(&[("/p.tgz", &package), ("/p.tgz.prov", &provenance)]);
    let disk = Disk::new(&world);
    let install = "plugin install p-1.0.0.tgz";
    disk.ok(&world, install);
    let receipt = disk.path("plugins/.state/p.json");
    // From here on its source is the server, which has the newer version.
    let text = fs::read_to_string(&receipt).unwrap();
    let asked = world.path("p-1.0.0.tgz").display().to_string();
    assert!(text.contains(&asked));
    fs::write(&receipt, text.replace(&asked, &server.url("/p.tgz"))).unwrap();
    let (before, receipt_before) = (disk.seen(), fs::read(&receipt).unwrap());
    let mut failed = 0;
    for free in [0, 4, 8, 16, 24, 40, 100, 1000, 2000, 2990, 3100, 4000, 5000, 5950, 6050, 6100, 6200, 8000] {
        disk.fill(free);
        let ran = disk.tool(&world, "plugin update p");
        // Also without any room the version that is there runs, and is listed.
        let version = if ran.code == 0 { "2.0.0" } else { "1.0.0" };
        assert_eq!(disk.ok(&world, "p x").stdout, format!("p {version} x\n"), "{free} KiB free");
        assert!(disk.ok(&world, "plugin list").stdout.contains(version));
        disk.empty();
        disk.ok(&world, "plugin verify p");
        if ran.code == 0 {
            disk.ok(&world, "plugin rollback p");
            fs::remove_dir_all(disk.path("plugins/.state/previous")).unwrap();
        } else {
            is_clear(&ran, &disk);
            assert_eq!(fs::read(&receipt).unwrap(), receipt_before, "{free} KiB free");
            failed += 1;
        }
        assert_eq!(disk.seen(), before, "{free} KiB free");
    }
    assert!((8..18).contains(&failed), "{failed} of 18 failed");
}
