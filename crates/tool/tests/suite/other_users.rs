//! What one user installs for all, as root does in an image, is listed, verified and run by another one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::support::http_server::Server;
use crate::support::{Ran, World, peers};

const NOBODY: &str = "65534";

/// Runs the program as somebody else, with a home of their own that they cannot write to.
fn as_other(world: &World, words: &str) -> Ran {
    let inner = world.command(words.split(' '));
    let mut command = Command::new("setpriv");
    command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]);
    command.arg(inner.get_program()).args(inner.get_args()).env_clear();
    command
        .envs(inner.get_envs().filter_map(|(key, value)| Some((key, value?))))
        .env("HOME", "/nonexistent")
        .current_dir("/");
    Ran::of(command.output().unwrap())
}

fn open(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn what_root_installs_for_all_is_listed_verified_and_run_by_all() {
    let mut world = World::new();
    open(world.root());
    let store = world.root().join("opt/plugins");
    world.set("TOOL_PLUGINS", store.to_str().unwrap());
    if !rustix::process::geteuid().is_root() || !peers::has("setpriv") || as_other(&world, "version").code != 0 {
        eprintln!("skipped: this needs root, `setpriv`, and a program that others may start");
        return;
    }
    world.plugin("p", "1.0.0");
    world.ok("plugin package p --sign=false");
    let package = fs::read(world.path("p-1.0.0.tgz")).unwrap();
    let server = Server::files(&[("/p-1.0.0.tgz", &package)]);
    world.ok(&format!("plugin install --verify=false {}", server.url("/p-1.0.0.tgz?token=hunter2")));
    for (words, expected) in [
        ("plugin list", "p "),
        ("plugin list", "?***"),
        ("plugin info p -o json", "\"1.0.0\""),
        ("plugin verify p", "1.0.0"),
        ("p x", "p 1.0.0 x"),
        ("plugin exec p x", "p 1.0.0 x"),
    ] {
        let ran = as_other(&world, words);
        assert!(ran.code == 0 && ran.stdout.contains(expected), "{words}: {ran:?}");
        assert!(!format!("{ran:?}").contains("hunter2"), "{words}: {ran:?}");
    }
    // They see a change, and cannot make one.
    fs::write(store.join("p/run.sh"), "#!/bin/sh\necho evil\n").unwrap();
    assert_eq!(as_other(&world, "p x").code, 3);
    assert_ne!(as_other(&world, "plugin restore p").code, 0);
    world.ok("plugin restore p");
    assert_eq!(as_other(&world, "p x").stdout, "p 1.0.0 x\n");
    // An update still knows the query, and asks with it.
    world.ok("plugin update p");
    assert!(server.requests().iter().all(|request| request.target.contains("token=hunter2")));
    assert!(server.requests().len() > 1);
    // What an earlier version kept to its user is opened by the next change.
    for dir in [".state", ".state/previous"] {
        fs::set_permissions(store.join(dir), fs::Permissions::from_mode(0o700)).unwrap();
    }
    world.ok("plugin pin p");
    assert_eq!(as_other(&world, "p x").stdout, "p 1.0.0 x\n");
    let secret = store.join(".state/private/p.json");
    assert!(fs::read_to_string(&secret).unwrap().contains("hunter2"));
    world.ok("plugin uninstall p");
    assert!(!secret.exists());
}
