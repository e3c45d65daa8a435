use super::*;
use clap::{Args, value_parser};
use semver::Version;
use std::path::PathBuf;

use crate::globals::Globals;

fn host() -> Host {
    let host = Host::new("unset-in-tests", Version::new(1, 0, 0)).global_flag("namespace", true);
    dispatch::reserve_commands(host, &tree())
}

fn tree() -> Command {
    let name = || Arg::new("name").value_name("NAME").num_args(1..);
    let plugin = Command::new("plugin")
        .subcommand(Command::new("uninstall").visible_alias("rm").about("Uninstall plugins\nforever").arg(name()))
        .subcommand(Command::new("create").arg(name()))
        .subcommand(Command::new("install").arg(Arg::new("source").value_name("SOURCE").num_args(1..)))
        .subcommand(Command::new("secret").hide(true))
        .subcommand(
            Command::new("list")
                .arg(Arg::new("output").long("output").short('o').value_parser(["json", "yaml"]).help("The format")),
        )
        .subcommand(Command::new("verify").arg(Arg::new("subject").value_name("FILE|NAME")))
        .subcommand(
            Command::new("package")
                .arg(Arg::new("dir").value_hint(ValueHint::DirPath))
                .arg(Arg::new("key").long("key").value_parser(value_parser!(PathBuf))),
        );
    Globals::augment_args(Command::new("unset-in-tests"))
        .subcommand(plugin)
        .subcommand(Command::new("version").about("Show the version"))
}

fn answer(line: &str) -> String {
    let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
    let names = |_| {
        vec![
            CompletionItem::new("hello", "Says hello"),
            CompletionItem::new("version", "shadowed"),
            CompletionItem::new("secrets", ""),
        ]
    };
    let complete_plugin =
        |name: &str, words: &[OsString]| Completions::only(vec![CompletionItem::new(format!("{name}{words:?}"), "")]);
    complete(&tree(), &host(), &words, &Plugins { names: &names, complete: &complete_plugin }).render()
}

#[test]
fn the_hosts_own_lines() {
    for (line, expected) in [
        (
            "",
            "plugin\nversion\tShow the version\nhelp\tPrint this message or the help of the given subcommand(s)\nhello\tSays hello\nsecrets\n:4\n",
        ),
        ("h", "help\tPrint this message or the help of the given subcommand(s)\nhello\tSays hello\n:4\n"),
        ("help s", "secrets\n:4\n"),
        ("help plugin u", "uninstall\tUninstall plugins\n:4\n"),
        ("plugin u", "uninstall\tUninstall plugins\n:4\n"),
        ("plugin s", ":4\n"),
        ("plugin rm ", "hello\tSays hello\nversion\tshadowed\nsecrets\n:4\n"),
        ("plugin uninstall hello s", "secrets\n:4\n"),
        ("plugin -q uninstall -- h", "hello\tSays hello\n:4\n"),
        ("plugin create h", ":4\n"),
        ("plugin install h", ":0\n"),
        ("plugin verify h", "hello\tSays hello\n:0\n"),
        ("plugin package ", ":16\n"),
        ("plugin package --key ", ":0\n"),
        ("plugin list --o", "--output\tThe format\n:4\n"),
        ("plugin list -o ", "json\nyaml\n:4\n"),
        ("plugin list --output=j", "--output=json\n:4\n"),
        ("plugin list --output y", "yaml\n:4\n"),
        ("plugin list --output json x", ":4\n"),
        ("--color n", "never\n:4\n"),
        ("--color=a", "--color=auto\tWhere the stream is a terminal\n--color=always\n:4\n"),
        ("plugin list --no", "--no-input\tAsk no questions: what would need an answer fails\n:4\n"),
        ("--namespace ", ":0\n"),
        ("--namespace x v", "version\tShow the version\n:4\n"),
    ] {
        assert_eq!(answer(line), expected, "{line}");
    }
}

#[test]
fn words_past_a_plugins_name_are_the_plugins() {
    for (line, expected) in [
        ("hello ", "hello[\"\"]\n:4\n"),
        ("-q --color never --namespace n hello --color a", "hello[\"--color\", \"a\"]\n:4\n"),
        ("hello plugin list", "hello[\"plugin\", \"list\"]\n:4\n"),
    ] {
        assert_eq!(answer(line), expected, "{line}");
    }
}

#[test]
fn m8_candidates_cannot_act_on_a_terminal() {
    let found = Completions::only(vec![
        CompletionItem::new("a\x1b[1m", "x"),
        CompletionItem::new("b", "\x1b[1m\nc"),
        CompletionItem::new("", "x"),
    ]);
    assert_eq!(found.render(), "b\t\\u{1b}[1m c\n:4\n");
}

#[test]
fn every_script_is_for_the_program() {
    for shell in <Shell as clap::ValueEnum>::value_variants() {
        let script = shell.script("my-app");
        assert!(!script.contains("@NAME@") && !script.contains("@FUNCTION@") && script.contains("__complete"), "{shell:?}");
    }
}

/// What bash offers for `line`, by a program that answers every question with the words it got and some of its own.
#[cfg(unix)]
#[test]
fn bash_understands_its_script() {
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command as Process;

    if Process::new("bash").arg("--version").output().is_err() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("my-app");
    std::fs::write(
        &program,
        "#!/bin/sh\nshift\nlast=\nfor last in \"$@\"; do :; done\nprintf '%s|' \"$@\" >> \"$0.log\"\n\
         printf 'other\\n%sdone\\thelp: x\\n%s two\\n:%s\\n' \"$last\" \"$last\" \"${DIRECTIVE:-4}\"\n",
    )
    .unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let script = dir.path().join("script");
    std::fs::write(&script, Shell::Bash.script("my-app")).unwrap();
    // `words` are as bash splits them, at `=` and `:` too.
    let offers = |line: &str, words: &[&str]| {
        let run = "source \"$1\"; COMP_LINE=$2; COMP_POINT=${#COMP_LINE}; shift 2; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
                   compopt() { :; }; __my_app_complete; printf '%s;' \"${COMPREPLY[@]}\"";
        let output = Process::new("bash")
            .args(["-c", run, "bash"])
            .arg(&script)
            .arg(line)
            .args(words)
            .env("PATH", format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap()))
            .output()
            .unwrap();
        let log = dir.path().join("my-app.log");
        let asked = std::fs::read_to_string(&log).unwrap_or_default();
        let _ = std::fs::remove_file(log);
        format!("{asked} {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    for (line, words, expected) in [
        ("my-app ", &["my-app", ""][..], "| other;done;\\ two;"),
        ("my-app  hello  x", &["my-app", "hello", "x"], "hello|x| xdone;x\\ two;"),
        ("my-app --a=b", &["my-app", "--a", "=", "b"], "--a=b| bdone;b\\ two;"),
        ("my-app --a=", &["my-app", "--a", "="], "--a=| done;\\ two;"),
        ("my-app oci://x", &["my-app", "oci", ":", "//x"], "oci://x| //xdone;//x\\ two;"),
        ("my-app a : b", &["my-app", "a", ":", "b"], "a|:|b| bdone;b\\ two;"),
    ] {
        assert_eq!(offers(line, words), expected, "{line}");
    }
}
