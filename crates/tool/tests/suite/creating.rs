//! `plugin create`: every new plugin lints, packages, installs and runs as it is.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Ran, World, finish, peers, repository};

const TYPES: [&str; 4] = ["cli", "getter", "postrenderer", "test"];

/// A world in which Cargo runs: rustup's keeps its compilers in the home directory.
fn with_cargo() -> World {
    let mut world = World::new();
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    for (key, folder) in [("RUSTUP_HOME", ".rustup"), ("CARGO_HOME", ".cargo")] {
        let place = std::env::var_os(key).map_or_else(|| home.join(folder), PathBuf::from);
        if place.is_dir() {
            world.set(key, place.to_str().unwrap());
        }
    }
    world
}

/// What a new plugin called `name` does, seen by a user of it.
fn try_it(world: &World, name: &str, kind: &str) -> Ran {
    match kind {
        "cli" => world.ok(&format!("{name} hello --loud Ann")),
        "getter" => world.ok(&format!("get {name}://examples/hello.txt")),
        "postrenderer" => {
            let ran = world.tool_with_input(["post-render", name, "--args", "by us"], b"a: 1\n---\nb: 2\n");
            assert_eq!(ran.code, 0, "{}", ran.stderr);
            ran
        }
        _ => world.ok(&format!("plugin exec {name} Ann")),
    }
}

fn expected(name: &str, kind: &str) -> String {
    match kind {
        "cli" => "HELLO, ANN!\n".to_owned(),
        "getter" => format!("Hello from {name}!\n"),
        "postrenderer" => "# by us\na: 1\n---\n# by us\nb: 2\n".to_owned(),
        _ => "Hello, Ann!\n".to_owned(),
    }
}

/// Lints, tests, packages, signs, verifies and installs the new plugin `name`, linked and from its package, each time running it where
/// `runs`.
fn whole_life(world: &World, name: &str, kind: &str, runs: bool) {
    let lint = world.ok(&format!("plugin lint --strict {name}"));
    assert_eq!(lint.stdout, format!("{name}: no problems\n"));
    let test = world.path(name).join("test.sh");
    if test.exists() {
        let ran = finish(Command::new(&test).env_clear().env("PATH", std::env::var_os("PATH").unwrap()));
        assert_eq!(ran.code, 0, "{name}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.starts_with("ok "), "{}", ran.stdout);
    }
    let try_it = |from: &str| {
        if runs {
            assert_eq!(try_it(world, name, kind).stdout, expected(name, kind), "{name} from {from}");
        }
        world.ok(&format!("plugin uninstall {name}"));
    };
    world.ok(&format!("plugin install ./{name}"));
    try_it("its directory");

    let (secret, public) = (repository("testdata/keys/tour.sec.asc"), repository("testdata/keys/tour.asc"));
    world.ok(&format!("plugin package {name} --keyring {}", secret.display()));
    let package = format!("{name}-0.1.0.tgz");
    world.ok(&format!("plugin verify {package} --keyring {}", public.display()));
    world.ok(&format!("plugin install {package} --keyring {}", public.display()));
    let installed: Vec<String> = crate::support::snapshot(&world.plugins().join(name)).into_keys().collect();
    for file in &installed {
        let outside = ["Cargo", "src", "target", "build.sh", "test.sh", ".git", ".plugin"];
        assert!(!outside.iter().any(|part| file.starts_with(part)), "{name}: {file} is packaged");
    }
    assert!(installed.contains(&"README.md".to_owned()) && installed.contains(&"plugin.yaml".to_owned()));
    try_it("its package");
}

#[test]
fn plugins_in_sh_live_a_whole_life() {
    let world = World::new();
    for kind in TYPES {
        let name = format!("my-{kind}");
        let ran = world.ok(&format!("plugin create {name} --type {kind}"));
        assert_eq!(ran.stdout, format!("Created {name} 0.1.0 in ./{name} ({kind}/v1, subprocess, sh)\n"));
        assert!(ran.stderr.contains(&format!("tool plugin install ./{name}")), "{}", ran.stderr);
        whole_life(&world, &name, kind, true);
    }
}

#[test]
fn plugins_in_rust_are_built_and_live_a_whole_life() {
    let world = with_cargo();
    for kind in TYPES {
        let name = format!("my-{kind}");
        let ran = world.ok(&format!("plugin create {name} --type {kind} --lang rust"));
        assert_eq!(ran.stdout, format!("Created {name} 0.1.0 in ./{name} ({kind}/v1, subprocess, rust)\n"));
        assert!(!world.path(&name).join("target").exists(), "the build directory is left");
        whole_life(&world, &name, kind, true);
    }
}

#[test]
fn plugins_of_webassembly_come_with_their_module() {
    let world = World::new();
    let runs = cfg!(feature = "wasm");
    for kind in TYPES {
        let name = format!("my-{kind}");
        let ran = world.ok(&format!("plugin create {name} --type {kind} --runtime extism"));
        assert_eq!(ran.stdout, format!("Created {name} 0.1.0 in ./{name} ({kind}/v1, extism/v1, rust)\n"));
        assert_eq!(ran.stderr.contains("built without WebAssembly"), !runs, "{}", ran.stderr);
        whole_life(&world, &name, kind, runs);
    }
}

#[cfg(feature = "wasm")]
#[test]
fn a_module_says_what_is_wrong_and_ends_with_its_code() {
    let world = World::new();
    world.ok("plugin create p --runtime extism");
    world.ok("plugin install ./p");
    assert!(world.ok("p --help").stdout.starts_with("Usage: p COMMAND\n"));
    assert_eq!(world.ok("p info").stdout, "name: p\nversion: 0.1.0\n");
    let ran = world.fails(2, "p nonsense");
    assert!(ran.stderr.contains("unknown command nonsense"), "{}", ran.stderr);
    world.ok("plugin create gg --type getter --runtime extism");
    world.ok("plugin install ./gg");
    let ran = world.tool(["get", "gg://examples/absent.txt"]);
    assert!(
        ran.code != 0 && ran.stdout.is_empty() && ran.stderr.contains("there is no examples/absent.txt"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_command_in_sh_or_rust_is_honest() {
    let world = with_cargo();
    for (name, lang) in [("one", "sh"), ("two", "rust")] {
        world.ok(&format!("plugin create {name} --lang {lang}"));
        world.ok(&format!("plugin install ./{name}"));
        assert_eq!(world.tool([name, "hello", "a  'b' \"$HOME\" *"]).stdout, "Hello, a  'b' \"$HOME\" *!\n");
        assert_eq!(world.ok(&format!("{name} --version")).stdout, "0.1.0\n");
        assert!(world.ok(&format!("{name} info")).stdout.ends_with(&format!("/plugins/{name}\n")));
        for wrong in ["nonsense", "hello --nonsense", "hello a b", "info x"] {
            let ran = world.fails(2, &format!("{name} {wrong}"));
            assert!(ran.stdout.is_empty() && ran.stderr.starts_with(&format!("{name}: ")), "{}", ran.stderr);
        }
        assert!(world.ok(&format!("help {name}")).stdout.contains("hello [--loud] [WHO]"));
        assert!(world.ok(&format!("__complete {name} h")).stdout.contains("hello\n"));
        assert!(world.tool(["__complete", name, "hello", "--"]).stdout.contains("--loud"));
    }
}

#[test]
fn what_cannot_be_is_wrong_usage_and_names_what_can() {
    let world = World::new();
    let ran = world.fails(2, "plugin create p --runtime extism --lang sh");
    for possible in ["`--runtime subprocess` with `--lang sh` or `--lang rust`", "`--runtime extism` with `--lang rust`"] {
        assert!(ran.stderr.contains(possible), "{}", ran.stderr);
    }
    // Only what this program can run is offered.
    for words in ["p --runtime grpc", "p --runtime grpc --lang rust", "p --type getter --runtime grpc/v1"] {
        let ran = world.fails(2, &format!("plugin create {words}"));
        assert!(ran.stderr.contains("possible values: subprocess, extism"), "{words}: {}", ran.stderr);
    }
    for words in ["", "p --type other", "p --lang go", "p --runtime docker", "a/b", "a.b", "con", "p q"] {
        assert_eq!(
            world.tool(["plugin", "create"].into_iter().chain(words.split(' ').filter(|w| !w.is_empty()))).code,
            2,
            "{words}"
        );
    }
    let long = "x".repeat(101);
    for name in ["-x", "..", "", &long] {
        assert_eq!(world.tool(["plugin", "create", "--", name]).code, 2, "{name}");
    }
    let ran = world.fails(2, "plugin create version");
    assert!(ran.stderr.contains("`version` is a command of tool itself"), "{}", ran.stderr);
    assert!(world.snapshot(&world.path("")).is_empty());
    world.ok("plugin create version --type getter");
    world.ok("plugin create other --type postrenderer/v1 --runtime extism/v1");
}

#[test]
fn nothing_is_ever_overwritten() {
    let world = World::new();
    world.write("full/file", "mine");
    world.write("file", "mine");
    std::os::unix::fs::symlink("nowhere", world.path("link")).unwrap();
    fs::create_dir(world.path("empty")).unwrap();
    let before = world.snapshot(&world.path(""));
    for name in ["full", "file", "link"] {
        let ran = world.fails(1, &format!("plugin create {name}"));
        assert!(ran.stderr.contains("is there already"), "{}", ran.stderr);
    }
    assert_eq!(world.snapshot(&world.path("")), before);
    world.ok("plugin create empty");
    assert!(world.path("empty/plugin.yaml").is_file());
    world.fails(1, "plugin create empty");
}

#[test]
fn the_destination_is_made_and_may_be_anywhere() {
    let world = World::new();
    let made = world.ok("plugin create p -d a/b -q -o json");
    assert_eq!((made.json()[0]["path"].as_str(), made.stderr.as_str()), (Some("a/b/p"), ""));
    let odd = world.path("it's a place");
    let ran = world.tool(["plugin", "create", "p", "--destination", odd.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("it'\\''s a place/p'"), "{}", ran.stderr);
    let install = ran.stderr.lines().find_map(|line| line.trim().strip_prefix("tool plugin install ")).unwrap();
    // The line is good for a shell as it stands.
    let tool = world.command([""; 0]);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{} plugin install {install}", tool.get_program().to_string_lossy())]);
    shell.env_clear().envs(tool.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let ran = finish(&mut shell);
    assert_eq!(ran.code, 0, "{install}: {}", ran.stderr);
}

#[test]
fn a_group_that_the_umask_lets_write_cannot() {
    let world = with_cargo();
    for words in ["p", "q --lang rust", "r --runtime extism"] {
        let mut command = Command::new("sh");
        command.args(["-c", "umask 002; exec \"$@\"", "sh"]);
        let tool = world.command(["plugin", "create"].into_iter().chain(words.split(' ')));
        command.arg(tool.get_program()).args(tool.get_args()).env_clear().current_dir(world.path(""));
        command.envs(tool.get_envs().filter_map(|(key, value)| Some((key, value?))));
        assert_eq!(finish(&mut command).code, 0);
        for entry in walkdir::WalkDir::new(world.path(&words[..1])) {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            assert!([0o755, 0o644].contains(&mode), "{} {mode:o}", entry.path().display());
        }
        world.ok(&format!("plugin lint --strict {}", &words[..1]));
    }
}

/// A directory with a `cargo` that does what `script` says, to be all of `PATH` together with the system's own.
fn false_cargo(world: &mut World, script: &str) {
    world.script("bin/cargo", script);
    let path = format!("{}:/usr/bin:/bin", world.path("bin").display());
    world.set("PATH", path);
}

#[test]
fn a_failing_build_leaves_nothing() {
    let mut world = World::new();
    false_cargo(&mut world, "echo 'no linker here' >&2; exit 101");
    let before = world.snapshot(world.root());
    let ran = world.fails(1, "plugin create p --lang rust -d new/place");
    assert!(ran.stderr.contains("no linker here") && ran.stderr.contains("--no-build"), "{}", ran.stderr);
    assert_eq!(world.snapshot(world.root()), before);
    let ran = world.ok("plugin create p --lang rust --no-build");
    assert!(ran.stderr.contains("./p/build.sh"), "{}", ran.stderr);
    assert!(!world.path("p/bin").exists());
}

#[test]
fn without_cargo_the_source_is_there_and_the_command_is_said() {
    let mut world = World::new();
    world.set("PATH", world.path("none").to_str().unwrap());
    let ran = world.ok("plugin create p --lang rust");
    assert!(ran.stderr.contains("no `cargo` on PATH") && ran.stderr.contains("./p/build.sh"), "{}", ran.stderr);
    assert!(world.path("p/src/main.rs").is_file());
}

#[test]
fn an_interrupt_leaves_nothing() {
    let mut world = World::new();
    let started = world.path("started");
    false_cargo(&mut world, &format!("touch {}; exec sleep 60", started.display()));
    fs::create_dir(world.path("into")).unwrap();
    let mut child = world
        .command(["plugin", "create", "p", "--lang", "rust", "-d", "into"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while !started.exists() {
        assert!(Instant::now() < until, "cargo never ran");
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(world.snapshot(&world.path("into")).is_empty());
}

#[test]
fn lint_and_completion_know_the_command() {
    let world = World::new();
    fs::create_dir(world.path("hollow")).unwrap();
    assert!(world.fails(1, "plugin lint hollow").stdout.contains("check the path"));
    let offered = world.ok("__complete plugin create p --type ").stdout;
    assert!(TYPES.iter().all(|kind| offered.contains(kind)), "{offered}");
    assert!(world.tool(["__complete", "plugin", "create", "p", "--r"]).stdout.contains("--runtime"));
}

/// All scripts that a new plugin can hold.
fn scripts(world: &World) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for kind in TYPES {
        for (lang, words) in [("sh", ""), ("rust", " --lang rust --no-build"), ("module", " --runtime extism")] {
            let name = format!("{kind}-{lang}");
            world.ok(&format!("plugin create {name} --type {kind}{words}"));
            let files = walkdir::WalkDir::new(world.path(&name)).into_iter().map(|entry| entry.unwrap().into_path());
            let is_script = |path: &Path| fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"#!/bin/sh\n"));
            found.extend(files.filter(|path| path.is_file() && is_script(path)));
        }
    }
    found
}

#[test]
fn scripts_are_posix_and_pass_shellcheck() {
    let world = World::new();
    let scripts = scripts(&world);
    assert_eq!(scripts.len(), 4 * (2 + 2 + 1));
    for script in &scripts {
        assert_eq!(finish(Command::new("sh").arg("-n").arg(script)).code, 0, "{}", script.display());
    }
    if peers::has("shellcheck") {
        let ran = finish(Command::new("shellcheck").args(["-s", "sh"]).args(&scripts));
        assert_eq!(ran.code, 0, "{}", ran.stdout);
    }
}

/// The module that comes ready does what its source says: built anew, it gives the same answers.
#[test]
fn peers_modules_are_built_of_the_source_beside_them() {
    if !peers::wanted("building modules") {
        return;
    }
    let mut world = with_cargo();
    world.set("CARGO_TARGET_DIR", world.root().join("target").to_str().unwrap());
    for kind in TYPES {
        let name = format!("my-{kind}");
        world.ok(&format!("plugin create {name} --type {kind} --runtime extism"));
        let module = world.path(&name).join("plugin.wasm");
        let carried = fs::read(&module).unwrap();
        for (program, args) in [("./build.sh", &[][..]), ("cargo", &["test", "--quiet"][..])] {
            let tool = world.command([""; 0]);
            let mut command = Command::new(program);
            command.args(args).env_clear().current_dir(world.path(&name));
            command.envs(tool.get_envs().filter_map(|(key, value)| Some((key, value?))));
            let ran = finish(&mut command);
            assert_eq!(ran.code, 0, "{program}: {}{}", ran.stdout, ran.stderr);
        }
        let built = fs::read(&module).unwrap();
        assert!(built.starts_with(b"\0asm") && built.len().abs_diff(carried.len()) < carried.len() / 4, "{name}");
        whole_life(&world, &name, kind, cfg!(feature = "wasm"));
    }
}
