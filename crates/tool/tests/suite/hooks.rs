//! Hooks: when they run, in what surroundings, for how long, and what an interrupt does (`docs/spec/store.md`, section 7; case I2).

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Ran, World};

/// A world with the plugin `p` in `work/p`, whose manifest ends with `tail`.
fn with(tail: &str) -> World {
    let world = World::new();
    world.plugin("p", "1.0.0");
    let path = world.path("p/plugin.yaml");
    let manifest = fs::read_to_string(&path).unwrap();
    fs::write(path, format!("{manifest}{tail}\n")).unwrap();
    world
}

/// A hook that says that it runs, and ends by a signal alone.
const WAITING: &str = "hooks: {install: 'touch \"$HELM_PLUGIN_DIR/started\"; sleep 300'}";

const INSTALL: [&str; 4] = ["plugin", "install", "p", "--copy"];

#[test]
fn a_hook_runs_where_the_caller_is_with_the_plugins_environment() {
    let world = with(
        "hooks:\n  install: 'pwd; echo \"$TOOL_PLUGIN_NAME $((1 + 1))\"; cd \"$HELM_PLUGIN_DIR\" && ls plugin.yaml; echo said >&2'\n  other: exit 1",
    );
    let ran = world.tool(INSTALL);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let work = world.path("").canonicalize().unwrap();
    assert!(ran.stdout.starts_with(&format!("{}\np 2\nplugin.yaml\n", work.display())), "{}", ran.stdout);
    assert!(ran.stderr.contains("said\n"), "{}", ran.stderr);
}

#[test]
fn hooks_are_chosen_by_platform() {
    let world = with(
        "platformHooks:\n  install:\n  - {os: linux, command: 'echo on linux', args: [$HELM_PLUGIN_NAME]}\n  - {command: 'echo elsewhere'}",
    );
    let expected = if cfg!(target_os = "linux") { "on linux p\n" } else { "elsewhere\n" };
    assert!(world.tool(INSTALL).stdout.starts_with(expected));

    let world = with("platformHooks:\n  install:\n  - {os: plan9, command: x}");
    let ran = world.tool(INSTALL);
    assert!(ran.code == 1 && ran.stderr.contains("no plugin command is applicable"), "{}", ran.stderr);
    assert!(!world.plugins().join("p").exists());
    assert_eq!(world.tool(INSTALL.into_iter().chain(["--no-hooks"])).code, 0);
}

#[test]
fn the_hook_of_what_nothing_verified_does_not_run_unasked() {
    let world = World::new();
    let pack = |version: &str| {
        world.plugin("p", version);
        let manifest = fs::read_to_string(world.path("p/plugin.yaml")).unwrap();
        let hooks = "hooks: {install: echo came, update: echo moved, delete: echo went}\n";
        world.write("p/plugin.yaml", manifest + hooks);
        world.ok("plugin package p --sign=false");
        fs::rename(world.path(&format!("p-{version}.tgz")), world.path("p.tgz")).unwrap();
    };
    // Nobody can be asked here: there is no terminal.
    let refused = |words: &str, event: &str| {
        let installed = || fs::read(world.plugins().join("p/plugin.yaml")).ok();
        let before = installed();
        for words in [words.to_owned(), format!("{words} --no-input")] {
            let ran = world.fails(1, &words);
            for part in ["nothing verified plugin `p`", event, "`--yes`", "`--no-hooks`"] {
                assert!(ran.stderr.contains(part), "{words}: {part}: {}", ran.stderr);
            }
            assert!(ran.stdout.is_empty(), "{words}: {}", ran.stdout);
        }
        assert_eq!(installed(), before, "{words}");
    };
    let agreed = |words: &str, said: &str| {
        assert!(world.ok(&format!("{words} --yes")).stdout.contains(said), "{words}");
    };
    pack("1.0.0");
    refused("plugin install p.tgz --verify=false", "install hook");
    agreed("plugin install p.tgz --verify=false", "came");
    world.ok("plugin lock");
    pack("1.1.0");
    refused("plugin update p", "update hook");
    agreed("plugin update p", "moved");
    pack("1.0.0");
    refused("plugin sync", "update hook");
    agreed("plugin sync", "moved");
    refused("plugin uninstall p", "delete hook");
    agreed("plugin uninstall p", "went");
    assert!(!world.ok("plugin install p.tgz --verify=false --no-hooks").stdout.contains("came"));
    assert!(!world.ok("plugin uninstall p --no-hooks").stdout.contains("went"));
    // What was verified, by whatever, runs its hook: whoever installs it asked for it.
    let (digest, _) = plugsmith::digest::Sha256Digest::of_file(&world.path("p.tgz")).unwrap();
    assert!(world.ok(&format!("plugin install p.tgz --digest sha256:{digest}")).stdout.contains("came"));
}

#[test]
fn i2_a_hook_that_takes_too_long_is_ended_with_its_children() {
    let mut world = with("hooks: {install: 'sleep 300 & echo $!; sleep 300'}");
    let config = world.write("config/config.yaml", "hooks: {timeout: 500ms}\n");
    world.set("TOOL_CONFIG_HOME", config.parent().unwrap().to_str().unwrap());
    let start = Instant::now();
    let ran = world.tool(INSTALL);
    assert!(start.elapsed() < Duration::from_secs(60));
    assert!(ran.code == 1 && ran.stderr.contains("hooks.timeout"), "{}", ran.stderr);
    assert!(!world.plugins().join("p").exists());
    let pid = ran.stdout;
    // Dead is dead, also where nobody has asked for its exit code yet.
    let state = Command::new("ps").args(["-o", "stat=", "-p", pid.trim()]).output().unwrap();
    let state = String::from_utf8(state.stdout).unwrap();
    assert!(state.is_empty() || state.starts_with('Z'), "the child lives on: {state}");
}

#[test]
fn i2_an_interrupt_ends_the_hook_and_undoes_the_install() {
    let world = with(WAITING);
    let mut command = world.command(INSTALL);
    // A process group of its own, as a shell gives to what runs in the foreground.
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while !world.plugins().join("p/started").exists() {
        assert!(Instant::now() < until, "the hook does not start");
        std::thread::sleep(Duration::from_millis(10));
    }
    let group = format!("-{}", child.id());
    assert!(Command::new("kill").args(["-INT", "--", &group]).status().unwrap().success());
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 130, "{}", ran.stderr);
    assert!(!world.plugins().join("p").exists());
    assert_eq!(world.ok("plugin list -o name").stdout, "");
}

#[test]
fn i2_an_interrupt_of_this_program_alone_ends_the_hook_too() {
    let world = with(WAITING);
    let child = world.command(INSTALL).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while !world.plugins().join("p/started").exists() {
        assert!(start.elapsed() < Duration::from_secs(60), "the hook does not start");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 130);
    assert!(start.elapsed() < Duration::from_secs(60), "it waited for the hook");
    assert!(!world.plugins().join("p").exists());
}
