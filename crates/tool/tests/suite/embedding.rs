//! Other programs with the same `plugin` command: the examples, as a user would run them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Ran, World, finish, repository};

/// An example, which `cargo test` builds beside the program.
fn example(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_tool")).with_file_name("examples").join(name);
    if !path.is_file() {
        let cargo = Command::new(env!("CARGO")).args(["build", "--quiet", "--example", name]).status().unwrap();
        assert!(cargo.success());
    }
    path
}

/// Runs `program` with words split at spaces, in the home and working directory of `world`.
fn run(world: &World, program: &Path, env: &[(&str, &str)], words: &str) -> Ran {
    let mut command = Command::new(program);
    command
        .args(words.split(' '))
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap())
        .env("HOME", world.root().join("home"));
    finish(command.envs(env.iter().copied()).current_dir(world.path("")))
}

#[test]
fn an_embedding_program_has_its_own_name_and_commands() {
    let source = fs::read_to_string(repository("examples/host.rs")).unwrap();
    assert!(source.lines().count() < 40, "an embedding program needs under 40 lines");

    let (world, acme) = (World::new(), example("host"));
    let acme = |words: &str| run(&world, &acme, &[], words);
    assert_eq!(acme("status").stdout, "42 anvils\n");
    assert_eq!(acme("drop cliff").stdout, "an anvil falls on cliff\n");
    assert_eq!(acme("version").stdout, "acme 1.4.0\n");
    let help = acme("--help").stdout;
    assert!(help.contains("status") && help.contains("plugin") && help.contains("completion"), "{help}");

    // Its plugins, directories and variables are its own, with Helm's names beside them.
    world.write("p/plugin.yaml", "name: p\nversion: 1.0.0\ncommand: sh -c env\n");
    assert_eq!(acme("plugin install p").code, 0);
    assert!(world.root().join("home/.local/share/acme/plugins/p/plugin.yaml").is_file());
    let seen = acme("p").stdout;
    for variable in ["ACME_PLUGIN_NAME=p\n", "HELM_PLUGIN_NAME=p\n", "ACME_DEBUG=false\n"] {
        assert!(seen.contains(variable), "no {variable} in {seen}");
    }
    assert!(!seen.contains("TOOL_"), "{seen}");

    // Its commands cannot be taken over, and are completed.
    world.write("status/plugin.yaml", "name: status\nversion: 1.0.0\ncommand: echo mine\n");
    let ran = acme("plugin install status");
    assert!(ran.code == 1 && ran.stderr.contains("a command of acme itself"), "{}", ran.stderr);
    assert!(acme("__complete st").stdout.starts_with("status\t"));
    assert!(acme("completion bash").stdout.contains("acme"));
    let ran = acme("statu");
    assert!(ran.code == 2 && ran.stderr.contains("`status`"), "{}", ran.stderr);
}

#[test]
fn helms_own_directory_can_be_managed() {
    let (world, helm) = (World::new(), example("helm"));
    // As Helm leaves it: a directory, and nothing of ours.
    let plugins = world.root().join("home/.local/share/helm/plugins");
    fs::create_dir_all(plugins.join("diff")).unwrap();
    fs::write(plugins.join("diff/plugin.yaml"), "name: diff\nversion: 3.0.0\ncommand: echo $HELM_PLUGIN_NAME\n").unwrap();
    let run = |words: &str| run(&world, &helm, &[], words);
    assert_eq!(run("plugin list -o name").stdout, "diff\n");
    assert_eq!(run("diff a").stdout, "diff a\n");
    world.plugin("mine", "1.0.0");
    assert_eq!(run("plugin install mine --copy").code, 0);
    assert!(plugins.join("mine/plugin.yaml").is_file());
    let elsewhere = world.root().join("elsewhere");
    let env = [("HELM_PLUGINS", elsewhere.to_str().unwrap())];
    assert_eq!(super::embedding::run(&world, &helm, &env, "plugin list -o name").stdout, "");
    assert_eq!(run("plugin uninstall diff").code, 0);
    assert_eq!(run("plugin list -o name").stdout, "mine\n");
    // A command of Helm's own is no plugin's name.
    world.plugin("template", "1.0.0");
    assert_eq!(run("plugin install template").code, 1);
}
