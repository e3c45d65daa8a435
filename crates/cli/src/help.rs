//! What help says beyond what clap makes of the arguments: groups of commands, an example for each, and the options of all commands
//! in one place.

use std::fmt::Write as _;

use clap::{Args as _, Command};
use unicode_width::UnicodeWidthStr as _;

use crate::globals::Globals;

/// Lines are no longer than this, however wide the terminal is.
pub(super) const WIDTH: usize = 100;

/// The commands of the `plugin` group by what they are for, each with what follows it in its example.
const GROUPS: [(&str, &[(&str, &str)]); 4] = [
    (
        "Use plugins",
        &[
            ("install", "https://example.com/hello-1.0.0.tgz"),
            ("list", "-o json"),
            ("info", "hello"),
            ("update", "--all"),
            ("outdated", ""),
            ("pin", "hello"),
            ("unpin", "hello"),
            ("rollback", "hello"),
            ("restore", "hello"),
            ("uninstall", "hello"),
            ("exec", "hello -- --name Ann"),
            ("doctor", "--fix"),
        ],
    ),
    (
        "Publish",
        &[
            ("create", "hello --lang rust"),
            ("lint", "hello --strict"),
            ("package", "hello --key ann@example.com"),
            ("sign", "hello-1.0.0.tgz --key ann@example.com"),
            ("push", "hello-1.0.0.tgz oci://registry.example.com/plugins"),
        ],
    ),
    (
        "Keys and trust",
        &[("verify", "hello-1.0.0.tgz"), ("keyring", "add ann.asc"), ("trust", "hello"), ("untrust", "hello")],
    ),
    (
        "Many machines",
        &[
            ("lock", ""),
            ("sync", "--frozen"),
            ("export", "mirror"),
            ("pull", "https://example.com/hello-1.0.0.tgz -d packages"),
        ],
    ),
];

/// Examples of the commands below a command of the group.
const DEEPER: [(&str, &str); 5] = [
    ("add", "ann.asc --for-name hello"),
    ("list", ""),
    ("remove", "ann@example.com"),
    ("limit", "ann@example.com --for-source 'https://example.com/**'"),
    ("export", "ann@example.com -o ann.asc"),
];

/// The `plugin` group with all of that.
pub(super) fn arrange(group: Command, host: &str) -> Command {
    let globals = global_options(host);
    let group = group.mut_subcommands(|command| {
        let name = command.get_name().to_owned();
        let example = GROUPS.iter().flat_map(|(_, commands)| *commands).find(|(known, _)| *known == name);
        let command = command.mut_subcommands(|deeper| {
            let example = DEEPER.iter().find(|(known, _)| *known == deeper.get_name());
            let line = example.map(|(known, rest)| format!("{host} plugin {name} {known} {rest}"));
            explained(deeper, line, &globals)
        });
        explained(command, example.map(|(_, rest)| format!("{host} plugin {name} {rest}")), &globals)
    });
    let listed = groups(&group);
    group
        .help_template("{about-with-newline}\n{usage-heading} {usage}{after-help}\n")
        .after_help(format!("{listed}`{host} help plugin COMMAND` explains a command.\n\n{globals}"))
}

/// A command of the host's own, with all of that; `rest` follows its name in its example.
pub(super) fn command(command: Command, rest: &str, host: &str) -> Command {
    let line = format!("{host} {} {rest}", command.get_name());
    explained(command, Some(line), &global_options(host))
}

/// The whole tree, whose pages do not explain the options of all commands.
pub(super) fn without_global_options(tree: Command) -> Command {
    let globals = Globals::augment_args(Command::new(""));
    globals.get_arguments().fold(tree, |tree, global| tree.mut_arg(global.get_id().clone(), |arg| arg.hide(true)))
}

/// A command with its example and the options of all commands.
fn explained(command: Command, example: Option<String>, globals: &str) -> Command {
    let example = example.map(|line| format!("Example:\n  {}\n\n", line.trim_end())).unwrap_or_default();
    command.after_help(format!("{example}{globals}"))
}

/// The options of all commands, without a word about each.
fn global_options(host: &str) -> String {
    let line = Globals::augment_args(Command::new(""));
    let mut text = format!("Global options, which `{host} --help` explains:\n ");
    for arg in line.get_arguments() {
        let long = arg.get_long().unwrap_or_default();
        let short = arg.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
        let _ = match arg.get_value_names().filter(|_| arg.get_action().takes_values()) {
            Some([value, ..]) => write!(text, " {short}--{long} {value} "),
            _ => write!(text, " {short}--{long} "),
        };
    }
    text.truncate(text.trim_end().len());
    text
}

/// The commands in their groups, each with what it does.
fn groups(group: &Command) -> String {
    let width = std::iter::once(WIDTH).chain(columns()).min().unwrap_or(WIDTH);
    let mut text = String::new();
    for (heading, commands) in GROUPS {
        let _ = writeln!(text, "{heading}:");
        for command in commands.iter().filter_map(|(name, _)| group.find_subcommand(name)) {
            let aliases: Vec<&str> = command.get_visible_aliases().collect();
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            let about = if aliases.is_empty() { about } else { format!("{about} [{}]", aliases.join(", ")) };
            row(&mut text, command.get_name(), &about, width);
        }
        text.push('\n');
    }
    text
}

/// One command, whose text is wrapped behind its name.
fn row(text: &mut String, name: &str, about: &str, width: usize) {
    const INDENT: usize = 13;
    let mut line = format!("  {name:<10}");
    for word in about.split(' ') {
        if line.width() + 1 + word.width() > width && line.width() > INDENT {
            text.push_str(&line);
            text.push('\n');
            line = " ".repeat(INDENT - 1);
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}

/// How wide the terminal is that shows the help.
fn columns() -> Option<usize> {
    terminal_size::terminal_size().map(|(width, _)| usize::from(width.0)).filter(|&width| width > 0)
}

/// How to begin, for whoever types the program's name alone.
pub(super) fn how_to_begin(host: &str) -> String {
    format!(
        "To begin:\n  {host} plugin create hello      makes a plugin\n  {host} plugin install ./hello   installs it\n  \
         {host} hello                    runs it\n  {host} plugin --help            shows what else there is"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::Subcommand as _;

    use super::*;
    use crate::commands::PluginCommand;

    #[test]
    fn every_command_is_in_one_group_and_has_an_example() {
        let group = PluginCommand::augment_subcommands(Command::new("plugin"));
        let grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, commands)| *commands).map(|(name, _)| *name).collect();
        for command in group.get_subcommands() {
            let times = grouped.iter().filter(|name| **name == command.get_name()).count();
            assert_eq!(times, 1, "{}", command.get_name());
            for deeper in command.get_subcommands() {
                assert!(DEEPER.iter().any(|(name, _)| *name == deeper.get_name()), "{}", deeper.get_name());
            }
        }
        assert_eq!(grouped.iter().collect::<BTreeSet<_>>().len(), grouped.len());
    }

    #[test]
    fn every_example_is_understood() {
        let tree = || {
            let group = PluginCommand::augment_subcommands(Command::new("plugin"));
            Globals::augment_args(Command::new("tool")).subcommand(group)
        };
        let understood = |words: &str| {
            let words = words.split_whitespace().map(|word| word.trim_matches('\''));
            let known = tree().find_subcommand("plugin").is_some();
            tree().try_get_matches_from(words).map(|_| known)
        };
        for (name, rest) in GROUPS.iter().flat_map(|(_, commands)| *commands) {
            if tree().find_subcommand("plugin").is_some_and(|group| group.find_subcommand(name).is_some()) {
                let line = format!("tool plugin {name} {rest}");
                assert!(understood(&line).is_ok(), "{line}: {}", understood(&line).unwrap_err());
            }
        }
        for (name, rest) in DEEPER {
            let line = format!("tool plugin keyring {name} {rest}");
            assert!(understood(&line).is_ok(), "{line}: {}", understood(&line).unwrap_err());
        }
    }

    #[test]
    fn text_is_wrapped_behind_the_name() {
        let mut text = String::new();
        row(&mut text, "install", "Install plugins from somewhere", 30);
        assert_eq!(text, "  install    Install plugins\n             from somewhere\n");
    }
}
