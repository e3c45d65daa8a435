//! What messages tell their reader to type: the commands and options in backticks, and whether the program has them.
//!
//! Every run of the program in a test goes through [`check`], so that a message with a wrong next step fails whichever test meets it.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{LazyLock, Mutex};

/// What is in backticks in `text`, in order.
pub(crate) fn quoted(text: &str) -> Vec<&str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// The commands of the program `host` that `text` tells its reader to type.
pub(crate) fn commands<'t>(text: &'t str, host: &str) -> Vec<&'t str> {
    let own = |quoted: &&str| quoted.strip_prefix(host).is_some_and(|rest| rest.starts_with(' '));
    quoted(text).into_iter().filter(own).collect()
}

/// The options that `text` names by themselves, without their values.
pub(crate) fn options(text: &str) -> Vec<&str> {
    let is_option =
        |quoted: &&str| quoted.strip_prefix("--").is_some_and(|name| name.starts_with(|c: char| c.is_ascii_lowercase()));
    quoted(text).into_iter().filter(is_option).map(option).collect()
}

fn option(word: &str) -> &str {
    word.split(['=', ' ']).next().unwrap_or(word)
}

/// Fails where what a run with `args` said names a command or an option that is not there.
pub(crate) fn check(args: &[String], said: &str) {
    if let Some(wrong) = wrong(args, said) {
        panic!("`tool {}` says to do what cannot be done, {wrong}:\n{said}", args.join(" "));
    }
}

fn wrong(args: &[String], said: &str) -> Option<String> {
    let own: Vec<&str> = args.iter().map(String::as_str).collect();
    let verb = verb(&own);
    for line in said.lines().filter(|line| !line.starts_with("tip:")) {
        for command in commands(line, "tool") {
            let words: Vec<&str> = command.split(' ').skip(1).collect();
            let Some(known) = help(&self::verb(&words)) else { return Some(format!("`{command}`")) };
            let unknown = words.iter().copied().take_while(|word| *word != "--").filter(|word| word.starts_with("--"));
            if let Some(word) = unknown.map(option).find(|word| !known.contains(&(*word).to_owned())) {
                return Some(format!("`{word}` of `{command}`"));
            }
        }
        if let Some(bare) = quoted(line).into_iter().find(|quoted| is_bare(quoted)) {
            return Some(format!("`{bare}` without the program's name"));
        }
        // A plugin's own line takes the global options alone.
        let known = help(&verb).unwrap_or_else(|| GLOBALS.map(str::to_owned).to_vec());
        let typed = |option: &str| args.iter().any(|arg| arg.contains(option));
        let unknown = |option: &&str| !known.contains(&(*option).to_owned()) && !typed(option);
        if let Some(option) = options(line).into_iter().find(unknown) {
            return Some(format!("`{option}`, which `{}` does not have", verb.join(" ")));
        }
    }
    None
}

/// What every command takes, and its help does not list.
const GLOBALS: [&str; 7] = ["--quiet", "--verbose", "--debug", "--color", "--yes", "--no-input", "--help"];

/// Whether the program has the command that `line` begins with.
pub(crate) fn is_command(line: &[&str]) -> bool {
    help(&verb(line)).is_some()
}

/// Whether the command that `line` begins with has `option`.
pub(crate) fn has_option(line: &[&str], option: &str) -> bool {
    help(&verb(line)).is_some_and(|known| known.contains(&self::option(option).to_owned()))
}

/// Whether any command has `option`.
pub(crate) fn is_option_of_any(option: &str) -> bool {
    static ALL: LazyLock<Vec<Vec<String>>> = LazyLock::new(|| {
        let group = help_page(&["plugin".to_owned()]).unwrap_or_default();
        let own = ["get", "env", "post-render"].map(|own| vec![own.to_owned()]);
        let keyring = ["add", "list", "export", "limit"].map(|verb| vec!["plugin".into(), "keyring".into(), verb.into()]);
        let verbs = group.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
        let verbs = verbs.filter(|verb| !verb.is_empty() && !verb.starts_with('-'));
        own.into_iter().chain(keyring).chain(verbs.map(|verb| vec!["plugin".to_owned(), verb.to_owned()])).collect()
    });
    let name = self::option(option).to_owned();
    ALL.iter().any(|verb| help(verb).is_some_and(|known| known.contains(&name)))
}

/// Whether it is a command of the `plugin` group, as somebody would say it who forgot the program's name.
fn is_bare(quoted: &str) -> bool {
    let mut words = quoted.split(' ');
    let (first, second) = (words.next().unwrap_or_default(), words.next());
    first == "plugin" && second.is_some_and(|verb| help(&["plugin".to_owned(), verb.to_owned()]).is_some())
}

/// The command that a line is about: `plugin keyring add`, `get`, or nothing for a plugin's own.
pub(crate) fn verb(words: &[&str]) -> Vec<String> {
    let mut words = words.iter().filter(|word| !word.starts_with('-')).map(|word| (*word).to_owned());
    let first = words.next();
    let mut verb: Vec<String> = first.into_iter().collect();
    if verb == ["plugin"] {
        verb.extend(words.next());
        if verb.len() == 2 && verb[1] == "keyring" {
            verb.extend(words.next());
        }
    } else if verb == ["help"] {
        verb.extend(words.take_while(|word| word.chars().any(|c| c.is_ascii_lowercase())));
    }
    verb
}

/// The long options of a command, as its help lists them; nothing where there is no such command.
fn help(verb: &[String]) -> Option<Vec<String>> {
    type Known = BTreeMap<Vec<String>, Option<Vec<String>>>;
    static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    known.entry(verb.to_vec()).or_insert_with(|| ask(verb)).clone()
}

fn help_page(verb: &[String]) -> Option<String> {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tool"));
    command.args(verb).env_clear().env("HOME", home.path());
    if verb.first().is_none_or(|first| first != "help") {
        command.arg("--help");
    }
    let output = command.output().unwrap();
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn ask(verb: &[String]) -> Option<Vec<String>> {
    let text = help_page(verb)?;
    let options = |line: &str| -> Vec<String> {
        let words = line.trim_start().split([' ', ',', '[', '=']);
        words.take_while(|word| word.is_empty() || word.starts_with('-')).map(str::to_owned).collect()
    };
    let found = text.lines().flat_map(options).filter(|word| word.starts_with("--"));
    Some(found.chain(GLOBALS.map(str::to_owned)).collect())
}
