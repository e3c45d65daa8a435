//! Plugins that run, list and verify while they are updated, rolled back and restored again and again: no reader fails.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::support::{World, finish};

/// Runs beside the changes; `scripts/test --all` takes 10,000.
fn runs() -> usize {
    if std::env::var_os("PLUGSMITH_PEERS").is_some_and(|value| value == "1") { 10_000 } else { 300 }
}

/// Packages of `p` in two versions, whose commands are all ways to a start, at the same place of the working directory in turn.
fn world() -> World {
    let world = World::new();
    for name in ["p", "r", "g"] {
        world.write(&format!("{name}/notes"), "a file that nothing executes");
    }
    for version in ["1.0.0", "2.0.0"] {
        world.plugin("p", version);
        world.script("p/plugin.complete", "echo candidate");
        world.ok("plugin package p --sign=false");
        world.write(
            "r/plugin.yaml",
            format!(
                "apiVersion: v1\ntype: postrenderer/v1\nname: r\nversion: {version}\nruntime: subprocess\nruntimeConfig:\n  platformCommand:\n  - command: $HELM_PLUGIN_DIR/run.sh\n"
            ),
        );
        world.script("r/run.sh", &format!("cat; echo {version}"));
        world.ok("plugin package r --sign=false");
        world.write(
            "g/plugin.yaml",
            format!(
                "apiVersion: v1\ntype: getter/v1\nname: g\nversion: {version}\nruntime: subprocess\nconfig:\n  protocols: [gg]\nruntimeConfig:\n  protocolCommands:\n  - protocols: [gg]\n    platformCommand:\n    - command: $HELM_PLUGIN_DIR/run.sh\n"
            ),
        );
        world.script("g/run.sh", &format!("echo {version}"));
        world.ok("plugin package g --sign=false");
    }
    for name in ["p", "r", "g"] {
        world.ok(&format!("plugin install --verify=false {name}-1.0.0.tgz"));
    }
    world
}

#[test]
fn a_plugin_runs_while_it_is_changed() {
    let world = world();
    let done = AtomicBool::new(false);
    let left = AtomicUsize::new(runs());
    thread::scope(|scope| {
        let changes = scope.spawn(|| {
            let mut changes = 0;
            while !done.load(Ordering::Relaxed) {
                for name in ["p", "r", "g"] {
                    for words in [
                        format!("plugin install --force --verify=false {name}-2.0.0.tgz"),
                        format!("plugin rollback {name}"),
                        // Its directory is exchanged again, since a file of it is missing.
                        format!("plugin restore {name}"),
                    ] {
                        if words.starts_with("plugin restore") {
                            std::fs::remove_file(world.plugins().join(name).join("notes")).unwrap();
                        }
                        let status = world.command(words.split(' ')).stdout(Stdio::null()).stderr(Stdio::null()).status();
                        assert!(status.unwrap().success(), "{words}");
                        changes += 1;
                    }
                }
            }
            changes
        });
        let readers: Vec<_> = (0..2).map(|_| scope.spawn(|| read(&world, &left))).collect();
        let failures: Vec<String> = readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect();
        done.store(true, Ordering::Relaxed);
        let changes = changes.join().unwrap();
        assert!(failures.is_empty(), "{} of {} beside {changes} changes: {:?}", failures.len(), runs(), failures.first());
        println!("{} runs beside {changes} changes", runs());
    });
}

/// Takes runs until none is left; what failed.
fn read(world: &World, left: &AtomicUsize) -> Vec<String> {
    let mut failures = Vec::new();
    while let Ok(number) = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)) {
        let (words, part) = match number % 8 {
            0 => ("plugin exec p x", "p "),
            1 => ("post-render r", ".0.0"),
            2 => ("get gg://x/y -o -", ".0.0"),
            3 => ("__complete p ", "candidate"),
            4 => ("plugin list", "p "),
            5 => ("plugin verify p", "p "),
            6 => ("plugin info p", "p "),
            _ => ("p x", "p "),
        };
        let ran = finish(&mut world.command(words.split(' ')));
        // The file that the changes remove is gone for a moment.
        if ran.stderr.contains("plugin `p` is not as it was installed: `notes` is missing;") {
            continue;
        }
        if ran.code != 0 || !ran.stdout.contains(part) {
            failures.push(format!("`tool {words}`: {ran:?}"));
        }
    }
    failures
}
