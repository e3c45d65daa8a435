//! SIGKILL at many moments of install, replacement and uninstall: the next command finds the old state or the new one, never a
//! third, and works (case A11, life cycle section 3).

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{World, repository, snapshot};

/// How often each operation is killed. Two of them with the hook's variants make more than 200.
const KILLS: u32 = 60;

/// A world with signed packages of `p` in versions 1.0.0 and 2.0.0; `hook` is the install hook.
fn world(hook: Option<&str>) -> World {
    let world = World::new();
    for version in ["1.0.0", "2.0.0"] {
        world.plugin("p", version);
        if let Some(hook) = hook {
            let text = fs::read_to_string(world.path("p/plugin.yaml")).unwrap();
            world.write("p/plugin.yaml", format!("{text}hooks:\n  install: {hook}\n"));
        }
        for number in 0..40 {
            world.write(&format!("p/data/{version}-{number}"), vec![number; 20_000]);
        }
        world.ok(&format!("plugin package p --sign --keyring {}", repository("testdata/keys/tour.sec.asc").display()));
        fs::remove_dir_all(world.path("p/data")).unwrap();
    }
    world
}

fn install(version: &str) -> String {
    format!("plugin install p-{version}.tgz --force --keyring {}", repository("testdata/keys/tour.asc").display())
}

/// What a user sees of the store: plugins and packages; of its private folder only what must not be left behind.
fn seen(world: &World) -> BTreeMap<String, String> {
    fs::create_dir_all(world.plugins()).unwrap();
    let mut found = snapshot(&world.plugins());
    found.retain(|path, _| !path.starts_with(".state") || path.starts_with(".state/staging/"));
    found
}

/// Kills `words` after each of [`KILLS`] delays spread over its duration, starting from the state that `before` makes, and
/// expects the state before or after.
fn kill_everywhere(world: &World, words: &str, before: &dyn Fn()) {
    before();
    let old = seen(world);
    let begin = Instant::now();
    world.ok(words);
    let whole = begin.elapsed();
    let new = seen(world);
    assert_ne!(old, new);

    let (mut olds, mut news) = (0, 0);
    for number in 0..KILLS {
        before();
        let mut child = world.command(words.split(' ')).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // A little beyond the usual duration, so that the last moments are met too.
        std::thread::sleep(whole * number / KILLS * 5 / 4 + Duration::from_micros(u64::from(number) * 37));
        child.kill().unwrap();
        let _ = child.wait().unwrap();

        // Readers never wait, and see one version or none: whichever is there runs, if the manifest says it is there.
        let list = world.ok("plugin list -o json").json();
        if let Some(one) = list.as_array().unwrap().first() {
            let version = one["version"].as_str().unwrap();
            let ran = world.ok("p x");
            assert_eq!(ran.stdout, format!("p {version} x\n"), "kill {number} of `{words}`");
        }
        // A writer clears up: an install of something else does it, and takes nothing with it.
        world.plugin("other", "1.0.0");
        world.ok("plugin install other");
        world.ok("plugin uninstall other");
        let now = seen(world);
        if now == old {
            olds += 1;
        } else if now == new {
            news += 1;
        } else {
            panic!("kill {number} of `{words}` left a third state:\nold {old:#?}\nnew {new:#?}\nnow {now:#?}");
        }
        if world.plugins().join("p").exists() {
            world.ok(&format!("plugin verify p --keyring {}", repository("testdata/keys/tour.asc").display()));
        }
    }
    println!("`{words}`: {olds} times the old state, {news} times the new");
}

fn without(world: &World) {
    let _ = world.tool(["plugin", "uninstall", "p"]);
    // The version before is kept for a rollback: away with it too, so that every start is the same.
    let _ = fs::remove_dir_all(world.plugins().join(".state/previous"));
}

#[test]
fn a11_killed_while_installing() {
    let world = world(None);
    kill_everywhere(&world, &install("1.0.0"), &|| without(&world));
}

#[test]
fn a11_killed_while_replacing() {
    let world = world(None);
    kill_everywhere(&world, &install("2.0.0"), &|| {
        without(&world);
        world.ok(&install("1.0.0"));
    });
}

#[test]
fn a11_killed_while_uninstalling() {
    let world = world(None);
    kill_everywhere(&world, "plugin uninstall p", &|| {
        world.ok(&install("1.0.0"));
    });
}

#[test]
fn a11_killed_in_the_hook() {
    let world = world(Some("sleep 0.05"));
    kill_everywhere(&world, &install("2.0.0"), &|| {
        without(&world);
        world.ok(&format!("{} --no-hooks", install("1.0.0")));
    });
}
