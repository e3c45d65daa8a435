//! `plugin update`, `outdated`, `pin`, `unpin`, `rollback` (case I5).

use std::fs;
use std::sync::{Arc, Mutex};

use plugsmith::digest::Sha256Digest;

use crate::support::http_server::{Server, answer};
use crate::support::{World, git, repository, snapshot};

/// A world whose keyring has the tour's key and another one.
fn world() -> World {
    let mut world = World::new();
    let keys = ["tour.asc", "rsa.asc"].map(|name| repository("testdata/keys").join(name).to_str().unwrap().to_owned());
    world.set("TOOL_KEYRING", keys.join(":"));
    world
}

/// Makes `p.tgz` and its provenance: the plugin `p` in `version`, signed by the tour's key.
fn package(world: &World, version: &str) {
    package_with(world, version, "", "tour.sec.asc");
}

/// The same with more lines in the manifest, and another key.
fn package_with(world: &World, version: &str, more: &str, key: &str) {
    world.plugin("p", version);
    let manifest = fs::read_to_string(world.path("p/plugin.yaml")).unwrap();
    world.write("p/plugin.yaml", manifest + more);
    world.ok(&format!("plugin package p --sign --keyring {}", repository("testdata/keys").join(key).display()));
    for suffix in ["", ".prov"] {
        fs::rename(world.path(&format!("p-{version}.tgz{suffix}")), world.path(&format!("p.tgz{suffix}"))).unwrap();
    }
}

fn receipt(world: &World) -> serde_json::Value {
    let text = fs::read_to_string(world.plugins().join(".state/p.json")).unwrap();
    serde_json::from_str::<serde_json::Value>(&text).unwrap()["current"].clone()
}

/// What `outdated` found of the plugin `name`: installed, wanted, latest, held, problem.
fn found(world: &World, name: &str) -> String {
    let rows = world.ok("plugin outdated -o json").json();
    let row = rows.as_array().unwrap().iter().find(|row| row["name"] == name).unwrap();
    let keys: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys.len(), 7, "{keys:?}");
    let text = |key: &str| row[key].as_str().unwrap_or("-").to_owned();
    ["installed", "wanted", "latest", "held", "problem"].map(text).join(" ")
}

#[test]
fn outdated_says_of_every_plugin_what_it_looked_at() {
    let world = world();
    let none = world.ok("plugin outdated --exit-code");
    assert!(none.stderr.contains("no plugins are installed") && none.stdout.is_empty(), "{}", none.stderr);
    // Packages of `moving`, `named` and `back`, the last of which goes back from its newest version.
    let pack = |name: &str, version: &str, to: &str| {
        world.plugin(name, version);
        world.ok(&format!("plugin package {name} --sign=false"));
        let made = format!("{name}-{version}.tgz");
        if made != to {
            fs::rename(world.path(&made), world.path(to)).unwrap();
        }
    };
    pack("moving", "1.0.0", "moving.tgz");
    pack("named", "1.0.0", "named-1.0.0.tgz");
    pack("back", "1.0.0", "back.tgz");
    world.ok("plugin install moving.tgz named-1.0.0.tgz back.tgz --verify=false");
    pack("back", "1.1.0", "back.tgz");
    world.ok("plugin update back");
    world.ok("plugin rollback back");
    pack("web", "1.0.0", "web.tgz");
    let server = Server::files(&[("/v1.0.0/web.tgz", &fs::read(world.path("web.tgz")).unwrap())]);
    world.ok(&format!("plugin install {} --verify=false", server.url("/v1.0.0/web.tgz?token=1.0.0")));
    let repository = world.plugin("tagged", "1.0.0");
    git(&repository, &["init", "--quiet"]);
    for version in ["1.0.0", "1.1.0"] {
        world.plugin("tagged", version);
        git(&repository, &["add", "--all"]);
        git(&repository, &["commit", "--quiet", "--message", version]);
        git(&repository, &["tag", &format!("v{version}")]);
    }
    world.ok(&format!("plugin install git+file://{} --version v1.0.0 --verify=false", repository.display()));
    world.plugin("copied", "1.0.0");
    world.ok("plugin install copied --copy");
    world.plugin("linked", "1.0.0");
    world.ok("plugin install linked");
    let by_hand = world.plugins().join("by-hand");
    fs::create_dir_all(&by_hand).unwrap();
    fs::write(by_hand.join("plugin.yaml"), "name: by-hand\nversion: 1.0.0\ncommand: echo\n").unwrap();

    for (name, expected) in [
        ("back", "1.0.0 1.0.0 1.1.0 rollback -"),
        ("copied", "1.0.0 1.0.0 1.0.0 - -"),
        ("moving", "1.0.0 1.0.0 1.0.0 - -"),
        ("named", "1.0.0 1.0.0 - exact URL -"),
        ("tagged", "1.0.0 1.0.0 1.1.0 exact version -"),
        ("web", "1.0.0 1.0.0 - exact URL -"),
    ] {
        assert_eq!(found(&world, name), expected, "{name}");
    }
    assert!(found(&world, "linked").starts_with("1.0.0 - - - is a link"));
    assert!(found(&world, "by-hand").starts_with("1.0.0 - - - has no receipt"));
    let ran = world.ok("plugin outdated --exit-code");
    assert!(ran.stdout.starts_with("NAME    INSTALLED  WANTED  LATEST  HELD           SOURCE\n"), "{}", ran.stdout);
    assert_eq!(ran.stdout.lines().count(), 7, "{}", ran.stdout);
    for part in ["linked is not looked at", "by-hand is not looked at", "2 of these 6 are up to date"] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
    assert!(world.ok("plugin outdated -o name").stdout.is_empty());
    // Among all, what the user went back from is not taken again; something newer is, and so is what is named.
    let all = world.ok("plugin update --all");
    assert!(all.stdout.is_empty() && all.stderr.contains("you went back from 1.1.0"), "{}{}", all.stdout, all.stderr);
    assert!(world.ok("plugin update back --dry-run").stdout.contains("1.1.0"));
    pack("back", "1.2.0", "back.tgz");
    assert_eq!(found(&world, "back"), "1.0.0 1.2.0 1.2.0 - -");
    let ran = world.fails(10, "plugin outdated --exit-code");
    assert!(ran.stdout.contains("1.2.0"), "{}", ran.stdout);
    assert_eq!(world.ok("plugin outdated -o name").stdout, "back\n");
    world.ok("plugin update --all");
    assert_eq!(world.ok("back").stdout, "back 1.2.0\n");
    // What fails is told, and its row says so; it makes the exit code.
    drop(server);
    let ran = world.tool(["plugin", "outdated", "--exit-code", "-o", "json"]);
    assert!(ran.code != 0 && ran.code != 10, "{}", ran.stderr);
    let rows = ran.json();
    let web = rows.as_array().unwrap().iter().find(|row| row["name"] == "web").unwrap();
    assert!(web["problem"].as_str().unwrap().contains("web") && web["wanted"].is_null(), "{web}");
    assert_eq!((&web["installed"], &web["held"]), (&"1.0.0".into(), &().into()));
    world.fails(4, "plugin outdated nothere");
}

#[test]
fn i5_a_local_package_is_updated_and_had_back() {
    let world = world();
    package(&world, "1.0.0");
    world.ok("plugin install p.tgz");
    let ran = world.ok("plugin update p");
    assert!(ran.stdout.is_empty() && ran.stderr.contains("p 1.0.0 is up to date"), "{}{}", ran.stdout, ran.stderr);
    assert!(world.ok("plugin outdated").stderr.contains("it is up to date"));
    let first = receipt(&world);

    package(&world, "1.1.0");
    let before = snapshot(&world.plugins());
    let outdated = world.ok("plugin outdated -o json").json();
    assert_eq!((&outdated[0]["name"], &outdated[0]["installed"]), (&"p".into(), &"1.0.0".into()), "{outdated}");
    assert_eq!((&outdated[0]["wanted"], &outdated[0]["held"]), (&"1.1.0".into(), &().into()));
    assert_eq!(world.ok("plugin outdated -o name").stdout, "p\n");
    assert!(world.ok("plugin outdated").stdout.contains("1.1.0"));
    let ran = world.ok("plugin update --dry-run p");
    assert!(ran.stdout.contains("1.0.0") && ran.stdout.contains("1.1.0"), "{}", ran.stdout);
    assert_eq!(snapshot(&world.plugins()), before, "looking changes nothing");

    for alias in ["update", "up", "upgrade"] {
        world.ok(&format!("plugin {alias} p"));
    }
    assert_eq!(world.ok("p").stdout, "p 1.1.0\n");
    let second = receipt(&world);
    assert_eq!(second["installedAt"], first["installedAt"]);
    assert_eq!(second["verified"]["by"], "signature");
    world.ok("plugin verify p");

    assert!(world.ok("plugin rollback p").stdout.contains("1.0.0"));
    assert_eq!(world.ok("p").stdout, "p 1.0.0\n");
    world.ok("plugin verify p");
    world.ok("plugin rollback p");
    assert_eq!(world.ok("p").stdout, "p 1.1.0\n");
}

#[test]
fn what_cannot_be_updated_says_so() {
    let world = world();
    world.fails(4, "plugin update p");
    world.fails(4, "plugin rollback p");
    world.fails(4, "plugin pin p");
    world.fails(4, "plugin outdated p");
    assert!(
        world.fails(2, "plugin update").stderr.contains("no plugin is named\nhint: name those to update, or give `--all`")
    );
    world.fails(2, "plugin update p --all");
    world.fails(2, "plugin update --all --to 1.0.0");
    world.fails(2, "plugin update p q --to 1.0.0");
    world.ok("plugin update --all");
    assert!(!world.plugins().exists(), "a wrong name makes no store");

    world.plugin("linked", "1.0.0");
    world.ok("plugin install linked");
    let by_hand = world.plugins().join("by-hand");
    fs::create_dir_all(&by_hand).unwrap();
    fs::write(by_hand.join("plugin.yaml"), "name: by-hand\nversion: 1.0.0\ncommand: echo\n").unwrap();
    let ran = world.fails(1, "plugin update by-hand");
    assert!(ran.stderr.contains("receipt") && ran.stderr.contains("--force"), "{}", ran.stderr);
    world.fails(1, "plugin pin by-hand");
    assert!(world.ok("plugin update linked").stderr.contains("link"));
    let ran = world.ok("plugin update --all");
    assert!(ran.stderr.contains("by-hand 1.0.0 has no receipt") && ran.stderr.contains("linked"), "{}", ran.stderr);
    world.ok("plugin outdated");
    let ran = world.fails(1, "plugin rollback linked");
    assert!(ran.stderr.contains("no version"), "{}", ran.stderr);
}

#[test]
fn a_pinned_plugin_stays() {
    let world = world();
    package(&world, "1.0.0");
    world.ok("plugin install p.tgz --version ~1");
    assert!(world.ok("plugin pin p").stdout.contains("Pinned p"));
    assert!(world.ok("plugin pin p").stderr.contains("already"));
    assert_eq!(world.ok("plugin list -o json").json()[0]["pinned"], true);
    package(&world, "1.1.0");
    let ran = world.fails(1, "plugin update p");
    assert!(ran.stderr.contains("tool plugin unpin p"), "{}", ran.stderr);
    assert!(world.ok("plugin update --all").stderr.contains("pinned"));
    assert_eq!(found(&world, "p"), "1.0.0 1.0.0 1.1.0 pin -");
    world.ok("plugin outdated --exit-code");
    assert_eq!(world.ok("p").stdout, "p 1.0.0\n");
    // By force it is another version, and still pinned.
    world.ok("plugin install p.tgz --force");
    let kept = receipt(&world);
    assert_eq!((&kept["pinned"], &kept["constraint"]), (&true.into(), &"~1".into()));
    world.ok("plugin rollback p");
    assert_eq!(receipt(&world)["pinned"], true);
    world.ok("plugin unpin p");
    assert!(world.ok("plugin update p").stdout.contains("1.1.0"));
    let kept = receipt(&world);
    assert_eq!((&kept["pinned"], &kept["constraint"]), (&false.into(), &"~1".into()));
}

#[test]
fn another_signer_is_refused_unless_accepted() {
    let world = world();
    package(&world, "1.0.0");
    world.ok("plugin install p.tgz");
    package_with(&world, "1.1.0", "", "rsa.secret");
    let before = snapshot(&world.plugins().join("p"));
    let ran = world.fails(3, "plugin update p");
    let fingerprint = receipt(&world)["verified"]["fingerprint"].as_str().unwrap().to_owned();
    assert!(ran.stderr.contains(&fingerprint) && ran.stderr.contains("Tour"), "{}", ran.stderr);
    assert!(ran.stderr.contains("--accept-signer"), "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("signed by").count(), 2, "both are shown: {}", ran.stderr);
    world.fails(3, "plugin update --all");
    assert_eq!(snapshot(&world.plugins().join("p")), before);
    let ran = world.ok("plugin update p --accept-signer");
    assert!(ran.stderr.contains(&fingerprint), "both are shown: {}", ran.stderr);
    assert_ne!(receipt(&world)["verified"]["fingerprint"], fingerprint.as_str());
    // Whoever goes back takes that back: the next version is to be signed as the one that is there.
    world.ok("plugin rollback p");
    world.fails(3, "plugin update p");
    package(&world, "1.1.5");
    world.ok("plugin update p");

    // Unsigned is no signer at all, and changed bytes are nobody's.
    package(&world, "1.2.0");
    fs::remove_file(world.path("p.tgz.prov")).unwrap();
    let ran = world.fails(3, "plugin update p");
    assert!(ran.stderr.contains("p.tgz.prov"), "{}", ran.stderr);
    world.write("config", "");
    let config = world.root().join("home/.config/tool/config.yaml");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    fs::write(&config, "verify: false\n").unwrap();
    world.fails(3, "plugin update p");
    let ran = world.ok("plugin update p --verify=false");
    assert!(ran.stderr.contains("warning") && ran.stderr.contains("not verified"), "{}", ran.stderr);
}

#[test]
fn what_was_installed_by_digest_needs_a_new_digest_or_a_provenance() {
    let world = world();
    package(&world, "1.0.0");
    let digest = || Sha256Digest::of_file(&world.path("p.tgz")).unwrap().0;
    fs::remove_file(world.path("p.tgz.prov")).unwrap();
    world.ok(&format!("plugin install p.tgz --digest sha256:{}", digest()));
    world.ok("plugin update p");
    package(&world, "1.1.0");
    fs::rename(world.path("p.tgz.prov"), world.path("away")).unwrap();
    let ran = world.fails(3, "plugin update p");
    assert!(ran.stderr.contains("--digest sha256:") && ran.stderr.contains("p.tgz.prov"), "{}", ran.stderr);
    world.fails(3, &format!("plugin update p --digest sha256:{}", "0".repeat(64)));
    world.ok(&format!("plugin update p --digest sha256:{}", digest()));
    assert_eq!(receipt(&world)["verified"]["by"], "digest");
    world.ok("plugin rollback p");
    fs::rename(world.path("away"), world.path("p.tgz.prov")).unwrap();
    world.ok("plugin update p");
    assert_eq!(receipt(&world)["verified"]["by"], "signature");
}

#[test]
fn what_was_not_verified_is_not_verified_again() {
    let world = world();
    package(&world, "1.0.0");
    world.ok("plugin install p.tgz --verify=false");
    package(&world, "1.1.0");
    fs::remove_file(world.path("p.tgz.prov")).unwrap();
    let ran = world.ok("plugin update p");
    assert!(ran.stderr.contains("warning"), "{}", ran.stderr);
    package(&world, "1.2.0");
    world.ok("plugin update p --verify");
    assert_eq!(receipt(&world)["verified"]["by"], "signature");
}

#[test]
fn an_older_version_comes_only_when_asked_for() {
    let world = world();
    package(&world, "2.0.0");
    world.ok("plugin install p.tgz");
    package(&world, "1.0.0");
    assert_eq!(found(&world, "p"), "2.0.0 2.0.0 1.0.0 - -");
    let ran = world.fails(1, "plugin update p");
    assert!(ran.stderr.contains("older") && ran.stderr.contains("--to 1.0.0"), "{}", ran.stderr);
    assert_eq!(world.ok("p").stdout, "p 2.0.0\n");
    world.fails(1, "plugin update p --to 1.5.0");
    world.ok("plugin update p --to 1.0.0");
    assert_eq!(world.ok("p").stdout, "p 1.0.0\n");
    // Also where the source has what is installed: it is not what was asked for.
    let ran = world.fails(1, "plugin update p --to 9.9.9");
    assert!(ran.stderr.contains("9.9.9") && ran.stderr.contains("1.0.0"), "{}", ran.stderr);
    world.ok("plugin update p --to ~1");
}

#[test]
fn ranges_and_pre_releases() {
    let world = world();
    package(&world, "1.0.0");
    world.ok("plugin install p.tgz --version ~1.0");
    package(&world, "1.1.0");
    let ran = world.ok("plugin update p");
    assert!(ran.stderr.contains("1.1.0") && ran.stderr.contains("~1.0"), "{}", ran.stderr);
    assert_eq!(found(&world, "p"), "1.0.0 1.0.0 1.1.0 - -");
    world.ok("plugin update p --to 1.1.0");
    assert_eq!(receipt(&world)["constraint"], "1.1.0");
    package(&world, "1.2.0");
    let ran = world.ok("plugin update p");
    assert!(ran.stderr.contains("exactly `1.1.0`"), "{}", ran.stderr);
    world.ok("plugin update p --to ~1");
    package(&world, "1.3.0-rc.1");
    assert!(world.ok("plugin update p").stdout.is_empty());
    world.ok("plugin update p --pre");
    assert_eq!(world.ok("p").stdout, "p 1.3.0-rc.1\n");
    package(&world, "1.3.0");
    world.ok("plugin update p");
    assert_eq!(receipt(&world)["constraint"], "~1");
}

#[test]
fn the_update_hook_runs_after_the_change_and_a_failing_one_brings_the_old_version_back() {
    let world = world();
    package(&world, "1.0.0");
    world.ok("plugin install p.tgz");
    let hooks = |code: u8| {
        format!(
            "hooks:\n  install: echo wrong hook; exit 9\n  update: cat $TOOL_PLUGIN_DIR/plugin.yaml; touch $TOOL_PLUGIN_DIR/made; exit {code}\n"
        )
    };
    package_with(&world, "1.1.0", &hooks(7), "tour.sec.asc");
    let before = snapshot(&world.plugins().join("p"));
    let ran = world.fails(1, "plugin update p");
    assert!(ran.stderr.contains('7') && ran.stderr.contains("--no-hooks"), "{}", ran.stderr);
    assert!(format!("{}{}", ran.stdout, ran.stderr).contains("version: 1.1.0"), "its own files are there");
    assert_eq!(snapshot(&world.plugins().join("p")), before);
    assert_eq!(world.ok("p").stdout, "p 1.0.0\n");
    world.ok("plugin update p --no-hooks");
    world.ok("plugin rollback p");
    package_with(&world, "1.2.0", &hooks(0), "tour.sec.asc");
    world.ok("plugin update p");
    assert!(world.plugins().join("p/made").is_file());
    assert_eq!(world.ok("p").stdout, "p 1.2.0\n");
    // What its own hook changed does not stand in the way of the next one.
    package(&world, "1.3.0");
    world.ok("plugin update p");
    assert!(!world.plugins().join("p/made").exists());
    world.ok("plugin verify p");
}

#[test]
fn another_plugin_under_the_same_source_is_refused() {
    let world = world();
    package(&world, "1.0.0");
    world.ok("plugin install p.tgz");
    world.plugin("q", "2.0.0");
    world.ok(&format!("plugin package q --sign --keyring {}", repository("testdata/keys/tour.sec.asc").display()));
    fs::rename(world.path("q-2.0.0.tgz"), world.path("p.tgz")).unwrap();
    fs::rename(world.path("q-2.0.0.tgz.prov"), world.path("p.tgz.prov")).unwrap();
    let ran = world.fails(1, "plugin update p");
    assert!(ran.stderr.contains("`q`"), "{}", ran.stderr);
    fs::remove_file(world.path("p.tgz")).unwrap();
    let ran = world.fails(4, "plugin update p");
    assert!(ran.stderr.contains("p.tgz") && ran.stderr.contains("1.0.0 stays"), "{}", ran.stderr);
    assert_eq!(world.ok("p").stdout, "p 1.0.0\n");
}

#[test]
fn i5_a_copied_directory_is_updated() {
    let world = world();
    let dir = world.plugin("p", "1.0.0");
    world.write("p/.git/HEAD", "x");
    world.ok("plugin install p --copy");
    assert!(world.ok("plugin update p").stderr.contains("up to date"));
    world.plugin("p", "1.1.0");
    assert_eq!(found(&world, "p"), "1.0.0 1.1.0 1.1.0 - -");
    assert!(world.ok("plugin update p --dry-run").stdout.contains("1.1.0"));
    world.ok("plugin update p");
    assert_eq!(world.ok("p").stdout, "p 1.1.0\n");
    world.write("p/run.sh", "#!/bin/sh\necho changed\n");
    world.ok("plugin update p");
    assert_eq!(world.ok("p").stdout, "changed\n");
    world.plugin("p", "1.0.0");
    world.fails(1, "plugin update p");
    fs::remove_dir_all(dir).unwrap();
    world.fails(4, "plugin update p");
}

#[test]
fn i5_a_package_on_a_web_server_is_updated() {
    let world = world();
    package(&world, "1.0.0");
    let files = Arc::new(Mutex::new((Vec::new(), Vec::new())));
    let publish = || {
        let read = |name: &str| fs::read(world.path(name)).unwrap();
        *files.lock().unwrap() = (read("p.tgz"), read("p.tgz.prov"));
    };
    publish();
    let served = files.clone();
    let server = Server::start(move |request, to| {
        let (package, provenance) = served.lock().unwrap().clone();
        match request.target.as_str() {
            "/p.tgz?token=hunter2" => answer(to, "200 OK", &[], &package),
            "/p.tgz.prov?token=hunter2" => answer(to, "200 OK", &[], &provenance),
            _ => answer(to, "404 x", &[], b""),
        }
    });
    world.ok(&format!("plugin install {}", server.url("/p.tgz?token=hunter2")));
    assert!(world.ok("plugin update p").stderr.contains("up to date"));
    package(&world, "1.1.0");
    publish();
    let outdated = world.ok("plugin outdated -o json");
    assert_eq!(outdated.json()[0]["wanted"], "1.1.0");
    let ran = world.ok("plugin update --all");
    assert_eq!(world.ok("p").stdout, "p 1.1.0\n");
    for ran in [outdated, ran] {
        assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("hunter2"), "{}{}", ran.stdout, ran.stderr);
    }
    files.lock().unwrap().0.truncate(100);
    world.fails(3, "plugin update p");
    drop(server);
    let ran = world.fails(5, "plugin update p");
    assert!(ran.stderr.contains("1.1.0 stays"), "{}", ran.stderr);
    assert_eq!(world.ok("p").stdout, "p 1.1.0\n");
    world.fails(5, "plugin outdated");
}

#[test]
fn i5_o_a_registry_is_asked_for_the_range() {
    let world = world();
    let files = Arc::new(Mutex::new(Vec::<(String, Vec<u8>)>::new()));
    let served = files.clone();
    let server = Server::start(move |request, to| {
        let path = request.target.split('?').next().unwrap_or_default();
        match served.lock().unwrap().iter().rev().find(|(own, _)| own == path) {
            Some((_, body)) => answer(to, "200 OK", &[], body),
            None => answer(to, "404 x", &[], b""),
        }
    });
    let mut tags = Vec::new();
    let mut push_as = |version: &str, packed: &str| {
        package(&world, packed);
        let read = |suffix: &str| fs::read(world.path(&format!("p.tgz{suffix}"))).unwrap();
        let layers = [("", read("")), (".prov", read(".prov"))].map(|(suffix, bytes)| {
            let digest = format!("sha256:{}", Sha256Digest::of(&bytes));
            let layer = serde_json::json!({
                "digest": digest,
                "size": bytes.len(),
                "annotations": {"org.opencontainers.image.title": format!("p-{version}.tgz{suffix}")},
            });
            files.lock().unwrap().push((format!("/v2/t/p/blobs/{digest}"), bytes));
            layer
        });
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "artifactType": "application/vnd.helm.plugin.v1+json",
            "layers": layers,
        });
        let manifest = manifest.to_string().into_bytes();
        tags.push(version.to_owned());
        let mut files = files.lock().unwrap();
        files.push((format!("/v2/t/p/manifests/sha256:{}", Sha256Digest::of(&manifest)), manifest.clone()));
        files.push((format!("/v2/t/p/manifests/{version}"), manifest));
        files.push(("/v2/t/p/tags/list".to_owned(), serde_json::json!({"tags": tags}).to_string().into_bytes()));
    };
    push_as("1.0.0", "1.0.0");
    let reference = format!("oci://{}/t/p", server.url("").trim_start_matches("http://"));
    world.ok(&format!("plugin install {reference} --version ~1 --plain-http"));
    // How the server is reached had to be said once: the receipt remembers it.
    assert!(world.ok("plugin update p").stderr.contains("up to date"));
    push_as("1.1.0", "1.1.0");
    push_as("2.0.0", "2.0.0");
    assert_eq!(found(&world, "p"), "1.0.0 1.1.0 2.0.0 - -");
    world.ok("plugin update --all");
    assert_eq!(world.ok("p").stdout, "p 1.1.0\n");
    assert_eq!(receipt(&world)["verified"]["by"], "signature");

    world.ok(&format!("plugin install {reference}:1.0.0 --plain-http --force"));
    let ran = world.ok("plugin update p");
    assert!(ran.stderr.contains("exactly `1.0.0`"), "{}", ran.stderr);
    assert_eq!(found(&world, "p"), "1.0.0 1.0.0 2.0.0 exact version -");
    world.ok("plugin update p --to 2.0.0");
    assert_eq!(receipt(&world)["network"], serde_json::json!({"plainHttp": true}));
    assert_eq!(world.ok("p").stdout, "p 2.0.0\n");
    assert_eq!(receipt(&world)["source"]["asked"], format!("{reference}:2.0.0"));

    // A lock file names the manifest, whatever becomes of its tag.
    world.ok("plugin lock");
    push_as("2.0.0", "2.0.0");
    files.lock().unwrap().retain(|(path, _)| !path.contains("/tags/"));
    fs::write(world.plugins().join("p/run.sh"), "#!/bin/sh\n").unwrap();
    world.ok("plugin sync --frozen");
    assert_eq!(receipt(&world)["network"], serde_json::json!({"plainHttp": true}));
    // With the receipt that goes.
    world.ok("plugin uninstall p");
    world.ok("plugin sync --frozen --plain-http");
    assert_eq!(world.ok("p").stdout, "p 2.0.0\n");

    // An old version, signed well, that is passed off as a new one.
    push_as("9.0.0", "1.0.0");
    let ran = world.fails(3, &format!("plugin install {reference}:9.0.0 --plain-http --force"));
    assert!(ran.stderr.contains("calls the package `p-9.0.0.tgz`, but it is p 1.0.0"), "{}", ran.stderr);
}

#[test]
fn i5_v_a_repository_moves_with_its_range_and_not_with_a_tag() {
    let world = world();
    let plugin = world.plugin("p", "1.0.0");
    let git = |arguments: &[&str]| git(&plugin, arguments);
    let release = |version: &str, annotated: bool| {
        world.plugin("p", version);
        git(&["add", "--all"]);
        git(&["commit", "--quiet", "--message", version]);
        let tag = format!("v{version}");
        if annotated {
            git(&["tag", "-a", "-m", "x", &tag]);
        } else {
            git(&["tag", &tag]);
        }
        git(&["rev-parse", "HEAD"])
    };
    git(&["init", "--quiet", "--initial-branch=main"]);
    let first = release("1.0.0", true);
    let url = format!("git+file://{}", plugin.display());

    world.ok(&format!("plugin install {url} --version ~1 --verify=false"));
    assert!(world.ok("plugin update p").stderr.contains("up to date"), "an annotated tag is its commit");
    release("1.1.0", false);
    release("2.0.0", false);
    release("2.1.0-rc.1", false);
    assert_eq!(found(&world, "p"), "1.0.0 1.1.0 2.0.0 - -");
    world.ok("plugin update p");
    assert_eq!(world.ok("p").stdout, "p 1.1.0\n");
    world.ok("plugin update p --to 2.0.0");
    assert_eq!(world.ok("p").stdout, "p 2.0.0\n");
    assert!(world.ok("plugin update p").stderr.contains("exactly `2.0.0`"));
    let ran = world.fails(4, "plugin update p --to 7.0.0");
    assert!(ran.stderr.contains("v2.0.0"), "the nearest are named: {}", ran.stderr);

    for exact in ["v1.0.0", first.as_str()] {
        world.ok(&format!("plugin install {url} --version {exact} --verify=false --force"));
        assert!(world.ok("plugin update --all").stdout.is_empty(), "{exact}");
        assert_eq!(found(&world, "p"), "1.0.0 1.0.0 2.0.0 exact version -", "{exact}");
        assert_eq!(world.ok("p").stdout, "p 1.0.0\n");
    }
    world.ok(&format!("plugin install {url} --verify=false --force"));
    world.ok("plugin update p --pre");
    assert_eq!(world.ok("p").stdout, "p 2.1.0-rc.1\n");
    assert!(world.ok("plugin update p").stderr.contains("up to date"), "ahead of the releases");

    world.ok(&format!("plugin install {url} --version main --verify=false --force"));
    world.write("p/run.sh", "#!/bin/sh\necho moved\n");
    git(&["commit", "--quiet", "--all", "--message", "x"]);
    let commit = git(&["rev-parse", "HEAD"]);
    assert_eq!(found(&world, "p"), format!("2.1.0-rc.1 {} 2.0.0 - -", &commit[..12]));
    world.ok("plugin update p");
    assert_eq!(world.ok("p").stdout, "moved\n");
    // Also without a new version the one before can be had back, and forth.
    for said in ["p 2.1.0-rc.1\n", "moved\n"] {
        world.ok("plugin rollback p");
        assert_eq!(world.ok("p").stdout, said);
        world.ok("plugin verify p");
    }
    // Unsigned tags are as untrusted as ever where the user asks.
    world.fails(3, "plugin update p --verify --to v1.0.0");
}
