//! What `list` and `info` say of a plugin is what the gate does with it (cases S, P28).

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use crate::support::{World, repository};

/// A world with the signed plugin `p`, installed.
fn world() -> World {
    let mut world = World::new();
    let keys = repository("testdata/keys");
    world.set("TOOL_KEYRING", keys.join("tour.asc").to_str().unwrap());
    world.plugin("p", "1.0.0");
    world.write("p/lib/a.txt", "a");
    world.ok(&format!("plugin package p -d . --keyring {}", keys.join("tour.sec.asc").display()));
    world.ok("plugin install p-1.0.0.tgz");
    world
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Expects what `list` and `info` say of `p`, now and from the index, and that the gate does what it says.
fn expect(world: &World, status: &str, said: &str) {
    for look in ["first", "second"] {
        let list = world.ok("plugin list -o json").json();
        let info = world.ok("plugin info p -o json").json();
        for row in [&list[0], &info] {
            assert_eq!(row["status"], status, "{look}: {row}");
            let problem = row["problem"].as_str().unwrap_or_default();
            assert!(problem.contains(said) && problem.is_empty() == (status == "ok"), "{look}: {row}");
        }
        assert!(world.ok("plugin list").stdout.contains(status), "{status}");
        assert!(world.ok("plugin info p").stdout.contains(status), "{status}");
        let runs = world.tool(["p"]).code == 0;
        assert_eq!(runs, matches!(status, "ok" | "accepted"), "{status}");
        // What changed a moment ago is in no index.
        std::thread::sleep(std::time::Duration::from_millis(15));
    }
}

#[test]
fn p28_a_list_says_what_the_gate_would() {
    let script = "run.sh";
    let cases: [(&str, fn(&Path), &str); 8] = [
        ("`run.sh` has changed", |dir| fs::write(dir.join("run.sh"), "#!/bin/sh\necho evil\n").unwrap(), script),
        (
            "`plugin.yaml` has changed",
            |dir| fs::write(dir.join("plugin.yaml"), "name: p\nversion: 1.0.0\ncommand: x\n").unwrap(),
            "plugin.yaml",
        ),
        ("`run.sh` is missing", |dir| fs::remove_file(dir.join("run.sh")).unwrap(), script),
        ("may now be executed", |dir| chmod(&dir.join("run.sh"), 0o644), script),
        ("chmod o-w", |dir| chmod(&dir.join("run.sh"), 0o777), script),
        ("chmod o-w", |dir| chmod(dir, 0o777), ""),
        (
            "something else",
            |dir| {
                fs::rename(dir.join("run.sh"), dir.join("real")).unwrap();
                symlink("real", dir.join("run.sh")).unwrap();
            },
            script,
        ),
        (
            "something else",
            |dir| {
                fs::rename(dir, dir.with_file_name("p.away")).unwrap();
                symlink("p.away", dir).unwrap();
            },
            "",
        ),
    ];
    for (said, change, _) in cases {
        let world = world();
        expect(&world, "ok", "");
        change(&world.plugins().join("p"));
        expect(&world, "changed", said);
    }
    // Files that nothing executes are no matter of the gate's.
    let world = world();
    fs::write(world.plugins().join("p/lib/a.txt"), "b").unwrap();
    expect(&world, "ok", "");
}

#[test]
fn what_is_wrong_with_all_plugins_is_wrong_with_each_and_passes() {
    let world = world();
    for path in [world.plugins(), world.plugins().join(".state"), world.plugins().join(".state/p.json")] {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        for _ in 0..2 {
            chmod(&path, mode | 0o002);
            expect(&world, "changed", "chmod o-w");
            chmod(&path, mode);
            expect(&world, "ok", "");
        }
    }
}

#[test]
fn an_accepted_change_shows_where_a_plugin_is_said_to_be_verified() {
    let world = world();
    for file in ["run.sh", "lib/a.txt"] {
        fs::write(world.plugins().join("p").join(file), "#!/bin/sh\necho mine\n").unwrap();
        world.ok("plugin trust p");
        expect(&world, "accepted", &format!("{file}; `tool plugin untrust p`"));
        assert!(world.ok("plugin list").stdout.contains(", changes accepted"));
        assert!(world.ok("plugin info p").stdout.contains(file));
        world.ok("plugin untrust p");
        expect(&world, if file == "run.sh" { "changed" } else { "ok" }, "");
        world.ok("plugin install --force p-1.0.0.tgz");
        expect(&world, "ok", "");
    }
    fs::remove_file(world.plugins().join("p/lib/a.txt")).unwrap();
    world.ok("plugin trust p");
    expect(&world, "accepted", "lib/a.txt");
}

#[test]
fn what_a_policy_refuses_is_refused_in_the_list() {
    let world = world();
    let policy = world.root().join("home/.config/tool/policy.yaml");
    fs::create_dir_all(policy.parent().unwrap()).unwrap();
    let other = "4449EBFAE8D6765BA43875DBAA83CEB327A8536C";
    for rule in [
        "plugins: {deny: [p]}\n".to_owned(),
        format!("signers: [{{name: p, fingerprints: [{other}]}}]\n"),
        format!("signers: [{{source: \"file:///**\", fingerprints: [{other}]}}]\n"),
    ] {
        fs::write(&policy, rule).unwrap();
        expect(&world, "refused", "policy.yaml:1");
        fs::remove_file(&policy).unwrap();
        expect(&world, "ok", "");
    }
    fs::write(&policy, "verification: signature\n").unwrap();
    expect(&world, "ok", "");
    fs::remove_file(world.plugins().join(".state/p.json")).unwrap();
    expect(&world, "refused", "not verified");
}

#[test]
fn doctor_names_what_nobody_verified() {
    let world = world();
    assert!(world.ok("plugin doctor").stdout.contains("nothing is wrong"));
    world.plugin("q", "1.0.0");
    world.ok("plugin package q -d . --sign=false");
    world.ok("plugin install --verify=false q-1.0.0.tgz");
    let hand = world.plugins().join("hand");
    fs::create_dir(&hand).unwrap();
    fs::write(hand.join("plugin.yaml"), "name: hand\nversion: 1.0.0\ncommand: 'true'\n").unwrap();
    let ran = world.ok("plugin doctor");
    assert!(!ran.stdout.contains("nothing is wrong"), "{}", ran.stdout);
    for name in ["q", "hand"] {
        assert!(
            ran.stdout.lines().any(|line| line.starts_with("warning: ") && line.contains(&format!("`{name}`"))),
            "{}",
            ran.stdout
        );
    }
    let json = world.ok("plugin doctor -o json").json();
    let of = |name: &str| {
        let all = json["findings"].as_array().unwrap().iter();
        all.filter(|one| one["plugin"] == name).map(|one| one["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((of("q"), of("hand"), of("p")), (vec!["unverified".to_owned()], vec!["no-receipt".to_owned()], vec![]));
}

#[test]
fn what_a_plugin_makes_when_it_runs_is_told_apart_from_what_somebody_added() {
    // The file, its mode, and whether the plugin made it.
    let cases = [
        ("__pycache__/run.cpython-312.pyc", 0o644, true),
        ("lib/__pycache__/a.cpython-312.pyc", 0o644, true),
        ("state.db", 0o600, true),
        ("lib/cache.json", 0o644, true),
        ("lib/log", 0o644, true),
        ("state.db", 0o755, false),
        ("__pycache__/run.cpython-312.pyc", 0o755, false),
        ("other/__pycache__/a.pyc", 0o644, false),
        ("other/data", 0o644, false),
        ("lib/__pycache__/deep/a.pyc", 0o644, false),
        // What an interpreter takes for a program needs no mode.
        ("lib/json.py", 0o644, false),
        ("lib/a.so", 0o644, false),
        ("a.pyc", 0o644, false),
        ("plugin.complete", 0o644, false),
        ("completion.yaml", 0o644, false),
    ];
    for (path, mode, made) in cases {
        let world = world();
        let full = world.plugins().join("p").join(path);
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(&full, "x").unwrap();
        chmod(&full, mode);
        world.ok("p");
        let ran = world.tool(["plugin", "verify", "p"]);
        assert_eq!(ran.code, if made { 0 } else { 3 }, "{path} {mode:o}: {}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.stdout.contains(&format!("Made when it ran: {path}")), made, "{path} {mode:o}: {}", ran.stdout);
        let doctor = world.tool(["plugin", "doctor", "-o", "json"]);
        assert_eq!(doctor.code, i32::from(!made), "{path} {mode:o}: {}", doctor.stdout);
        let json = doctor.json();
        let found =
            json["findings"].as_array().unwrap().iter().find(|one| one["message"].as_str().unwrap().contains(path)).unwrap();
        let wanted = if made { ("made-when-it-ran", "note") } else { ("plugin-changed", "error") };
        assert_eq!((&found["code"], &found["severity"]), (&wanted.0.into(), &wanted.1.into()), "{path} {mode:o}");
        // To accept changes is not to accept what comes and goes.
        world.ok("plugin trust p");
        expect(&world, if made { "ok" } else { "accepted" }, "");
    }
    // The same of a plugin that another program installed.
    let world = world();
    fs::remove_file(world.plugins().join(".state/p.json")).unwrap();
    fs::create_dir(world.plugins().join("p/__pycache__")).unwrap();
    fs::write(world.plugins().join("p/__pycache__/a.pyc"), "x").unwrap();
    assert!(world.ok("plugin verify p").stdout.contains("Made when it ran: __pycache__/a.pyc"));
    fs::write(world.plugins().join("p/evil.py"), "x").unwrap();
    world.fails(3, "plugin verify p");
}
