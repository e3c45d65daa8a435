//! Hostile and odd archives, installed by the built program (cases A1 to A11 of the threat model). Whatever is refused
//! leaves the whole tree around the store as it was.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::archive::{Header, Tar, gzip};
use crate::support::{Ran, World, snapshot};

/// Installs `bytes` and returns how it went, after checking that a refusal changed nothing anywhere.
fn install(world: &World, bytes: &[u8]) -> Ran {
    world.write("p-1.0.0.tgz", bytes);
    world.ok("plugin list");
    let before = visible(world);
    let ran = world.tool(["plugin", "install", "p-1.0.0.tgz", "--verify=false"]);
    if ran.code != 0 {
        assert_eq!(visible(world), before, "a refused archive left something behind:\n{}", ran.stderr);
    }
    ran
}

/// The whole tree but for what every command that takes the lock may make, and the record of what was tried.
fn visible(world: &World) -> Vec<(String, String)> {
    snapshot(world.root())
        .into_iter()
        .filter(|(path, what)| {
            let ours = ["home/.local", "home/.local/share", "home/.local/share/tool", "home/.local/share/tool/plugins"];
            let parent = ours.contains(&path.as_str()) && what.starts_with("directory");
            let audit = path == "home/.local/share/tool/audit.jsonl";
            let state = path.strip_prefix("home/.local/share/tool/plugins/.state");
            !parent && !audit && !matches!(state, Some("" | "/lock" | "/staging" | "/previous"))
        })
        .collect()
}

/// The archive is refused, with exit code 1 and a message that contains `why`.
fn refused(case: &str, why: &str, bytes: &[u8]) {
    let world = World::new();
    let ran = install(&world, bytes);
    assert_eq!(ran.code, 1, "{case}: {}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains(why), "{case}: expected `{why}` in:\n{}", ran.stderr);
}

/// The archive is installed.
fn accepted(case: &str, bytes: &[u8]) -> World {
    let world = World::new();
    let ran = install(&world, bytes);
    assert_eq!(ran.code, 0, "{case}: {}{}", ran.stdout, ran.stderr);
    world
}

#[test]
fn a1_paths_that_leave_the_plugin() {
    for name in [
        "../x",
        "p/../../x",
        "p/a/../../../x",
        "/abs",
        "/",
        "..",
        "p/..",
        "C:\\x",
        "C:/x",
        "c:x",
        "p/a:b",
        "p\\..\\..\\x",
        "\\x",
        "\\\\host\\x",
        "p/..\\x",
        "p//../..//x",
    ] {
        refused(name, "", &Tar::plugin("p").file(name, b"evil").gz());
    }
}

#[test]
fn a2_entries_that_are_no_files() {
    for (kind, what) in [
        (b'1', "hard link"),
        (b'2', "symbolic link"),
        (b'3', "device"),
        (b'4', "device"),
        (b'6', "fifo"),
        (b'7', "contiguous"),
        (b'S', "sparse"),
        (b'D', ""),
        (b'M', ""),
        (b'N', ""),
        (b'V', ""),
        (b'A', ""),
        (b'Z', ""),
        (b'9', ""),
        (b'\x01', ""),
    ] {
        let bytes = Tar::plugin("p").entry(Header::file("p/x", 0).kind(kind).link("plugin.yaml"), b"").gz();
        refused(&format!("kind {}", kind as char), what, &bytes);
    }
    refused(
        "PAX sparse",
        "sparse",
        &Tar::plugin("p").pax(b'x', &[("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0")]).file("p/x", b"1").gz(),
    );
    for key in [
        "path",
        "linkpath",
        "size",
        "GNU.sparse.major",
        "GNU.sparse.name",
        "GNU.sparse.realsize",
        "GNU.sparse.map",
        "GNU.volume.size",
        "GNU.dumpdir",
        "SCHILY.realsize",
        "SCHILY.offset",
        "SCHILY.filetype",
        "LIBARCHIVE.symlinktype",
    ] {
        // Whether it says something or takes back what another one said, at the beginning, between entries, behind the last, and behind
        // a harmless one.
        for value in ["1", ""] {
            let global = |tar: Tar| tar.pax(b'g', &[("mtime", "1"), (key, value)]);
            let harmless = Tar::default().pax(b'g', &[("comment", "0123abc")]);
            let whole = |tar: Tar| Tar([tar.0, Tar::plugin("p").0].concat());
            for tar in [
                whole(global(Tar::default())),
                whole(global(harmless)),
                global(Tar::plugin("p")).file("p/x", b"1"),
                global(Tar::plugin("p")),
            ] {
                refused(&format!("global {key}={value}"), &format!("a global PAX header sets `{key}`"), &tar.gz());
            }
        }
        if !matches!(key, "path" | "size") {
            refused(&format!("{key} of one file"), "", &Tar::plugin("p").pax(b'x', &[(key, "1")]).file("p/x", b"1").gz());
        }
    }
    accepted(
        "extended attributes",
        &Tar::plugin("p")
            .pax(b'x', &[("LIBARCHIVE.xattr.com.apple.quarantine", "x"), ("SCHILY.xattr.user.a", "b")])
            .file("p/x", b"1")
            .gz(),
    );
    accepted(
        "global header",
        &Tar::default()
            .pax(b'g', &[("comment", "0123abc")])
            .directory("p/")
            .file("p/plugin.yaml", b"name: p\nversion: 1.0.0\ncommand: x\n")
            .gz(),
    );
}

#[test]
fn a3_links_as_stepping_stones() {
    refused(
        "link, then a file through it",
        "symbolic link",
        &Tar::plugin("p").entry(Header::file("p/l", 0).kind(b'2').link("/tmp"), b"").file("p/l/x", b"1").gz(),
    );
    refused(
        "link, then a directory of its name",
        "symbolic link",
        &Tar::plugin("p").entry(Header::file("p/l", 0).kind(b'2').link("/tmp"), b"").directory("p/l/").gz(),
    );
    refused(
        "hard link, then its file",
        "hard link",
        &Tar::plugin("p").entry(Header::file("p/l", 0).kind(b'1').link("/etc/passwd"), b"").file("p/l", b"1").gz(),
    );
    refused(
        "link named like our lock",
        "symbolic link",
        &Tar::plugin("p").entry(Header::file(".state/lock", 0).kind(b'2').link("/etc/passwd"), b"").gz(),
    );
}

#[test]
fn a4_names_that_collide_or_mean_something_elsewhere() {
    for (first, second) in [
        ("p/a", "p/a"),
        ("p/a", "p/./a"),
        ("p/A", "p/a"),
        ("p/\u{e9}", "p/e\u{301}"),
        ("p/stra\u{df}e", "p/STRASSE"),
        ("p/PLUGIN.YAML", "p/x"),
        ("p/D/x", "p/d/y"),
    ] {
        refused(&format!("{first} and {second}"), "", &Tar::plugin("p").file(first, b"1").file(second, b"2").gz());
    }
    refused("file, then directory", "", &Tar::plugin("p").file("p/a", b"1").directory("p/a/").gz());
    refused("file, then below it", "", &Tar::plugin("p").file("p/a", b"1").file("p/a/b", b"2").gz());
    refused("directory, then file", "", &Tar::plugin("p").file("p/a/b", b"1").file("p/a", b"2").gz());
    for name in [
        "p/a.",
        "p/a ",
        "p/a./b",
        "p/con",
        "p/CON",
        "p/nul.txt",
        "p/aux.tar.gz",
        "p/COM1",
        "p/lpt9.x",
        "p/PRN",
        "p/x:y",
        "p/a\nb",
        "p/a\u{7f}b",
        "p/a\u{1b}[2J",
    ] {
        refused(name, "", &Tar::plugin("p").file(name, b"1").gz());
    }
    refused("NUL in a PAX path", "", &Tar::plugin("p").pax(b'x', &[("path", "p/a\0b")]).file("p/a", b"1").gz());
    refused("no UTF-8", "", &Tar::plugin("p").entry(Header::file("p/a", 0).name(b"p/\xff\xfe"), b"").gz());
    accepted("the same directory twice", &Tar::plugin("p").directory("p/d/").file("p/d/x", b"1").directory("p/d2/").gz());
}

#[test]
fn a5_modes_are_ours() {
    for umask in ["000", "077"] {
        let world = World::new();
        let bytes = Tar::plugin("p")
            .entry(Header::file("p/setuid", 0).mode(0o6755), b"")
            .entry(Header::file("p/sticky", 0).mode(0o1777), b"")
            .entry(Header::file("p/open", 0).mode(0o666), b"")
            .entry(Header::file("p/none", 0).mode(0), b"")
            .entry(Header::file("p/open-dir/", 0).kind(b'5').mode(0o7777), b"")
            .gz();
        world.write("p-1.0.0.tgz", bytes);
        let tool = env!("CARGO_BIN_EXE_tool");
        let mut command = world.command::<&str>([]);
        let path = command.get_envs().map(|(k, v)| (k.to_owned(), v.map(ToOwned::to_owned))).collect::<Vec<_>>();
        command = std::process::Command::new("sh");
        command.args(["-c", &format!("umask {umask}; exec {tool} plugin install p-1.0.0.tgz --verify=false")]);
        command.env_clear().envs(path.into_iter().filter_map(|(k, v)| Some((k, v?)))).current_dir(world.path(""));
        let ran = crate::support::finish(&mut command);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let mode = |name: &str| fs::metadata(world.plugins().join("p").join(name)).unwrap().permissions().mode() & 0o7777;
        let kept = |mode| if umask == "000" { mode } else { mode & 0o700 };
        assert_eq!(mode("setuid"), kept(0o755), "umask {umask}");
        assert_eq!(mode("sticky"), kept(0o755), "umask {umask}");
        assert_eq!(mode("open"), kept(0o644), "umask {umask}");
        assert_eq!(mode("none"), kept(0o644), "umask {umask}");
        assert_eq!(mode("open-dir"), kept(0o755), "umask {umask}");
        assert_eq!(mode("run.sh"), kept(0o755), "umask {umask}");
    }
}

#[test]
fn a6_bombs() {
    let zeros = |size: usize| {
        let mut tar = Tar::plugin("p");
        tar = tar.entry(&mut Header::file("p/zeros", size as u64), &[]);
        tar.0.resize(tar.0.len() + size, 0);
        tar.gz()
    };
    refused("1 GiB of zeros", "", &zeros(1 << 30));
    let mut many = Tar::plugin("p");
    for number in 0..100_001 {
        many = many.entry(&mut Header::file(&format!("p/{number}"), 0), b"");
    }
    refused("too many entries", "100000", &many.gz());
    refused("a manifest of 300 KiB", "plugin.yaml", &Tar::default().file("p/plugin.yaml", &[b'#'; 300 << 10]).gz());
    let deep = format!("p/{}x", "d/".repeat(10_000));
    refused("10,000 levels", "", &Tar::plugin("p").pax(b'x', &[("path", &deep)]).file("p/x", b"1").gz());
    refused(
        "a part of 256 bytes",
        "",
        &Tar::plugin("p").pax(b'x', &[("path", &format!("p/{}", "x".repeat(256)))]).file("p/x", b"1").gz(),
    );
    let mut pax = Tar::plugin("p");
    pax = pax.entry(Header::file("PaxHeaders/x", 1 << 30).kind(b'x'), b"");
    refused("a PAX record of 1 GiB", "", &pax.gz());
}

#[test]
fn a6_what_follows_the_archive() {
    let whole = Tar::plugin("p").end();
    accepted("two members", &[gzip(&whole[..700]), gzip(&whole[700..])].concat());
    accepted("zeros after the end", &gzip(&[whole.clone(), vec![0; 8192]].concat()));
    refused("data after the end", "after the end", &gzip(&[whole.clone(), vec![1; 512]].concat()));
    refused("a second archive", "after the end", &[gzip(&whole), gzip(&whole)].concat());
    refused("garbage after the gzip data", "", &[gzip(&whole), b"garbage".to_vec()].concat());
    let mut wrong = gzip(&whole);
    let at = wrong.len() - 8;
    wrong[at] ^= 1;
    refused("a wrong checksum", "", &wrong);
    let mut wrong = gzip(&whole);
    let at = wrong.len() - 1;
    wrong[at] ^= 1;
    refused("a wrong length", "", &wrong);
    refused("a cut file", "", &gzip(&whole)[..200]);
    refused("a cut archive", "", &gzip(&whole[..1100]));
    refused("no gzip", "gzip", b"plain text");
    refused("nothing", "", b"");
}

#[test]
fn a7_headers_that_contradict_each_other() {
    let plugin = || Tar::plugin("p");
    refused("PAX size larger", "size", &plugin().pax(b'x', &[("size", "1024")]).file("p/x", &[b'x'; 512]).gz());
    refused("PAX size smaller", "size", &plugin().pax(b'x', &[("size", "1")]).file("p/x", &[b'x'; 512]).gz());
    refused("PAX path out", "", &plugin().pax(b'x', &[("path", "../evil")]).file("p/x", b"1").gz());
    refused("PAX path against the header", "path", &plugin().pax(b'x', &[("path", "p/y")]).file("p/x", b"1").gz());
    for (what, data) in [
        ("no length", &b"path=p/y\n"[..]),
        ("a length too large", b"99 path=p/y\n"),
        ("a length too small", b"5 path=p/y\n"),
        ("a length of zero", b"0 path=p/y\n"),
        ("no equals sign", b"8 path\n\n"),
        ("no line end", b"12 path=p/yy"),
        ("a huge length", b"99999999999999999999999 path=p/y\n"),
        ("a sign", b"+12 path=p/y\n"),
    ] {
        refused(what, "", &plugin().pax_raw(b'x', data).file("p/x", b"1").gz());
    }
    refused("a PAX header with nothing behind it", "", &plugin().pax(b'x', &[("comment", "x")]).gz());
    refused("a GNU long name with nothing behind it", "", &plugin().gnu_long(b'L', b"p/long\0").gz());
    refused("an empty GNU long name", "", &plugin().gnu_long(b'L', b"").file("p/x", b"1").gz());
    refused("two GNU long names", "", &plugin().gnu_long(b'L', b"p/a\0").gnu_long(b'L', b"p/b\0").file("p/x", b"1").gz());
    refused("a negative size", "", &plugin().entry(Header::file("p/x", 0).raw(124, &[0xff; 12]), b"").gz());
    refused("a size that is no number", "", &plugin().entry(Header::file("p/x", 0).raw(124, b"zzzzzzzzzzz\0"), b"").gz());
    let mut broken = plugin().file("p/x", b"1");
    let at = broken.0.len() - 1024 + 10;
    broken.0[at] ^= 0x20;
    refused("a wrong header checksum", "checksum", &broken.gz());

    let mut base256 = Header::file("p/x", 0);
    base256.raw(124, &[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3]);
    accepted("a base-256 size", &plugin().entry(&mut base256, b"abc").gz());
    accepted("the same PAX path", &plugin().pax(b'x', &[("path", "p/x")]).file("p/x", b"1").gz());
    let long = format!("p/{}/{}", "d".repeat(90), "f".repeat(90));
    let world =
        accepted("a GNU long name", &plugin().gnu_long(b'L', format!("{long}\0").as_bytes()).file(&long[..100], b"1").gz());
    assert!(world.plugins().join(&long).is_file());
    let world = accepted("a PAX long name", &plugin().pax(b'x', &[("path", &long)]).file(&long[..100], b"1").gz());
    assert!(world.plugins().join(&long).is_file());
    let mut prefixed = Header::file("x", 1);
    prefixed.raw(345, b"p/deep");
    let world = accepted("a ustar prefix", &plugin().entry(&mut prefixed, b"1").gz());
    assert!(world.plugins().join("p/deep/x").is_file());
    let mut v7 = Header::file("p/x", 1);
    v7.raw(257, &[0; 8]).raw(156, &[0]);
    accepted("a v7 header", &plugin().entry(&mut v7, b"1").gz());
}

#[test]
fn a8_one_manifest_for_every_purpose() {
    let manifest = |name: &str| format!("name: {name}\nversion: 1.0.0\ncommand: x\n").into_bytes();
    let world = accepted(
        "an example before the manifest",
        &Tar::default().file("p/examples/plugin.yaml", &manifest("evil")).file("p/plugin.yaml", &manifest("p")).gz(),
    );
    assert_eq!(world.ok("plugin list -o name").stdout, "p\n");
    refused(
        "two roots",
        "",
        &Tar::default().file("a/plugin.yaml", &manifest("a")).file("b/plugin.yaml", &manifest("b")).gz(),
    );
    refused("no root", "plugin.yaml", &Tar::default().file("a/b/plugin.yaml", &manifest("a")).gz());
    let world = accepted(
        "the archive's root before a directory",
        &Tar::default().file("plugin.yaml", &manifest("top")).file("sub/plugin.yaml", &manifest("sub")).gz(),
    );
    assert_eq!(world.ok("plugin list -o name").stdout, "top\n");
}

#[test]
fn a9_the_directory_is_named_after_the_plugin() {
    let manifest = b"name: diff\nversion: 1.0.0\ncommand: x\n";
    let world = accepted("another top directory", &Tar::default().file("helm-diff-linux-amd64/plugin.yaml", manifest).gz());
    assert!(world.plugins().join("diff/plugin.yaml").is_file());
    let world = accepted("a dot before names", &Tar::default().directory("./").file("./diff/plugin.yaml", manifest).gz());
    assert!(world.plugins().join("diff/plugin.yaml").is_file());
}

#[test]
fn a10_nothing_of_an_older_install_stays() {
    let world = World::new();
    let old = Tar::plugin("p").file("p/gone", b"x").entry(Header::file("p/short", 4).mode(0o755), b"long").gz();
    assert_eq!(install(&world, &old).code, 0);
    world.write("p-1.0.0.tgz", Tar::plugin("p").file("p/short", b"s").gz());
    world.ok("plugin install p-1.0.0.tgz --verify=false --force");
    let plugin = world.plugins().join("p");
    assert!(!plugin.join("gone").exists());
    assert_eq!(fs::read(plugin.join("short")).unwrap(), b"s");
    assert_eq!(fs::metadata(plugin.join("short")).unwrap().permissions().mode() & 0o111, 0);
}

#[test]
fn m1_versions_and_names_that_are_paths() {
    for version in
        ["../../../../tmp/evil", "1.0.0/../../etc", "1.0.0\\..\\x", "\"1.0.0\\0\"", "\"1.0.0\\n\"", "v1.0.0", "1.0"]
    {
        let manifest = format!("name: p\nversion: {version}\ncommand: x\n");
        refused(version, "version", &Tar::default().file("p/plugin.yaml", manifest.as_bytes()).gz());
    }
    for name in ["..", ".", "a/b", "a\\b", "C:x", "\"\"", "\"p\\n\"", "CON", "nul", "-rf", "--help", "p q", "\u{e9}"] {
        let manifest = format!("name: {name}\nversion: 1.0.0\ncommand: x\n");
        refused(name, "name", &Tar::default().file("p/plugin.yaml", manifest.as_bytes()).gz());
    }
    let long = format!("name: {}\nversion: 1.0.0\ncommand: x\n", "n".repeat(300));
    refused("300 characters", "name", &Tar::default().file("p/plugin.yaml", long.as_bytes()).gz());
}

#[test]
fn a_package_of_ten_thousand_files_and_one_of_300_mb_pass() {
    let mut many = Tar::plugin("p");
    for number in 0..10_000 {
        many = many.file(&format!("p/files/{number}"), b"x");
    }
    accepted("10,000 files", &many.gz());
    // Bytes that shrink, but not beyond the ratio: a bomb would be refused.
    let mut data = Vec::with_capacity(300 << 20);
    let mut state = 1u32;
    while data.len() < 300 << 20 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        data.extend_from_slice(&(state >> 20).to_le_bytes());
    }
    let world = accepted("300 MB", &Tar::plugin("p").file("p/large", &data).gz());
    assert_eq!(fs::metadata(world.plugins().join("p/large")).unwrap().len(), 300 << 20);
}

#[test]
fn another_file_under_a_packages_name_is_named_for_what_it_is() {
    let world = World::new();
    world.plugin("p", "1.0.0");
    let made = |program: &str, arguments: &[&str]| {
        let output = std::process::Command::new(program).args(arguments).current_dir(world.path("")).output();
        output.ok().filter(|output| output.status.success()).map(|output| output.stdout)
    };
    let tar = made("tar", &["-c", "p"]).unwrap();
    world.write("plain.tar", &tar);
    let mut cases = vec![
        (tar.clone(), "a tar archive that is not packed"),
        (b"<!DOCTYPE html>\n<title>Log in</title>".to_vec(), "an HTML page"),
        (gzip(&gzip(&tar)), "a gzip file"),
    ];
    for (program, what) in [("xz", "an xz file"), ("bzip2", "a bzip2 file"), ("zstd", "a zstd file")] {
        // Where the program is not there, another test knows its first bytes.
        cases.extend(made(program, &["--stdout", "plain.tar"]).map(|bytes| (bytes, what)));
    }
    for (bytes, what) in cases {
        world.write("p-1.0.0.tgz", &bytes);
        for command in ["plugin install --verify=false", "plugin lint", "plugin push"] {
            let to = if command == "plugin push" { " oci://127.0.0.1:1/x" } else { "" };
            let ran = world.fails(1, &format!("{command} p-1.0.0.tgz{to}"));
            let said = format!("{}{}", ran.stdout, ran.stderr);
            assert!(said.contains(what) && !said.contains("damaged"), "{command}: {said}");
        }
    }
    let whole = gzip(&tar);
    world.write("p-1.0.0.tgz", &whole[..whole.len() / 2]);
    assert!(world.fails(1, "plugin install --verify=false p-1.0.0.tgz").stderr.contains("is damaged: fetch it again"));
}
