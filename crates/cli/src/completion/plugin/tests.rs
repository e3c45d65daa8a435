use std::fs;
use std::path::Path;

use super::*;
use plugsmith::host::{ChosenDirectory, Homes, SettingOrigin};
use plugsmith::manifest;

fn tree() -> Command {
    let node = |name: &str, commands: Vec<Command>, flags: &[&str], valid_args: &[&str]| Command {
        name: name.to_owned(),
        commands,
        flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
        valid_args: valid_args.iter().map(|word| (*word).to_owned()).collect(),
    };
    let leaf = node("get", vec![], &["o", "output", "--odd"], &["pods", "nodes\tall of them"]);
    node("p", vec![leaf, node("go", vec![], &[], &[])], &["global"], &[])
}

/// The answer to `words` (the last is where the cursor is) of a plugin with this `plugin.complete`.
fn answer(program: Option<&str>, ignore_flags: bool, words: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("name: p\nversion: 1.0.0\ncommand: p\nignoreFlags: {ignore_flags}\n");
    let metadata = manifest::parse(text.as_bytes(), Path::new("plugin.yaml")).unwrap();
    if let Some(program) = program {
        let path = dir.path().join(PROGRAM_NAME);
        fs::write(&path, program).unwrap();
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let home = || ChosenDirectory { path: "/x".into(), origin: SettingOrigin::Default };
    let plugins = vec!["/x".into()];
    let homes = Homes { data: home(), cache: home(), config: home(), plugins, plugins_origin: SettingOrigin::Default };
    let host = Host::tool().global_flag("namespace", true);
    let environment = Environment::new(&host, &homes, false);
    let words: Vec<OsString> = words.split(' ').map(OsString::from).collect();
    let subject = RunTarget { metadata: &metadata, dir: dir.path(), allowlist: None };
    complete(subject, &tree(), &words, &host, &environment).render()
}

#[test]
fn the_file_offers_commands_flags_and_words() {
    for (words, expected) in [
        ("", "get\ngo\n:4\n"),
        ("ge", "get\n:4\n"),
        ("-", "--global\n:4\n"),
        ("get ", "pods\nnodes\tall of them\n:4\n"),
        ("get n", "nodes\tall of them\n:4\n"),
        ("get -", "-o\n--output\n--odd\n:4\n"),
        ("--flag get p", "pods\n:4\n"),
        ("--debug --namespace get get p", "pods\n:4\n"),
        ("go ", ":0\n"),
        ("other ", "get\ngo\n:4\n"),
    ] {
        assert_eq!(answer(None, false, words), expected, "{words}");
    }
}

#[cfg(unix)]
#[test]
fn the_program_is_asked_where_there_are_no_deeper_commands() {
    let echo = "#!/bin/sh\nfor a in \"$@\"; do printf '<%s>\\thelp\\n' \"$a\"; done\necho \"$HELM_PLUGIN_NAME\"\necho \"noise\" >&2\n";
    for (words, expected) in [
        ("", "get\ngo\n:4\n"),
        ("go ", "<go>\thelp\n<>\thelp\np\n:0\n"),
        ("get n", "nodes\tall of them\n<get>\thelp\n<n>\thelp\np\n:0\n"),
        ("--x go --debug -y --namespace z w", "<--x>\thelp\n<go>\thelp\n<-y>\thelp\n<w>\thelp\np\n:0\n"),
    ] {
        assert_eq!(answer(Some(echo), false, words), expected, "{words}");
    }
    assert_eq!(answer(Some(echo), true, "go -x w"), "<go>\thelp\np\n:0\n");
}

#[cfg(unix)]
#[test]
fn the_last_line_may_be_a_directive_and_failures_are_silent() {
    for (script, expected) in [
        ("echo a; echo :6", "a\n:6\n"),
        ("echo a; echo; echo :36; echo", "a\n:36\n"),
        ("echo :x", ":x\n:0\n"),
        ("echo :4; echo a", ":4\na\n:0\n"),
        ("echo a; exit 3", ":0\n"),
        ("printf 'a\\033[31m\\nb\\thelp \\033[1m\\n'", "b\thelp \\u{1b}[1m\n:0\n"),
        ("yes", ":0\n"),
        ("cat; echo a", "a\n:0\n"),
    ] {
        assert_eq!(answer(Some(&format!("#!/bin/sh\n{script}\n")), false, "go "), expected, "{script}");
    }
}
