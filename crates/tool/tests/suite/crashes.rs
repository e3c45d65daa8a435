//! SIGKILL at many moments of install, replacement, uninstall, update and sync: the next command finds the old state or the new
//! one, never a third, and works (case A11; `docs/spec/store.md`, section 5).

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::http_server::{Server, answer};
use crate::support::{World, repository, snapshot};

/// How often each operation is killed.
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

/// Runs `words`, which take `whole`, and kills them at moment `number` of [`KILLS`].
fn kill(world: &World, words: &str, whole: Duration, number: u32) {
    let mut child = world.command(words.split(' ')).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // A little beyond the usual duration, so that the last moments are met too.
    std::thread::sleep(whole * number / KILLS * 5 / 4 + Duration::from_micros(u64::from(number) * 37));
    child.kill().unwrap();
    let _ = child.wait().unwrap();
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
        kill(world, words, whole, number);

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

#[test]
fn a11_killed_while_updating_over_http() {
    let world = world(None);
    let newer = Arc::new(AtomicBool::new(false));
    let packages = ["1.0.0", "2.0.0"]
        .map(|version| ["", ".prov"].map(|suffix| fs::read(world.path(&format!("p-{version}.tgz{suffix}"))).unwrap()));
    let server = Server::start({
        let newer = newer.clone();
        move |request, to| {
            let provenance = usize::from(request.target.ends_with(".prov"));
            answer(to, "200 OK", &[], &packages[usize::from(newer.load(Ordering::SeqCst))][provenance])
        }
    });
    let keyring = repository("testdata/keys/tour.asc").display().to_string();
    let url = server.url("/p.tgz");
    kill_everywhere(&world, &format!("plugin update p --keyring {keyring}"), &|| {
        without(&world);
        newer.store(false, Ordering::SeqCst);
        world.ok(&format!("plugin install {url} --keyring {keyring}"));
        newer.store(true, Ordering::SeqCst);
    });
}

/// What there is of the plugin `name`: its directory and its package.
fn part_of(seen: &BTreeMap<String, String>, name: &str) -> BTreeMap<String, String> {
    let (directory, package) = (format!("{name}/"), format!("{name}-"));
    let mut part = seen.clone();
    part.retain(|path, _| path == name || path.starts_with(&directory) || path.starts_with(&package));
    part
}

#[test]
fn a11_killed_while_syncing_several_plugins() {
    // Four move to another version, two come, two go.
    let (moving, coming, going) = (["a", "b", "c", "d"], ["e", "f"], ["y", "z"]);
    let world = World::new();
    let mut files = Vec::new();
    let make = |names: &[&str], version: &str, files: &mut Vec<(String, Vec<u8>)>| {
        for name in names {
            world.plugin(name, version);
            for number in 0..10 {
                world.write(&format!("{name}/data/{version}-{number}"), vec![number; 20_000]);
            }
            world.ok(&format!("plugin package {name} --sign=false"));
            fs::remove_dir_all(world.path(&format!("{name}/data"))).unwrap();
            let file = format!("{name}-{version}.tgz");
            files.push((format!("/{file}"), fs::read(world.path(&file)).unwrap()));
        }
    };
    make(&moving, "1.0.0", &mut files);
    make(&going, "1.0.0", &mut files);
    make(&moving, "2.0.0", &mut files);
    make(&coming, "2.0.0", &mut files);
    let listed: Vec<(&str, &[u8])> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    let server = Server::files(&listed);
    let install = |names: &[&str], version: &str| {
        let urls: Vec<_> = names.iter().map(|name| server.url(&format!("/{name}-{version}.tgz"))).collect();
        world.ok(&format!("plugin install {} --verify=false", urls.join(" ")));
    };
    install(&moving, "2.0.0");
    install(&coming, "2.0.0");
    world.ok("plugin lock --lock-file new.lock");
    let names: Vec<_> = moving.iter().chain(&coming).copied().collect();
    world.ok(&format!("plugin uninstall {}", names.join(" ")));
    install(&moving, "1.0.0");
    install(&going, "1.0.0");
    world.ok("plugin lock --lock-file old.lock");

    let before = || {
        world.ok("plugin sync --prune --frozen --lock-file old.lock");
        let _ = fs::remove_dir_all(world.plugins().join(".state/previous"));
    };
    let words = "plugin sync --prune --frozen --lock-file new.lock";
    before();
    let old = seen(&world);
    let begin = Instant::now();
    world.ok(words);
    let whole = begin.elapsed();
    let new = seen(&world);
    assert_ne!(old, new);

    let (mut halves, mut olds, mut news) = (0, 0, 0);
    for number in 0..KILLS {
        before();
        kill(&world, words, whole, number);
        // Whatever a reader sees of a plugin is one version of it, and runs.
        for row in world.ok("plugin list -o json").json().as_array().unwrap() {
            let (name, version) = (row["name"].as_str().unwrap(), row["version"].as_str().unwrap());
            assert_eq!(row["status"], "ok", "kill {number}: {row}");
            assert_eq!(world.ok(&format!("{name} x")).stdout, format!("{name} {version} x\n"), "kill {number}");
        }
        // Any writer clears up.
        world.plugin("other", "1.0.0");
        world.ok("plugin install other");
        world.ok("plugin uninstall other");
        let now = seen(&world);
        let left: Vec<_> = now.keys().filter(|path| path.starts_with(".state/staging/")).collect();
        assert!(left.is_empty(), "kill {number} left {left:?}");
        let mut changed = 0;
        for name in moving.iter().chain(&coming).chain(&going) {
            let (is, was, will) = (part_of(&now, name), part_of(&old, name), part_of(&new, name));
            assert!(is == was || is == will, "kill {number} left a third state of {name}:\n{is:#?}");
            changed += usize::from(is == will);
        }
        match changed {
            0 => olds += 1,
            8 => news += 1,
            _ => halves += 1,
        }
        world.ok(words);
        assert_eq!(seen(&world), new, "after kill {number} the next sync does the rest");
    }
    println!("`{words}`: {olds} times the old state, {news} times the new, {halves} times between plugins");
}
