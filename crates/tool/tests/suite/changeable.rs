//! Files that decide about trust, where everybody may change them (case S): each is refused with the command that mends it.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{World, repository};

/// A world in which the signed plugin `p` 2.0.0 is installed over 1.0.0, with every file that decides about trust.
fn world() -> World {
    let mut world = World::new();
    let keys = repository("testdata/keys");
    let config = config(&world);
    fs::create_dir_all(config.join("keyring")).unwrap();
    fs::copy(keys.join("tour.asc"), config.join("keyring/tour.asc")).unwrap();
    fs::write(config.join("config.yaml"), "gate: require\n").unwrap();
    fs::write(config.join("policy.yaml"), "apiVersion: v1\n").unwrap();
    let named = world.write("named/policy.yaml", "apiVersion: v1\n");
    world.set("TOOL_POLICY", named.to_str().unwrap());
    for version in ["1.0.0", "2.0.0"] {
        world.plugin("p", version);
        world.ok(&format!("plugin package p -d . --keyring {}", keys.join("tour.sec.asc").display()));
        world.ok(&format!("plugin install --force p-{version}.tgz"));
    }
    fs::create_dir(world.path("keys")).unwrap();
    fs::copy(keys.join("tour.asc"), world.path("keys/named.asc")).unwrap();
    for dir in [config.clone(), config.join("keyring"), world.path("named"), world.path("keys")] {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    }
    world
}

fn config(world: &World) -> PathBuf {
    world.root().join("home/.config/tool")
}

#[test]
fn s_what_decides_about_trust_is_refused_where_everybody_may_change_it() {
    let world = world();
    let state = world.plugins().join(".state");
    let config = config(&world);
    let named = "--keyring keys/named.asc";
    let (run, install) = ("p", "plugin install --force p-2.0.0.tgz");
    let install_named = format!("{install} {named}");
    let cases = [
        (config.join("config.yaml"), run),
        (config.clone(), run),
        (config.join("policy.yaml"), run),
        (world.path("named/policy.yaml"), run),
        (world.path("named"), run),
        (state.join("p.json"), run),
        (state.clone(), run),
        (state.join("p.json"), "plugin exec p"),
        (state.join("p.json"), "plugin verify p"),
        (state.clone(), "plugin verify p"),
        (state.join("p.json"), "plugin update p"),
        (state.join("p.json"), "plugin pin p"),
        (state.clone(), install),
        (state.clone(), "plugin uninstall p"),
        (state.join("previous/p.json"), "plugin rollback p"),
        (state.join("previous"), "plugin rollback p"),
        (config.join("trust.yaml"), install),
        (config.join("keyring/tour.asc"), install),
        (config.join("keyring"), install),
        (config.join("keyring/tour.asc"), "plugin verify p-2.0.0.tgz"),
        (world.path("keys/named.asc"), &install_named),
        (world.path("keys"), &install_named),
    ];
    for (path, words) in cases {
        let before = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, fs::Permissions::from_mode(before.mode() | 0o002)).unwrap();
        let ran = world.tool(words.split(' '));
        let case = format!("{}, `{words}`: {}{}", path.display(), ran.stdout, ran.stderr);
        assert_ne!(ran.code, 0, "{case}");
        let mend = ran.stderr.split('`').find(|part| part.starts_with("chmod ")).unwrap_or_else(|| panic!("{case}"));
        let mended = Command::new("sh").args(["-c", mend]).current_dir(world.path("")).status().unwrap();
        assert!(mended.success() && fs::metadata(&path).unwrap().permissions().mode() & 0o002 == 0, "{case}");
        if words == "plugin uninstall p" || words == "plugin rollback p" {
            continue;
        }
        world.ok(words);
    }
}

#[test]
fn doctor_finds_and_mends_what_everybody_may_change() {
    let world = world();
    let state = world.plugins().join(".state");
    let config = config(&world);
    let paths = [
        config.clone(),
        config.join("config.yaml"),
        config.join("trust.yaml"),
        config.join("keyring"),
        config.join("keyring/tour.asc"),
        state.clone(),
        state.join("p.json"),
        state.join("previous"),
        state.join("previous/p.json"),
    ];
    for path in paths {
        let before = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, fs::Permissions::from_mode(before.mode() | 0o002)).unwrap();
        let found = world.fails(1, "plugin doctor -o json").json();
        let is_it = |one: &&serde_json::Value| one["code"] == "writable" && one["file"] == path.to_str().unwrap();
        assert!(found["findings"].as_array().unwrap().iter().find(is_it).is_some(), "{}: {found}", path.display());
        world.ok("plugin doctor --fix");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o002, 0, "{}", path.display());
        world.ok("p");
    }
}

/// What another user put beside the plugins, where everybody may put things, and everything of it.
fn give_away(path: &Path) {
    for entry in walkdir::WalkDir::new(path) {
        std::os::unix::fs::lchown(entry.unwrap().path(), Some(65534), Some(65534)).unwrap();
    }
}

#[test]
fn what_another_user_put_into_a_sticky_directory_of_plugins_does_not_run() {
    let world = world();
    if fs::metadata(world.root()).unwrap().uid() != 0 {
        eprintln!("skipped: only root can give files to others");
        return;
    }
    let (plugins, state) = (world.plugins(), world.plugins().join(".state"));
    let copied = plugins.join("q");
    world.plugin("q", "1.0.0");
    world.ok("plugin install q --copy");
    fs::remove_file(state.join("q.json")).unwrap();
    world.plugin("l", "1.0.0");
    std::os::unix::fs::symlink(world.path("l"), plugins.join("l")).unwrap();
    for (path, words) in
        [(copied, "q"), (plugins.join("l"), "l"), (plugins.join("p"), "p"), (state.clone(), "p"), (state, "plugin pin p")]
    {
        world.ok(words);
        give_away(&path);
        // Where only its owner may put things, they are whose they are.
        world.ok(words);
        fs::set_permissions(&plugins, fs::Permissions::from_mode(0o1777)).unwrap();
        let ran = world.tool(words.split(' '));
        assert!(ran.code == 1 && ran.stdout.is_empty(), "{words}: {ran:?}");
        assert!(
            path == plugins.join(".state") || world.fails(1, "plugin doctor").stdout.contains("another user"),
            "{words}"
        );
        let mend = ran.stderr.split('`').find(|part| part.starts_with("chown ")).unwrap_or_else(|| panic!("{ran:?}"));
        assert!(Command::new("sh").args(["-c", mend]).status().unwrap().success(), "{mend}");
        world.ok(words);
        fs::set_permissions(&plugins, fs::Permissions::from_mode(0o700)).unwrap();
    }
}
