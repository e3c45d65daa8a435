//! `plugin install` without `--force` where something of that name is there already.

use std::fs;

use crate::support::http_server::Server;
use crate::support::{World, git, repository};

fn keyring() -> String {
    format!("--keyring {}", repository("testdata/keys/tour.asc").display())
}

/// A world with a signed package of `p` 1.0.0, its directory, and the same version with other bytes in `other/`.
fn world() -> World {
    let world = World::new();
    world.plugin("p", "1.0.0");
    world.ok(&format!("plugin package p --sign --keyring {}", repository("testdata/keys/tour.sec.asc").display()));
    world.script("p/run.sh", "echo other");
    world.ok("plugin package p --sign=false -d other");
    world.plugin("p", "1.0.0");
    world
}

#[test]
fn the_same_bytes_are_fine_and_a_better_proof_is_taken_over() {
    let world = world();
    let digest = plugsmith::digest::Sha256Digest::of_file(&world.path("p-1.0.0.tgz")).unwrap().0;
    let by = || world.ok("plugin list -o json").json()[0]["verified"]["by"].as_str().unwrap().to_owned();
    for (how, proof) in [
        ("--verify=false".to_owned(), "none"),
        (format!("--digest sha256:{digest}"), "digest"),
        ("--verify=false".to_owned(), "digest"),
        (keyring(), "signature"),
        (format!("--digest sha256:{digest}"), "signature"),
        ("--verify=false".to_owned(), "signature"),
    ] {
        let ran = world.ok(&format!("plugin install p-1.0.0.tgz {how}"));
        assert_eq!(by(), proof, "{how}");
        assert_eq!(ran.stderr.contains("already installed"), proof != "none", "{how}: {}", ran.stderr);
    }
    world.ok(&format!("plugin verify p {}", keyring()));
    assert!(world.plugins().join("p-1.0.0.tgz.prov").exists());
}

#[test]
fn anything_else_of_that_version_is_shown_and_force_replaces_it() {
    let signed = || format!("plugin install p-1.0.0.tgz {}", keyring());
    let by_hand = |world: &World| {
        fs::create_dir_all(world.plugins()).unwrap();
        let copied = std::process::Command::new("cp").arg("-r").arg(world.path("p")).arg(world.plugins()).status();
        assert!(copied.unwrap().success());
    };
    let broken = |world: &World| {
        fs::create_dir_all(world.plugins().join("p")).unwrap();
        fs::write(world.plugins().join("p/plugin.yaml"), "name: [").unwrap();
    };
    let dangling = |world: &World| {
        fs::create_dir_all(world.plugins()).unwrap();
        std::os::unix::fs::symlink("/nowhere", world.plugins().join("p")).unwrap();
    };
    let file = |world: &World| {
        fs::create_dir_all(world.plugins()).unwrap();
        fs::write(world.plugins().join("p"), "").unwrap();
    };
    let cases: &[(&str, &dyn Fn(&World), &str)] = &[
        ("other bytes", &|w| drop(w.ok("plugin install --verify=false other/p-1.0.0.tgz")), "(sha256:"),
        ("a link", &|w| drop(w.ok("plugin install p")), "a link to "),
        ("a copy", &|w| drop(w.ok("plugin install --copy p")), "a copy of "),
        ("by hand", &by_hand, "copied in by hand"),
        ("a broken one", &broken, "an unknown version"),
        ("a dangling link", &dangling, "a symbolic link that points nowhere"),
        ("a file", &file, "a file"),
    ];
    for (what, before, shown) in cases {
        let world = world();
        before(&world);
        let state = world.snapshot(&world.plugins());
        let ran = world.fails(1, &signed());
        assert!(ran.stderr.contains(shown) && ran.stderr.contains("`--force`"), "{what}: {}", ran.stderr);
        assert!(!ran.stderr.contains("plugin update"), "{what}: {}", ran.stderr);
        let after = world.snapshot(&world.plugins());
        assert!(state.iter().all(|(path, content)| after.get(path) == Some(content)), "{what}");
        world.ok(&format!("{} --force", signed()));
        assert_eq!(world.ok("p x").stdout, "p 1.0.0 x\n", "{what}");
    }
}

#[test]
fn another_origin_of_the_same_bytes_is_not_the_same() {
    let world = world();
    let package = fs::read(world.path("p-1.0.0.tgz")).unwrap();
    let serve = || Server::files(&[("/p-1.0.0.tgz", &package), ("/latest/p.tgz", &package)]);
    let (one, other) = (serve(), serve());
    world.ok(&format!("plugin install --verify=false {}", one.url("/p-1.0.0.tgz")));
    world.ok(&format!("plugin install --verify=false {}", one.url("/latest/p.tgz")));
    let ran = world.fails(1, &format!("plugin install --verify=false {}", other.url("/p-1.0.0.tgz")));
    assert!(
        ran.stderr.contains(&one.url("/p-1.0.0.tgz")) && ran.stderr.contains(&other.url("/p-1.0.0.tgz")),
        "{}",
        ran.stderr
    );
    // The file itself is no other origin.
    world.ok("plugin install --verify=false p-1.0.0.tgz");
    // Two repositories with the same files.
    let world = World::new();
    for dir in ["a", "b"] {
        world.plugin("p", "1.0.0");
        fs::rename(world.path("p"), world.path(dir)).unwrap();
        git(&world.path(dir), &["init", "-q"]);
        git(&world.path(dir), &["add", "."]);
        git(&world.path(dir), &["commit", "-q", "-m", dir]);
    }
    let source = |dir: &str| format!("plugin install --verify=false git+file://{}", world.path(dir).display());
    world.ok(&source("a"));
    world.ok(&source("a"));
    world.fails(1, &source("b"));
}

#[test]
fn changed_files_are_not_called_installed() {
    let world = world();
    world.ok(&format!("plugin install p-1.0.0.tgz {}", keyring()));
    fs::write(world.plugins().join("p/run.sh"), "evil").unwrap();
    let ran = world.fails(1, &format!("plugin install p-1.0.0.tgz {}", keyring()));
    assert!(ran.stderr.contains("`tool plugin restore p`"), "{}", ran.stderr);
    world.ok("plugin restore p");
    world.ok(&format!("plugin install p-1.0.0.tgz {}", keyring()));
}

#[test]
fn update_is_named_only_where_it_goes_that_way() {
    let world = World::new();
    let dir = world.path("repo");
    for version in ["1.0.0", "2.0.0"] {
        world.plugin("p", version);
        world.ok("plugin package p --sign=false");
        if version == "1.0.0" {
            fs::rename(world.path("p"), &dir).unwrap();
            git(&dir, &["init", "-q"]);
        } else {
            for file in ["plugin.yaml", "run.sh"] {
                fs::copy(world.path("p").join(file), dir.join(file)).unwrap();
            }
        }
        git(&dir, &["add", "."]);
        git(&dir, &["commit", "-q", "-m", version]);
        git(&dir, &["tag", version]);
    }
    let repository = format!("git+file://{}", dir.display());
    world.ok(&format!("plugin install --verify=false {repository} --version ^1"));
    let ran = world.fails(1, &format!("plugin install --verify=false {repository}"));
    assert!(ran.stderr.contains("`tool plugin update p --to 2.0.0`"), "{}", ran.stderr);
    world.ok("plugin update p --to 2.0.0");
    let ran = world.fails(1, &format!("plugin install --verify=false {repository} --version 1.0.0"));
    assert!(ran.stderr.contains("`tool plugin update p --to 1.0.0`"), "{}", ran.stderr);
    world.ok("plugin update p --to 1.0.0");
    world.ok("plugin uninstall p");

    // One file has one version: update asks there again, and never goes back.
    world.ok("plugin install --verify=false p-2.0.0.tgz");
    let ran = world.fails(1, "plugin install --verify=false p-1.0.0.tgz");
    assert!(!ran.stderr.contains("update") && ran.stderr.contains("`--force`"), "{}", ran.stderr);
    world.ok("plugin install --force --verify=false p-1.0.0.tgz");
    let ran = world.fails(1, "plugin install --verify=false p-2.0.0.tgz");
    assert!(ran.stderr.contains("looks for a newer one at") && ran.stderr.contains("`--force`"), "{}", ran.stderr);
}
