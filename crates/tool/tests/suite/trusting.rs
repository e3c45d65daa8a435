//! `trust.yaml`: limits of keys, signers pinned at first use, accepted changes; `plugin trust`, `untrust`, `keyring limit`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::support::{World, repository, snapshot};

const TOUR: &str = "E73208FE0133B7C8A809E83E27415E8C12120722";
const RSA: &str = "4449EBFAE8D6765BA43875DBAA83CEB327A8536C";

fn key(name: &str) -> String {
    repository("testdata/keys").join(name).to_str().unwrap().to_owned()
}

/// A world whose own keyring has two keys.
fn world() -> World {
    let world = World::new();
    world.ok(&format!("plugin keyring add {}", key("tour.asc")));
    world.ok(&format!("plugin keyring add {}", key("rsa.asc")));
    world
}

/// Makes `<name>-<version>.tgz`, signed with `signer`.
fn package(world: &World, name: &str, version: &str, signer: &str) {
    world.plugin(name, version);
    for suffix in ["", ".prov"] {
        let _ = fs::remove_file(world.path(&format!("{name}-{version}.tgz{suffix}")));
    }
    world.ok(&format!("plugin package {name} --sign --keyring {}", key(signer)));
}

fn trust_file(world: &World) -> PathBuf {
    world.root().join("home/.config/tool/trust.yaml")
}

#[test]
fn a_signer_is_pinned_when_a_plugin_first_comes() {
    let world = world();
    package(&world, "p", "1.0.0", "tour.sec.asc");
    assert!(!trust_file(&world).exists());
    world.ok("plugin install p-1.0.0.tgz");
    let mode = fs::metadata(trust_file(&world)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o600);
    let trusted = world.ok("plugin trust -o json").json();
    assert_eq!((&trusted["pins"][0]["name"], &trusted["pins"][0]["fingerprint"]), (&"p".into(), &TOUR.into()));
    assert!(world.ok("plugin trust").stdout.contains(TOUR));

    // Another version from the same place by another signer, whatever the way.
    package(&world, "p", "2.0.0", "rsa.secret");
    let before = snapshot(&world.plugins());
    let ran = world.fails(3, "plugin install p-2.0.0.tgz --force");
    for part in [TOUR, RSA, "Tour", "rsa@example.org", "--accept-signer"] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
    assert_eq!(snapshot(&world.plugins()), before);
    // Also when it was uninstalled in between.
    world.ok("plugin uninstall p");
    world.fails(3, "plugin install p-2.0.0.tgz");
    assert!(!world.plugins().join("p").exists());
    let ran = world.ok("plugin install p-2.0.0.tgz --accept-signer");
    assert!(ran.stderr.contains(TOUR) && ran.stderr.contains("accepted"), "{}", ran.stderr);
    let trusted = world.ok("plugin trust -o json").json();
    assert_eq!(trusted["pins"].as_array().unwrap().len(), 1);
    assert_eq!(trusted["pins"][0]["fingerprint"], RSA);
    // From now on it is the other way round.
    world.ok("plugin uninstall p");
    world.fails(3, "plugin install p-1.0.0.tgz");
    let taken = world.ok("plugin untrust p");
    assert!(taken.stdout.contains(RSA), "{}", taken.stdout);
    world.ok("plugin install p-1.0.0.tgz");
}

#[test]
fn another_source_does_not_get_round_the_installed_signer() {
    let world = world();
    package(&world, "p", "1.0.0", "tour.sec.asc");
    world.ok("plugin install p-1.0.0.tgz");
    package(&world, "p", "2.0.0", "rsa.secret");
    fs::create_dir(world.path("elsewhere")).unwrap();
    for suffix in ["", ".prov"] {
        fs::rename(world.path(&format!("p-2.0.0.tgz{suffix}")), world.path(&format!("elsewhere/p-2.0.0.tgz{suffix}")))
            .unwrap();
    }
    let ran = world.fails(3, "plugin install --force elsewhere/p-2.0.0.tgz");
    assert!(ran.stderr.contains("--accept-signer"), "{}", ran.stderr);
    world.ok("plugin install --force elsewhere/p-2.0.0.tgz --accept-signer");
    assert_eq!(world.ok("plugin list -o json").json()[0]["verified"]["fingerprint"], RSA);
    // A plugin of another name is nobody's business.
    package(&world, "q", "1.0.0", "rsa.secret");
    world.ok("plugin install q-1.0.0.tgz");
}

#[test]
fn a_sync_keeps_to_the_signers() {
    let world = world();
    package(&world, "p", "1.0.0", "tour.sec.asc");
    world.ok("plugin install p-1.0.0.tgz");
    world.ok("plugin uninstall p");
    package(&world, "p", "1.0.0", "rsa.secret");
    let source = world.path("p-1.0.0.tgz");
    let lock = format!(
        "version = 1\n[[plugin]]\nname = \"p\"\nversion = \"1.0.0\"\nsource = \"{}\"\nsigner = {{fingerprint = \"{RSA}\"}}\n",
        source.display()
    );
    world.write("plugins.lock", lock);
    let ran = world.fails(3, "plugin sync");
    assert!(ran.stderr.contains(TOUR) && ran.stderr.contains(RSA), "{}", ran.stderr);
    world.ok("plugin sync --accept-signer");
}

#[test]
fn a_key_may_be_limited_to_names_and_sources() {
    let world = World::new();
    let added = world.ok(&format!("plugin keyring add {} --for-name secrets --for-name s3-*", key("tour.asc")));
    assert!(added.stdout.contains("May sign: plugins called secrets, s3-*"), "{}", added.stdout);
    package(&world, "p", "1.0.0", "tour.sec.asc");
    let ran = world.fails(3, "plugin install p-1.0.0.tgz");
    for part in ["may only sign plugins called secrets, s3-*", TOUR, "plugin keyring limit"] {
        assert!(ran.stderr.contains(part), "{}", ran.stderr);
    }
    world.fails(3, "plugin install p-1.0.0.tgz --accept-signer");
    world.fails(3, "plugin pull p-1.0.0.tgz -d out");
    assert!(!world.plugins().join("p").exists() && !world.path("out").exists());
    package(&world, "s3-get", "1.0.0", "tour.sec.asc");
    world.ok("plugin install s3-get-1.0.0.tgz");

    // Without limits, those that it has stay; `limit` says anew, or lifts them.
    world.ok(&format!("plugin keyring add {}", key("tour.asc")));
    world.fails(3, "plugin install p-1.0.0.tgz");
    let here = world.path("").canonicalize().unwrap();
    let limited = world.ok(&format!("plugin keyring limit {TOUR} --for-source file://{}/**", here.display()));
    assert!(limited.stdout.contains("May sign: plugins from file://"), "{}", limited.stdout);
    world.ok("plugin install p-1.0.0.tgz");
    world.ok("plugin uninstall p");
    world.ok("plugin keyring limit tour@example.com --for-source https://example.com/**");
    world.fails(3, "plugin install p-1.0.0.tgz");
    assert!(world.ok(&format!("plugin keyring limit {TOUR}")).stdout.contains("May sign: every plugin"));
    world.ok("plugin install p-1.0.0.tgz");
    world.fails(4, "plugin keyring limit nobody@example.com --for-name x");
    world.fails(2, &format!("plugin keyring limit {TOUR} --for-name a/b"));
    world.fails(2, &format!("plugin keyring limit {TOUR} --for-source https://h"));
    // With the key its limits go.
    world.ok(&format!("plugin keyring limit {TOUR} --for-name x"));
    world.ok(&format!("plugin keyring remove {TOUR}"));
    assert_eq!(world.ok("plugin trust -o json").json()["signers"].as_array().unwrap().len(), 0);
}

#[test]
fn s_an_accepted_change_can_be_taken_back() {
    let world = world();
    package(&world, "p", "1.0.0", "tour.sec.asc");
    world.ok("plugin install p-1.0.0.tgz");
    let script = world.plugins().join("p/run.sh");
    let original = fs::read(&script).unwrap();
    fs::write(&script, "#!/bin/sh\necho other\n").unwrap();
    fs::write(world.plugins().join("p/new.py"), "new").unwrap();
    world.fails(3, "p");
    let accepted = world.ok("plugin trust p").stdout;
    assert!(accepted.contains("`run.sh` has changed") && accepted.contains("`new.py` was added"), "{accepted}");
    assert_eq!(world.ok("p").stdout, "other\n");
    // Once more: what was installed is still known.
    fs::write(&script, "#!/bin/sh\necho third\n").unwrap();
    world.fails(3, "p");
    world.ok("plugin trust p");
    assert_eq!(world.ok("p").stdout, "third\n");
    assert!(world.ok("plugin trust").stdout.contains("run.sh was changed"));
    let verified = world.ok("plugin verify p").stdout;
    assert!(verified.contains("but for changes that you accepted: new.py, run.sh\n"), "{verified}");

    let taken = world.ok("plugin untrust p").stdout;
    assert!(taken.contains("`run.sh`") && taken.contains("`new.py`") && taken.contains(TOUR), "{taken}");
    let ran = world.fails(3, "p");
    assert!(ran.stderr.contains("`run.sh` has changed"), "{}", ran.stderr);
    world.fails(3, "plugin verify p");
    fs::write(&script, original).unwrap();
    fs::remove_file(world.plugins().join("p/new.py")).unwrap();
    world.ok("p");
    assert!(world.ok("plugin verify p").stdout.contains("all as they were installed"));
    assert!(world.ok("plugin untrust p").stderr.contains("nothing was trusted"));
    world.fails(4, "plugin untrust absent");
    world.fails(4, "plugin trust absent");
    world.fails(2, "plugin untrust");
}

#[test]
fn a_change_of_an_older_version_is_not_taken_back_from_a_newer_one() {
    let world = world();
    package(&world, "p", "1.0.0", "tour.sec.asc");
    world.ok("plugin install p-1.0.0.tgz");
    fs::write(world.plugins().join("p/run.sh"), "#!/bin/sh\necho other\n").unwrap();
    world.ok("plugin trust p");
    package(&world, "p", "2.0.0", "tour.sec.asc");
    world.ok("plugin install p-2.0.0.tgz --force");
    world.ok("plugin untrust p");
    assert_eq!(world.ok("p").stdout, "p 2.0.0\n");
    world.ok("plugin verify p");
    // With the plugin what was accepted of it goes; who signs it stays known.
    fs::write(world.plugins().join("p/run.sh"), "#!/bin/sh\necho other\n").unwrap();
    world.ok("plugin trust p");
    world.ok("plugin install --force p-2.0.0.tgz");
    world.ok("plugin uninstall p");
    let trusted = world.ok("plugin trust -o json").json();
    assert_eq!((trusted["accepted"].as_array().unwrap().len(), trusted["pins"].as_array().unwrap().len()), (0, 1));
}

#[test]
fn a_trust_file_that_cannot_be_used_stops_what_is_signed() {
    let world = world();
    package(&world, "p", "1.0.0", "tour.sec.asc");
    fs::write(trust_file(&world), "signers:\n- {fingerprint: A, name: p}\n").unwrap();
    let ran = world.fails(1, "plugin install p-1.0.0.tgz");
    assert!(ran.stderr.contains("trust.yaml:2") && ran.stderr.contains("unknown field `name`"), "{}", ran.stderr);
    fs::write(trust_file(&world), "apiVersion: v1\n").unwrap();
    fs::set_permissions(trust_file(&world), fs::Permissions::from_mode(0o666)).unwrap();
    let ran = world.fails(1, "plugin install p-1.0.0.tgz");
    assert!(ran.stderr.contains("chmod go-w"), "{}", ran.stderr);
    assert!(!world.plugins().join("p").exists());
    fs::set_permissions(trust_file(&world), fs::Permissions::from_mode(0o600)).unwrap();
    world.ok("plugin install p-1.0.0.tgz");
}

#[test]
fn nothing_is_trusted_at_first() {
    let world = World::new();
    assert!(world.ok("plugin trust").stderr.contains("no key is limited"));
    let trusted = world.ok("plugin trust -o json").json();
    assert_eq!(trusted["pins"].as_array().unwrap().len(), 0);
    world.fails(2, "plugin trust -o name");
    world.fails(4, "plugin trust p -o json");
    assert!(!trust_file(&world).exists() && !world.plugins().exists());
}

/// How an accepted change of 1.0.0 gets out of sight before a rollback brings it back.
#[test]
fn an_accepted_change_of_the_version_before_can_be_taken_back() {
    let prepare = || {
        let world = world();
        package(&world, "p", "1.0.0", "tour.sec.asc");
        package(&world, "p", "2.0.0", "tour.sec.asc");
        world.ok("plugin install p-1.0.0.tgz");
        let program = world.plugins().join("p/run.sh");
        fs::write(&program, "#!/bin/sh\necho changed\n").unwrap();
        world.ok("plugin trust p");
        world.ok("plugin install --force p-2.0.0.tgz");
        (world, program)
    };
    // Taken back while another version is there: it does not come back with that version.
    let (world, _) = prepare();
    assert!(world.ok("plugin untrust p").stdout.contains("run.sh"));
    let refused = world.fails(3, "plugin rollback p").stderr;
    assert!(refused.contains("`run.sh`") && refused.contains("plugin restore p"), "{refused}");
    world.ok("plugin restore p");
    world.ok("plugin rollback p");
    assert!(world.ok("p").stdout.starts_with("p 1.0.0"));

    // What was accepted of the other version is not what was installed of this one.
    for words in ["plugin restore p", "plugin trust p"] {
        let (world, program) = prepare();
        fs::write(&program, "#!/bin/sh\necho again\n").unwrap();
        world.ok(words);
        world.ok("plugin rollback p");
        assert_eq!(world.ok("p").stdout, "changed\n", "{words}");
        let untrusted = world.tool(["plugin", "untrust", "p"]);
        if untrusted.code != 0 {
            assert!(untrusted.stderr.contains("`tool plugin restore p`"), "{words}: {}", untrusted.stderr);
            world.ok("plugin restore p");
            assert!(world.ok("p").stdout.starts_with("p 1.0.0"), "{words}");
        }
        assert_ne!(world.tool(["p"]).stdout, "changed\n", "{words}");
    }
}
