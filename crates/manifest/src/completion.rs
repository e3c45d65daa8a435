//! `completion.yaml`: the sub-commands, flags and arguments that a plugin says it has, for the shell's completion.
//!
//! What is done with them is `plugsmith-cli`'s affair. As with Helm, unknown keys are ignored; the linter names them.

use std::path::{Path, PathBuf};

use crate::text::Sanitized;
use crate::yaml::{self, Node, YamlError};

use super::problem::{Checker, Problem, Severity};

/// The name of the file in a plugin's directory.
pub const FILE_NAME: &str = "completion.yaml";

/// The name of the program that completes what the file cannot.
pub const PROGRAM_NAME: &str = "plugin.complete";

/// A command and what can follow it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Command {
    /// Its name; that of the outermost is the plugin's.
    pub name: String,
    /// Its sub-commands.
    pub commands: Vec<Command>,
    /// Its flags, without dashes; one of a single character is a short one.
    pub flags: Vec<String>,
    /// Words that its first argument can be.
    pub valid_args: Vec<String>,
}

/// Why `completion.yaml` cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompletionError {
    /// It is no YAML.
    #[error("{}:{}:{}: {}", Sanitized(&.path.to_string_lossy()), .error.at().line, .error.at().column, .error.reason())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        error: YamlError,
    },
    /// Something in it is not what it should be.
    #[error("{}:{problem}", Sanitized(&.path.to_string_lossy()))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The first thing that is wrong.
        problem: Box<Problem>,
    },
}

/// Reads completions from the bytes of a file; `origin` is that file, for messages.
///
/// # Errors
/// They are no YAML, or something in them is not what it should be.
pub fn parse(bytes: &[u8], origin: &Path) -> Result<Command, CompletionError> {
    let root = yaml::parse(bytes).map_err(|error| CompletionError::Yaml { path: origin.to_owned(), error })?;
    let (command, problems) = read(&root);
    match problems.into_iter().find(|problem| problem.severity == Severity::Error) {
        Some(problem) => Err(CompletionError::Invalid { path: origin.to_owned(), problem: Box::new(problem) }),
        None => Ok(command),
    }
}

/// What the document says, and everything wrong with it.
pub(super) fn read(root: &Node) -> (Command, Vec<Problem>) {
    let mut checker = Checker::new(FILE_NAME);
    let command = command(root, "the completions", true, &mut checker);
    (command, checker.finish())
}

fn command(node: &Node, what: &str, root: bool, checker: &mut Checker) -> Command {
    let mut found = Command::default();
    for entry in checker.entries(node, what) {
        let node = &entry.value;
        match &*entry.key {
            "name" => found.name = checker.text(node, "name"),
            "commands" => {
                let items = checker.items(node, "commands");
                found.commands = items.map(|item| command(item, "commands", false, checker)).collect();
            }
            "flags" => {
                for item in checker.items(node, "flags") {
                    let flag = checker.text(item, "flags");
                    if flag.starts_with('-') {
                        let message = format!("flag `{}` is written with dashes", Sanitized(&flag));
                        checker.warning(item.at, "completion-flag", message, "write its name alone");
                    }
                    found.flags.push(flag.trim_start_matches('-').to_owned());
                }
                found.flags.retain(|flag| !flag.is_empty());
            }
            "validArgs" => found.valid_args = checker.texts(node, "validArgs"),
            _ => checker.unknown(Severity::Warning, entry, what, &["name", "commands", "flags", "validArgs"]),
        }
    }
    if found.name.is_empty() && !root {
        checker.warning(
            node.at,
            "completion-name",
            "a sub-command has no `name`",
            "add its name; without one it is ignored",
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_text(text: &str) -> Result<Command, CompletionError> {
        parse(text.as_bytes(), Path::new("p/completion.yaml"))
    }

    #[test]
    fn reads_commands_in_commands() {
        let root = parse_text(
            "name: p\nflags: [debug, h, --help, '-']\ncommands:\n- name: a\n  validArgs: [x, 1.0]\n  commands:\n  - {name: b, flags: ~}\n-\nfoo: 1\n",
        )
        .unwrap();
        assert_eq!((&*root.name, &root.flags[..]), ("p", &["debug".to_owned(), "h".to_owned(), "help".to_owned()][..]));
        assert_eq!(root.commands.len(), 1);
        assert_eq!(root.commands[0].valid_args, ["x", "1.0"]);
        assert_eq!(root.commands[0].commands[0].name, "b");
        for empty in ["", "---\n", "{}"] {
            assert_eq!(parse_text(empty).unwrap(), Command::default());
        }
    }

    #[test]
    fn mistakes_name_their_place() {
        let message = |text| parse_text(text).unwrap_err().to_string();
        assert!(message("name: p\ncommands: {a: b}").starts_with("p/completion.yaml:2:11: `commands` must be a list"));
        assert!(message("- a").starts_with("p/completion.yaml:1:1: `the completions` must be a mapping"));
        assert!(message("name: [").starts_with("p/completion.yaml:"));
        assert!(message("name: a\nname: b").contains("already defined at line 1"));
    }
}
