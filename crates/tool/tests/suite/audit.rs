//! The audit log: what is written down, where, and what is not (`docs/using.md#the-audit-log`).

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use plugsmith::digest::Sha256Digest;
use serde_json::Value;

use crate::support::http_server::Server;
use crate::support::{World, repository};

const TOUR: &str = "E73208FE0133B7C8A809E83E27415E8C12120722";

fn log(world: &World) -> PathBuf {
    world.root().join("home/.local/share/tool/audit.jsonl")
}

fn records(world: &World) -> Vec<Value> {
    let text = fs::read_to_string(log(world)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// Event, plugin, version and outcome of each record.
fn events(world: &World) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let row = |r: &Value| [&r["event"], &r["plugin"], &r["version"], &r["outcome"]].map(text).join(" ");
    records(world).iter().map(row).collect()
}

fn config(world: &World, file: &str, text: &str) {
    let dir = world.root().join("home/.config/tool");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join(file), text).unwrap();
}

/// A signed package in the working directory.
fn package(world: &World, version: &str) -> (Vec<u8>, Vec<u8>) {
    world.plugin("p", version);
    world.ok(&format!("plugin package p --sign --keyring {}", repository("testdata/keys/tour.sec.asc").display()));
    let read = |suffix: &str| fs::read(world.path(&format!("p-{version}.tgz{suffix}"))).unwrap();
    (read(""), read(".prov"))
}

fn world() -> World {
    let mut world = World::new();
    world.set("TOOL_KEYRING", repository("testdata/keys/tour.asc").to_str().unwrap());
    world
}

#[test]
fn every_change_leaves_one_record() {
    let world = world();
    let (one, one_prov) = package(&world, "1.0.0");
    let (two, two_prov) = package(&world, "2.0.0");
    let files = [("/1/p.tgz", &one), ("/1/p.tgz.prov", &one_prov), ("/2/p.tgz", &two), ("/2/p.tgz.prov", &two_prov)];
    let server = Server::files(&files.map(|(path, bytes)| (path, bytes.as_slice())));
    let url = server.url("/1/p.tgz").replace("http://", "http://ann:secret@");
    world.ok(&format!("plugin install {url}?token=secret"));
    let record = &records(&world)[0];
    assert_eq!(record["event"], "install");
    assert_eq!((&record["plugin"], &record["version"]), (&"p".into(), &"1.0.0".into()));
    assert_eq!(record["source"], server.url("/1/p.tgz"));
    assert_eq!(record["verifiedBy"], "signature");
    assert!(record["signer"].as_str().unwrap().contains(TOUR), "{record}");
    assert_eq!(record["digest"], format!("sha256:{}", Sha256Digest::of(&one)));
    assert_eq!((&record["outcome"], &record["error"]), (&"ok".into(), &Value::Null));
    assert!(!record["user"].as_str().unwrap().is_empty());

    // The same once more changes nothing, and neither do questions and runs.
    world.ok(&format!("plugin install {url}?token=secret"));
    world.ok("plugin list");
    world.ok("plugin update p");
    world.ok("p x");
    world.fails(4, "plugin uninstall nobody");
    assert_eq!(events(&world), ["install p 1.0.0 ok"]);

    world.ok(&format!("plugin install {} --force", server.url("/2/p.tgz")));
    world.ok("plugin rollback p");
    fs::write(world.plugins().join("p/run.sh"), "#!/bin/sh\necho changed\n").unwrap();
    world.fails(3, "p");
    world.fails(3, "plugin verify p");
    world.ok("plugin trust p");
    world.ok("plugin trust p");
    world.ok("plugin uninstall p");
    assert_eq!(
        events(&world)[1..],
        [
            "install p 2.0.0 ok",
            "rollback p 1.0.0 ok",
            "gate-refused p - failed",
            "verify-failed p 1.0.0 failed",
            "trust p 1.0.0 ok",
            "uninstall p 1.0.0 ok"
        ]
    );
    assert!(records(&world)[3]["error"].as_str().unwrap().contains("`run.sh` has changed"));
    assert!(!fs::read_to_string(log(&world)).unwrap().contains("secret"));
    assert_eq!(fs::metadata(log(&world)).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_is_refused_is_written_down_too() {
    let world = world();
    let (one, _) = package(&world, "1.0.0");
    let server = Server::files(&[("/p.tgz", &one)]);
    let url = server.url("/p.tgz?token=secret");
    world.fails(3, &format!("plugin install {url}"));
    world.fails(3, &format!("plugin install {url} --digest sha256:{}", "0".repeat(64)));
    world.fails(3, &format!("plugin pull {url} --digest sha256:{}", "0".repeat(64)));
    fs::write(world.path("p-1.0.0.tgz"), "no package").unwrap();
    world.fails(3, "plugin verify p-1.0.0.tgz");
    world.plugin("q", "1.0.0");
    world.write("q/plugin.yaml", "name: q\nversion: 1.0.0\nhooks: {install: exit 7}\n");
    world.fails(1, "plugin install q --copy");
    assert_eq!(
        events(&world),
        [
            "verify-failed - - failed",
            "verify-failed - - failed",
            "verify-failed - - failed",
            "verify-failed - - failed",
            "install q 1.0.0 failed"
        ]
    );
    let records = records(&world);
    assert_eq!(records[1]["digest"], format!("sha256:{}", Sha256Digest::of(&one)));
    assert!(records[4]["error"].as_str().unwrap().contains("exit code 7"), "{}", records[4]);
    assert!(!fs::read_to_string(log(&world)).unwrap().contains("secret"));
}

#[test]
fn what_a_policy_refuses_is_called_so() {
    let world = World::new();
    world.plugin("p", "1.0.0");
    world.ok("plugin install p --copy");
    config(&world, "policy.yaml", "apiVersion: v1\nplugins: {deny: [p]}\n");
    assert_ne!(world.tool(["p"]).code, 0);
    assert_ne!(world.tool(["plugin", "install", "p", "--copy", "--force"]).code, 0);
    assert_eq!(events(&world)[1..], ["policy-refused p - failed", "policy-refused p 1.0.0 failed"]);
    assert!(records(&world)[1]["error"].as_str().unwrap().contains("policy.yaml:2"), "{}", records(&world)[1]);
}

#[test]
fn keys_that_come_and_go_are_written_down() {
    let world = World::new();
    let keys = repository("testdata/keys/two.pgp");
    world.ok(&format!("plugin keyring add {}", keys.display()));
    world.ok(&format!("plugin keyring add {}", keys.display()));
    let added = records(&world);
    assert!(added.len() > 1 && added.iter().all(|r| r["event"] == "keyring" && r["outcome"] == "ok"), "{added:?}");
    let signer = added[0]["signer"].as_str().unwrap();
    let fingerprint = &signer[signer.len() - 41..signer.len() - 1];
    world.ok(&format!("plugin keyring remove {fingerprint}"));
    world.fails(4, &format!("plugin keyring remove {fingerprint}"));
    let all = records(&world);
    assert_eq!(all[added.len()]["signer"], signer);
    assert_eq!(all.last().unwrap()["outcome"], "failed");
}

#[test]
fn sync_writes_one_record_a_plugin() {
    let world = world();
    let (one, prov) = package(&world, "1.0.0");
    let server = Server::files(&[("/p.tgz", &one), ("/p.tgz.prov", &prov)]);
    world.ok(&format!("plugin install {}", server.url("/p.tgz")));
    world.ok("plugin lock");
    let lock = fs::read_to_string(world.path("plugins.lock")).unwrap();

    let other = World::new();
    other.plugin("extra", "1.0.0");
    other.ok("plugin install extra --copy");
    other.write("plugins.lock", &lock);
    other.ok("plugin sync --prune");
    other.ok("plugin sync");
    fs::remove_dir_all(other.plugins().join("p")).unwrap();
    other.write("plugins.lock", lock.replace(&Sha256Digest::of(&one).to_string(), &"0".repeat(64)));
    other.fails(3, "plugin sync");
    assert_eq!(
        events(&other),
        ["install extra 1.0.0 ok", "install p 1.0.0 ok", "uninstall extra 1.0.0 ok", "verify-failed p - failed"]
    );
}

#[test]
fn runs_are_written_down_where_asked_for() {
    let world = World::new();
    world.plugin("p", "1.0.0");
    world.ok("plugin install p --copy");
    config(&world, "config.yaml", "audit: {runs: true}\n");
    assert_eq!(world.ok("p x").stdout, "p 1.0.0 x\n");
    assert_eq!(world.ok("plugin exec p").stdout, "p 1.0.0\n");
    assert_eq!(events(&world)[1..], ["run p 1.0.0 ok", "run p 1.0.0 ok"]);
    assert_eq!(records(&world)[1]["verifiedBy"], "local");
}

#[test]
fn the_log_may_lie_elsewhere_and_full_files_are_put_aside() {
    let world = World::new();
    world.plugin("p", "1.0.0");
    let elsewhere = world.path("logs/plugins.jsonl");
    config(&world, "config.yaml", &format!("audit: {{file: {}, maxBytes: 1}}\n", elsewhere.display()));
    world.ok("plugin install p --copy");
    world.ok("plugin uninstall p");
    let event = |path: PathBuf| serde_json::from_slice::<Value>(&fs::read(path).unwrap()).unwrap()["event"].clone();
    assert_eq!(event(elsewhere), "uninstall");
    assert_eq!(event(world.path("logs/plugins.jsonl.1")), "install");
    assert!(!log(&world).exists());
}

#[test]
fn s_a_log_that_cannot_be_written_is_a_warning_unless_a_policy_wants_it() {
    let world = World::new();
    world.plugin("p", "1.0.0");
    let precious = world.write("precious", "x");
    fs::create_dir_all(log(&world).parent().unwrap()).unwrap();
    symlink(&precious, log(&world)).unwrap();
    let ran = world.ok("plugin install p --copy");
    assert!(ran.stderr.contains("warning: the audit log") && ran.stderr.contains("symbolic link"), "{}", ran.stderr);
    assert_eq!(fs::read(&precious).unwrap(), b"x");

    config(&world, "policy.yaml", "apiVersion: v1\naudit: required\n");
    let before = world.snapshot(&world.plugins());
    for command in ["plugin uninstall p", "plugin rollback p", "plugin update p", "plugin install p --copy --force"] {
        let ran = world.fails(1, command);
        assert!(ran.stderr.contains("policy.yaml:2 asks for the audit log"), "{command}: {}", ran.stderr);
        assert!(ran.stderr.contains("caused by: the audit log"), "{command}: {}", ran.stderr);
    }
    assert_eq!(world.snapshot(&world.plugins()), before);
    // What changes nothing goes on.
    assert_eq!(world.ok("p").stdout, "p 1.0.0\n");
    config(&world, "config.yaml", "audit: {runs: true}\n");
    world.fails(1, "p");
    fs::remove_file(log(&world)).unwrap();
    world.ok("p");
    world.ok("plugin uninstall p");
    assert_eq!(events(&world), ["run p 1.0.0 ok", "uninstall p 1.0.0 ok"]);
}

#[test]
fn writers_at_once_lose_no_record() {
    let world = World::new();
    world.plugin("p", "1.0.0");
    world.ok("plugin install p --copy");
    config(&world, "config.yaml", "audit: {runs: true}\n");
    let children: Vec<_> =
        (0..20).map(|_| world.command(["p"]).stdout(std::process::Stdio::null()).spawn().unwrap()).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(records(&world).len(), 21);
}
