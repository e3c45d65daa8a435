//! Directories to packages and back (cases K1 to K5).

use super::pack::pack_with;
use super::*;

fn pack_into(dir: &Path, destination: &Path) -> Result<Published, PackError> {
    pack(dir, destination, &Limits::default(), &NoReport)?.publish(None)
}

/// The bytes of the package of `dir`, made somewhere else.
fn bytes_of(dir: &Path) -> Vec<u8> {
    let out = tempfile::tempdir().unwrap();
    fs::read(pack_into(dir, out.path()).unwrap().package).unwrap()
}

fn names_of(dir: &Path) -> Vec<String> {
    let out = tempfile::tempdir().unwrap();
    names(&pack_into(dir, out.path()).unwrap().package)
}

#[test]
fn packs_what_unpacks_again() {
    let dir = plugin_dir(&[("bin/tool", b"\x7fELF"), ("docs/a.md", b"# a"), ("empty.txt", b""), ("übung/日本", b"x")]);
    fs::create_dir_all(dir.path().join("hollow/inner")).unwrap();
    let long = format!("{}/{}/file", "a".repeat(120), "b".repeat(200));
    write_all(dir.path(), &[(&long, b"long")]);
    let place = Place::new();
    let package = pack(dir.path(), place.dir.path(), &Limits::default(), &NoReport).unwrap();
    assert_eq!((&*package.file_name, package.metadata.name.as_str()), ("foo-1.0.0.tgz", "foo"));
    let (digest, size) = (package.digest, package.size);
    package.publish(None).unwrap();
    assert_eq!(Sha256Digest::of_file(&place.archive()).unwrap(), (digest, size));

    let unpacked = unpack(&place.archive(), &place.archive(), &place.staging(), &Limits::default(), &NoReport).unwrap();
    assert_eq!(unpacked.root, place.staging().join("foo"));
    assert_eq!(tree(&unpacked.root), tree(dir.path()));
    assert_eq!(inspect(&place.archive(), &Limits::default()).unwrap(), unpacked.metadata);
    #[cfg(unix)]
    {
        assert_eq!(mode(&unpacked.root.join("run.sh")) & 0o700, 0o700);
        assert_eq!(mode(&unpacked.root.join("docs/a.md")) & 0o700, 0o600);
        assert_eq!(mode(&place.archive()) & 0o700, 0o600);
    }
    let names = names(&place.archive());
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(names, sorted);
    assert_eq!(names[0], "foo");
    assert!(names.contains(&"foo/hollow/inner".to_owned()) && names.contains(&format!("foo/{long}")));
}

#[test]
fn k1_the_same_tree_gives_the_same_bytes() {
    let files: &[(&str, &[u8])] = &[("a/b", b"x"), ("a-b", b"x"), ("a.b", b"x"), ("z", &[7; 3_000_000])];
    let reversed: Vec<_> = files.iter().copied().rev().collect();
    let (one, other) = (plugin_dir(files), plugin_dir(&reversed));
    #[cfg(unix)]
    {
        set_mode(&one.path().join("a/b"), 0o600);
        set_mode(&one.path().join("a"), 0o700);
        set_mode(&one.path().join("run.sh"), 0o711);
    }
    let file = fs::File::options().write(true).open(one.path().join("z")).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let out = tempfile::tempdir().unwrap();
    let with = |dir: &Path, mtime, threads| {
        pack_with(dir, out.path(), &Limits::default(), &NoReport, mtime, threads).unwrap().digest
    };
    let expected = with(one.path(), 0, 1);
    for threads in [1, 2, 3, 8] {
        assert_eq!(with(other.path(), 0, threads), expected, "{threads}");
    }
    assert_ne!(with(one.path(), 1, 1), expected);
}

/// Bytes that pack to about half, the same everywhere.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 60) as u8
    };
    (0..size).map(next).collect()
}

#[test]
fn k1_a_known_tree_has_a_known_digest() {
    let dir = plugin_dir(&[("a/noise", &noise(2_000_000)), ("b/text", &b"the same words again and again ".repeat(20_000))]);
    let out = tempfile::tempdir().unwrap();
    let package = pack_with(dir.path(), out.path(), &Limits::default(), &NoReport, 0, 2).unwrap();
    // Another digest means that every package changes its bytes: a new compressor, level, block size or header. Say so in
    // the change log.
    assert_eq!(package.digest.to_string(), "8f18e87d5c09d9b4963a8db6d4b1172cf9bff42679e42463b8d910c77326d715");
}

#[test]
fn k1_headers_tell_nothing_about_the_machine() {
    let dir = plugin_dir(&[("a/b", b"x")]);
    let bytes = bytes_of(dir.path());
    assert_eq!(bytes[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
    let mut archive = ::tar::Archive::new(flate2::read::MultiGzDecoder::new(&bytes[..]));
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
        assert_eq!((header.username_bytes().unwrap(), header.groupname_bytes().unwrap()), (&b""[..], &b""[..]));
        assert_eq!(header.mtime().unwrap(), 315_532_800);
        let expected = if header.entry_type().is_dir() || entry.path_bytes().ends_with(b"run.sh") { 0o755 } else { 0o644 };
        assert_eq!(header.mode().unwrap(), expected);
    }
}

#[test]
fn k1_source_date_epoch() {
    use super::pack::parse_time;
    assert_eq!(parse_time("0").unwrap(), 0);
    assert_eq!(parse_time("1700000000").unwrap(), 1_700_000_000);
    for bad in ["", "-1", "+1", "1.5", "now", " 1", "0x1", "8589934592", "99999999999999999999"] {
        assert!(matches!(parse_time(bad), Err(PackError::Time { .. })), "{bad}");
    }
}

#[test]
fn k2_the_destination_may_be_inside() {
    let dir = plugin_dir(&[("a", b"x")]);
    let expected = bytes_of(dir.path());
    for destination in ["", "dist", "dist", "out/deep"] {
        let published = pack_into(dir.path(), &dir.path().join(destination)).unwrap();
        assert_eq!(fs::read(&published.package).unwrap(), expected, "{destination}");
    }
    write_all(
        dir.path(),
        &[
            ("foo-0.9.0.tgz", b"old"),
            ("foo-0.9.0.tgz.prov", b"old"),
            ("dist/foo-0.1.0-rc.1.tgz", b"old"),
            (".plugsmith-pack-abc.tmp", b"left"),
        ],
    );
    assert_eq!(bytes_of(dir.path()), expected);
    write_all(dir.path(), &[("foo-bar-1.0.0.tgz", b"other"), ("dist/note", b"x")]);
    let names = names_of(dir.path());
    assert!(names.contains(&"foo/foo-bar-1.0.0.tgz".to_owned()) && names.contains(&"foo/dist/note".to_owned()));
    assert!(!names.iter().any(|name| name.contains("foo-0") || name.contains("foo-1")), "{names:?}");
}

#[test]
fn k3_ignore_files() {
    let dir = plugin_dir(&[
        (".helmignore", b"\xef\xbb\xbf# comment\r\n*.log\r\n/build/\nsecret\n"),
        (".pluginignore", b"!keep.log\nnested/**/x\n"),
        ("a.log", b""),
        ("keep.log", b""),
        ("build/x", b""),
        ("sub/build/x", b""),
        ("sub/secret/x", b""),
        ("nested/a/b/x", b""),
        ("nested/a/b/y", b""),
        (".git/config", b""),
        ("sub/.git", b"gitdir: elsewhere"),
        ("sub/.helmignore", b"*"),
        (".gitignore", b"run.sh"),
    ]);
    let mut expected = vec![
        "foo",
        "foo/.gitignore",
        "foo/keep.log",
        "foo/nested",
        "foo/nested/a",
        "foo/nested/a/b",
        "foo/nested/a/b/y",
        "foo/plugin.yaml",
        "foo/run.sh",
        "foo/sub",
        "foo/sub/.helmignore",
        "foo/sub/build",
        "foo/sub/build/x",
    ];
    expected.sort_unstable();
    assert_eq!(names_of(dir.path()), expected);
}

#[test]
fn k3_an_ignored_manifest_is_an_error() {
    for pattern in ["plugin.yaml", "*.yaml", "*", "/plugin.*"] {
        let dir = plugin_dir(&[(".helmignore", pattern.as_bytes())]);
        assert!(matches!(pack_into(dir.path(), dir.path()), Err(PackError::ManifestIgnored { .. })), "{pattern}");
    }
    let dir = plugin_dir(&[(".helmignore", b"a\n{a\n")]);
    assert!(matches!(pack_into(dir.path(), dir.path()), Err(PackError::IgnoreFile { line: 2, .. })));
    let dir = plugin_dir(&[(".pluginignore", b"\xff")]);
    assert!(matches!(pack_into(dir.path(), dir.path()), Err(PackError::IgnoreFile { line: 0, .. })));
}

#[test]
fn k3_private_keys_stay_out_unless_asked_for() {
    let dir = plugin_dir(&[("id_rsa", b""), ("keys/a.key", b""), (".gnupg/x", b""), ("ca.pem", b"")]);
    assert_eq!(names_of(dir.path()), ["foo", "foo/ca.pem", "foo/keys", "foo/plugin.yaml", "foo/run.sh"]);
    write_all(dir.path(), &[(".pluginignore", b"!a.key\n")]);
    assert!(names_of(dir.path()).contains(&"foo/keys/a.key".to_owned()));
}

#[cfg(unix)]
#[test]
fn k3_links_inside_are_stored_as_what_they_lead_to() {
    use std::os::unix::fs::symlink;
    let dir = plugin_dir(&[("lib/a", b"a"), ("lib/sub/b", b"b")]);
    symlink("run.sh", dir.path().join("alias")).unwrap();
    symlink(dir.path().join("lib"), dir.path().join("library")).unwrap();
    symlink("../lib/sub", dir.path().join("lib/again")).unwrap();
    symlink("/etc", dir.path().join("ignored")).unwrap();
    write_all(dir.path(), &[(".helmignore", b"ignored")]);
    let place = Place::new();
    pack_into(dir.path(), place.dir.path()).unwrap();
    let unpacked = unpack(&place.archive(), &place.archive(), &place.staging(), &Limits::default(), &NoReport).unwrap();
    let found = tree(&unpacked.root);
    let content = |path: &str| found.iter().find(|(found, _)| found == path).unwrap_or_else(|| panic!("{path}")).1.clone();
    assert_eq!(content("alias"), Some(b"#!/bin/sh\n".to_vec()));
    assert_eq!(content("library"), None);
    assert_eq!(content("library/sub/b"), Some(b"b".to_vec()));
    assert_eq!(content("library/again/b"), Some(b"b".to_vec()));
    assert_eq!(mode(&unpacked.root.join("alias")) & 0o700, 0o700);
}

#[cfg(unix)]
#[test]
fn k3_what_cannot_be_stored_is_named() {
    use std::os::unix::fs::symlink;
    let outside = tempfile::tempdir().unwrap();
    write_all(outside.path(), &[("secret", b"x")]);
    let with_link = |target: &Path| {
        let dir = plugin_dir(&[("sub/x", b""), (".git/config", b"")]);
        symlink(target, dir.path().join("sub/link")).unwrap();
        let out = tempfile::tempdir().unwrap();
        let error = pack_into(dir.path(), out.path()).unwrap_err();
        assert!(error.to_string().contains("sub/link"), "{error}");
        assert_eq!(tree(out.path()), []);
        error
    };
    assert!(matches!(with_link(Path::new("/etc/passwd")), PackError::LinkLeaves { .. }));
    assert!(matches!(with_link(&outside.path().join("secret")), PackError::LinkLeaves { .. }));
    assert!(matches!(with_link(Path::new("../..")), PackError::LinkLeaves { .. }));
    assert!(matches!(with_link(Path::new("missing")), PackError::LinkDangling { .. }));
    assert!(matches!(with_link(Path::new(".")), PackError::LinkCycle { .. }));
    assert!(matches!(with_link(Path::new("..")), PackError::LinkCycle { .. }));
    assert!(matches!(with_link(Path::new("link")), PackError::Read { .. }));
    assert!(matches!(with_link(Path::new("../.git/config")), PackError::LinkIntoGit { .. }));

    let dir = plugin_dir(&[]);
    let _listener = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
    let error = pack_into(dir.path(), dir.path()).unwrap_err();
    assert!(matches!(error, PackError::NotStorable { kind: "a socket", .. }) && error.to_string().contains("socket"));
    let dir = plugin_dir(&[]);
    rustix::fs::mknodat(rustix::fs::CWD, dir.path().join("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    assert!(matches!(pack_into(dir.path(), dir.path()), Err(PackError::NotStorable { kind: "a fifo", .. })));
}

#[cfg(unix)]
#[test]
fn k3_links_cannot_multiply_without_end() {
    use std::os::unix::fs::symlink;
    let dir = plugin_dir(&[]);
    for level in 0..30 {
        let here = dir.path().join(format!("l{level:02}"));
        fs::create_dir(&here).unwrap();
        for link in ["a", "b"] {
            symlink(format!("../l{:02}", level + 1), here.join(link)).unwrap();
        }
    }
    fs::create_dir(dir.path().join("l30")).unwrap();
    let limits = Limits { entries: 1000, ..Limits::default() };
    let error = pack(dir.path(), dir.path(), &limits, &NoReport).unwrap_err();
    assert!(matches!(error, PackError::Refused { .. }), "{error:?}");
}

#[cfg(unix)]
#[test]
fn what_would_not_unpack_is_not_packed() {
    for name in ["a:b", "a\\b", "end.", "nul.txt", "line\nbreak"] {
        let dir = plugin_dir(&[(name, b"x")]);
        assert!(matches!(pack_into(dir.path(), dir.path()), Err(PackError::Refused { .. })), "{name}");
    }
    let dir = plugin_dir(&[("README", b""), ("readme", b"")]);
    assert!(matches!(pack_into(dir.path(), dir.path()), Err(PackError::Refused { .. })));
    let dir = plugin_dir(&[("zeros", &vec![0; 100 << 20])]);
    let Err(PackError::Refused { source, .. }) = pack_into(dir.path(), dir.path()) else { panic!() };
    assert!(matches!(*source, PackageFault::Ratio { .. }));
    assert_eq!(tree(dir.path()).len(), 3, "nothing is left behind");
    for limits in [
        Limits { entries: 2, ..Limits::default() },
        Limits { file_bytes: 5, ..Limits::default() },
        Limits { total_bytes: 20, ..Limits::default() },
        Limits { path_levels: 1, ..Limits::default() },
    ] {
        let dir = plugin_dir(&[]);
        assert!(matches!(pack(dir.path(), dir.path(), &limits, &NoReport), Err(PackError::Refused { .. })), "{limits:?}");
    }
}

#[test]
fn a_plugin_needs_a_manifest_and_a_version() {
    let dir = plugin_dir(&[("plugin.yaml", b"name: foo\nusage: x\ndescription: x\ncommand: x\n")]);
    let error = pack_into(dir.path(), dir.path()).unwrap_err();
    assert!(matches!(error, PackError::NoVersion { .. }) && error.to_string().contains("version:"), "{error}");
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(pack_into(dir.path(), dir.path()), Err(PackError::Manifest { .. })));
}

#[test]
fn k5_the_pair_is_replaced_as_one() {
    let dir = plugin_dir(&[]);
    let out = tempfile::tempdir().unwrap();
    let pack = || pack(dir.path(), out.path(), &Limits::default(), &NoReport).unwrap();
    let names = || tree(out.path()).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    drop(pack());
    assert_eq!(names(), [""; 0]);
    let published = pack().publish(Some(b"signed")).unwrap();
    assert_eq!(fs::read(published.provenance.unwrap()).unwrap(), b"signed");
    assert!(!published.removed_provenance);
    assert_eq!(names(), ["foo-1.0.0.tgz", "foo-1.0.0.tgz.prov"]);

    // The package cannot be put there: the older provenance is still beside the older package.
    let unpublished = pack();
    fs::remove_file(out.path().join("foo-1.0.0.tgz")).unwrap();
    write_all(out.path(), &[("foo-1.0.0.tgz/in-the-way", b"")]);
    assert!(matches!(unpublished.publish(Some(b"newer")), Err(PackError::Write { .. })));
    assert_eq!(fs::read(out.path().join("foo-1.0.0.tgz.prov")).unwrap(), b"signed");
    assert!(matches!(pack().publish(None), Err(PackError::Write { .. })));
    assert_eq!(fs::read(out.path().join("foo-1.0.0.tgz.prov")).unwrap(), b"signed");
    fs::remove_file(out.path().join("foo-1.0.0.tgz.prov")).unwrap();
    assert!(matches!(pack().publish(Some(b"newer")), Err(PackError::Write { .. })));
    assert_eq!(names(), ["foo-1.0.0.tgz", "foo-1.0.0.tgz/in-the-way"]);
    fs::remove_dir_all(out.path().join("foo-1.0.0.tgz")).unwrap();

    pack().publish(Some(b"signed")).unwrap();
    let published = pack().publish(None).unwrap();
    assert!(published.removed_provenance && published.provenance.is_none());
    assert_eq!(names(), ["foo-1.0.0.tgz"]);
    assert!(!pack().publish(None).unwrap().removed_provenance);
}

#[test]
fn the_manifest_is_found_without_reading_the_rest() {
    // Two blocks of noise before the manifest and two behind.
    let noise: Vec<u8> = (0..1_200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let dir = plugin_dir(&[("a", &noise), ("z", &noise)]);
    let place = Place::new();
    pack_into(dir.path(), place.dir.path()).unwrap();
    let sound = fs::read(place.archive()).unwrap();
    let expected = inspect(&place.archive(), &Limits::default()).unwrap();
    // Damage at the beginning goes unseen by looking, and never by unpacking.
    let mut damaged = sound.clone();
    damaged[1000] ^= 1;
    fs::write(place.archive(), &damaged).unwrap();
    assert_eq!(inspect(&place.archive(), &Limits::default()).unwrap(), expected);
    unpack(&place.archive(), &place.archive(), &place.staging(), &Limits::default(), &NoReport).unwrap_err();
    // A pointer that leads nowhere is not followed.
    let at = sound.len() - 34;
    for change in [1, 100, 250] {
        let mut lost = sound.clone();
        lost[at] = lost[at].wrapping_add(change);
        fs::write(place.archive(), &lost).unwrap();
        assert_eq!(inspect(&place.archive(), &Limits::default()).unwrap(), expected, "{change}");
    }
    for cut in [1, 20, 51, 60] {
        fs::write(place.archive(), &sound[..sound.len() - cut]).unwrap();
        assert_eq!(inspect(&place.archive(), &Limits::default()).is_ok(), cut == 51, "{cut}");
    }
}

/// The sizes of the blocks stand behind them: where they are not true, nothing is unpacked, and where nobody can read them, the
/// whole is read from its beginning.
#[test]
fn blocks_are_only_where_the_package_says_that_they_are() {
    let dir = plugin_dir(&[("a", &noise(3_000_000)), ("z", &[0; 3_000_000])]);
    let place = Place::new();
    pack_into(dir.path(), place.dir.path()).unwrap();
    let sound = fs::read(place.archive()).unwrap();
    let tree = |bytes: &[u8]| {
        fs::write(place.archive(), bytes).unwrap();
        let staging = place.staging();
        fs::remove_dir_all(&staging).unwrap();
        fs::create_dir(&staging).unwrap();
        unpack(&place.archive(), &place.archive(), &staging, &Limits::default(), &NoReport).map(|unpacked| unpacked.files)
    };
    let files = tree(&sound).unwrap();
    assert!(files.iter().any(|file| file.path == "z" && file.size == 3_000_000));
    let member = sound.windows(4).rposition(|four| four == [0x1f, 0x8b, 8, 4]).unwrap();
    let sizes = sound[..member].windows(4).rposition(|four| four == [0x1f, 0x8b, 8, 4]).unwrap();
    let blocks = crate::intake::package::blocks::read(&mut fs::File::open(place.archive()).unwrap()).unwrap().unwrap();
    assert_eq!(blocks.len(), 12);
    // Without the two members it is any gzip file.
    assert_eq!(tree(&sound[..sizes]).unwrap(), files);
    // The first block said to be a byte shorter, the second a byte longer: all of them fill the file as before.
    let mut shifted = sound.clone();
    let first = sizes + 16;
    assert!(shifted[first] & 0x7f > 0 && shifted[first + 4] & 0x7f < 0x7f);
    shifted[first] -= 1;
    shifted[first + 4] += 1;
    let refused = tree(&shifted);
    if crate::intake::package::gzip::threads() > 1 {
        assert!(
            matches!(&refused, Err(UnpackError::Refused { source, .. }) if matches!(**source, PackageFault::Gzip { .. })),
            "{refused:?}"
        );
    }
    // Sizes that do not fill the file say nothing.
    let mut wrong = sound;
    wrong[first] -= 1;
    assert_eq!(tree(&wrong).unwrap(), files);
}

#[test]
fn the_root_manifest_counts_and_small_packages_have_no_pointer() {
    let dir = plugin_dir(&[("examples/plugin.yaml", manifest("bar").as_bytes())]);
    let place = Place::new();
    let package = pack_into(dir.path(), place.dir.path()).unwrap().package;
    assert_eq!(inspect(&package, &Limits::default()).unwrap().name.as_str(), "foo");
    // A small package is one member and nothing else.
    let bytes = fs::read(package).unwrap();
    let mut decoder = flate2::bufread::GzDecoder::new(&bytes[..]);
    std::io::copy(&mut decoder, &mut std::io::sink()).unwrap();
    assert_eq!(decoder.into_inner(), b"");
}
