//! Hooks under control: shown and agreed to on a terminal, confined, forbidden (`docs/security.md#confined-hooks`).

use std::fs;
use std::process::Command;

use crate::support::{Ran, World, finish, snapshot};

/// A world with the plugin `p`, whose install hook is the script `hook.sh` with these lines, and with these `hooks` settings.
fn with(settings: &str, script: &str) -> World {
    let world = World::new();
    world.write("p/plugin.yaml", "name: p\nversion: 1.0.0\nhooks: {install: '\"$HELM_PLUGIN_DIR/hook.sh\"'}\n");
    world.script("p/hook.sh", script);
    config(&world, "config.yaml", &format!("hooks: {{{settings}}}\n"));
    world
}

fn config(world: &World, file: &str, text: &str) {
    let dir = world.root().join("home/.config/tool");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join(file), text).unwrap();
}

fn installed(world: &World) -> bool {
    world.plugins().join("p").exists()
}

const INSTALL: &str = "plugin install p --copy";

/// Whether this system can confine programs; what cannot be tested is said.
fn can_confine() -> bool {
    let ran = with("sandbox: require", "exit 0").tool(INSTALL.split(' '));
    if ran.code != 0 {
        assert!(ran.stderr.contains("Landlock"), "{}", ran.stderr);
        eprintln!("not tested: this system has no Landlock");
    }
    ran.code == 0
}

#[test]
fn s_a_confined_hook_writes_to_its_own_directory_and_a_temporary_one_alone() {
    if !can_confine() {
        return;
    }
    for settings in ["sandbox: require", "sandbox: auto"] {
        // Each way to change something of the user's, from shell commands that everybody has.
        let script = r#"
cd "$WORK" || exit 9
out="$HELM_PLUGIN_DIR/results"
try() { name="$1"; shift; if "$@" 2>/dev/null; then echo "$name: done" >> "$out"; else echo "$name: refused" >> "$out"; fi; }
try new-file sh -c 'echo x > new'
try append sh -c 'echo x >> precious'
try truncate sh -c ': > precious'
try truncate-by-path truncate -s 0 precious
try remove rm -f precious
try rename mv precious renamed
try new-directory mkdir dir
try remove-directory rmdir empty
try symlink-there ln -s precious link
try fifo mkfifo fifo
ln -s "$WORK/precious" "$HELM_PLUGIN_DIR/way-out"
try through-symlink sh -c 'echo x >> "$HELM_PLUGIN_DIR/way-out"'
try through-dots sh -c 'echo x >> "$HELM_PLUGIN_DIR/../../../../../../work/precious"'
try hard-link-in ln precious "$HELM_PLUGIN_DIR/hard"
try hard-link-out ln "$HELM_PLUGIN_DIR/hook.sh" hard
try rename-out mv "$HELM_PLUGIN_DIR/hook.sh" moved
try rename-in mv precious "$HELM_PLUGIN_DIR/precious"
try exchange mv -T "$HELM_PLUGIN_DIR/own" empty
try in-the-home sh -c 'echo x > "$HOME/x"'
try beside sh -c 'echo x > "$HELM_PLUGIN_DIR/../x"'
try by-a-child sh -c '(setsid sh -c "echo x > precious")'
try own-file sh -c 'echo x > "$HELM_PLUGIN_DIR/own-file" && rm "$HELM_PLUGIN_DIR/own-file"'
try own-directory sh -c 'mkdir -p "$HELM_PLUGIN_DIR/bin/a" && echo x > "$HELM_PLUGIN_DIR/bin/a/x" && mv "$HELM_PLUGIN_DIR/bin/a/x" "$HELM_PLUGIN_DIR/bin/x"'
try temporary sh -c 't=$(mktemp) && echo x > "$t"'
try temporary-to-own sh -c 'echo x > "$TMPDIR/y" && mv "$TMPDIR/y" "$HELM_PLUGIN_DIR/bin/y"'
try devices sh -c 'echo x > /dev/null'
try streams sh -c 'echo said > /dev/stdout'
echo said > /dev/stderr
try read sh -c 'cat precious > /dev/null && ls "$HOME" > /dev/null'
echo "$TMPDIR" > "$HELM_PLUGIN_DIR/tmpdir"
"#;
        let mut world = with(settings, script);
        let work = world.path("").to_str().unwrap().to_owned();
        world.set("WORK", &work);
        world.write("precious", "precious\n");
        fs::create_dir(world.path("empty")).unwrap();
        let (work_before, home) = (snapshot(&world.path("")), world.root().join("home"));
        let ran = world.ok(INSTALL);
        assert!(ran.stdout.contains("said\n") && ran.stderr.contains("said\n"), "{}{}", ran.stdout, ran.stderr);
        let results = fs::read_to_string(world.plugins().join("p/results")).unwrap();
        let allowed = ["own-file", "own-directory", "temporary", "temporary-to-own", "devices", "streams", "read"];
        for line in results.lines() {
            let (name, outcome) = line.split_once(": ").unwrap();
            let wanted = if allowed.contains(&name) { "done" } else { "refused" };
            assert_eq!(outcome, wanted, "{name} ({settings})");
        }
        assert_eq!(results.lines().count(), 27, "{results}");
        assert_eq!(snapshot(&world.path("")), work_before);
        assert!(!home.join("x").exists() && !world.plugins().join("x").exists());
        let temporary = fs::read_to_string(world.plugins().join("p/tmpdir")).unwrap();
        assert!(temporary.starts_with(world.root().to_str().unwrap()), "{temporary}");
        assert!(!fs::exists(temporary.trim()).unwrap(), "the temporary directory is gone");
        // This program itself was never confined.
        assert!(world.root().join("home/.local/share/tool/audit.jsonl").exists());
        world.ok("plugin uninstall p");
    }
}

#[test]
fn s_a_confined_hook_can_say_things_into_a_file() {
    if !can_confine() {
        return;
    }
    let world = with("sandbox: require", "echo said >> /dev/stdout || exit 4");
    let said = fs::File::options().create(true).append(true).open(world.path("said")).unwrap();
    assert!(world.command(INSTALL.split(' ')).stdout(said).status().unwrap().success());
    assert!(fs::read_to_string(world.path("said")).unwrap().contains("said\n"));
}

#[test]
fn s_a_hook_that_needs_more_is_told_how() {
    let script = "echo x > \"$HOME/cache\" || exit 3";
    let world = with("sandbox: off", script);
    world.ok(INSTALL);
    assert!(world.root().join("home/cache").exists());
    if !can_confine() {
        return;
    }
    let world = with("sandbox: auto", script);
    let ran = world.fails(1, INSTALL);
    assert!(ran.stderr.contains("exit code 3") && ran.stderr.contains("`hooks.sandbox: off`"), "{}", ran.stderr);
    assert!(!installed(&world) && !world.root().join("home/cache").exists());
    // A failure that had nothing to do with it says nothing of it.
    let ran = with("sandbox: off", "exit 3").fails(1, INSTALL);
    assert!(!ran.stderr.contains("hooks.sandbox"), "{}", ran.stderr);
}

#[test]
fn s_a_link_for_development_is_confined_to_what_it_points_to() {
    if !can_confine() {
        return;
    }
    let world = with("sandbox: require", "echo x > \"$HELM_PLUGIN_DIR/built\"; echo x > \"$HOME/x\"; :");
    world.ok("plugin install p");
    assert!(world.path("p/built").exists() && !world.root().join("home/x").exists());
}

#[test]
fn a_clean_environment_holds_no_secrets() {
    let script = "env > \"$HELM_PLUGIN_DIR/env\"";
    for (environment, seen) in [("inherit", true), ("clean", false)] {
        let mut world = with(&format!("environment: {environment}"), script);
        world.set("AWS_SECRET_ACCESS_KEY", "s3cret").set("LC_ALL", "C");
        world.ok(INSTALL);
        let env = fs::read_to_string(world.plugins().join("p/env")).unwrap();
        assert_eq!(env.contains("s3cret"), seen, "{env}");
        for name in ["PATH=", "HOME=", "LC_ALL=C", "TMPDIR=", "TOOL_PLUGIN_NAME=p", "HELM_PLUGIN_DIR=", "TOOL_DATA_HOME="] {
            assert!(env.lines().any(|line| line.starts_with(name)), "no {name} in {env}");
        }
    }
}

#[test]
fn a_policy_is_stronger_than_settings_and_flags() {
    let world = with("sandbox: off", "echo x > \"$HOME/x\"; :");
    config(&world, "policy.yaml", "apiVersion: v1\nhooks: forbid\n");
    for command in [INSTALL.to_owned(), format!("--yes {INSTALL}")] {
        let ran = world.fails(1, &command);
        assert!(ran.stderr.contains("policy.yaml:2") && ran.stderr.contains("--no-hooks"), "{}", ran.stderr);
    }
    assert!(!installed(&world) && !world.root().join("home/x").exists());
    let log = fs::read_to_string(world.root().join("home/.local/share/tool/audit.jsonl")).unwrap();
    assert!(log.contains("\"policy-refused\""), "{log}");
    world.ok(&format!("{INSTALL} --no-hooks"));
    world.ok("plugin uninstall p");

    config(&world, "policy.yaml", "apiVersion: v1\nhooks: sandbox\n");
    let ran = world.tool(INSTALL.split(' '));
    assert_eq!(ran.code == 0, can_confine(), "{}", ran.stderr);
    assert!(!world.root().join("home/x").exists());

    // Where it is the policy that confines, the message does not send the user to their own settings.
    let world = with("sandbox: off", "echo x > \"$HOME/x\"");
    config(&world, "policy.yaml", "apiVersion: v1\nhooks: sandbox\n");
    let ran = world.fails(1, INSTALL);
    assert!(ran.stderr.contains("policy.yaml:2 asks") && !ran.stderr.contains("hooks.sandbox"), "{}", ran.stderr);
}

/// Runs the program on a terminal of its own, on which `typed` is typed.
fn on_a_terminal(world: &World, arguments: &str, typed: &str) -> Ran {
    let tool = world.command([""; 0]);
    let line = format!("{} {arguments}", tool.get_program().to_str().unwrap());
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).env_clear().envs(tool.get_envs().filter_map(|(k, v)| Some((k, v?))));
    command.current_dir(world.path("")).stdin(std::process::Stdio::piped());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), typed.as_bytes()).unwrap();
    Ran::of(child.wait_with_output().unwrap())
}

fn has_script() -> bool {
    let there = Command::new("script").arg("--version").output().is_ok();
    if !there {
        eprintln!("not tested: there is no `script` to make a terminal");
    }
    there
}

#[test]
fn on_a_terminal_a_hook_is_shown_and_asked_about() {
    if !has_script() {
        return;
    }
    let world = with("", "touch \"$HELM_PLUGIN_DIR/ran\"");
    let ran = |world: &World| world.plugins().join("p/ran").exists();

    let answer = on_a_terminal(&world, INSTALL, "n\n");
    assert_eq!(answer.code, 1, "{}", answer.stdout);
    assert!(
        answer.stdout.contains("the install hook of plugin `p` runs:\r\n  sh -c '\"$HELM_PLUGIN_DIR/hook.sh\"'\r\n"),
        "{}",
        answer.stdout
    );
    assert!(
        answer.stdout.contains("run it, with all your rights? [y/N]") && answer.stdout.contains("--no-hooks"),
        "{}",
        answer.stdout
    );
    assert!(!installed(&world));
    assert_eq!(on_a_terminal(&world, INSTALL, "\n").code, 1);
    assert!(!installed(&world));

    let answer = on_a_terminal(&world, INSTALL, "y\n");
    assert!(answer.code == 0 && ran(&world), "{}", answer.stdout);
    world.ok("plugin uninstall p");
    // `--yes` shows it and does not ask, `--no-input` and `--no-hooks` do neither.
    for (flags, shown, runs) in [("--yes", true, true), ("--no-input", false, true), ("--no-hooks", false, false)] {
        let answer = on_a_terminal(&world, &format!("{INSTALL} {flags}"), "");
        assert_eq!(answer.code, 0, "{flags}: {}", answer.stdout);
        assert_eq!(answer.stdout.contains("hook of plugin `p` runs"), shown, "{flags}: {}", answer.stdout);
        assert!(!answer.stdout.contains("[y/N]"), "{flags}: {}", answer.stdout);
        assert_eq!(ran(&world), runs, "{flags}");
        world.ok("plugin uninstall p");
    }
    // Without a terminal it runs as it is; who wants to know more is told.
    let told = world.ok(&format!("-v {INSTALL}"));
    assert!(told.stderr.contains("hook of plugin `p` runs") && ran(&world), "{}", told.stderr);
}

#[test]
fn a_no_to_the_hook_of_an_update_or_uninstall_changes_nothing() {
    if !has_script() {
        return;
    }
    let world = World::new();
    let hooks = "hooks: {update: 'echo updated', delete: 'echo deleted'}";
    world.write("p/plugin.yaml", format!("name: p\nversion: 1.0.0\n{hooks}\n"));
    world.ok(INSTALL);
    world.write("p/plugin.yaml", format!("name: p\nversion: 2.0.0\n{hooks}\n"));
    let before = world.snapshot(&world.plugins().join("p"));
    for command in ["plugin update p", "plugin uninstall p"] {
        let answer = on_a_terminal(&world, command, "n\n");
        assert_eq!(answer.code, 1, "{}", answer.stdout);
        assert!(!answer.stdout.contains("updated\r\n") && !answer.stdout.contains("deleted\r\n"), "{}", answer.stdout);
        assert_eq!(world.snapshot(&world.plugins().join("p")), before, "{command}");
    }
    assert!(on_a_terminal(&world, "plugin update p", "y\n").stdout.contains("updated\r\n"));
    assert!(on_a_terminal(&world, "plugin uninstall p", "y\n").stdout.contains("deleted\r\n"));
    assert!(!installed(&world));
}

#[test]
fn m8_a_hook_that_is_shown_cannot_act_on_the_terminal() {
    let world = World::new();
    world.write(
        "p/plugin.yaml",
        "name: p\nversion: 1.0.0\nhooks:\n  install: \"true \\e[2K\\u202e # run it? [y/N] y\\nsecond\"\n",
    );
    let told = finish(&mut world.command(["-v", "plugin", "install", "p", "--copy"]));
    assert!(told.stderr.contains("\\u{1b}[2K\\u{202e}") && !told.stderr.contains('\u{1b}'), "{}", told.stderr);
    assert!(told.stderr.contains("\n  second'"), "{}", told.stderr);
}

#[test]
fn i2_a_hook_that_dies_of_an_interrupt_is_the_users_interrupt() {
    let world = with("sandbox: auto", "");
    world.write("p/plugin.yaml", "name: p\nversion: 1.0.0\nhooks: {install: 'kill -INT $$; sleep 60'}\n");
    let ran = world.fails(130, INSTALL);
    assert!(ran.stderr.contains("interrupted"), "{}", ran.stderr);
    assert!(!installed(&world));
}

#[test]
fn i2_a_confined_hook_is_ended_after_its_time() {
    let world = with("sandbox: auto, timeout: 300ms", "sleep 60");
    let ran = world.fails(1, INSTALL);
    assert!(ran.stderr.contains("hooks.timeout"), "{}", ran.stderr);
    assert!(!installed(&world));
}
