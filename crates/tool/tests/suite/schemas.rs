//! The schemas in `schema/` and the readers of the same files, held together: each document is judged by both.

use std::fs;
use std::path::Path;

use plugsmith::manager::{LockFile, Outdated, UpdateBlocker};
use plugsmith::manifest::{self, completion, lint};
use plugsmith::policy::PolicyFile;
use plugsmith::settings::{Limits, Settings};
use plugsmith::trust::TrustFile;
use plugsmith::yaml;
use plugsmith_protocol::{
    CliInput, CliOutput, GetterInput, GetterOutput, PostRendererInput, PostRendererOutput, TestInput, TestOutput,
};
use regex::Regex;
use serde_json::{Value, json};

/// Just the keywords that our schemas use; any other is a failure, so that none is trusted unread.
pub(crate) struct Schema(Value);

impl Schema {
    pub(crate) fn read(name: &str) -> Self {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(format!("schema/{name}.schema.json"));
        Self(serde_json::from_slice(&fs::read(path).unwrap()).unwrap())
    }

    pub(crate) fn accepts(&self, value: &Value) -> bool {
        self.holds(&self.0, value)
    }

    fn holds(&self, schema: &Value, value: &Value) -> bool {
        let keywords = schema.as_object().unwrap();
        keywords.iter().all(|(keyword, wanted)| match (keyword.as_str(), value) {
            ("$schema" | "$id" | "$defs" | "title" | "description" | "default" | "then", _) => true,
            ("$ref", _) => self.holds(self.0.pointer(wanted.as_str().unwrap().strip_prefix('#').unwrap()).unwrap(), value),
            ("type", _) => list(wanted).iter().any(|kind| is(kind.as_str().unwrap(), value)),
            ("enum", _) => list(wanted).contains(&value),
            ("const", _) => value == wanted,
            ("not", _) => !self.holds(wanted, value),
            ("allOf", _) => list(wanted).iter().all(|schema| self.holds(schema, value)),
            ("anyOf", _) => list(wanted).iter().any(|schema| self.holds(schema, value)),
            ("if", _) => !self.holds(wanted, value) || self.holds(&keywords["then"], value),
            ("pattern", Value::String(text)) => Regex::new(wanted.as_str().unwrap()).unwrap().is_match(text),
            ("minLength", Value::String(text)) => text.chars().count() as u64 >= wanted.as_u64().unwrap(),
            ("minimum", Value::Number(number)) => number.as_f64() >= wanted.as_f64(),
            ("maximum", Value::Number(number)) => number.as_f64() <= wanted.as_f64(),
            ("items", Value::Array(items)) => items.iter().all(|item| self.holds(wanted, item)),
            ("contains", Value::Array(items)) => items.iter().any(|item| self.holds(wanted, item)),
            ("required", Value::Object(map)) => list(wanted).iter().all(|key| map.contains_key(key.as_str().unwrap())),
            ("minProperties", Value::Object(map)) => map.len() as u64 >= wanted.as_u64().unwrap(),
            ("properties", Value::Object(map)) => {
                wanted.as_object().unwrap().iter().all(|(key, schema)| map.get(key).is_none_or(|v| self.holds(schema, v)))
            }
            ("additionalProperties", Value::Object(map)) => {
                let known = keywords.get("properties").and_then(Value::as_object);
                map.iter().filter(|(key, _)| known.is_none_or(|known| !known.contains_key(*key))).all(
                    |(_, v)| match wanted {
                        Value::Bool(allowed) => *allowed,
                        schema => self.holds(schema, v),
                    },
                )
            }
            (
                "pattern"
                | "minLength"
                | "minimum"
                | "maximum"
                | "items"
                | "contains"
                | "required"
                | "minProperties"
                | "properties"
                | "additionalProperties",
                _,
            ) => true,
            (other, _) => panic!("unknown keyword {other}"),
        })
    }
}

fn list(value: &Value) -> Vec<&Value> {
    value.as_array().map_or_else(|| vec![value], |items| items.iter().collect())
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("unknown type {other}"),
    }
}

/// Judges each document by the schema and by the reader: both must say what the table says.
fn judge(schema: &str, reader: impl Fn(&[u8]) -> Result<(), String>, good: &[&str], bad: &[&str]) {
    let schema = Schema::read(schema);
    for (documents, expected) in [(good, true), (bad, false)] {
        for document in documents {
            let node = yaml::parse(document.as_bytes()).unwrap_or_else(|e| panic!("{document}: {e}"));
            let value: Value = yaml::from_node(&node).unwrap();
            assert_eq!(schema.accepts(&value), expected, "the schema on:\n{document}");
            let read = reader(document.as_bytes());
            assert_eq!(read.is_ok(), expected, "the reader on:\n{document}\n{read:?}");
        }
    }
}

fn read_manifest(bytes: &[u8]) -> Result<(), String> {
    manifest::parse(bytes, Path::new("plugin.yaml")).map(drop).map_err(|e| e.to_string())
}

#[test]
fn m_legacy_manifests() {
    judge(
        "plugin-legacy",
        read_manifest,
        &[
            "name: p",
            "apiVersion:\nname: p\nversion: 1.2.3-rc.1+b.01\nusage: 42\ndescription: d\ncommand: x\nignoreFlags: yes\nuseTunnel: 1",
            "name: 12\nversion: ''\nplatformCommand:\n-\n- {os: linux, arch: amd64, command: x, args: [1, true, ~], foo: 1}",
            "name: true\ncommand: ''\nplatformCommand: [{command: x}]",
            "name: p\ncommand: x\nplatformCommand: []\nhooks: {install: a, update: }\nplatformHooks: {}",
            "name: p\nplatformHooks: {install: [{command: x}]}\nhooks: {}",
            "name: p\ndownloaders:\n- {command: c, protocols: [1, a]}\n-",
            "name: p\nplatformCommand: ~\nhooks: ~\ndownloaders: ~\nignoreFlags: ~",
        ],
        &[
            "version: 1.2.3",
            "[]",
            "name:",
            "name: a.b",
            "name: -x",
            "name: -5",
            "name: 1.5",
            "name: CON",
            "name: lpt7",
            "name: ''",
            "name: [p]",
            "apiVersion: v2\nname: p",
            "apiVersion: 1\nname: p",
            "name: p\nversion: v1.2.3",
            "name: p\nversion: 1.2",
            "name: p\nversion: 1.2.3-",
            "name: p\nversion: 1.2.3-01",
            "name: p\nversion: 01.2.3",
            "name: p\nversion: 1",
            "name: p\nusage: [a]",
            "name: p\nignoreFlags: maybe",
            "name: p\nignoreFlags: 'true '",
            "name: p\ncommand: x\nplatformCommand: [{command: y}]",
            "name: p\nhooks: {install: a}\nplatformHooks: {install: [{command: x}]}",
            "name: p\nhooks: {install: [a]}",
            "name: p\nplatformCommand: x",
            "name: p\nplatformCommand: [x]",
            "name: p\nplatformCommand: [{args: a}]",
            "name: p\ndownloaders: [{protocols: [a]}]",
            "name: p\ndownloaders: [{command: '', protocols: [a]}]",
            "name: p\ndownloaders: [{command: c}]",
            "name: p\ndownloaders: [{command: c, protocols: []}]",
            "name: p\ndownloaders: [{command: c, protocols: ['']}]",
            "name: p\ndownloaders: [{command: c, protocols: a}]",
        ],
    );
}

#[test]
fn m5_manifests_of_the_v1_form() {
    let v1 = |rest: &str| format!("apiVersion: v1\nname: p\nversion: 1.2.3\n{rest}\n");
    let good = [
        "type: cli/v1\nruntime: subprocess",
        "type: cli/v1\nruntime: subprocess\nsourceURL: https://x\nconfig: {usage: 1.50, shortHelp: a, longHelp: ~, ignoreFlags: On}",
        "type: cli/v1\nruntime: subprocess\nconfig: {}\nruntimeConfig: {command: x, platformCommand: [{command: x}]}",
        "type: getter/v1\nruntime: subprocess\nconfig: {protocols: [a]}\nruntimeConfig: {protocolCommands: [{protocols: [a], \
         platformCommand: [{command: x}]}]}",
        "type: postrenderer/v1\nruntime: subprocess\nconfig: ~\nruntimeConfig: {platformHooks: {install: [{command: x}]}}",
        "type: test/v1\nruntime: extism/v1\nruntimeConfig: {memory: {maxPages: 16, maxVarBytes: -1}, config: {a: 1}, timeout: 5, foo: 1}",
        "type: test/v1\nruntime: extism/v1\nruntimeConfig: {fileSystem: {createTempDir: yes}, allowedHosts: ['*', ~, 'a.example:8443', '[::1]:80'], hostFunctions: [f], \
         entryFuncName: g}",
    ];
    let bad = [
        "type: cli/v1",
        "runtime: subprocess",
        "type: cli/v2\nruntime: subprocess",
        "type: cli/v1\nruntime: wasm",
        "type: cli/v1\nruntime: subprocess\nusage: x",
        "type: cli/v1\nruntime: subprocess\nconfig: {foo: 1}",
        "type: cli/v1\nruntime: subprocess\nconfig: [a]",
        "type: getter/v1\nruntime: subprocess",
        "type: getter/v1\nruntime: subprocess\nconfig: {protocols: []}",
        "type: getter/v1\nruntime: subprocess\nconfig: {protocols: ['']}",
        "type: getter/v1\nruntime: subprocess\nconfig: {protocols: [a], usage: u}",
        "type: postrenderer/v1\nruntime: subprocess\nconfig: {usage: u}",
        "type: test/v1\nruntime: subprocess\nruntimeConfig: [a]",
        "type: cli/v1\nruntime: subprocess\nruntimeConfig: {platformCommand: [{args: abc}]}",
        "type: cli/v1\nruntime: subprocess\nruntimeConfig: {platformHooks: [x]}",
        "type: test/v1\nruntime: extism/v1\nruntimeConfig: {memory: {maxPages: -1}}",
        "type: test/v1\nruntime: extism/v1\nruntimeConfig: {memory: {maxPages: 4294967296}}",
        "type: test/v1\nruntime: extism/v1\nruntimeConfig: {timeout: soon}",
        "type: test/v1\nruntime: extism/v1\nruntimeConfig: {fileSystem: {createTempDir: 1}}",
        "type: test/v1\nruntime: extism/v1\nruntimeConfig: {allowedHosts: ['https://example.com']}",
        "type: test/v1\nruntime: extism/v1\nruntimeConfig: {allowedHosts: ['a b']}",
        "type: test/v1\nruntime: extism/v1\nruntimeConfig: {allowedHosts: ['u@h', 'h']}",
    ];
    let (good, mut bad) = (good.map(v1), bad.map(v1).to_vec());
    bad.push("apiVersion: v1\nname: p\ntype: cli/v1\nruntime: subprocess".to_owned());
    bad.push("apiVersion: v1\nversion: 1.2.3\ntype: cli/v1\nruntime: subprocess".to_owned());
    let texts = |documents: &[String]| documents.iter().map(|d| d.clone().leak() as &str).collect::<Vec<_>>();
    judge("plugin-v1", read_manifest, &texts(&good), &texts(&bad));
}

#[test]
fn completions() {
    judge(
        "completion",
        |bytes| completion::parse(bytes, Path::new("completion.yaml")).map(drop).map_err(|e| e.to_string()),
        &[
            "",
            "{}",
            "name: p\nflags: [a, 1]\nvalidArgs: [x]\nfoo: 1\ncommands: [{name: a, commands: [{name: b}]}, ~]",
            "flags: ~",
        ],
        &["[]", "a", "flags: a", "flags: [[a]]", "commands: {a: b}", "commands: [a]", "commands: [{flags: x}]", "name: [a]"],
    );
}

#[test]
fn settings() {
    judge(
        "config",
        |bytes| Settings::parse(bytes).map(drop).map_err(|e| e.to_string()),
        &[
            "",
            "gate: off\nverify: no\nlimits: {entries: 5, fileBytes: 1GiB, totalBytes: 10}",
            "http: {timeout: 1h30m, connectTimeout: 500ms, idleTimeout: 2s, retries: 0, maxBytes: '4GiB', parallel: 2}",
            "hooks: {timeout: 10m, sandbox: auto, environment: clean}\nregistries: {'a:5000': {tokenHosts: [b], plainHttp: yes, caFile: c}}",
            "audit: {file: a, runs: true, maxBytes: 1}\noutput: {color: never, progress: auto}\ngate:\nlimits:\nhttp: {timeout: }",
        ],
        &[
            "[]",
            "foo: 1",
            "gate: maybe",
            "verify: maybe",
            "limits: {foo: 1}",
            "limits: {entries: -1}",
            "limits: {entries: many}",
            "limits: {fileBytes: 1XB}",
            "limits: {fileBytes: -1}",
            "http: {timeout: 10}",
            "http: {timeout: 0s}",
            "http: {timeout: [1s]}",
            "http: {retries: 1.5}",
            "hooks: {sandbox: on}",
            "registries: {a: {token: b}}",
            "audit: {file: [a]}",
            "output: {color: blue}",
        ],
    );
}

/// The documents of one message, judged by its schema and by its type.
fn judge_message<T: serde::de::DeserializeOwned>(name: &str, check: impl Fn(T) -> bool, good: &[Value], bad: &[Value]) {
    let schema = Schema::read(&format!("message-{name}"));
    for (documents, expected) in [(good, true), (bad, false)] {
        for document in documents {
            assert_eq!(schema.accepts(document), expected, "the schema {name} on {document}");
            let read = serde_json::from_value(document.clone()).is_ok_and(&check);
            assert_eq!(read, expected, "the reader of {name} on {document}");
        }
    }
}

#[test]
fn w10_messages() {
    judge_message::<CliInput>(
        "cli-input",
        |_| true,
        &[json!({}), json!({"extraArgs": null}), json!({"extraArgs": ["a"], "x": 1}), json!(CliInput::default())],
        &[json!(7), json!({"extraArgs": "a"}), json!({"extraArgs": [1]})],
    );
    judge_message::<CliOutput>(
        "cli-output",
        |_| true,
        &[json!({}), json!({"data": null}), json!({"data": {"a": 1}}), json!(CliOutput::default())],
        &[json!(7), json!("data")],
    );
    judge_message::<GetterInput>(
        "getter-input",
        |_| true,
        &[
            json!({}),
            json!(GetterInput::default()),
            json!({"options": {"Timeout": 1, "Other": 1}}),
            json!({"options": null}),
        ],
        &[json!({"href": 1}), json!({"options": {"Timeout": "1s"}}), json!({"options": {"UNTar": "no"}})],
    );
    judge_message::<GetterOutput>(
        "getter-output",
        |output| matches!(output.write_to(&mut Vec::new()), Ok(Ok(_))),
        &[json!({"data": ""}), json!({"data": "YQ==", "x": 1})],
        &[json!({}), json!({"data": null}), json!({"data": [1]})],
    );
    judge_message::<PostRendererInput>(
        "postrenderer-input",
        |_| true,
        &[json!({}), json!(PostRendererInput::default()), json!({"manifests": "a", "extraArgs": null})],
        &[json!({"manifests": {}}), json!({"extraArgs": {}})],
    );
    judge_message::<PostRendererOutput>(
        "postrenderer-output",
        |output| output.into_manifests().is_ok(),
        &[json!({"manifests": ""})],
        &[json!({}), json!({"manifests": null}), json!({"manifests": {}})],
    );
    judge_message::<TestInput>("test-input", |_| true, &[json!({}), json!(TestInput::default())], &[json!({"Name": 1})]);
    judge_message::<TestOutput>(
        "test-output",
        |output| output.into_greeting().is_ok(),
        &[json!({"Greeting": "hi"})],
        &[json!({}), json!({"Greeting": null})],
    );
    // What is written has every key that the schema names: Go's side may rely on it.
    for (name, message) in [("cli-input", json!(CliInput::default())), ("getter-input", json!(GetterInput::default()))] {
        let schema = Schema::read(&format!("message-{name}")).0;
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&message), keys(&schema["properties"]));
        if let Some(options) = message.get("options") {
            assert_eq!(keys(options), keys(&schema["properties"]["options"]["properties"]));
        }
    }
}

#[test]
fn policies() {
    let path = Path::new("policy.yaml");
    judge(
        "policy",
        |bytes| PolicyFile::parse(bytes, path).map(drop).map_err(|e| e.to_string()),
        &[
            "",
            "apiVersion: v1",
            "sources: {allow: ['https://plugins.example.com/**', 'oci://ghcr.example.com/team/**'], deny: ['git+**']}",
            "sources: {allow: []}\nverification: signature",
            "verification: digest\nsigners: [{source: 'https://h/**', fingerprints: ['ABCD...']}]",
            "signers: [{source: 's3://b/**', name: 'a*', fingerprints: [EF01, 'SHA256:abc']}]\nverification: none",
            "plugins: {deny: [kubeval, 's3-*']}\nhooks: forbid\nminimumHostVersion: '1.2.0'\naudit: required",
            "hooks: sandbox\nminimumHostVersion: 1.2.0-rc.1+b",
            "hooks: allow",
        ],
        &[
            "[]",
            "apiVersion: v2",
            "foo: 1",
            "sources: [a]",
            "sources: {allow: 'https://h/**'}",
            "sources: {allow: ~}",
            "sources: ~",
            "sources: {deny: ['']}",
            "sources: {forbid: []}",
            "verification: maybe",
            "signers: {name: a}",
            "signers: [{name: a}]",
            "signers: [{fingerprints: [A]}]",
            "signers: [{name: a, fingerprints: []}]",
            "signers: [{name: a, fingerprints: [A], foo: 1}]",
            "plugins: {deny: [a/b]}",
            "plugins: {allow: [a]}",
            "hooks: never",
            "minimumHostVersion: 1.2",
            "audit: optional",
            "audit: true",
        ],
    );
}

#[test]
fn trust_files() {
    let digest = "0".repeat(64);
    let file = format!("{{path: a, sha256: '{digest}', installed: {{sha256: '{digest}', size: 1, mode: 493, link: true}}}}");
    let accepted = format!("accepted: [{{name: p, since: '2026-01-02T03:04:05Z', files: [{file}, {{path: b}}]}}]");
    judge(
        "trust",
        |bytes| TrustFile::parse(bytes).map(drop).map_err(|e| e.to_string()),
        &[
            "",
            "apiVersion: v1\nsigners: []",
            "signers: [{fingerprint: A, names: [a, 'b-*'], sources: ['https://h/**']}, {fingerprint: B, sources: ['oci://h/**']}]",
            "pins: [{name: p, source: s, fingerprint: A, userId: U, since: '2026-01-02T03:04:05Z'}]",
            &accepted,
        ],
        &[
            "[]",
            "apiVersion: v2",
            "foo: 1",
            "signers: [{fingerprint: A}]",
            "signers: [{names: [a]}]",
            "signers: [{fingerprint: A, names: []}]",
            "signers: [{fingerprint: A, names: [a/b]}]",
            "signers: [{fingerprint: A, sources: ['']}]",
            "signers: [{fingerprint: A, names: ~}]",
            "pins: [{name: p, source: s, fingerprint: A}]",
            "pins: [{name: p, source: s, fingerprint: A, since: yesterday}]",
            "pins: {}",
            "accepted: [{name: p, since: '2026-01-02T03:04:05Z'}]",
            "accepted: [{name: p, since: '2026-01-02T03:04:05Z', files: [{path: a, sha256: x}]}]",
        ],
    );
}

#[test]
fn findings_and_explanations_of_the_doctor() {
    let world = crate::support::World::new();
    world.plugin("linked", "1.0.0");
    world.ok("plugin install linked");
    fs::create_dir(world.plugins().join("broken")).unwrap();
    fs::write(world.plugins().join("broken/plugin.yaml"), "name: [").unwrap();
    let config = world.root().join("home/.config/tool");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("policy.yaml"), "plugins: {deny: [linked]}\nverification: digest\n").unwrap();
    let mut found = world.fails(1, "plugin doctor -o json").json();
    assert!(Schema::read("doctor").accepts(&found), "{found:#}");
    found["findings"][0].as_object_mut().unwrap().remove("fixed");
    assert!(!Schema::read("doctor").accepts(&found));
    for words in ["plugin doctor --policy -o json", "plugin doctor --policy linked -o json"] {
        let explained = world.fails(1, words).json();
        assert!(Schema::read("doctor-policy").accepts(&explained), "{explained:#}");
    }
    let explained = world.ok("plugin doctor --policy https://h.example/x.tgz -o json").json();
    assert!(Schema::read("doctor-policy").accepts(&explained), "{explained:#}");
    assert!(!Schema::read("doctor-policy").accepts(&serde_json::json!([{"name": "p"}])));
}

#[test]
fn lint_reports() {
    let dir = tempfile::tempdir().unwrap();
    let schema = Schema::read("lint");
    for manifest in [None, Some("name: p\nversion: 1.2.3\ncommand: sh\n"), Some("name: a.b\nfoo: 1\n"), Some("a: [")] {
        if let Some(manifest) = manifest {
            fs::write(dir.path().join("plugin.yaml"), manifest).unwrap();
        }
        let report = serde_json::to_value(lint::lint(dir.path(), &Limits::default())).unwrap();
        assert!(schema.accepts(&report), "{report:#}");
    }
    assert!(!schema.accepts(&serde_json::json!({"path": "p", "ok": true})));
}

#[test]
fn lock_files() {
    let dir = tempfile::tempdir().unwrap();
    let digest = "0".repeat(64);
    let entry = |more: &str| format!("version = 1\n[[plugin]]\nname = \"p\"\nsource = \"s\"\n{more}");
    let good = [
        "version = 1\n".to_owned(),
        entry(""),
        entry("version = \"1.0.0\"\nconstraint = \"~1\"\n"),
        entry(&format!("manifest = \"sha256:{digest}\"\nsigner = {{fingerprint = \"F\", userId = \"U\"}}\n")),
        entry(&format!("commit = \"{}\"\narchives = {{any = \"sha256:{digest}\"}}\n", "a".repeat(40))),
    ];
    let bad = [
        "".to_owned(),
        "version = \"1\"\n".to_owned(),
        "version = 3\n".to_owned(),
        "version = 1\nother = 1\n".to_owned(),
        "version = 1\n[[plugin]]\nname = \"p\"\n".to_owned(),
        "version = 1\n[[plugin]]\nname = \"../p\"\nsource = \"s\"\n".to_owned(),
        entry("other = 1\n"),
        entry("commit = \"main\"\n"),
        entry("manifest = \"sha256:1\"\n"),
        entry("signer = \"F\"\n"),
        entry("archives = {any = 1}\n"),
    ];
    let schema = Schema::read("lock");
    for (documents, expected) in [(&good[..], true), (&bad[..], false)] {
        for document in documents {
            let value: Value = toml::from_str(document).unwrap();
            assert_eq!(schema.accepts(&value), expected, "the schema on:\n{document}");
            let path = dir.path().join("plugins.lock");
            fs::write(&path, document).unwrap();
            let read = LockFile::read(&path, "tool");
            assert_eq!(read.is_ok(), expected, "the reader on:\n{document}\n{read:?}");
        }
    }
}

#[test]
fn outdated_lists() {
    let row = Outdated {
        name: "p".to_owned(),
        wanted: Some("1.0.0".to_owned()),
        blocker: Some(UpdateBlocker::ExactUrl),
        source: Some("s".to_owned()),
        ..Outdated::default()
    };
    let schema = Schema::read("outdated");
    assert!(schema.accepts(&serde_json::json!([row])));
    assert!(schema.accepts(&serde_json::json!([])));
    assert!(!schema.accepts(&serde_json::json!([{"name": "p"}])));
}

#[test]
fn lists_and_details_of_plugins() {
    let world = crate::support::World::new();
    world.ok(&format!("plugin install {} --copy", crate::support::repository("testdata/plugins/greet").display()));
    world.plugin("linked", "1.0.0");
    world.ok("plugin install linked");
    let broken = world.plugins().join("broken");
    fs::create_dir(&broken).unwrap();
    fs::write(broken.join("plugin.yaml"), "name: [").unwrap();

    let mut list = world.ok("plugin list -o json").json();
    assert_eq!(list.as_array().unwrap().len(), 3);
    assert!(Schema::read("list").accepts(&list), "{list:#}");
    for name in ["greet", "linked", "broken"] {
        let info = world.ok(&format!("plugin info {name} -o json")).json();
        assert!(Schema::read("info").accepts(&info), "{info:#}");
    }
    list[0].as_object_mut().unwrap().remove("status");
    assert!(!Schema::read("list").accepts(&list));
}

#[test]
fn audit_records() {
    let world = crate::support::World::new();
    world.plugin("p", "1.0.0");
    world.ok("plugin install p --copy");
    world.fails(1, "plugin rollback p");
    world.ok(&format!("plugin keyring add {}", crate::support::repository("testdata/keys/tour.asc").display()));
    let schema = Schema::read("audit");
    let text = fs::read_to_string(world.root().join("home/.local/share/tool/audit.jsonl")).unwrap();
    assert_eq!(text.lines().count(), 3);
    for line in text.lines() {
        let mut record: Value = serde_json::from_str(line).unwrap();
        assert!(schema.accepts(&record), "{line}");
        record.as_object_mut().unwrap().remove("error");
        assert!(!schema.accepts(&record));
    }
}

#[test]
fn every_schema_has_an_address_and_a_new_manifest_names_its_own() {
    let mut address_of_manifests = String::new();
    for entry in fs::read_dir(crate::support::repository("schema")).unwrap() {
        let path = entry.unwrap().path();
        let schema: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let (id, name) = (schema["$id"].as_str().unwrap(), path.file_name().unwrap().to_str().unwrap());
        assert!(id.starts_with("https://") && id.ends_with(&format!("/schema/{name}")), "{name}: {id}");
        if name == "plugin-v1.schema.json" {
            address_of_manifests = id.to_owned();
        }
    }
    let world = crate::support::World::new();
    for name in ["a", "b --type getter"] {
        world.ok(&format!("plugin create {name}"));
        let manifest = fs::read_to_string(world.path(&name[..1]).join("plugin.yaml")).unwrap();
        let first = manifest.lines().next().unwrap();
        assert_eq!(first, format!("# yaml-language-server: $schema={address_of_manifests}"));
        world.ok(&format!("plugin lint {} --strict", &name[..1]));
    }
}
