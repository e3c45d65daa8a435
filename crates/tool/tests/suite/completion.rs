//! Completion through the built program and real shells: names, `completion.yaml`, `plugin.complete`, the gate (case M8).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::support::{Ran, World, peers};

/// A world with a command `deploy` that has a `completion.yaml`, one `ask` that has a `plugin.complete`, a getter, a
/// post-renderer and a broken plugin.
fn world() -> World {
    let world = World::new();
    let file = |path: &str, text: &str| {
        let path = world.plugins().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    file("deploy/plugin.yaml", "name: deploy\nversion: 1.0.0\nusage: \"deploys \\e[31mthings\"\ncommand: touch ran\n");
    file(
        "deploy/completion.yaml",
        "name: deploy\nflags: [f, force]\ncommands:\n- name: start\n  validArgs: [blue, green]\n  flags: [now]\n- name: status\n",
    );
    file("ask/plugin.yaml", "name: ask\nversion: 1.0.0\ncommand: touch ran\n");
    file("ask/plugin.complete", "#!/bin/sh\necho \"$HELM_PLUGIN_NAME-$#\"\nprintf '%s\\thelp\\n' \"$@\"\necho :6\n");
    file("fetch/plugin.yaml", "name: fetch\nversion: 1.0.0\ndownloaders: [{command: x, protocols: [s3]}]\n");
    file(
        "upper/plugin.yaml",
        "apiVersion: v1\nname: upper\nversion: 1.0.0\ntype: postrenderer/v1\nruntime: subprocess\nruntimeConfig: {platformCommand: [{command: tr a-z A-Z}]}\n",
    );
    file("broken/plugin.yaml", "name: broken\nversion: v1\n");
    world
}

/// The candidates for `words`, without their help, and the directive.
fn candidates(world: &World, words: &[&str]) -> Vec<String> {
    let ran = world.tool(["__complete"].iter().chain(words));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{words:?}");
    ran.stdout.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

#[test]
fn names_are_completed_and_no_plugin_runs() {
    let mut world = world();
    assert_eq!(candidates(&world, &["de"]), ["deploy", ":4"]);
    let all = candidates(&world, &[""]);
    for name in ["plugin", "completion", "version", "help", "ask", "deploy"] {
        assert!(all.iter().any(|one| one == name), "{name} is missing in {all:?}");
    }
    for name in ["fetch", "upper", "broken", "__complete"] {
        assert!(!all.iter().any(|one| one == name), "{name} is no command: {all:?}");
    }
    assert_eq!(candidates(&world, &["plugin", "uninstall", ""]), ["ask", "broken", "deploy", "fetch", "upper", ":4"]);
    assert_eq!(candidates(&world, &["plugin", "exec", ""]), ["ask", "deploy", ":4"]);
    assert_eq!(candidates(&world, &["post-render", ""]), ["upper", ":4"]);
    assert_eq!(candidates(&world, &["plugin", "unin"]), ["uninstall", ":4"]);
    assert_eq!(candidates(&world, &["plugin", "list", "--output", "j"]), ["json", ":4"]);
    assert!(!world.path("ran").exists());
    world.set("TOOL_NO_PLUGINS", "1");
    assert_eq!(candidates(&world, &["de"]), [":4"]);
    assert_eq!(candidates(&world, &["deploy", ""]), [":4"]);
}

#[test]
fn a_plugin_completes_its_own_words() {
    let world = world();
    for (words, expected) in [
        (&["deploy", ""][..], &["start", "status", ":4"][..]),
        (&["deploy", "-"], &["-f", "--force", ":4"]),
        (&["--debug", "deploy", "--force", "start", "g"], &["green", ":4"]),
        (&["deploy", "start", "--n"], &["--now", ":4"]),
        (&["ask", "a b", "--debug", "c", ""], &["ask-3", "a b", "c", ":6"]),
    ] {
        assert_eq!(candidates(&world, words), expected, "{words:?}");
    }
    assert!(!world.path("ran").exists());
}

#[test]
fn m8_help_of_candidates_is_neutralised() {
    let ran = world().ok("__complete de");
    assert_eq!(ran.stdout, "deploy\tdeploys [31mthings\n:4\n");
}

#[test]
fn the_gate_stands_before_plugin_complete() {
    let world = world();
    let from = world.plugins().join("ask");
    let copy = world.path("asked");
    fs::create_dir_all(&copy).unwrap();
    for name in ["plugin.yaml", "plugin.complete"] {
        fs::copy(from.join(name), copy.join(name)).unwrap();
    }
    fs::remove_dir_all(&from).unwrap();
    assert_eq!(world.tool(["plugin", "install", "./asked", "--copy"]).code, 0);
    assert_eq!(candidates(&world, &["ask", "x"]), ["ask-1", "x", ":6"]);
    fs::write(from.join("plugin.complete"), "#!/bin/sh\ntouch ran\n").unwrap();
    assert_eq!(candidates(&world, &["ask", "x"]), [":4"]);
    assert!(!world.path("ran").exists());
}

/// What a real bash offers at the end of `line` once it has sourced our script.
fn bash(world: &World, line: &str) -> String {
    let script = format!(
        "source <(tool completion bash); COMP_LINE={line:?}; COMP_POINT=${{#COMP_LINE}}; COMP_WORDS=($COMP_LINE); \
         [[ $COMP_LINE == *' ' ]] && COMP_WORDS+=(''); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
         compopt() {{ printf '%s ' \"$@\"; }}; __tool_complete; printf '%s;' \"${{COMPREPLY[@]}}\""
    );
    let ran = in_shell(world, &["bash", "-c", &script]);
    assert_eq!(ran.stderr, "", "{line}");
    ran.stdout
}

/// Runs a shell in the environment of the world, where `tool` is the program.
fn in_shell(world: &World, words: &[&str]) -> Ran {
    let template = world.command([""]);
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env_clear();
    command.envs(template.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(world.path(""));
    let mut path = Path::new(env!("CARGO_BIN_EXE_tool")).parent().unwrap().as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());
    Ran::of(command.env("PATH", path).output().unwrap())
}

#[test]
fn bash_completes_with_the_built_program() {
    let world = world();
    for (line, expected) in [
        ("tool depl", "deploy;"),
        ("tool deploy st", "start;status;"),
        ("tool deploy start ", "blue;green;"),
        ("tool plugin uninstall fet", "fetch;"),
        ("tool ask x", "-o nospace x;"),
        ("tool plugin install ./", "-o default ;"),
    ] {
        assert_eq!(bash(&world, line), expected, "{line}");
    }
}

#[test]
fn every_shell_has_a_script() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ran = world.ok(&format!("completion {shell}"));
        assert!(ran.stdout.contains("__complete") && ran.stdout.contains("tool"), "{shell}");
    }
    assert_eq!(world.tool(["completion", "tcsh"]).code, 2);
}

#[test]
fn fish_zsh_and_elvish_complete_too() {
    if !peers::wanted("completing in fish, zsh and elvish") {
        return;
    }
    let world = world();
    for shell in ["zsh", "fish", "elvish"] {
        let ran = world.ok(&format!("completion {shell}"));
        world.write(&format!("tool.{shell}"), &ran.stdout);
    }

    let fish = |line: &str| {
        let ran = in_shell(&world, &["fish", "--no-config", "-c", &format!("source tool.fish; complete -C '{line}'")]);
        assert_eq!(ran.stderr, "", "{line}");
        ran.stdout.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(fish("tool depl"), ["deploy"]);
    assert_eq!(fish("tool deploy st"), ["start", "status"]);
    assert_eq!(fish("tool plugin uninstall fet"), ["fetch"]);

    // Its completions exist in a terminal only, which `script` makes; the shell's first file asks and leaves.
    world.write(
        "rc.elv",
        "eval (slurp < tool.elvish)\nvar complete = $edit:completion:arg-completer[tool]\n\
         for words [[tool depl] [tool deploy st] [tool plugin uninstall fet]] {\n\
         $complete $@words | each {|found| print $found[stem]';' >> found }\n}\nexit\n",
    );
    world.write("found", "");
    let ran = in_shell(&world, &["script", "-qec", "elvish -rc rc.elv", "/dev/null"]);
    assert_eq!(std::fs::read_to_string(world.path("found")).unwrap(), "deploy;start;status;fetch;", "{}", ran.stdout);

    // And zsh completes what is typed at its prompt, here to a plugin's name, which is then run.
    world.write("zshrc", "autoload -U compinit; compinit -u -D; source ./tool.zsh; bindkey '^I' complete-word; PS1=READY\n");
    world.write(
        "drive.zsh",
        "zmodload zsh/zpty\nzpty shell 'exec zsh -f -i'\nzpty -w shell 'source ./zshrc'\n\
         zpty -r -m shell line '*READY*'\nzpty -n -w shell $'tool depl\\t'\nzpty -r -m shell line '*deploy*'\nprint -r -- $line\n",
    );
    let ran = in_shell(&world, &["timeout", "30", "zsh", "-f", "drive.zsh"]);
    assert!(ran.stdout.contains("tool deploy"), "{} {}", ran.stdout, ran.stderr);
}
