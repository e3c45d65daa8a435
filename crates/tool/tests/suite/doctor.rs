//! `plugin doctor`: what it finds, what it mends, and how it explains a policy.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Ran, World, repository, snapshot};

const TOUR: &str = "E73208FE0133B7C8A809E83E27415E8C12120722";

fn key(name: &str) -> String {
    repository("testdata/keys").join(name).to_str().unwrap().to_owned()
}

fn world() -> World {
    let world = World::new();
    world.ok(&format!("plugin keyring add {}", key("tour.asc")));
    world
}

/// Installs the signed plugin `p`.
fn install(world: &World) {
    world.plugin("p", "1.0.0");
    world.ok(&format!("plugin package p --sign --keyring {}", key("tour.sec.asc")));
    world.ok("plugin install p-1.0.0.tgz");
}

fn config(world: &World) -> PathBuf {
    let directory = world.root().join("home/.config/tool");
    fs::create_dir_all(&directory).unwrap();
    directory
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn findings(ran: &Ran) -> Vec<Value> {
    ran.json()["findings"].as_array().unwrap().clone()
}

/// Puts another key into the keyring, by hand.
fn put_key(world: &World, name: &str) {
    fs::copy(key(name), config(world).join("keyring/x")).unwrap();
}

/// Lets a change of a plugin be accepted that is not there.
fn forget_plugin(world: &World) {
    let text = "accepted: [{name: gone, since: '2026-01-02T03:04:05Z', files: [{path: a}]}]\n";
    fs::write(config(world).join("trust.yaml"), text).unwrap();
    chmod(&config(world).join("trust.yaml"), 0o600);
}

/// What is found, but for the notes.
fn codes(world: &World) -> Vec<String> {
    let ran = world.tool(["plugin", "doctor", "-o", "json"]);
    let found = findings(&ran);
    let is_error = |finding: &Value| finding["severity"] == "error";
    assert_eq!(ran.code, i32::from(found.iter().any(is_error)), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.json()["ok"], ran.code == 0);
    let found = found.iter().filter(|finding| finding["severity"] != "note");
    found.map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn nothing_is_wrong_with_an_empty_home_or_a_good_one() {
    let world = World::new();
    let ran = world.ok("plugin doctor");
    assert!(ran.stdout.contains("nothing is wrong"), "{}", ran.stdout);
    assert!(!world.plugins().exists(), "looking makes no store");
    world.ok("plugin doctor --fix");
    assert!(!world.plugins().exists());
    let world = self::world();
    install(&world);
    world.plugin("linked", "1.0.0");
    world.ok("plugin install linked");
    let before = snapshot(&world.plugins());
    assert_eq!(codes(&world), [""; 0]);
    world.ok("plugin doctor --fix");
    assert_eq!(snapshot(&world.plugins()), before);
}

#[test]
fn each_thing_that_is_wrong_is_found() {
    type Harm = fn(&World);
    let cases: &[(&str, Harm)] = &[
        ("plugin-changed", |w| fs::write(w.plugins().join("p/run.sh"), "#!/bin/sh\n").unwrap()),
        ("plugin-changed", |w| fs::write(w.plugins().join("p/added.sh"), "").unwrap()),
        ("plugin-broken", |w| {
            fs::create_dir(w.plugins().join("broken")).unwrap();
            fs::write(w.plugins().join("broken/plugin.yaml"), "name: [").unwrap();
        }),
        ("plugin-shadowed", |w| {
            fs::create_dir(w.plugins().join("other")).unwrap();
            fs::write(w.plugins().join("other/plugin.yaml"), "name: p\nversion: 1.0.0\ncommand: echo\n").unwrap();
        }),
        ("plugin-shadowed", |w| {
            fs::create_dir(w.plugins().join("version")).unwrap();
            fs::write(w.plugins().join("version/plugin.yaml"), "name: version\nversion: 1.0.0\ncommand: echo\n").unwrap();
        }),
        ("dangling-link", |w| std::os::unix::fs::symlink("/nowhere", w.plugins().join("link")).unwrap()),
        ("file-in-place", |w| {
            fs::remove_dir_all(w.plugins().join("p")).unwrap();
            fs::write(w.plugins().join("p"), "a file").unwrap();
        }),
        ("receipt-damaged", |w| fs::write(w.plugins().join(".state/p.json"), "{").unwrap()),
        ("orphan", |w| fs::write(w.plugins().join(".state/gone.json"), "{}").unwrap()),
        ("leftover", |w| fs::create_dir(w.plugins().join(".state/staging/abc")).unwrap()),
        ("package-missing", |w| fs::remove_file(w.plugins().join("p-1.0.0.tgz")).unwrap()),
        ("package-missing", |w| fs::remove_file(w.plugins().join("p-1.0.0.tgz.prov")).unwrap()),
        ("package-changed", |w| fs::write(w.plugins().join("p-1.0.0.tgz"), "x").unwrap()),
        ("writable", |w| chmod(&w.plugins().join("p"), 0o777)),
        ("writable", |w| chmod(&w.plugins().join("p/run.sh"), 0o757)),
        ("writable", |w| chmod(&w.plugins(), 0o777)),
        ("group-writable", |w| chmod(&w.plugins().join("p"), 0o775)),
        ("exposed", |w| chmod(&w.plugins().join(".state/staging"), 0o755)),
        ("writable", |w| chmod(&config(w), 0o777)),
        ("writable", |w| chmod(&config(w).join("keyring"), 0o777)),
        ("index", |w| {
            let index = fs::read_dir(w.root().join("home/.cache/tool/plugin-index")).unwrap().next().unwrap();
            fs::write(index.unwrap().path(), "damaged").unwrap();
        }),
        ("settings", |w| fs::write(config(w).join("config.yaml"), "gate: maybe\n").unwrap()),
        ("policy-unusable", |w| fs::write(config(w).join("policy.yaml"), "hook: forbid\n").unwrap()),
        ("policy-fingerprint", |w| {
            let text = "signers: [{name: other, fingerprints: [\"ABCD...\"]}]\n";
            fs::write(config(w).join("policy.yaml"), text).unwrap();
        }),
        ("policy-refused", |w| fs::write(config(w).join("policy.yaml"), "plugins: {deny: [p]}\n").unwrap()),
        ("policy-source", |w| fs::write(config(w).join("policy.yaml"), "sources: {allow: []}\n").unwrap()),
        ("trust", |w| fs::write(config(w).join("trust.yaml"), "pins: {}\n").unwrap()),
        ("trust-orphan", forget_plugin),
        ("allowed-signers", |w| fs::write(config(w).join("allowed_signers"), "# fine\nann@example.com\n").unwrap()),
        ("keyring-skipped", |w| {
            fs::write(config(w).join("keyring/x.asc"), "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nx").unwrap();
        }),
        ("key-expired", |w| put_key(w, "expiring.pgp")),
        ("key-revoked", |w| put_key(w, "revoked.pgp")),
        ("key-unusable", |w| put_key(w, "rsa1024.pgp")),
    ];
    for (at, (code, harm)) in cases.iter().enumerate() {
        let world = world();
        install(&world);
        world.ok("plugin list");
        // An index is not written for what is only just there.
        std::thread::sleep(std::time::Duration::from_millis(30));
        world.ok("plugin list");
        harm(&world);
        let before = snapshot(&world.plugins());
        let found = codes(&world);
        assert!(found.contains(&(*code).to_owned()), "case {at}: {code} is not in {found:?}");
        assert_eq!(snapshot(&world.plugins()), before, "case {at}: looking changes nothing");
        if *code == "index" {
            // Every list writes it anew, and looking for plugins is one.
            continue;
        }
        let text = world.tool(["plugin", "doctor"]);
        assert!(text.stdout.contains("help: ") && text.stdout.contains("  at "), "case {at}: {}", text.stdout);
    }
}

#[test]
fn what_is_safe_is_mended_and_changed_files_are_not() {
    let world = world();
    install(&world);
    let plugins = world.plugins();
    fs::write(plugins.join("p/run.sh"), "#!/bin/sh\necho changed\n").unwrap();
    chmod(&plugins.join("p/run.sh"), 0o777);
    chmod(&plugins.join(".state/staging"), 0o755);
    chmod(&plugins, 0o777);
    fs::create_dir_all(plugins.join(".state/staging/left/behind")).unwrap();
    fs::write(plugins.join(".state/.new-abc"), "").unwrap();
    let receipt = fs::read(plugins.join(".state/p.json")).unwrap();
    fs::write(plugins.join(".state/gone.json"), receipt).unwrap();
    fs::create_dir(plugins.join(".state/previous/gone")).unwrap();
    fs::write(plugins.join(".state/previous/gone.tgz"), "").unwrap();
    forget_plugin(&world);
    let ran = world.fails(1, "plugin doctor --fix -o json");
    let found = findings(&ran);
    let fixed: Vec<_> = found.iter().filter(|one| one["fixed"] == true).map(|one| one["code"].as_str().unwrap()).collect();
    for code in ["writable", "exposed", "leftover", "orphan", "trust-orphan"] {
        assert!(fixed.contains(&code), "{code}: {}", ran.stdout);
    }
    let left: Vec<_> = found.iter().filter(|one| one["fixed"] == false && one["severity"] != "note").collect();
    assert_eq!(left.len(), 1, "{left:#?}");
    assert_eq!(left[0]["code"], "plugin-changed");
    let help = left[0]["help"].as_str().unwrap();
    assert!(help.contains("tool plugin restore p") && help.contains("tool plugin trust p"), "{help}");
    assert_eq!(fs::read_to_string(plugins.join("p/run.sh")).unwrap(), "#!/bin/sh\necho changed\n");
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(plugins.join("p/run.sh")), mode(plugins.join(".state/staging"))), (0o755, 0o700));
    assert!(!plugins.join(".state/gone.json").exists() && !plugins.join(".state/previous/gone").exists());
    assert!(fs::read_dir(plugins.join(".state/staging")).unwrap().next().is_none());
    // What the help says works.
    world.ok("plugin install --force p-1.0.0.tgz");
    assert_eq!(codes(&world), [""; 0]);
}

#[test]
fn an_interrupted_change_is_finished() {
    let world = world();
    install(&world);
    let path = world.plugins().join(".state/p.json");
    let mut receipt: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let tree = receipt["current"]["tree"].clone();
    receipt["change"] = serde_json::json!({
        "kind": "install", "plugin": "p", "staged": "staging/x/p", "new": tree, "old": null, "keepOld": false
    });
    receipt["next"] = receipt["current"].clone();
    receipt["current"] = Value::Null;
    fs::write(&path, receipt.to_string()).unwrap();
    assert_eq!(codes(&world), ["interrupted"]);
    let ran = world.ok("plugin doctor --fix");
    assert!(ran.stdout.contains("fixed: ") && ran.stderr.contains("finished an interrupted change"), "{}", ran.stderr);
    assert_eq!(codes(&world), [""; 0]);
    world.ok("p");
}

#[test]
fn p_a_signer_whose_key_was_revoked_is_an_error() {
    let mut world = World::new();
    for (from, to) in [("foo-1.0.0.tgz", "foo-1.0.0.tgz"), ("good.prov", "foo-1.0.0.tgz.prov")] {
        fs::copy(repository("testdata/provenance").join(from), world.path(to)).unwrap();
    }
    world.ok(&format!("plugin keyring add {}", key("rsa.pgp")));
    world.ok("plugin install foo-1.0.0.tgz");
    assert_eq!(codes(&world), [""; 0]);
    // The receipt of what a key signed that is now known to be revoked.
    let path = world.plugins().join(".state/foo.json");
    let text = fs::read_to_string(&path).unwrap();
    let (rsa, revoked) = ("4449EBFAE8D6765BA43875DBAA83CEB327A8536C", "BF4529EC2D03FED4DE0370BD4FD238E260CB530F");
    fs::write(&path, text.replace(rsa, revoked)).unwrap();
    world.ok(&format!("plugin keyring add {}", key("not-yet-revoked.pgp")));
    assert_eq!(codes(&world), [""; 0]);
    let added = world.ok(&format!("plugin keyring add {}", key("revocation.asc")));
    assert!(added.stderr.contains("foo"), "whose plugins are there is said at once: {}", added.stderr);
    assert_eq!(codes(&world), ["signer-revoked", "key-revoked"]);
    world.fails(1, "plugin doctor");
    // Also where a digest of a lock file made it trusted, whose signer the file names.
    fs::write(&path, text.replace(rsa, &revoked.to_lowercase()).replace("\"by\":\"signature\"", "\"by\":\"digest\""))
        .unwrap();
    assert_eq!(codes(&world), ["signer-revoked", "key-revoked"]);
    world.fails(1, "plugin doctor");
    // And of a signer who may sign other plugins only.
    for by in ["signature", "digest"] {
        fs::write(&path, text.replace("\"by\":\"signature\"", &format!("\"by\":\"{by}\""))).unwrap();
        world.ok(&format!("plugin keyring limit {rsa} --for-name other"));
        assert!(world.fails(1, "plugin doctor -o name").stdout.starts_with("signer-limited\n"), "{by}");
        world.ok(&format!("plugin keyring limit {rsa}"));
    }
    fs::write(&path, text.replace(rsa, revoked)).unwrap();
    // A key that is not there is worth a note.
    world.set("TOOL_KEYRING", key("tour.asc"));
    let ran = world.ok("plugin doctor -o json");
    assert!(findings(&ran).iter().any(|one| one["code"] == "signer-unknown"), "{}", ran.stdout);
}

#[test]
fn variables_that_switch_plugins_off_are_told() {
    let mut world = World::new();
    world.set("TOOL_NO_PLUGINS", "1");
    let ran = world.ok("plugin doctor");
    assert!(ran.stdout.contains("TOOL_NO_PLUGINS is set"), "{}", ran.stdout);
}

#[test]
fn settings_that_cannot_be_read_do_not_stop_it() {
    let world = world();
    install(&world);
    fs::write(config(&world).join("config.yaml"), "http:\n  timeout: 10\n").unwrap();
    fs::write(config(&world).join("policy.yaml"), "apiVersion: v1\nhooks: never\n").unwrap();
    world.fails(1, "plugin list");
    let ran = world.fails(1, "plugin doctor -o json");
    let found = findings(&ran);
    let line = |code: &str| found.iter().find(|one| one["code"] == code).map(|one| one["line"].clone());
    assert_eq!((line("settings"), line("policy-unusable")), (Some(2.into()), Some(2.into())), "{}", ran.stdout);
    let named = world.fails(1, "plugin doctor -o name").stdout;
    assert!(found.iter().map(|one| one["code"].as_str().unwrap()).eq(named.lines()), "{named}");
    world.fails(1, "plugin doctor --policy");
}

#[test]
fn a_policy_is_explained_rule_by_rule() {
    let world = world();
    install(&world);
    world.plugin("q", "1.0.0");
    world.ok("plugin install q");
    let ran = world.ok("plugin doctor --policy p");
    assert!(ran.stderr.contains("there is no policy"), "{}", ran.stderr);
    let text = format!(
        "apiVersion: v1\nsources:\n  allow: [\"https://a.example/**\", \"file:///**\"]\n  deny: [\"git+**\"]\nverification: signature\n\
         signers:\n- {{name: p, fingerprints: [{TOUR}]}}\nplugins: {{deny: [x]}}\nhooks: forbid\naudit: required\n"
    );
    fs::write(config(&world).join("policy.yaml"), text).unwrap();
    let explained = world.ok("plugin doctor --policy p -o json").json();
    assert_eq!((&explained[0]["name"], &explained[0]["allowed"]), (&"p".into(), &true.into()));
    let rules: Vec<_> = explained[0]["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| (rule["line"].as_u64().unwrap(), rule["verdict"].as_str().unwrap()))
        .collect();
    assert_eq!(rules, [(4, "silent"), (3, "kept"), (8, "silent"), (5, "kept"), (7, "kept"), (9, "binds"), (10, "binds")]);
    let all = world.fails(1, "plugin doctor --policy").stdout;
    assert!(all.contains("p from ") && all.contains("policy.yaml:5"), "{all}");
    assert!(all.contains("refused  ") && all.contains("asks for a signature, but `q` is not verified"), "{all}");
    // A source, before anything is fetched.
    let source = world.ok("plugin doctor --policy https://a.example/x.tgz").stdout;
    assert!(source.contains("https://a.example/x.tgz: allowed"), "{source}");
    // What it is called and who signed it is seen when it is there.
    for line in [5, 7, 8] {
        assert!(source.lines().any(|said| said.starts_with("  later ") && said.contains(&format!(":{line}  "))), "{source}");
    }
    let refused = world.fails(1, "plugin doctor --policy git+https://a.example/r").stdout;
    assert!(refused.contains("refused") && refused.contains("policy.yaml:4"), "{refused}");
    world.fails(1, "plugin doctor --policy=https://b.example/x.tgz");
    assert!(world.fails(1, "plugin doctor --policy x").stdout.contains("policy.yaml:8"));
    assert!(source.contains("before it is fetched"), "{source}");
    world.fails(2, "plugin doctor --policy p --fix");
}

#[test]
fn what_is_not_there_is_allowed_by_no_policy() {
    let world = world();
    install(&world);
    let policies = ["", "apiVersion: v1\nplugins: {deny: [kubeval]}\n", "apiVersion: v1\nverification: digest\n"];
    world.write("empty/readme", "");
    world.write("broken/plugin.yaml", "name: [\n");
    world.write("junk.tgz", "junk");
    world.plugin("q", "1.0.0");
    world.ok("plugin package q --sign=false");
    for policy in policies {
        fs::write(config(&world).join("policy.yaml"), policy).unwrap();
        if policy.is_empty() {
            fs::remove_file(config(&world).join("policy.yaml")).unwrap();
        }
        for (what, code, part) in [
            ("nothere", 4, "not an installed plugin and not a source"),
            ("nothere@1.0.0", 4, "not an installed plugin"),
            ("./nothere.tgz", 4, "nothere.tgz"),
            ("/no/where", 4, "where"),
            ("nope://h/x", 1, "nope"),
            ("empty", 4, "plugin.yaml"),
            ("broken", 1, "plugin.yaml"),
            ("junk.tgz", 1, "junk.tgz"),
        ] {
            let ran = world.tool(["plugin", "doctor", "--policy", what]);
            assert!(ran.code == code || (ran.code == 2 && code == 1), "{what}: {} {}", ran.code, ran.stderr);
            assert!(!ran.stdout.contains("allowed") && ran.stderr.contains(part), "{what}: {}{}", ran.stdout, ran.stderr);
        }
        // What lies here is looked into.
        let named = world.tool(["plugin", "doctor", "--policy", "q-1.0.0.tgz"]);
        assert!(named.code == 0 && named.stdout.starts_with("q from "), "{}{}", named.stdout, named.stderr);
    }
}
