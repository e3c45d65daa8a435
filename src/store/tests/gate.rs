//! What the gate notices and refuses.

use super::*;

#[cfg(unix)]
#[test]
fn p28_the_gate_notices_what_changed() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    type Tamper = fn(&Path);
    let cases: &[(&str, Tamper, Option<DifferenceKind>)] = &[
        ("run.sh", |p| fs::write(p.join("run.sh"), "#!/bin/sh\necho evil\n").unwrap(), Some(DifferenceKind::Changed)),
        // The same size.
        ("run.sh", |p| fs::write(p.join("run.sh"), "#!/bin/sh\necho two\n").unwrap(), Some(DifferenceKind::Changed)),
        ("lib/helper.sh", |p| fs::write(p.join("lib/helper.sh"), "# helper two\n").unwrap(), Some(DifferenceKind::Changed)),
        ("lib/helper.sh", |p| fs::remove_file(p.join("lib/helper.sh")).unwrap(), Some(DifferenceKind::Missing)),
        (
            "run.sh",
            |p| fs::set_permissions(p.join("run.sh"), PermissionsExt::from_mode(0o644)).unwrap(),
            Some(DifferenceKind::Mode),
        ),
        (
            "run.sh",
            |p| {
                fs::rename(p.join("run.sh"), p.join("real")).unwrap();
                symlink("real", p.join("run.sh")).unwrap();
            },
            Some(DifferenceKind::Kind),
        ),
        (
            "",
            |p| {
                fs::rename(p, p.with_file_name("foo.moved")).unwrap();
                symlink("foo.moved", p).unwrap();
            },
            Some(DifferenceKind::Kind),
        ),
        // No program, no argument: reported by verify alone.
        ("README.md", |p| fs::write(p.join("README.md"), "x").unwrap(), None),
        ("new.sh", |p| fs::write(p.join("new.sh"), "x").unwrap(), None),
        // Other times over the same bytes.
        (
            "run.sh",
            |p| {
                let bytes = fs::read(p.join("run.sh")).unwrap();
                fs::write(p.join("run.sh"), bytes).unwrap();
            },
            None,
        ),
    ];
    for (i, (path, tamper, want)) in cases.iter().enumerate() {
        let f = Fixture::new();
        f.install("foo", "1.0.0", "one", false).unwrap();
        tamper(&f.plugin("foo"));
        let found = f.open("foo");
        match (found, want) {
            (Ok(_), None) => {}
            (Err(e @ GateError::Changed { .. }), Some(kind)) => {
                let text = e.to_string();
                assert!(text.contains("tool plugin restore foo") && text.contains("tool plugin trust foo"), "{text}");
                assert!(!text.contains("secret") && !text.contains("abc"), "{text}");
                let GateError::Changed { differences, .. } = e else { unreachable!() };
                assert_eq!(differences, [Difference { path: (*path).to_owned(), kind: *kind }], "case {i}");
                let warned = f.store.open_plugin("foo", GateMode::Warn).unwrap();
                assert_eq!(warned.warnings.len(), 1);
                assert!(f.store.open_plugin("foo", GateMode::Off).unwrap().warnings.is_empty());
            }
            (found, want) => panic!("case {i}: {found:?}, wanted {want:?}"),
        }
        let all = f.store.check_all_files("foo").unwrap();
        assert_eq!(all.is_empty(), i == cases.len() - 1, "case {i}: {all:?}");
        if !path.is_empty() && f.plugin("foo").join(path).exists() {
            // Accepted, it runs again.
            f.store.lock(&NoReport).unwrap().trust("foo").unwrap();
            assert!(f.open("foo").is_ok(), "case {i}: {:?}", f.open("foo"));
            assert!(f.store.check_all_files("foo").unwrap().is_empty());
        }
        if !path.is_empty() {
            f.install("foo", "1.0.0", "one", true).unwrap();
            assert!(f.open("foo").is_ok() && f.store.check_all_files("foo").unwrap().is_empty());
        }
    }
}

#[test]
fn s_a_program_that_appears_after_the_install_is_refused() {
    let f = Fixture::new();
    f.install("foo", "1.0.0", "one", false).unwrap();
    let path = f.plugin("foo/plugin.yaml");
    let text = fs::read_to_string(&path).unwrap().replace("/run.sh", "/other.sh");
    fs::write(&path, text).unwrap();
    f.store.lock(&NoReport).unwrap().trust("foo").unwrap();
    assert!(f.open("foo").is_ok());
    fs::write(f.plugin("foo/other.sh"), "echo evil").unwrap();
    let error = f.open("foo").unwrap_err();
    assert!(error.to_string().contains("`other.sh` was added"), "{error}");
}

#[cfg(unix)]
#[test]
fn s_what_everybody_may_write_to_is_refused_with_the_command_that_mends_it() {
    use std::os::unix::fs::PermissionsExt;
    let f = Fixture::new();
    f.install("foo", "1.0.0", "one", false).unwrap();
    f.by_hand(f.plugins(), "hand", "hand", "1.0.0");
    for path in ["foo", "foo/run.sh", "foo/lib", "hand", "hand/run.sh", ""] {
        let full = f.plugins().join(path);
        let name = if path.starts_with("hand") { "hand" } else { "foo" };
        let mode = fs::metadata(&full).unwrap().permissions().mode();
        fs::set_permissions(&full, PermissionsExt::from_mode(mode | 0o022)).unwrap();
        let error = f.open(name).unwrap_err();
        assert!(matches!(error, GateError::WorldWritable { .. }), "{path}: {error}");
        assert!(error.to_string().contains("chmod o-w"), "{error}");
        // A group that may write is fine.
        fs::set_permissions(&full, PermissionsExt::from_mode(mode | 0o020)).unwrap();
        assert!(f.open(name).is_ok(), "{path}");
        fs::set_permissions(&full, PermissionsExt::from_mode(mode)).unwrap();
    }
    fs::set_permissions(f.plugins(), PermissionsExt::from_mode(0o1777)).unwrap();
    assert!(f.open("foo").is_ok());
}
