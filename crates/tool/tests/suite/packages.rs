//! `plugin package` and `plugin sign` (cases K1 to K6).

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use crate::support::{World, finish, repository};

/// The entries of a package: name, mode, size, owner, time, contents.
fn entries(package: &Path) -> Vec<(String, u32, String)> {
    let file = fs::File::open(package).unwrap();
    let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(file));
    let mut found = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header().clone();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
        assert_eq!((header.username().unwrap(), header.groupname().unwrap()), (Some(""), Some("")));
        let mut text = String::new();
        std::io::Read::read_to_string(&mut entry, &mut text).unwrap();
        found.push((entry.path().unwrap().to_string_lossy().into_owned(), header.mode().unwrap(), text));
    }
    found
}

fn names(package: &Path) -> Vec<String> {
    entries(package).into_iter().map(|(name, ..)| name).collect()
}

#[test]
fn k1_the_same_tree_gives_the_same_bytes() {
    let world = World::new();
    let plugin = world.plugin("p", "1.0.0");
    world.write("p/b/one", "1");
    world.write("p/a", "2");
    world.ok("plugin package p --sign=false -d first");
    let first = fs::read(world.path("first/p-1.0.0.tgz")).unwrap();

    // Other times, another order on disk, another umask, another locale, another name of the directory.
    let copy = world.path("renamed");
    fs::create_dir(&copy).unwrap();
    for name in ["run.sh", "a", "plugin.yaml"] {
        fs::copy(plugin.join(name), copy.join(name)).unwrap();
    }
    world.write("renamed/b/one", "1");
    fs::set_permissions(copy.join("a"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(copy.join("run.sh"), fs::Permissions::from_mode(0o700)).unwrap();
    let tool = env!("CARGO_BIN_EXE_tool");
    let mut command = Command::new("sh");
    command.args(["-c", &format!("umask 077; exec {tool} plugin package renamed --sign=false -d second")]);
    command
        .current_dir(world.path(""))
        .env("LC_ALL", "tr_TR.UTF-8")
        .env("HOME", world.root())
        .env_remove("SOURCE_DATE_EPOCH");
    let ran = finish(&mut command);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(first == fs::read(world.path("second/p-1.0.0.tgz")).unwrap(), "the bytes differ");

    let header = &first[..10];
    assert_eq!(header[3], 0, "no name, no comment");
    assert_eq!(header[4..8], [0; 4], "no time");
    let found = entries(&world.path("first/p-1.0.0.tgz"));
    let expected =
        [("p", 0o755), ("p/a", 0o644), ("p/b", 0o755), ("p/b/one", 0o644), ("p/plugin.yaml", 0o644), ("p/run.sh", 0o755)];
    let shape: Vec<(&str, u32)> = found.iter().map(|(name, mode, _)| (name.as_str(), *mode)).collect();
    assert_eq!(shape, expected);
}

#[test]
fn k1_source_date_epoch_sets_the_time() {
    let mut world = World::new();
    world.plugin("p", "1.0.0");
    world.set("SOURCE_DATE_EPOCH", "1000000000");
    world.ok("plugin package p --sign=false");
    let file = fs::File::open(world.path("p-1.0.0.tgz")).unwrap();
    let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(file));
    for entry in archive.entries().unwrap() {
        assert_eq!(entry.unwrap().header().mtime().unwrap(), 1_000_000_000);
    }
    world.set("SOURCE_DATE_EPOCH", "yesterday");
    let ran = world.fails(1, "plugin package p --sign=false");
    assert!(ran.stderr.contains("SOURCE_DATE_EPOCH"), "{}", ran.stderr);
}

#[test]
fn k2_its_own_output_never_goes_in() {
    let world = World::new();
    world.plugin("p", "1.0.0");
    for file in ["p-0.9.0.tgz", "p-0.9.0.tgz.prov", "p-1.0.0-rc.1.tgz"] {
        world.write(&format!("p/{file}"), "an earlier package");
    }
    world.write("p/other-1.0.0.tgz", "somebody else's");
    world.write("p/p-notes.tgz", "no version");
    for _ in 0..2 {
        world.ok("plugin package p --sign=false -d p");
    }
    let expected = ["p", "p/other-1.0.0.tgz", "p/p-notes.tgz", "p/plugin.yaml", "p/run.sh"];
    assert_eq!(names(&world.path("p/p-1.0.0.tgz")), expected);
}

#[test]
fn k3_ignore_files_and_git() {
    let world = World::new();
    world.plugin("p", "1.0.0");
    for file in ["p/.git/config", "p/secret.env", "p/keep.env", "p/build/x", "p/deep/build/y", "p/.hidden"] {
        world.write(file, "x");
    }
    fs::create_dir(world.path("p/empty")).unwrap();
    world.write("p/.helmignore", "*.env\n/build\n");
    world.write("p/.pluginignore", "!keep.env\n# a comment\n");
    world.ok("plugin package p --sign=false");
    let expected =
        ["p", "p/.hidden", "p/deep", "p/deep/build", "p/deep/build/y", "p/empty", "p/keep.env", "p/plugin.yaml", "p/run.sh"];
    assert_eq!(names(&world.path("p-1.0.0.tgz")), expected);

    world.write("p/.pluginignore", "*.yaml\n");
    let ran = world.fails(1, "plugin package p --sign=false -d out");
    assert!(ran.stderr.contains("plugin.yaml"), "{}", ran.stderr);
    assert!(!world.path("out/p-1.0.0.tgz").exists());
}

#[test]
fn k3_links_become_what_they_point_to_or_are_refused() {
    let world = World::new();
    let plugin = world.plugin("p", "1.0.0");
    world.write("p/lib/data", "data");
    symlink("run.sh", plugin.join("alias")).unwrap();
    symlink("lib", plugin.join("folder")).unwrap();
    world.ok("plugin package p --sign=false");
    let found = entries(&world.path("p-1.0.0.tgz"));
    let of = |name: &str| found.iter().find(|(n, ..)| n == name).unwrap_or_else(|| panic!("no {name} in {found:?}"));
    assert_eq!(of("p/alias").1, 0o755);
    assert_eq!(of("p/folder/data").2, "data");

    for (name, target, why) in
        [("out", "/etc/passwd", "out"), ("up", "../elsewhere", "up"), ("cycle", ".", "cycle"), ("gone", "nowhere", "gone")]
    {
        world.write("elsewhere", "x");
        symlink(target, plugin.join(name)).unwrap();
        let ran = world.fails(1, "plugin package p --sign=false -d bad");
        assert!(ran.stderr.contains(why), "{}", ran.stderr);
        assert!(!world.path("bad").join("p-1.0.0.tgz").exists());
        fs::remove_file(plugin.join(name)).unwrap();
    }
    let fifo = plugin.join("pipe");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let ran = world.fails(1, "plugin package p --sign=false -d bad");
    assert!(ran.stderr.contains("pipe"), "{}", ran.stderr);
}

#[test]
fn what_extraction_would_refuse_is_not_packed() {
    for (file, why) in [("p/CON", "CON"), ("p/a:b", "a:b"), ("p/trailing.", "trailing."), ("p/a\\b", "a\\\\b")] {
        let world = World::new();
        world.plugin("p", "1.0.0");
        world.write(file, "x");
        let ran = world.fails(1, "plugin package p --sign=false -d out");
        assert!(ran.stderr.contains(why) || ran.stderr.contains(&why.replace("\\\\", "\\")), "{file}: {}", ran.stderr);
        assert!(fs::read_dir(world.path("out")).map_or(true, |mut d| d.next().is_none()), "{file} left something");
    }
    let world = World::new();
    world.plugin("p", "1.0.0");
    world.write("p/Readme", "1");
    world.write("p/README", "2");
    let ran = world.fails(1, "plugin package p --sign=false");
    assert!(ran.stderr.contains("README"), "{}", ran.stderr);
}

#[test]
fn a_plugin_without_a_version_cannot_be_packaged() {
    let world = World::new();
    world.write("p/plugin.yaml", "name: p\ncommand: x\n");
    let ran = world.fails(1, "plugin package p --sign=false");
    assert!(ran.stderr.contains("version"), "{}", ran.stderr);
    let ran = world.fails(4, "plugin package nowhere --sign=false");
    assert!(ran.stderr.contains("nowhere"), "{}", ran.stderr);
}

#[test]
fn k5_a_failure_leaves_the_older_pair() {
    let world = World::new();
    world.plugin("p", "1.0.0");
    let key = repository("testdata/keys/tour.sec.asc");
    let public = repository("testdata/keys/tour.asc");
    world.ok(&format!("plugin package p --sign --keyring {}", key.display()));
    let before = world.snapshot(&world.path(""));

    // Nothing can sign: the pair stays, whole and true.
    world.write("p/more", "more");
    let ran = world.fails(1, &format!("plugin package p --sign --keyring {}", public.display()));
    assert!(ran.stderr.contains("secret part"), "{}", ran.stderr);
    fs::remove_file(world.path("p/more")).unwrap();
    assert_eq!(world.snapshot(&world.path("")), before);
    world.ok(&format!("plugin verify p-1.0.0.tgz --keyring {}", public.display()));

    // Unsigned over signed: the provenance no longer fits, and goes.
    world.write("p/more", "more");
    let ran = world.ok("plugin package p --sign=false");
    assert!(!world.path("p-1.0.0.tgz.prov").exists());
    assert!(ran.stderr.contains("p-1.0.0.tgz.prov"), "{}", ran.stderr);
}

#[test]
fn k5_a_full_disk_leaves_nothing() {
    let world = World::new();
    world.plugin("p", "1.0.0");
    world.write("p/data", vec![0xa5; 3 << 20]);
    // A file size limit stands for a full disk: the write fails in the middle of the package.
    let tool = env!("CARGO_BIN_EXE_tool");
    let mut command = Command::new("sh");
    command.args(["-c", &format!("trap '' XFSZ; ulimit -f 4; exec {tool} plugin package p --sign=false -d out")]);
    let mut noise = vec![0; 3 << 20];
    let mut state = 7u32;
    for byte in &mut noise {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = (state >> 24) as u8;
    }
    world.write("p/data", noise);
    command.current_dir(world.path("")).env("HOME", world.root());
    let ran = finish(&mut command);
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(fs::read_dir(world.path("out")).map_or(0, Iterator::count), 0, "{}", ran.stderr);
}

#[test]
fn k6_signing_keys() {
    let world = World::new();
    world.plugin("p", "1.0.0");
    world.ok("plugin package p --sign=false");
    let keys = repository("testdata/keys");
    let tour = keys.join("tour.sec.asc");
    let ran = world.fails(1, &format!("plugin sign p-1.0.0.tgz --keyring {} --key nobody@example.com", tour.display()));
    assert!(ran.stderr.contains("nobody@example.com"), "{}", ran.stderr);
    assert!(!world.path("p-1.0.0.tgz.prov").exists());
    let ran = world.ok(&format!("plugin sign p-1.0.0.tgz --keyring {}", tour.display()));
    assert!(ran.stdout.contains("p-1.0.0.tgz.prov"), "{}", ran.stdout);
    world.ok(&format!("plugin verify p-1.0.0.tgz --keyring {}", keys.join("tour.asc").display()));
    let ran = world.fails(4, "plugin sign missing.tgz");
    assert!(ran.stderr.contains("missing.tgz"), "{}", ran.stderr);
}

#[test]
fn what_is_no_plugin_is_said_before_a_missing_key() {
    let world = World::new();
    let ran = world.fails(4, "plugin package absent");
    assert!(ran.stderr.contains("absent"), "{}", ran.stderr);
    world.write("p/plugin.yaml", "name: p\ncommand: p\n");
    let ran = world.fails(1, "plugin package p");
    assert!(ran.stderr.contains("version"), "{}", ran.stderr);
    world.plugin("p", "1.0.0");
    let ran = world.fails(1, "plugin package p");
    assert!(ran.stderr.contains("keyring") && ran.stderr.contains("--sign=false"), "{}", ran.stderr);
}

#[test]
fn k6_a_missing_passphrase_file_is_named_and_the_signer_shown() {
    let world = World::new();
    world.plugin("p", "1.0.0");
    let tour = repository("testdata/keys/tour.sec.asc");
    let ran = world.fails(4, &format!("plugin package p --keyring {} --passphrase-file absent.txt", tour.display()));
    assert!(ran.stderr.contains("absent.txt"), "{}", ran.stderr);
    assert!(!world.path("p-1.0.0.tgz").exists());
    let ran = world.ok(&format!("plugin package p --keyring {}", tour.display()));
    assert!(ran.stdout.contains("Signed by: ") && ran.stdout.contains("Tour"), "{}", ran.stdout);
}

#[test]
fn k6_gnupg_takes_the_passphrase_from_a_file() {
    let mut world = World::new();
    world.plugin("p", "1.0.0");
    // A short path: the agent's socket lies in it.
    let home = tempfile::Builder::new().prefix("gpg").tempdir_in("/tmp").unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let gpg = |args: &[&str]| {
        Command::new("gpg")
            .env("GNUPGHOME", home.path())
            .args(["--batch", "--pinentry-mode", "loopback"])
            .args(args)
            .output()
    };
    let made = gpg(&["--passphrase", "two words", "--quick-gen-key", "Agent <agent@example.com>", "ed25519", "sign"]);
    if !made.is_ok_and(|made| made.status.success()) {
        eprintln!("skipped: there is no gpg");
        return;
    }
    // The agent remembers what it was told when the key was made.
    let forget = || Command::new("gpgconf").env("GNUPGHOME", home.path()).args(["--kill", "gpg-agent"]).status().unwrap();
    forget();
    world.set("GNUPGHOME", home.path().to_str().unwrap());
    // Nobody can be asked: a session of its own has no terminal.
    let inner = world.command(["plugin", "package", "p"]);
    let mut alone = Command::new("setsid");
    alone.arg("--wait").arg(inner.get_program()).args(inner.get_args()).current_dir(world.path("")).env_clear();
    alone.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(std::process::Stdio::null());
    let (began, ran) = (std::time::Instant::now(), crate::support::finish(&mut alone));
    assert!(began.elapsed() < std::time::Duration::from_secs(50), "{}", ran.stderr);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("`--passphrase-file FILE`"), "{}", ran.stderr);
    assert!(!world.path("p-1.0.0.tgz").exists());
    let wrong = world.tool_with_input("plugin package p --passphrase-file -".split(' '), b"three words\n");
    assert_eq!(wrong.code, 1, "{}", wrong.stderr);
    let ran = world.tool_with_input("plugin package p --passphrase-file -".split(' '), b"two words\n");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    world.ok("plugin verify p-1.0.0.tgz");
    forget();
}

/// Whatever byte of a signed package is changed: it is no longer the package that was signed.
#[test]
fn any_changed_byte_of_a_package_is_noticed() {
    let world = World::new();
    world.plugin("p", "1.0.0");
    // Large enough to end with the members that say where things are.
    let noise: Vec<u8> = (0..700_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    world.write("p/a", &noise);
    world.write("p/z", &noise);
    let keys = repository("testdata/keys");
    world.ok(&format!("plugin package p --sign --keyring {} --quiet", keys.join("tour.sec.asc").display()));
    let verify = format!("plugin verify p-1.0.0.tgz --keyring {}", keys.join("tour.asc").display());
    world.ok(&verify);
    let package = world.path("p-1.0.0.tgz");
    let sound = fs::read(&package).unwrap();
    // The header, some of the blocks, and every byte of what stands behind them.
    let places = (0..20).chain((20..sound.len() - 130).step_by(sound.len() / 20)).chain(sound.len() - 130..sound.len());
    for place in places {
        let mut changed = sound.clone();
        changed[place] ^= 1 << (place % 8);
        fs::write(&package, changed).unwrap();
        world.fails(3, &verify);
    }
    for other in [&sound[..sound.len() - 1], &[&sound[..], &[0]].concat()] {
        fs::write(&package, other).unwrap();
        world.fails(3, &verify);
    }
    fs::write(&package, sound).unwrap();
    world.ok(&verify);
}
