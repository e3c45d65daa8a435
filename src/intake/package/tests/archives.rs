//! Archives that are refused, and those that look odd and are fine (cases A1 to A9).

use super::*;

#[track_caller]
fn assert_unpacks(entries: impl IntoIterator<Item = Raw>, expected: &[&str]) {
    let place = Place::new();
    let unpacked = place.unpack(&gz(&tar(entries)), &Limits::default()).unwrap();
    let mut files: Vec<_> = unpacked.files.iter().map(|file| &*file.path).collect();
    files.sort_unstable();
    assert_eq!(files, expected);
    for file in &unpacked.files {
        let (digest, size) = Sha256Digest::of_file(&unpacked.root.join(&file.path)).unwrap();
        assert_eq!((file.digest, file.size), (digest, size));
    }
}

fn yaml() -> Raw {
    Raw::file("foo/plugin.yaml", manifest("foo"))
}

#[test]
fn a1_hostile_paths() {
    for name in [
        "../x",
        "foo/../../x",
        "/abs",
        "C:\\x",
        "foo\\..\\..\\x",
        "foo/a:b",
        "foo/a\nb",
        "foo/a\u{1b}[2Jb",
        "foo/x.",
        "foo/x ",
        "foo/NUL.txt",
    ] {
        assert!(matches!(refusal(&plugin_with([Raw::file(name, "x")])), PackageFault::Path { .. }), "{name}");
        assert!(matches!(refusal(&plugin_with([Raw::dir(name)])), PackageFault::Path { .. }), "{name}");
    }
    assert!(matches!(
        refusal(&plugin_with([Raw::file(b"foo/\xff", "x")])),
        PackageFault::Path { rule: PathRule::NotUtf8, .. }
    ));
    assert!(matches!(refusal(&plugin_with([Raw::file("foo/x/", "x")])), PackageFault::Path { rule: PathRule::Slash, .. }));
    assert!(matches!(refusal(&plugin_with([Raw::file("./", "x")])), PackageFault::Path { .. }));
    assert!(matches!(refusal(&plugin_with([Raw::file("", "x")])), PackageFault::Path { rule: PathRule::Empty, .. }));
    // A second name behind the first one's end.
    assert!(matches!(refusal(&plugin_with([Raw::file("foo/x\0/../../y", "x")])), PackageFault::Header { .. }));
    assert!(matches!(refusal(&plugin_with([Raw::file("x", "x").put(345, "../foo")])), PackageFault::Path { .. }));
}

#[test]
fn a1_nothing_is_written_outside() {
    let place = Place::new();
    for name in ["../escaped", "foo/../../escaped", "/tmp/plugsmith-escaped"] {
        place.unpack(&plugin_with([Raw::file(name, "x")]), &Limits::default()).unwrap_err();
        fs::remove_dir_all(place.staging()).unwrap();
        fs::create_dir(place.staging()).unwrap();
    }
    assert_eq!(tree(place.dir.path()).iter().map(|(path, _)| &**path).collect::<Vec<_>>(), ["foo-1.0.0.tgz", "into"]);
    assert!(!Path::new("/tmp/plugsmith-escaped").exists());
}

#[test]
fn a2_kinds_of_entries() {
    for flag in [b'1', b'2', b'3', b'4', b'6', b'7', b'S', b'K', b'A', b'D', b'M', b'N', b'V', b'X', b'Z', b' ', 0x80] {
        let entry = Raw::new("foo/x", flag, "").put(157, "target");
        assert!(matches!(refusal(&plugin_with([entry])), PackageFault::Kind { .. }), "{}", flag.escape_ascii());
    }
    for key in ["GNU.sparse.major", "GNU.sparse.map", "GNU.sparse.name", "GNU.sparse.offset", "SCHILY.realsize", "linkpath"]
    {
        let entries = [Raw::pax(&[(key, "1")]), Raw::file("foo/x", "x")];
        assert!(matches!(refusal(&plugin_with(entries)), PackageFault::Kind { .. }), "{key}");
    }
    let global = |content: &[u8]| Raw::new("pax_global_header", b'g', content);
    let comment = global(b"52 comment=0123456789012345678901234567890123456789\n");
    assert_unpacks([comment.clone(), yaml(), comment.clone()], &["plugin.yaml"]);
    assert!(matches!(refusal(&plugin_with([global(b"20 path=../../../ab\n")])), PackageFault::Global { .. }));
    assert!(matches!(refusal(&plugin_with([global(b"no record")])), PackageFault::Extension { .. }));
    let between = [Raw::pax(&[("comment", "x")]), comment, Raw::file("foo/x", "x")];
    assert!(matches!(refusal(&plugin_with(between)), PackageFault::Extension { .. }));
}

#[test]
fn a3_links_and_what_goes_through_them() {
    for entries in [
        [Raw::new("foo/link", b'2', "").put(157, "/tmp"), Raw::file("foo/link/x", "x")],
        [Raw::new("foo/link", b'2', "").put(157, "."), Raw::dir("foo/link")],
        [Raw::new("foo/x", b'1', "").put(157, "/etc/passwd"), Raw::file("foo/x", "x")],
        [Raw::new(".state", b'2', "").put(157, "/tmp"), Raw::file("foo/x", "x")],
    ] {
        assert!(matches!(refusal(&plugin_with(entries)), PackageFault::Kind { .. }));
    }
}

#[test]
fn a4_duplicates_and_collisions() {
    let x = |name: &str| Raw::file(name, "x");
    assert!(matches!(refusal(&plugin_with([x("foo/a"), x("foo/a")])), PackageFault::Duplicate { .. }));
    assert!(matches!(refusal(&plugin_with([x("foo/a"), x("./foo//a")])), PackageFault::Duplicate { .. }));
    assert!(matches!(refusal(&plugin_with([Raw::dir("foo/"), Raw::dir("foo")])), PackageFault::Duplicate { .. }));
    assert!(matches!(refusal(&plugin_with([x("foo/a"), Raw::dir("foo/a")])), PackageFault::FileAndDirectory { .. }));
    assert!(matches!(refusal(&plugin_with([x("foo/a"), x("foo/a/b")])), PackageFault::FileAndDirectory { .. }));
    assert!(matches!(refusal(&plugin_with([x("foo/a/b"), x("foo/a")])), PackageFault::FileAndDirectory { .. }));
    assert!(matches!(refusal(&plugin_with([x("foo/PLUGIN.yaml")])), PackageFault::Collision { .. }));
    assert!(matches!(refusal(&plugin_with([x("FOO/x")])), PackageFault::Collision { .. }));
    assert!(matches!(refusal(&plugin_with([x("foo/\u{e9}"), x("foo/E\u{301}")])), PackageFault::Collision { .. }));
}

#[cfg(unix)]
#[test]
fn a5_modes() {
    let place = Place::new();
    let entries =
        [0o6755, 0o1777, 0o666, 0, 0o100, 0o7777_7777 & 0o644].map(|m| Raw::file(format!("foo/{m:o}"), "x").mode(m));
    let dirs = [Raw::dir("foo/d").mode(0o7777), Raw::dir("foo/e").mode(0)];
    let unpacked = place.unpack(&plugin_with(entries.into_iter().chain(dirs)), &Limits::default()).unwrap();
    // The umask of the tests may take bits away, and adds none.
    for (name, expected) in
        [("6755", 0o755), ("1777", 0o755), ("666", 0o644), ("0", 0o644), ("100", 0o755), ("d", 0o755), ("e", 0o755)]
    {
        let found = mode(&unpacked.root.join(name));
        assert_eq!(found & !expected, 0, "{name} is {found:o}");
        assert_eq!(found & 0o700, expected & 0o700, "{name} is {found:o}");
    }
    let executable = |name: &str| unpacked.files.iter().find(|file| file.path == name).unwrap().executable;
    assert!(executable("100") && executable("6755") && !executable("666") && !executable("0"));
}

#[test]
fn a6_limits() {
    let limits = Limits { entries: 5, file_bytes: 2000, total_bytes: 3000, manifest_bytes: 1000, ..Limits::default() };
    let x = |n: usize| Raw::file(format!("foo/{n}"), "x");
    Place::new().unpack(&plugin_with((0..4).map(x)), &limits).unwrap();
    assert!(matches!(refusal_with(&plugin_with((0..5).map(x)), &limits), PackageFault::Entries { limit: 5 }));
    let sized = |name: &str, size: usize| Raw::file(name, vec![b'x'; size]);
    Place::new().unpack(&plugin_with([sized("foo/a", 2000)]), &limits).unwrap();
    assert!(matches!(
        refusal_with(&plugin_with([sized("foo/a", 2001)]), &limits),
        PackageFault::FileBytes { size: 2001, .. }
    ));
    let two = [sized("foo/a", 2000), sized("foo/b", 1000)];
    assert!(matches!(refusal_with(&plugin_with(two), &limits), PackageFault::TotalBytes { .. }));
    let padded = format!("{}#{}", manifest("foo"), "x".repeat(1000));
    assert!(matches!(
        refusal_with(&gz(&tar([Raw::file("foo/plugin.yaml", padded)])), &limits),
        PackageFault::ManifestBytes { .. }
    ));
    // A size that is only claimed is refused before anything is read.
    assert!(matches!(refusal(&plugin_with([x(1).size(1 << 32)])), PackageFault::FileBytes { .. }));
}

#[test]
fn a6_bombs() {
    let zeros = |size: usize| gz(&tar([yaml(), Raw::file("foo/zeros", vec![0; size])]));
    assert!(matches!(refusal(&zeros(100 << 20)), PackageFault::Ratio { .. }));
    Place::new().unpack(&zeros(60 << 20), &Limits::default()).unwrap();
    // Zeros behind the archive's end count too.
    let padding = gz(&[tar([yaml()]), vec![0; 100 << 20]].concat());
    assert!(matches!(refusal(&padding), PackageFault::Ratio { .. }));
    let limits = Limits { entries: 100, ratio_floor: 1 << 30, ..Limits::default() };
    let many = (0..300).map(|_| Raw::new("g", b'g', ""));
    assert!(matches!(refusal_with(&plugin_with(many), &limits), PackageFault::Entries { .. }));
    let record = Raw::new("x", b'x', "").size(1 << 30);
    assert!(matches!(refusal(&plugin_with([record])), PackageFault::Extension { .. }));
    let deep = (0..10_000).map(|_| "d").collect::<Vec<_>>().join("/");
    let entries = [Raw::new("././@LongLink", b'L', deep.clone() + "\0"), Raw::file(&deep[..100], "x")];
    assert!(matches!(refusal(&plugin_with(entries)), PackageFault::Path { rule: PathRule::Levels(64), .. }));
    // Directories that nobody lists are counted all the same.
    let limits = Limits { entries: 50, ..Limits::default() };
    let nested = (0..10).map(|n| Raw::file(format!("foo/{n}/a/b/c/d/e/f"), ""));
    assert!(matches!(refusal_with(&plugin_with(nested), &limits), PackageFault::Entries { .. }));
}

#[test]
fn a6_gzip_layers() {
    let sound = plugin_with([]);
    // Several members are one stream.
    let bytes = tar([yaml(), Raw::file("foo/x", "x")]);
    let (one, other) = bytes.split_at(700);
    assert_eq!(unpack_bytes(&[gz(one), gz(b""), gz(other)].concat()).unwrap().files.len(), 2);
    let fault = |archive: &[u8]| refusal(archive);
    for garbage in [&b"garbage"[..], &[0; 1], &[0; 512], &sound[..1], &sound[..15]] {
        assert!(matches!(fault(&[&sound, garbage].concat()), PackageFault::Gzip { .. }), "{garbage:?}");
    }
    // A second archive in a second member is data after the end.
    assert!(matches!(fault(&[&sound[..], &sound].concat()), PackageFault::TrailingData { .. }));
    let mut checksum = sound.clone();
    let at = checksum.len() - 8;
    checksum[at] ^= 1;
    assert!(matches!(fault(&checksum), PackageFault::Gzip { .. }));
    let mut length = sound.clone();
    let at = length.len() - 1;
    length[at] ^= 1;
    assert!(matches!(fault(&length), PackageFault::Gzip { .. }));
    for cut in [2, 5, 10, 50, sound.len() - 8, sound.len() - 1] {
        assert!(matches!(fault(&sound[..cut]), PackageFault::Gzip { .. }), "{cut}");
    }
}

#[test]
fn a_file_of_another_kind_is_whole_and_named_for_what_it_is() {
    let bytes = tar([yaml()]);
    let page = b"<!DOCTYPE html><html><title>Log in</title>";
    for (archive, words) in [
        (bytes.clone(), "it is a tar archive that is not packed"),
        (b"PK\x03\x04 and so on".to_vec(), "it is a zip archive"),
        (b"\xfd7zXZ\0 and so on".to_vec(), "it is an xz file"),
        (page.to_vec(), "it is an HTML page"),
        (Vec::new(), "it is empty"),
        (b"hello".to_vec(), "it is not a gzip file"),
        (gz(&gz(&bytes)), "packed in it is no tar archive: it is a gzip file"),
        (gz(b"PK\x03\x04 and so on"), "packed in it is no tar archive: it is a zip archive"),
        (gz(page), "packed in it is no tar archive: it is an HTML page"),
        (gz(&[&page[..], &[b' '; 1000]].concat()), "packed in it is no tar archive: it is an HTML page"),
    ] {
        let fault = refusal(&archive);
        let shown = fault.to_string();
        assert!(matches!(fault, PackageFault::Foreign { .. } | PackageFault::ForeignInside { .. }), "{words}: {fault:?}");
        assert!(shown.contains(words) && !shown.contains("again"), "{shown}");
    }
}

#[test]
fn a7_sizes_that_contradict() {
    let sizes = |pax: &str, header: u64| {
        plugin_with([Raw::pax(&[("size", pax)]), Raw::file("foo/x", vec![b'x'; 1024]).size(header), Raw::file("foo/y", "")])
    };
    assert!(matches!(refusal(&sizes("0", 1024)), PackageFault::Contradiction { what: "sizes", .. }));
    assert!(matches!(refusal(&sizes("1024", 0)), PackageFault::Contradiction { what: "sizes", .. }));
    assert!(matches!(refusal(&sizes("512", 1024)), PackageFault::Contradiction { what: "sizes", .. }));
    assert_eq!(unpack_bytes(&sizes("1024", 1024)).unwrap().files[1].size, 1024);
    // What eleven digits cannot hold overrules the header, and is more than a file may have.
    assert!(matches!(refusal(&sizes("8589934592", 0)), PackageFault::FileBytes { size: 8_589_934_592, .. }));
    for malformed in ["", "-1", "+5", "1 ", "0x10", "ten", "99999999999999999999"] {
        assert!(matches!(refusal(&sizes(malformed, 1024)), PackageFault::Extension { .. }), "{malformed}");
    }
    let base256 = |bytes: [u8; 12]| plugin_with([Raw::file("foo/x", "xyz").put(124, bytes)]);
    assert_eq!(unpack_bytes(&base256([0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3])).unwrap().files[1].size, 3);
    assert!(matches!(refusal(&base256([0xff; 12])), PackageFault::Header { .. }));
    assert!(matches!(refusal(&base256([0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])), PackageFault::Header { .. }));
    assert!(matches!(refusal(&base256([0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])), PackageFault::Header { .. }));
    assert!(matches!(refusal(&base256([0x80, 0, 0, 0, 0x7f, 0xff, 0, 0, 0, 0, 0, 0])), PackageFault::FileBytes { .. }));
    for size in ["-0000000001\0", "0000000009a\0", "00000 00003\0"] {
        assert!(
            matches!(refusal(&plugin_with([Raw::file("foo/x", "xyz").put(124, size)])), PackageFault::Header { .. }),
            "{size}"
        );
    }
    assert!(matches!(refusal(&plugin_with([Raw::dir("foo/d").size(512)])), PackageFault::Header { .. }));
}

#[test]
fn a7_paths_that_contradict() {
    let named = |pax: &str, header: &str| [Raw::pax(&[("path", pax)]), Raw::file(header, "x")];
    for (pax, header) in
        [("../x", "foo/x"), ("foo/y", "foo/x"), ("/etc/x", "foo/x"), ("foo/x", "../x"), ("foo/plugin.yaml", "foo/x")]
    {
        assert!(
            matches!(refusal(&plugin_with(named(pax, header))), PackageFault::Contradiction { what: "paths", .. }),
            "{pax}"
        );
        let gnu = [Raw::new("././@LongLink", b'L', format!("{pax}\0")), Raw::file(header, "x")];
        assert!(matches!(refusal(&plugin_with(gnu)), PackageFault::Contradiction { what: "paths", .. }), "{pax}");
    }
    let long = format!("foo/{}/{}", "a".repeat(60), "b".repeat(60));
    let hostile = format!("foo/../../{}/{}", "a".repeat(60), "b".repeat(60));
    assert!(matches!(refusal(&plugin_with(named(&hostile, "foo/x"))), PackageFault::Path { rule: PathRule::Parent, .. }));
    let relative = &long["foo/".len()..];
    assert_unpacks([yaml()].into_iter().chain(named(&long, "foo/x")), &[relative, "plugin.yaml"]);
    assert_unpacks([yaml()].into_iter().chain(named("foo/x", "foo/x")), &["plugin.yaml", "x"]);
    assert_unpacks([yaml()].into_iter().chain(named("foo/übung", "foo/_bung")), &["plugin.yaml", "übung"]);
    let gnu = |name: &str| Raw::new("././@LongLink", b'L', format!("{name}\0"));
    assert_unpacks([yaml(), gnu(&long), Raw::file(&long[..100], "x")], &[relative, "plugin.yaml"]);
    let both = [gnu(&long), Raw::pax(&[("path", &format!("{long}c"))]), Raw::file("foo/x", "x")];
    assert!(matches!(refusal(&plugin_with(both)), PackageFault::Contradiction { .. }));
}

#[test]
fn a7_malformed_and_dangling_extensions() {
    for content in [
        "x",
        "5 a=",
        "5 a=b\n",
        "7 a=b\n",
        "7 ab\n\n",
        "6 =bc\n",
        "3 a\n",
        "0 a=b\n",
        " a=b\n",
        "-6 a=b\n",
        "99999999999999999999 a=b\n",
        "6 a=b\n6",
        "99 a=b\n",
        "6\ta=b\n",
        "8 path=\n",
        "11 path=\0a\n",
        "9 path=\0\n",
        "13 mtime=abc\n",
        "11 uid=one\n",
        "8 a\0b=c\n",
    ] {
        let entries = [Raw::new("x", b'x', content), Raw::file("foo/x", "x")];
        assert!(matches!(refusal(&plugin_with(entries)), PackageFault::Extension { .. }), "{content:?}");
    }
    for records in [[("path", "foo/x"), ("path", "foo/x")], [("size", "1"), ("size", "1")]] {
        assert!(matches!(
            refusal(&plugin_with([Raw::pax(&records), Raw::file("foo/x", "x")])),
            PackageFault::Extension { .. }
        ));
    }
    for name in ["", "\0", "a\0b\0"] {
        let entries = [Raw::new("l", b'L', name), Raw::file("foo/x", "x")];
        assert!(matches!(refusal(&plugin_with(entries)), PackageFault::Extension { .. }), "{name:?}");
    }
    let pax = || Raw::pax(&[("mtime", "1.5"), ("atime", "-1"), ("uid", "0"), ("SCHILY.xattr.user.x", "\0\u{1}")]);
    let name = || Raw::new("l", b'L', "foo/x\0");
    let x = || Raw::file("foo/x", "x");
    assert_unpacks([yaml(), pax(), name(), x()], &["plugin.yaml", "x"]);
    for entries in [vec![pax()], vec![name()], vec![x(), pax()], vec![pax(), pax(), x()], vec![name(), name(), x()]] {
        assert!(matches!(refusal(&plugin_with(entries.clone())), PackageFault::Extension { .. }));
        // The same without the blocks that mark the end.
        let open: Vec<u8> = [yaml()].into_iter().chain(entries).flat_map(Raw::encode).collect();
        assert!(matches!(refusal(&gz(&open)), PackageFault::Extension { .. }));
    }
}

#[test]
fn a7_headers() {
    for (at, bytes) in [
        (100, "rw-r--r-"),
        (108, "nobody!!"),
        (116, "\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}"),
        (136, "yesterday   "),
        (148, "0000000\0"),
        (329, "0000000\n"),
    ] {
        assert!(
            matches!(refusal(&plugin_with([Raw::file("foo/x", "x").put(at, bytes)])), PackageFault::Header { .. }),
            "{bytes}"
        );
    }
    assert!(matches!(refusal(&plugin_with([Raw::file("foo/x", "x").put(136, [0xff; 12])])), PackageFault::Header { .. }));
    let gnu = Raw::file("foo/x", "x").put(257, b"ustar  \0");
    assert_unpacks([yaml(), gnu.clone()], &["plugin.yaml", "x"]);
    assert_unpacks([yaml(), gnu.clone().put(345, "00000000000\0")], &["plugin.yaml", "x"]);
    // Go would take this for a prefix, others for a broken time.
    assert!(matches!(refusal(&plugin_with([gnu.put(345, "../../evil")])), PackageFault::Header { .. }));
    // A prefix counts for nothing where there is no magic.
    let v7 = Raw::new("foo/x", 0, "x").put(257, [0; 8]).put(345, "../../evil");
    assert_unpacks([yaml(), v7, Raw::new("foo/d/", 0, "").put(257, [0; 8])], &["plugin.yaml", "x"]);
    assert_unpacks([yaml(), Raw::file("x", "x").put(345, "foo/deep")], &["deep/x", "plugin.yaml"]);
    let star = Raw::file("x", "x").put(345, "foo/deep").put(476, "00000000000\0").put(508, "tar\0");
    assert_unpacks([yaml(), star], &["deep/x", "plugin.yaml"]);
    let signed: Vec<u8> = {
        let raw = Raw::file("foo/\u{e9}", "x");
        let sum: i64 = raw.block.iter().map(|b| i64::from(b.cast_signed())).sum::<i64>() + 8 * 32;
        raw.put(148, format!("{sum:06o}\0 ")).encode()
    };
    let archive = gz(&[yaml().encode(), signed, vec![0; 1024]].concat());
    assert_eq!(unpack_bytes(&archive).unwrap().files[1].path, "\u{e9}");
}

#[test]
fn a7_ends() {
    let open = yaml().encode();
    for (tail, accepted) in [
        (vec![], true),
        (vec![0; 512], true),
        (vec![0; 1024], true),
        (vec![0; 10_240], true),
        (vec![0; 1536], true),
        (vec![0; 1700], true),
        (vec![0; 700], false),
        (vec![b'x'; 100], false),
        ([vec![0; 512], Raw::file("foo/x", "x").encode()].concat(), false),
        ([vec![0; 1024], Raw::file("foo/x", "x").encode()].concat(), false),
        ([vec![0; 5000], vec![1]].concat(), false),
        ([Raw::file("foo/x", "x").encode()[..512].to_vec()].concat(), false),
        ([Raw::file("foo/x", "x").encode()[..513].to_vec()].concat(), false),
    ] {
        let archive = gz(&[open.clone(), tail.clone()].concat());
        if accepted {
            unpack_bytes(&archive).unwrap();
        } else {
            assert!(
                matches!(refusal(&archive), PackageFault::TrailingData { .. } | PackageFault::Truncated { .. }),
                "{}",
                tail.len()
            );
        }
    }
}

#[test]
fn a8_one_manifest_serves_every_purpose() {
    let named = |path: &str, name: &str| Raw::file(path, manifest(name));
    let name = |entries: Vec<Raw>| unpack_bytes(&gz(&tar(entries))).unwrap().metadata.name.to_string();
    assert_eq!(name(vec![named("foo/examples/plugin.yaml", "bar"), named("foo/plugin.yaml", "foo")]), "foo");
    assert_eq!(name(vec![named("examples/plugin.yaml", "bar"), named("plugin.yaml", "foo")]), "foo");
    assert_eq!(name(vec![named("plugin.yaml", "foo"), named("a/plugin.yaml", "a"), named("b/plugin.yaml", "b")]), "foo");
    assert_eq!(name(vec![Raw::dir("plugin.yaml"), Raw::file("README", ""), named("foo/plugin.yaml", "foo")]), "foo");
    let two = gz(&tar([named("a/plugin.yaml", "a"), named("b/plugin.yaml", "b"), named("c/plugin.yaml", "c")]));
    assert!(matches!(refusal(&two), PackageFault::Ambiguous { .. }));
    for none in
        [tar([]), tar([named("a/b/plugin.yaml", "a")]), tar([named("a/Plugin.yaml", "a")]), tar([Raw::dir("a/plugin.yaml")])]
    {
        assert!(matches!(refusal(&gz(&none)), PackageFault::NoManifest));
    }
    let broken = unpack_bytes(&gz(&tar([Raw::file("foo/plugin.yaml", "name: ../x\n")])));
    assert!(matches!(broken, Err(UnpackError::Manifest { .. })));
}

#[test]
fn a9_the_root_is_found_by_looking() {
    let place = Place::new();
    let entries = [
        Raw::dir("./"),
        Raw::dir("./other-dir/"),
        Raw::file("README.md", "x"),
        Raw::file("other-dir/plugin.yaml", manifest("foo")),
    ];
    let unpacked = place.unpack(&gz(&tar(entries)), &Limits::default()).unwrap();
    assert_eq!(unpacked.root, place.staging().join("other-dir"));
    assert_eq!(unpacked.files.iter().map(|file| &*file.path).collect::<Vec<_>>(), ["plugin.yaml"]);
    let place = Place::new();
    let entries = [Raw::file("./plugin.yaml", manifest("foo")), Raw::file("bin/x", "x").mode(0o755)];
    let unpacked = place.unpack(&gz(&tar(entries)), &Limits::default()).unwrap();
    assert_eq!(unpacked.root, place.staging());
    assert_eq!(unpacked.files.iter().map(|file| &*file.path).collect::<Vec<_>>(), ["plugin.yaml", "bin/x"]);
}

#[test]
fn what_is_there_already_is_never_written_over() {
    let place = Place::new();
    write_all(&place.staging(), &[("foo/x", b"old")]);
    let outcome = place.unpack(&plugin_with([Raw::file("foo/x", "new")]), &Limits::default());
    assert!(matches!(outcome, Err(UnpackError::Write { .. })));
    assert_eq!(fs::read(place.staging().join("foo/x")).unwrap(), b"old");
}

#[test]
fn what_is_no_archive_file_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(inspect(dir.path(), &Limits::default()), Err(UnpackError::Open { .. })));
    assert!(matches!(inspect(&dir.path().join("missing"), &Limits::default()), Err(UnpackError::Open { .. })));
}

#[test]
fn names_and_first_bytes_tell_archives() {
    for (name, expected) in [
        ("a.tgz", true),
        ("a.tar.gz", true),
        ("A.TGZ", true),
        ("a.gz", false),
        ("tgz", false),
        ("\u{e9}tgz", false),
        ("", false),
    ] {
        assert_eq!(is_archive_name(name), expected, "{name}");
    }
    assert!(looks_like_gzip(&gz(b"")) && !looks_like_gzip(b"PK") && !looks_like_gzip(&[0x1f, 0x8b]));
}
