//! Plugins in a lower layer of a container image: overlayfs without `redirect_dir` renames none of their directories.

use std::fs;
use std::process::Command;

use crate::support::{Ran, World, peers};

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
    if !rustix::process::geteuid().is_root() || !peers::has("unshare") {
        eprintln!("skipped: this needs root and `unshare`");
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
    if ran.code == 77 {
        eprintln!("skipped: overlayfs cannot be mounted here");
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
