use tempfile::TempDir;

use super::*;

const GOOD: &str = "name: p\nversion: 1.2.3\nplatformCommand:\n- command: $HELM_PLUGIN_DIR/run.sh\n";

fn plugin(manifest: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "plugin.yaml", manifest, 0o644);
    write(&dir, "run.sh", "#!/bin/sh\n", 0o755);
    dir
}

fn write(dir: &TempDir, name: &str, text: &str, mode: u32) {
    let path = dir.path().join(name);
    fs::write(&path, text).unwrap();
    #[cfg(unix)]
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    #[cfg(not(unix))]
    let _ = mode;
}

fn codes(dir: &TempDir) -> Vec<&'static str> {
    report(dir).problems.iter().map(|problem| problem.code).collect()
}

fn report(dir: &TempDir) -> LintReport {
    lint(dir.path(), &Limits::default())
}

/// The codes for a manifest whose plugin has an executable `run.sh`.
fn manifest_codes(manifest: &str) -> Vec<&'static str> {
    codes(&plugin(manifest))
}

#[test]
fn a_good_plugin_has_no_problems() {
    let dir = plugin(GOOD);
    for path in [dir.path().to_owned(), dir.path().join("plugin.yaml")] {
        let report = lint(&path, &Limits::default());
        assert_eq!(report.problems, [], "{path:?}");
        assert!(report.ok);
    }
}

#[test]
fn everything_is_found_in_one_go() {
    let manifest = "name: a.b\nVersion: 1\nversion: x\nusage: [u]\ncommand: $HELM_PLUGIN_DIR/gone\nhooks: {upgrade: a}\n";
    let dir = plugin(&manifest.replace("a.b", "p").replace("version: x", "version: 1.2.3").replace("[u]", "u"));
    assert_eq!(codes(&dir), ["unknown-key", "program-missing", "hook-event"]);
    let dir = plugin(manifest);
    let report = report(&dir);
    assert!(!report.ok);
    let found: Vec<_> = report.problems.iter().map(|p| (p.code, p.severity, p.at.unwrap().line)).collect();
    let (error, warning) = (Severity::Error, Severity::Warning);
    assert_eq!(
        found,
        [("name-invalid", error, 1), ("unknown-key", warning, 2), ("version-invalid", error, 3), ("wrong-kind", error, 4)]
    );
    assert!(report.problems.iter().all(|problem| !problem.help.is_empty()));
}

#[test]
fn manifests_that_cannot_be_read() {
    assert_eq!(manifest_codes("name: [\n"), ["yaml"]);
    assert_eq!(manifest_codes("name: a\nname: b\n"), ["yaml"]);
    assert_eq!(manifest_codes(""), ["empty"]);
    assert_eq!(manifest_codes("- a\n"), ["not-a-mapping"]);
    assert_eq!(manifest_codes("apiVersion: v2\n"), ["api-version"]);
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(codes(&dir), ["manifest-missing"]);
    fs::create_dir(dir.path().join("plugin.yaml")).unwrap();
    assert_eq!(codes(&dir), ["unreadable"]);
    let dir = plugin(GOOD);
    let tight = Limits { manifest_bytes: 5, ..Limits::default() };
    assert_eq!(lint(dir.path(), &tight).problems[0].code, "too-large");
}

#[test]
fn m5_unknown_keys() {
    let v1 = "apiVersion: v1\nname: p\nversion: 1.2.3\ntype: cli/v1\nruntime: subprocess\nconfig: {}\n\
              runtimeConfig:\n  platformCommand: [{command: $HELM_PLUGIN_DIR/run.sh}]\n";
    assert_eq!(manifest_codes(v1), [""; 0]);
    let dir = plugin(&v1.replace("  platformCommand", "  command: x\n  platformCommand"));
    let report = report(&dir);
    assert!(report.ok);
    assert_eq!((report.problems[0].code, report.problems[0].severity), ("unknown-key", Severity::Warning));
    assert_eq!(report.problems[0].at, Some(Position { line: 8, column: 3 }));
    let dir = plugin(&v1.replace("config: {}", "config: {short_help: x}\nusage: u"));
    let report = lint(dir.path(), &Limits::default());
    assert!(!report.ok);
    assert_eq!(report.problems[0].help, "write `shortHelp`");
    assert_eq!(report.problems[1].message, "unknown key `usage` in the manifest");
    assert_eq!(manifest_codes("Name: p\ncommand: x\n"), ["unknown-key", "name-missing"]);
}

#[test]
fn m7_a_version_is_needed_for_a_package() {
    let dir = plugin("name: p\ncommand: sh\n");
    assert_eq!(codes(&dir), ["version-missing"]);
    assert!(report(&dir).ok);
}

#[test]
fn commands_that_cannot_mean_what_they_say() {
    let with = |command: &str| manifest_codes(&format!("name: p\nversion: 1.2.3\nplatformCommand:\n- {command}\n"));
    assert_eq!(with("command: ''"), ["command-empty"]);
    assert_eq!(with("command: ' sh'"), ["command-empty"]);
    assert_eq!(with("command: sh  -x"), ["command-spaces"]);
    assert_eq!(with("command: sh \"a b\""), ["command-shell"]);
    assert_eq!(with("command: a && b"), ["command-shell"]);
    assert_eq!(with("{command: sh, args: [-c, \"a && ${B:-c}\"]}"), [""; 0]);
    assert_eq!(with("command: ${HELM_BIN:-helm} list"), ["variable-form"]);
    assert_eq!(with("command: bin/x"), ["program-relative"]);
    assert_eq!(with("command: $HELM_PLUGIN_DIR/gone"), ["program-missing"]);
    assert_eq!(with("command: ${HELM_PLUGIN_DIR}/gone"), ["program-missing"]);
    assert_eq!(with("command: $TOOL_PLUGIN_DIR/a/../../x"), ["program-outside"]);
    assert_eq!(with("command: $HELM_PLUGIN_DIR/$X/gone"), [""; 0]);
    assert_eq!(with("{os: linux, command: sh}"), ["platform-missing"]);
    assert_eq!(manifest_codes("name: p\nversion: 1.2.3\n"), ["command-missing"]);
    let windows =
        "name: p\nversion: 1.2.3\nplatformCommand:\n- {os: windows, command: $HELM_PLUGIN_DIR\\bin}\n- {command: sh}\n";
    let dir = plugin(windows);
    assert_eq!(codes(&dir), ["program-missing"]);
    write(&dir, "bin.exe", "MZ", 0o644);
    assert_eq!(codes(&dir), [""; 0]);
}

#[test]
fn programs_that_the_install_hook_makes_are_a_warning() {
    let manifest = "name: p\nversion: 1.2.3\ncommand: $HELM_PLUGIN_DIR/bin/p\nhooks: {install: make}\n";
    let dir = plugin(manifest);
    assert_eq!(codes(&dir), ["program-missing"]);
    assert!(report(&dir).ok);
}

#[test]
fn getters_are_looked_for_in_the_plugin() {
    let manifest =
        "name: p\nversion: 1.2.3\ndownloaders:\n- {command: run.sh, protocols: [x]}\n- {command: gone -v, protocols: [y]}\n";
    let dir = plugin(manifest);
    assert_eq!(codes(&dir), ["program-missing"]);
    assert_eq!(report(&dir).problems[0].at, Some(Position { line: 5, column: 13 }));
    assert_eq!(
        manifest_codes("name: p\nversion: 1.2.3\ndownloaders:\n- {protocols: ['']}\n"),
        ["downloader-command", "protocol-empty"]
    );
}

#[test]
fn hooks_that_never_run() {
    let dir = plugin(&format!("{GOOD}platformHooks:\n  uninstall:\n  - command: sh\n"));
    assert_eq!(codes(&dir), ["hook-event"]);
    assert_eq!(report(&dir).problems[0].help, "write `delete`");
    let dir = plugin(
        "name: p\nversion: 1.2.3\nplatformCommand:\n- {os: windows, command: cmd}\n- command: sh\nhooks: {update: x}\n",
    );
    assert_eq!(codes(&dir), ["hook-shell"]);
}

#[test]
fn wasm_modules() {
    let manifest = "apiVersion: v1\nname: p\nversion: 1.2.3\ntype: test/v1\nruntime: extism/v1\n";
    let dir = plugin(manifest);
    assert_eq!(codes(&dir), ["module-missing"]);
    write(&dir, "plugin.wasm", "MZ", 0o644);
    assert_eq!(codes(&dir), ["module-invalid"]);
    write(&dir, "plugin.wasm", "\0asm\x01\0\0\0", 0o644);
    assert_eq!(codes(&dir), [""; 0]);
}

#[test]
fn completions() {
    let dir = plugin(GOOD);
    write(&dir, "completion.yaml", "name: p\nflags: [--x]\ncommands: [{flag: a}]\n", 0o644);
    write(&dir, "plugin.complete", "", 0o644);
    let expected = ["completion-flag", "completion-name", "unknown-key"];
    let found = codes(&dir);
    assert_eq!(&found[..3], expected);
    #[cfg(unix)]
    assert_eq!(found[3], "completion-not-executable");
    assert!(report(&dir).problems.iter().take(3).all(|problem| problem.file == "completion.yaml"));
    write(&dir, "completion.yaml", "name: [\n", 0o644);
    assert_eq!(codes(&dir)[0], "yaml");
}

#[cfg(unix)]
#[test]
fn files_that_cannot_be_packaged_or_trusted() {
    use std::os::unix::fs::symlink;
    let dir = plugin(GOOD);
    write(&dir, "run.sh", "#!/bin/sh\n", 0o644);
    symlink("run.sh", dir.path().join("inside")).unwrap();
    symlink("../x", dir.path().join("broken")).unwrap();
    symlink("/bin/sh", dir.path().join("outside")).unwrap();
    write(&dir, "open", "", 0o666);
    write(&dir, "group", "", 0o664);
    fs::create_dir(dir.path().join(".git")).unwrap();
    symlink("/", dir.path().join(".git/x")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
    let report = report(&dir);
    let found: Vec<_> = report.problems.iter().map(|problem| (problem.code, &*problem.file)).collect();
    assert_eq!(
        found,
        [
            ("program-not-executable", "plugin.yaml"),
            ("link-broken", "broken"),
            ("writable", "group"),
            ("writable", "open"),
            ("link-outside", "outside"),
            ("special-file", "socket"),
        ]
    );
    write(&dir, ".helmignore", "broken\nout*\nsocket\n", 0o644);
    assert_eq!(codes(&dir), ["program-not-executable", "writable", "writable"]);
}

#[test]
fn a_report_has_the_keys_that_are_promised() {
    let dir = plugin("name: p\ncommand: sh\nfoo: 1\n");
    write(&dir, "run.sh", "", 0o755);
    let json = serde_json::to_value(report(&dir)).unwrap();
    assert_eq!(json["ok"], true);
    assert_eq!(json["path"], dir.path().to_str().unwrap());
    let expected = serde_json::json!({
        "severity": "warning", "code": "unknown-key", "message": "unknown key `foo` in the manifest", "file": "plugin.yaml",
        "line": 3, "column": 1,
        "help": "it is ignored; the keys here are: name, version, usage, description, platformCommand, command, ignoreFlags, \
                 platformHooks, hooks, downloaders",
    });
    assert_eq!(json["problems"][1], expected);
}

#[test]
fn m8_a_report_is_safe_to_show() {
    let dir = plugin("name: \"a\\e[31m\"\nversion: \"\\u202e\"\n\"k\\e\": 1\nhooks: {\"\\a\": x}\nignoreFlags: \"\\b\"\n");
    for problem in report(&dir).problems {
        assert!(!format!("{problem}").contains(|c: char| c.is_control() || c == '\u{202e}'), "{problem}");
    }
}

#[test]
fn sarif_has_a_place_for_each_problem() {
    let report = LintReport {
        path: "./a b/plugin.yaml".to_owned(),
        ok: false,
        problems: vec![Problem {
            severity: Severity::Error,
            code: "x",
            message: "m".to_owned(),
            file: "plugin.yaml".to_owned(),
            at: Some(Position { line: 2, column: 3 }),
            help: "h".to_owned(),
        }],
    };
    let sarif = report.to_sarif();
    assert_eq!(sarif["version"], "2.1.0");
    let run = &sarif["runs"][0];
    assert_eq!(run["tool"]["driver"]["rules"], serde_json::json!([{ "id": "x" }]));
    let result = &run["results"][0];
    assert_eq!((&result["ruleId"], &result["level"]), (&"x".into(), &"error".into()));
    assert_eq!(result["message"]["text"], "m; h");
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "a%20b/plugin.yaml");
    assert_eq!(place["region"], serde_json::json!({ "startLine": 2, "startColumn": 3 }));
}

#[cfg(unix)]
#[test]
fn a_program_that_can_never_start_is_told() {
    let elf = |machine: u8| {
        let mut head = vec![0; 64];
        head[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        (head[16], head[18]) = (2, machine);
        head
    };
    let mach_o = b"\xcf\xfa\xed\xfe\x0c\0\0\x01\0\0\0\0\x02\0\0\0".to_vec();
    let utf16 = b"\xff\xfe#\0!\0/\0".to_vec();
    type Row = (&'static str, Vec<u8>, &'static [(&'static str, u32)]);
    let table: [Row; 23] = [
        ("", b"#!/bin/sh\n".to_vec(), &[]),
        ("", b"#!/bin/sh\r\necho\r\n".to_vec(), &[("script-carriage-return", 10)]),
        ("", b"#!/bin/sh -e\r\n".to_vec(), &[("script-carriage-return", 13)]),
        ("", b"#!/bin/sh\recho\r".to_vec(), &[("script-carriage-return", 10)]),
        ("", b"#!/usr/bin/env python3\r\n".to_vec(), &[("script-carriage-return", 23)]),
        ("", b"#!/usr/bin/env python3 -u\n".to_vec(), &[("script-env-words", 16)]),
        ("", b"#!/usr/bin/env -S python3 -u\n".to_vec(), &[]),
        ("", b"#!\n".to_vec(), &[("script-no-interpreter", 3)]),
        ("", b"\xef\xbb\xbf#!/bin/sh\n".to_vec(), &[("script-byte-order-mark", 1)]),
        ("", utf16, &[("script-utf16", 1)]),
        ("", b"echo\n".to_vec(), &[("script-no-interpreter", 1)]),
        ("", b"".to_vec(), &[("program-empty", 1)]),
        ("", b"\0asm\x0d\0\x01\0".to_vec(), &[("program-format", 1)]),
        ("", b"PK\x03\x04".to_vec(), &[("program-format", 1)]),
        ("", elf(62), &[]),
        ("os: linux, arch: amd64", elf(62), &[]),
        ("os: linux, arch: arm64", elf(62), &[("program-platform", 1)]),
        ("os: freebsd", elf(62), &[]),
        ("os: darwin", elf(62), &[("program-platform", 1)]),
        ("os: darwin, arch: arm64", mach_o.clone(), &[]),
        ("os: linux", mach_o, &[("program-platform", 1)]),
        ("os: Windows", elf(62), &[("program-platform", 1)]),
        ("os: windows", b"@echo off\r\n".to_vec(), &[]),
    ];
    for (entry, bytes, expected) in table {
        let comma = if entry.is_empty() { "" } else { ", " };
        let dir = plugin(&format!(
            "name: p\nversion: 1.2.3\nplatformCommand:\n- {{command: $HELM_PLUGIN_DIR/run.sh{comma}{entry}}}\n"
        ));
        fs::write(dir.path().join("run.sh"), bytes).unwrap();
        let report = report(&dir);
        let found: Vec<_> = report.problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
        let seen: Vec<_> = found.iter().map(|problem| (problem.code, problem.at.unwrap().column)).collect();
        assert_eq!(seen, expected, "{entry} {:?}", report.problems);
        assert!(found.iter().all(|problem| problem.file == "run.sh" && !problem.help.is_empty()), "{found:?}");
        assert_eq!(lint_programs(dir.path(), &Limits::default()).len(), expected.len());
    }
}
