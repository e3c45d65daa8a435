use proptest::prelude::*;

use super::*;

fn parse_text(text: &str) -> Result<Metadata, ManifestError> {
    parse(text.as_bytes(), Path::new("p/plugin.yaml"))
}

fn good(text: &str) -> Metadata {
    parse_text(text).unwrap_or_else(|e| panic!("{text}\n{e}"))
}

/// The messages of all problems, without their help.
fn problems(text: &str) -> Vec<String> {
    match parse_text(text) {
        Err(ManifestError::Invalid { problems, .. }) => problems.into_iter().map(|problem| problem.message).collect(),
        other => panic!("{text}\n{other:?}"),
    }
}

fn v1(rest: &str) -> String {
    format!("apiVersion: v1\nname: p\nversion: 1.2.3\n{rest}")
}

#[test]
fn reads_the_legacy_form() {
    let plugin =
        good("name: p\nversion: 1.2.3\nusage: \"a\\tb\\u200b\"\ndescription: |\n  d\n  e\ncommand: $X y\nignoreFlags: y\n");
    assert_eq!(plugin.name.as_str(), "p");
    assert_eq!(plugin.version_text(), "1.2.3");
    assert_eq!((plugin.plugin_type(), plugin.runtime_name()), ("cli/v1", "subprocess"));
    let expected =
        CliConfig { usage: String::new(), short_help: "a b".into(), long_help: "d\ne\n".into(), ignore_flags: true };
    assert_eq!(plugin.cli(), Some(&expected));
    let expected = PlatformCommand { command: "$X y".into(), ..PlatformCommand::default() };
    assert_eq!(plugin.subprocess().unwrap().platform_commands, [expected]);
}

#[test]
fn reads_the_v1_form() {
    let plugin = good(&v1("type: getter/v1
runtime: subprocess
sourceURL: https://example.com
config: {protocols: [a, b]}
runtimeConfig:
  platformCommand:
  - {os: linux, arch: amd64, command: x, args: [1, 2.50, 0x10]}
  platformHooks: {install: [{command: $X}]}
  protocolCommands: [{protocols: [a], platformCommand: [{command: y}]}]
"));
    assert_eq!(plugin.api_version, ApiVersion::V1);
    assert_eq!(plugin.source_url.as_deref(), Some("https://example.com"));
    assert_eq!(plugin.protocols(), ["a", "b"]);
    assert_eq!(plugin.cli(), None);
    let subprocess = plugin.subprocess().unwrap();
    assert_eq!(subprocess.platform_commands[0].args, ["1", "2.50", "0x10"]);
    assert_eq!(subprocess.hooks["install"][0].command, "$X");
    assert!(!subprocess.expand_hooks);
    assert_eq!(subprocess.protocol_commands[0].protocols, ["a"]);
}

#[test]
fn reads_extism_settings() {
    let text = v1("type: test/v1\nruntime: extism/v1\nruntimeConfig:
  memory: {maxPages: 16, maxHttpResponseBytes: 1_000, maxVarBytes: ~}
  config: {a: 1}
  allowedHosts: ['*']
  fileSystem: {createTempDir: true}
  timeout: 5000
  hostFunctions: [f]
  entryFuncName: g
");
    let expected = Extism {
        max_pages: Some(16),
        max_http_response_bytes: Some(1000),
        max_var_bytes: None,
        config: [("a".to_owned(), "1".to_owned())].into(),
        allowed_hosts: vec!["*".into()],
        create_temp_dir: true,
        timeout: Some(5000),
        host_functions: vec!["f".into()],
        entry_func_name: Some("g".into()),
    };
    assert_eq!(good(&text).runtime, RuntimeConfig::Extism(expected));

    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(FILE_NAME), text).unwrap();
    let error = load(dir.path(), &Limits::default()).unwrap_err();
    assert!(error.to_string().starts_with("wasm binary missing for extism/v1 plugin"), "{error}");
    std::fs::write(dir.path().join(MODULE_NAME), "").unwrap();
    assert!(load(dir.path(), &Limits::default()).is_ok());
}

#[test]
fn m1_versions_are_strict() {
    for version in ["1.2.3", "0.0.0", "1.2.3-rc.1+build.01", "1.2.3-x-y.0a"] {
        assert_eq!(good(&format!("name: p\nversion: {version}")).version_text(), version);
    }
    for version in [
        "../../../../tmp/evil",
        "1.0.0/../../etc",
        "1.0.0\\..\\x",
        "\"1.0.0\\0\"",
        "\"1.0.0\\n\"",
        "v1.0.0",
        "1.0",
        "1",
        "1.2.3.4",
        "1.2.3-",
        "1.2.3+",
        "1.2.3-01",
        "01.2.3",
        "1.2.3-a..b",
        "' 1.2.3'",
        "1.2.3-é",
        "99999999999999999999.0.0",
        "'*'",
    ] {
        let found = problems(&format!("name: p\nversion: {version}"));
        assert_eq!(found.len(), 1, "{version}");
        assert!(
            found[0].starts_with("invalid plugin version \"") && found[0].ends_with("\": must be valid semver"),
            "{found:?}"
        );
    }
}

#[test]
fn m2_names_are_checked() {
    for name in ["..", ".", "a/b", "a\\b", "C:x", "''", "\"a\\n\"", "CON", "nul", "-rf", "--help"] {
        let found = problems(&format!("name: {name}\nversion: 1.2.3"));
        assert!(found[0].starts_with("invalid plugin name \""), "{name}: {found:?}");
    }
    assert_eq!(good("name: 12").name.as_str(), "12");
    assert_eq!(good("name: true").name.as_str(), "true");
    assert_eq!(problems("version: 1.2.3"), ["invalid plugin name \"\": the manifest has no `name`"]);
}

#[test]
fn m3_duplicate_keys_in_both_forms() {
    for text in [
        "name: p\nhooks: {}\nhooks: {}\n".to_owned(),
        "name: p\nfoo:\n- {a: 1, a: 2}\n".to_owned(),
        v1("type: cli/v1\nruntime: subprocess\nruntimeConfig:\n  platformHooks: {}\n  platformHooks: {}\n"),
    ] {
        let error = parse_text(&text).unwrap_err();
        assert!(matches!(error, ManifestError::Yaml { error: YamlError::DuplicateKey { .. }, .. }), "{error}");
        assert!(error.to_string().starts_with("p/plugin.yaml:"), "{error}");
    }
}

#[test]
fn m4_documents_that_are_none() {
    for (text, expected) in [
        ("", "the manifest is empty"),
        ("---\n", "the manifest is empty"),
        ("null", "the manifest is empty"),
        ("- a", "the manifest is a list, not a mapping"),
        ("hello", "the manifest is a text, not a mapping"),
    ] {
        assert_eq!(problems(text), [expected], "{text:?}");
    }
    assert_eq!(good("name: p\n---\n[").name.as_str(), "p");
    let error = parse_text("name: p\nusage: [a\n").unwrap_err().to_string();
    assert!(error.starts_with("p/plugin.yaml:"), "{error}");
    let long = format!("name: p\nusage: {}", "x".repeat(1 << 20));
    assert_eq!(good(&long).cli().unwrap().short_help.len(), 1 << 20);
}

#[test]
fn m4_files_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits::default();
    assert!(matches!(load(dir.path(), &limits), Err(ManifestError::Missing { .. })));
    std::fs::write(dir.path().join(FILE_NAME), "x".repeat(256 * 1024 + 1)).unwrap();
    assert!(matches!(load(dir.path(), &limits), Err(ManifestError::TooLarge { limit: 262_144, .. })));
    std::fs::remove_file(dir.path().join(FILE_NAME)).unwrap();
    std::fs::create_dir(dir.path().join(FILE_NAME)).unwrap();
    assert!(matches!(load(dir.path(), &limits), Err(ManifestError::Read { .. })));
}

#[test]
fn m5_keys_of_the_v1_form_are_strict_but_for_those_of_the_runtime() {
    let base = "type: cli/v1\nruntime: subprocess\n";
    assert_eq!(problems(&v1(&format!("{base}usage: u\ndescription: d\n"))).len(), 2);
    assert_eq!(
        problems(&v1(&format!("{base}config: {{zoo: 1, 1: 2}}\n"))),
        ["unknown key `zoo` in `config` of a cli/v1 plugin", "unknown key `1` in `config` of a cli/v1 plugin"]
    );
    good(&v1(&format!("{base}runtimeConfig: {{command: x, hooks: {{install: a}}}}\n")));
    for plugin_type in ["postrenderer/v1", "test/v1"] {
        assert_eq!(problems(&v1(&format!("type: {plugin_type}\nruntime: subprocess\nconfig: {{a: 1}}\n"))).len(), 1);
    }
}

#[test]
fn m6_legacy_contradictions() {
    good("name: p\nuseTunnel: true\nfoo: {bar: [1]}\ncommand: x\n");
    assert_eq!(
        problems("name: p\ncommand: x\nplatformCommand: [{command: y}]\n"),
        ["both platformCommand and command are set"]
    );
    assert_eq!(
        problems("name: p\nhooks: {install: x}\nplatformHooks: {install: [{command: y}]}\n"),
        ["both platformHooks and hooks are set"]
    );
    assert_eq!(
        problems("name: p\ndownloaders:\n- {protocols: [a]}\n- {command: c}\n- {command: c, protocols: [a, '']}\n"),
        ["downloader 0 has empty command", "downloader 1 has no protocols", "downloader 2 has empty protocol at index 1"]
    );
}

#[test]
fn m7_what_v1_needs() {
    assert_eq!(
        problems("apiVersion: v1\nfoo: 1\n"),
        [
            "invalid plugin name \"\": the manifest has no `name`",
            "plugin `version` is required",
            "plugin `type` is missing",
            "plugin `runtime` is missing",
            "unknown key `foo` in the manifest"
        ]
    );
    assert_eq!(
        problems("apiVersion: v1\nname: p\nversion: v1.0.7\ntype: cli\nruntime: wasm\n"),
        [
            "invalid plugin version \"v1.0.7\": must be valid semver",
            "unsupported plugin type \"cli\"",
            "unsupported plugin runtime \"wasm\""
        ]
    );
    assert_eq!(problems(&v1("type: getter/v1\nruntime: subprocess\n")), ["getter has no protocols"]);
    assert_eq!(
        problems(&v1("type: getter/v1\nruntime: subprocess\nconfig: {protocols: ['']}\n")),
        ["getter has empty protocol at index 0"]
    );
    for version in ["1", "legacy", "v2"] {
        assert_eq!(
            problems(&format!("apiVersion: {version}\nname: a.b")),
            [format!("invalid plugin apiVersion: \"{version}\"")]
        );
    }
    for absent in ["", "~", "null", "''"] {
        assert_eq!(good(&format!("apiVersion: {absent}\nname: p")).api_version, ApiVersion::Legacy);
    }
}

#[test]
fn m8_errors_are_safe_to_show() {
    for text in [
        "name: \"a\\e[31m\"",
        "name: p\nversion: \"\\e]0;x\\a\"",
        "apiVersion: \"\\u202e\"",
        "apiVersion: v1\n\"\\e\": 1\ntype: \"\\a\"\nruntime: \"\\b\"",
        "name: p\nignoreFlags: \"\\e\"",
        "name: p\n\"\\e\": 1\n\"\\e\": 2",
        "name: p\nfoo: *\u{202e}",
    ] {
        let error = parse_text(text).unwrap_err().to_string();
        assert!(!error.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{error:?}");
        assert!(error.len() < 2000, "{error:?}");
    }
    let plugin = good("name: p\nusage: \"\\e[31mred\\n\\u00adb\"");
    assert_eq!(plugin.cli().unwrap().short_help, "[31mred b");
}

#[test]
fn m9_a_legacy_getter_keeps_its_command() {
    let plugin = good(
        "name: p\nusage: u\ncommand: c\ndownloaders: [{command: d -v, protocols: [s3, gs]}, {command: e, protocols: [s3]}]\n",
    );
    assert_eq!(plugin.plugin_type(), "getter/v1");
    assert_eq!(plugin.protocols(), ["s3", "gs"]);
    assert_eq!(plugin.cli().unwrap().short_help, "u");
    let subprocess = plugin.subprocess().unwrap();
    assert_eq!(subprocess.platform_commands[0].command, "c");
    assert_eq!(subprocess.protocol_commands.len(), 2);
    let plugin = good("name: p\ndownloaders: [{command: d, protocols: [s3]}]\n");
    assert_eq!(plugin.cli(), None);
}

#[test]
fn s_hooks_of_the_old_kind_are_lines_for_the_shell() {
    let plugin = good("name: p\nhooks: {install: 'cd $X && y', update: }\n");
    let subprocess = plugin.subprocess().unwrap();
    assert!(!subprocess.expand_hooks);
    assert_eq!(
        (&*subprocess.hooks["install"][0].command, &subprocess.hooks["install"][0].args[..]),
        ("sh", &["-c".to_owned(), "cd $X && y".to_owned()][..])
    );
    assert_eq!(subprocess.hooks["update"][0].args, ["-c", ""]);
    assert!(good("name: p\nplatformHooks: {install: [{command: x}]}").subprocess().unwrap().expand_hooks);
}

#[test]
fn reports_all_violations_together_with_their_places() {
    let error = parse_text("name: a.b\nversion: x\ncommand: c\n").unwrap_err().to_string();
    assert_eq!(
        error,
        "p/plugin.yaml has 2 problems:
  p/plugin.yaml:1:7: invalid plugin name \"a.b\": must contain only a-z, A-Z, 0-9, _ and -; choose another name, such as `my-plugin`
  p/plugin.yaml:2:10: invalid plugin version \"x\": must be valid semver; write three numbers, such as 1.2.3, without a `v` \
(unexpected character 'x' while parsing major version number)"
    );
    let error = parse_text("name: p\nusage: [a]\n").unwrap_err().to_string();
    assert_eq!(error, "p/plugin.yaml:2:8: `usage` must be a text, not a list; write a text");
}

proptest! {
    #[test]
    fn no_manifest_panics(
        keys in prop::collection::vec(prop::sample::select(vec![
            "name", "version", "usage", "command", "platformCommand", "hooks", "platformHooks", "downloaders", "apiVersion", "type",
            "runtime", "config", "runtimeConfig", "ignoreFlags", "os", "args", "memory", "protocols",
        ]), 0..8),
        values in prop::collection::vec(prop::sample::select(vec![
            "p", "1.2.3", "~", "[]", "{}", "[a, ~]", "[[a]]", "{a: b}", "[{command: x}]", "{install: [{command: x}]}", "v1", "cli/v1",
            "subprocess", "extism/v1", "getter/v1", "{protocols: [a]}", "\"\\0\"", "-1", "99999999999999999999999999999999999999999",
        ]), 8),
    ) {
        let text: String = keys.iter().zip(&values).map(|(key, value)| format!("{key}: {value}\n")).collect();
        let _ = parse_text(&text);
        let _ = parse_text(&format!("apiVersion: v1\n{text}"));
    }
}
