//! What every verb prints, whoever reads it: rows for programs, nothing where it should be quiet.

use std::fs;

use serde_json::Value;

use crate::schemas::Schema;
use crate::support::http_server::{Server, answer};
use crate::support::{Ran, World, repository};

/// A verb of a journey: what happens before it, its words, and what it does with each thing that it is about.
type Step = (fn(&World), &'static str, &'static [&'static str]);

fn nothing(_: &World) {}

/// Every verb that changes or publishes something without a server, once or more.
const JOURNEY: &[Step] = &[
    (nothing, "plugin create new", &["packaged"]),
    (nothing, "plugin package p --keyring SECRET", &["packaged"]),
    (nothing, "plugin sign p-1.0.0.tgz --keyring SECRET", &["signed"]),
    (nothing, "plugin verify p-1.0.0.tgz --keyring PUBLIC", &["verified"]),
    (nothing, "plugin keyring add PUBLIC", &["installed"]),
    (nothing, "plugin keyring add PUBLIC", &["unchanged"]),
    (nothing, "plugin keyring limit KEY --for-name p", &["updated"]),
    (nothing, "plugin keyring limit KEY", &["updated"]),
    (nothing, "plugin pull ./p-1.0.0.tgz -d pulled", &["pulled"]),
    (nothing, "plugin install ./p-1.0.0.tgz", &["installed"]),
    (nothing, "plugin install ./p-1.0.0.tgz", &["unchanged"]),
    (nothing, "plugin install ./p-1.0.0.tgz --force --verify=false", &["installed"]),
    (nothing, "plugin install linked", &["installed"]),
    (nothing, "plugin install q --copy", &["installed"]),
    (nothing, "plugin verify p", &["verified"]),
    (nothing, "plugin pin p q", &["updated", "updated"]),
    (nothing, "plugin pin p", &["unchanged"]),
    (nothing, "plugin unpin p q", &["updated", "updated"]),
    (|world| drop(world.plugin("q", "2.0.0")), "plugin update q --dry-run", &["updated"]),
    (nothing, "plugin update q", &["updated"]),
    (nothing, "plugin update --all", &["unchanged", "unchanged", "unchanged"]),
    (nothing, "plugin rollback q", &["restored"]),
    (nothing, "plugin lock", &["locked"]),
    (nothing, "plugin export mirror", &["pulled"]),
    (nothing, "plugin sync --mirror mirror --offline", &["unchanged"]),
    (change_p, "plugin trust p", &["updated"]),
    (nothing, "plugin trust p", &["unchanged"]),
    (nothing, "plugin untrust p", &["updated"]),
    (nothing, "plugin uninstall p q", &["removed", "removed"]),
    (nothing, "plugin sync --mirror mirror --offline", &["installed"]),
    (nothing, "plugin sync --mirror mirror --offline --prune", &["unchanged", "removed"]),
    (nothing, "plugin keyring remove KEY", &["removed"]),
];

fn change_p(world: &World) {
    fs::write(world.plugins().join("p/run.sh"), "#!/bin/sh\n").unwrap();
}

/// Drives the journey, each verb with `more` words, in a world of its own.
fn travel(more: &str, mut look: impl FnMut(&str, &[&str], &Ran)) {
    let world = World::new();
    for name in ["p", "q", "linked"] {
        world.plugin(name, "1.0.0");
    }
    let key = |name: &str| repository(&format!("testdata/keys/{name}")).to_str().unwrap().to_owned();
    for (prepare, words, actions) in JOURNEY {
        prepare(&world);
        let words = words.replace("SECRET", &key("tour.sec.asc")).replace("PUBLIC", &key("tour.asc"));
        let words = format!("{} {more}", words.replace("KEY", "tour@example.com"));
        look(&words, actions, &world.ok(&words));
    }
}

#[test]
fn every_verb_that_changes_something_prints_a_row_for_each_thing() {
    let schema = Schema::read("acts");
    travel("-o json", |words, actions, ran| {
        let rows = ran.json();
        assert!(schema.accepts(&rows), "{words}: {rows:#}");
        let done: Vec<&str> = rows.as_array().unwrap().iter().filter_map(|row| row["action"].as_str()).collect();
        assert_eq!(done, *actions, "{words}: {rows:#}");
        for row in rows.as_array().unwrap() {
            assert!(row["name"].is_string() || words.contains("limit"), "{words}: {rows:#}");
            assert_eq!((&row["error"], &row["hint"]), (&Value::Null, &Value::Null), "{words}");
        }
    });
    assert!(!schema.accepts(&serde_json::json!([{"name": "p", "action": "installed"}])));
}

#[test]
fn a_verb_that_changes_something_is_silent_if_asked_to_be_quiet() {
    travel("--quiet", |words, _, ran| {
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""), "{words}");
    });
}

#[test]
fn rows_tell_versions_sources_and_signers() {
    let world = World::new();
    let keys = |name: &str| repository(&format!("testdata/keys/{name}")).display().to_string();
    world.plugin("p", "1.0.0");
    let made = world.ok(&format!("plugin package p -o json --keyring {}", keys("tour.sec.asc"))).json();
    let row = world.ok(&format!("plugin install ./p-1.0.0.tgz -o json --keyring {}", keys("tour.asc"))).json()[0].clone();
    assert_eq!((row["name"].as_str(), row["version"].as_str()), (Some("p"), Some("1.0.0")));
    assert_eq!((&row["digest"], &row["verified"]), (&made[0]["digest"], &made[0]["verified"]));
    assert_eq!(row["verified"]["by"], "signature");
    assert!(row["source"].as_str().unwrap().ends_with("p-1.0.0.tgz"), "{row:#}");
    assert_eq!(row["path"].as_str(), world.plugins().join("p").to_str());
    world.plugin("p", "2.0.0");
    let row = world.ok("plugin install p --copy --force -o json").json()[0].clone();
    assert_eq!((row["version"].as_str(), row["previousVersion"].as_str()), (Some("2.0.0"), Some("1.0.0")), "{row:#}");
    let row = world.ok("plugin uninstall p -o json").json()[0].clone();
    assert_eq!((&row["version"], row["previousVersion"].as_str()), (&Value::Null, Some("2.0.0")), "{row:#}");
    // Names alone, and YAML.
    assert_eq!(world.ok("plugin install p --copy -o name").stdout, "p\n");
    assert!(world.ok("plugin pin p -o yaml").stdout.starts_with("- name: p\n  action: updated\n"));
}

#[test]
fn what_failed_has_a_row_with_error_and_hint_and_the_first_failure_is_the_exit_code() {
    let world = World::new();
    world.plugin("p", "1.0.0");
    let schema = Schema::read("acts");
    let ran = world.fails(4, "plugin install ./nothing p --copy -o json");
    let rows = ran.json();
    assert!(schema.accepts(&rows), "{rows:#}");
    assert_eq!((rows[0]["action"].as_str(), rows[1]["action"].as_str()), (Some("failed"), Some("installed")), "{rows:#}");
    assert_eq!(rows[0]["source"], "./nothing");
    assert!(rows[0]["error"].is_string(), "{rows:#}");
    // People are told as well.
    assert!(ran.stderr.contains("error: "), "{}", ran.stderr);

    let rows = world.fails(4, "plugin update nothing -o json").json();
    assert_eq!((rows[0]["name"].as_str(), rows[0]["action"].as_str()), (Some("nothing"), Some("failed")));
    assert_eq!(rows[0]["error"], "plugin `nothing` is not installed");
    assert!(rows[0]["hint"].as_str().unwrap().contains("tool plugin list"), "{rows:#}");
    for (code, words) in [
        (4, "plugin uninstall nothing"),
        (4, "plugin rollback nothing"),
        (4, "plugin pin nothing"),
        (4, "plugin verify nothing"),
        (4, "plugin verify nothing.tgz"),
        (4, "plugin sign nothing.tgz"),
        (4, "plugin package nothing"),
        (4, "plugin pull ./nothing.tgz"),
        (4, "plugin push nothing.tgz oci://localhost:1/x"),
        (4, "plugin trust nothing"),
        (4, "plugin untrust nothing"),
        (4, "plugin sync"),
        (4, "plugin keyring add nothing"),
        (4, "plugin keyring remove nothing"),
        (2, "plugin create env"),
    ] {
        let rows = world.fails(code, &format!("{words} -o json")).json();
        assert!(schema.accepts(&rows), "{words}: {rows:#}");
        assert_eq!((rows.as_array().unwrap().len(), rows[0]["action"].as_str()), (1, Some("failed")), "{words}");
        assert!(rows[0]["error"].is_string(), "{words}");
    }
}

#[test]
fn a_hook_does_not_write_into_a_document() {
    let world = World::new();
    world.plugin("p", "1.0.0");
    let manifest = "name: p\nversion: 1.0.0\ncommand: sh\nhooks:\n  install: echo from the hook\n";
    world.write("p/plugin.yaml", manifest);
    let ran = world.ok("plugin install p --copy -o json");
    assert_eq!(ran.json()[0]["action"], "installed");
    assert!(ran.stderr.contains("from the hook"), "{}", ran.stderr);
    assert!(world.ok("plugin install p --copy --force").stdout.contains("from the hook"));
}

#[test]
fn a_verb_that_fails_says_what_it_held_back() {
    let world = World::new();
    world.plugin("p", "1.0.0");
    world.ok("plugin package p --sign=false -q");
    let ran = world.fails(4, "plugin install ./p-1.0.0.tgz ./nothing --verify=false -q");
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.contains("is not verified, as you asked"), "{}", ran.stderr);
}

#[test]
fn debug_tells_each_step_and_no_secret() {
    let world = World::new();
    let key = |name: &str| repository(&format!("testdata/keys/{name}")).display().to_string();
    world.plugin("p", "1.0.0");
    world.ok(&format!("plugin package p --keyring {}", key("tour.sec.asc")));
    let files = ["p-1.0.0.tgz", "p-1.0.0.tgz.prov"].map(|name| fs::read(world.path(name)).unwrap());
    let server = Server::start(move |request, to| match request.target.split('?').next().unwrap_or_default() {
        "/old.tgz" => answer(to, "302 Found", &[("Location", "/p-1.0.0.tgz?token=hunter2")], b""),
        "/p-1.0.0.tgz" => answer(to, "200 OK", &[], &files[0]),
        "/p-1.0.0.tgz.prov" | "/old.tgz.prov" => answer(to, "200 OK", &[], &files[1]),
        _ => answer(to, "404 Not Found", &[], b""),
    });
    let policy = world.root().join("home/.config/tool/policy.yaml");
    fs::create_dir_all(policy.parent().unwrap()).unwrap();
    fs::write(&policy, "apiVersion: v1\nverification: signature\n").unwrap();
    let url = server.url("/old.tgz?token=hunter2").replace("http://", "http://ann:hunter2@");
    let ran = world.ok(&format!("plugin install {url} --debug --keyring {}", key("tour.asc")));
    for step in [
        "GET http://",
        "302 after ",
        "200 after ",
        "redirected to ",
        "keys in it: 1",
        "asking the policy about",
        "signed by Tour",
    ] {
        assert!(ran.stderr.lines().any(|line| line.starts_with("debug: ") && line.contains(step)), "{step}: {}", ran.stderr);
    }
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("hunter2"), "{}", ran.stderr);
    assert!(!world.ok("plugin list").stderr.contains("debug: "));
}

#[test]
fn info_tells_what_a_module_may_reach() {
    let world = World::new();
    world.ok("plugin create m --runtime extism");
    let manifest = fs::read_to_string(world.path("m/plugin.yaml")).unwrap();
    assert!(manifest.contains("runtime: extism/v1"));
    world.ok("plugin install ./m");
    let info = world.ok("plugin info m -o json").json();
    assert!(Schema::read("info").accepts(&info), "{info:#}");
    assert!(info["reach"]["memoryBytes"].as_u64().unwrap() >= 4 << 16, "{info:#}");
    assert_eq!((&info["reach"]["temporaryFiles"], &info["reach"]["hosts"]), (&Value::Bool(false), &serde_json::json!([])));
    let text = world.ok("plugin info m").stdout;
    for line in ["May call:    none", "Memory:", "Time:", "Its files:   none", "Host's:      none"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    // A program may do what its user may.
    world.plugin("p", "1.0.0");
    world.ok("plugin install p");
    assert_eq!(world.ok("plugin info p -o json").json()["reach"], Value::Null);
}

#[test]
fn a_plugin_that_nothing_verified_is_called_so_by_every_verb() {
    let world = World::new();
    for version in ["1.0.0", "2.0.0"] {
        world.plugin("p", version);
        world.ok("plugin package p --sign=false");
    }
    for words in [
        "plugin install p-1.0.0.tgz --verify=false",
        "plugin verify p",
        "plugin lock",
        "plugin export mirror",
        "plugin uninstall p",
        "plugin sync --offline --mirror mirror",
        "plugin verify p",
        "plugin list",
        "plugin pin p",
        "plugin unpin p",
        "plugin restore p",
        "plugin update p",
        "plugin install p-2.0.0.tgz --verify=false --force",
        "plugin rollback p",
        "plugin verify p",
        "plugin pull p-1.0.0.tgz --verify=false -d out",
    ] {
        let rows = world.ok(&format!("{words} -o json")).json();
        assert_eq!(rows[0]["name"], "p", "{words}: {rows}");
        assert_eq!(rows[0]["verified"]["by"], "none", "{words}: {rows}");
    }
}
