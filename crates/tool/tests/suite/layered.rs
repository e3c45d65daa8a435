//! Plugins in a lower layer of a container image: overlayfs without `redirect_dir` renames none of their directories.

use std::fs;
use std::process::Command;

use crate::support::{Ran, World, peers};

/// Whether the tests cannot run here: then they say so, and fail where they were asked for.
fn is_impossible(why: &str) -> bool {
    assert!(std::env::var_os("PLUGSMITH_PEERS").is_none(), "{why}");
    eprintln!("skipped: {why}");
    true
}

fn cannot_mount() -> bool {
    let can = rustix::process::geteuid().is_root() && peers::has("unshare");
    !can && is_impossible("an overlay file system needs root and `unshare` (util-linux)")
}

/// Runs `script` where the store of `world` is a lower layer. `tool` is the program.
fn layered(world: &World, script: &str) -> Ran {
    let (lower, layers, inner) = (world.root().join("lower"), world.root().join("layers"), world.command(["version"]));
    fs::rename(world.plugins(), &lower).unwrap();
    fs::create_dir(world.plugins()).unwrap();
    fs::create_dir(&layers).unwrap();
    let mount = "mount -t tmpfs none \"$LAYERS\" && mkdir \"$LAYERS/up\" \"$LAYERS/work\" && mount -t overlay -o \
                 \"redirect_dir=off,lowerdir=$LOWER,upperdir=$LAYERS/up,workdir=$LAYERS/work\" none \"$STORE\" || exit 77";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &format!("{mount}\ntool() {{ \"$TOOL\" \"$@\"; }}\nset -e\n{script}")]).env_clear();
    command
        .envs(inner.get_envs().filter_map(|(key, value)| Some((key, value?))))
        .env("TOOL", inner.get_program())
        .env("STORE", world.plugins())
        .env("LOWER", lower)
        .env("LAYERS", layers)
        .current_dir(world.path(""));
    Ran::of(command.output().unwrap())
}

#[test]
fn plugins_of_a_lower_layer_are_changed_like_any() {
    if cannot_mount() {
        return;
    }
    let world = World::new();
    for name in ["p", "changed", "moved"] {
        world.plugin(name, "1.0.0");
        world.ok(&format!("plugin package {name} --sign=false"));
        world.ok(&format!("plugin install --verify=false {name}-1.0.0.tgz"));
    }
    for version in ["1.1.0", "1.2.0"] {
        world.plugin("p", version);
        world.ok("plugin package p --sign=false");
        if version == "1.1.0" {
            world.ok("plugin install --verify=false --force p-1.1.0.tgz");
        }
    }
    world.plugin("copied", "1.0.0");
    world.ok("plugin package copied --sign=false");
    Command::new("cp").arg("-R").args([world.path("copied"), world.plugins().join("copied")]).status().unwrap();
    fs::rename(world.plugins().join("moved"), world.plugins().join("elsewhere")).unwrap();
    let ran = layered(
        &world,
        r#"
            tool plugin rollback p; tool p
            tool plugin rollback p; tool p
            tool plugin install --verify=false --force p-1.2.0.tgz; tool p
            tool plugin rollback p; tool p
            echo >> "$STORE/changed/run.sh"
            tool plugin restore changed; tool changed
            tool plugin install --verify=false --force copied-1.0.0.tgz; tool copied
            tool plugin pin moved; tool moved
            tool plugin uninstall p changed copied moved
            tool plugin list
            [ ! -e "$STORE/.state/renewed" ] && [ -z "$(ls "$STORE" "$STORE/.state/previous" "$STORE/.state/staging" | grep -v :)" ]
        "#,
    );
    if ran.code == 77 && is_impossible("overlayfs cannot be mounted here") {
        return;
    }
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let lines = ran.stdout.lines().map(str::trim_end);
    let runs: Vec<&str> = lines.filter(|line| line.ends_with(".0") && line.split(' ').count() == 2).collect();
    assert_eq!(
        runs,
        ["p 1.0.0", "p 1.1.0", "p 1.2.0", "p 1.1.0", "changed 1.0.0", "copied 1.0.0", "moved 1.0.0"],
        "{}{}",
        ran.stdout,
        ran.stderr
    );
}

#[test]
fn a_killed_change_of_a_plugin_of_a_lower_layer_leaves_the_old_version_or_the_new() {
    if cannot_mount() {
        return;
    }
    let mut ends = [0; 3];
    for kill in 0..18 {
        let world = World::new();
        for version in ["1.0.0", "2.0.0"] {
            world.plugin("p", version);
            for number in 0..300 {
                world.write(&format!("p/many/{number}/file"), version);
            }
            world.ok("plugin package p --sign=false");
        }
        world.ok("plugin install --verify=false p-1.0.0.tgz");
        world.plugin("other", "1.0.0");
        let change = if kill % 2 == 0 { "install --verify=false --force p-2.0.0.tgz" } else { "uninstall p" };
        let script = format!(
            r#"
            "$TOOL" plugin {change} >out 2>&1 & sleep 0.{:03}; kill -9 $! 2>/dev/null || true; wait $! || true
            tool plugin install other >out 2>&1
            [ ! -e "$STORE/.state/renewed" ] && [ -z "$(ls "$STORE/.state/staging")" ]
            [ -e "$STORE/p" ] || {{ [ ! -e "$STORE/.state/p.json" ] && echo gone && exit 0; }}
            tool plugin verify p >out; tool p; cat "$STORE/p/many/299/file"
            "#,
            10 + kill * 9
        );
        let ran = layered(&world, &script);
        if ran.code == 77 && is_impossible("overlayfs cannot be mounted here") {
            return;
        }
        let said: Vec<&str> = ran.stdout.lines().map(str::trim_end).collect();
        let end = match said.as_slice() {
            ["p 1.0.0", "1.0.0"] => 0,
            ["p 2.0.0", "2.0.0"] if kill % 2 == 0 => 1,
            ["gone"] if kill % 2 == 1 => 2,
            _ => panic!("kill {kill}: {}{}", ran.stdout, ran.stderr),
        };
        assert_eq!(ran.code, 0, "kill {kill}: {}{}", ran.stdout, ran.stderr);
        ends[end] += 1;
    }
    eprintln!("old, new, gone: {ends:?}");
    assert!(ends[0] > 0, "no kill came early enough: {ends:?}");
}
