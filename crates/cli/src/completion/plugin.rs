//! What a plugin itself offers to completion: `completion.yaml`, then what its program `plugin.complete` says.

use std::ffi::OsString;
use std::time::Duration;

use super::{CompletionItem, Completions};
use crate::dispatch;
use plugsmith::files;
use plugsmith::host::Host;
use plugsmith::manifest::completion::{self, Command, PROGRAM_NAME};
use plugsmith::runtime::{self, Environment, RunTarget};
use plugsmith::settings::Limits;
use plugsmith::store::{FileStanding, Plugin};

/// How long it may think: whoever pressed the tab key is waiting.
const LIMIT: Duration = Duration::from_secs(5);

/// The `completion.yaml` of `plugin`, where it is the one that was installed. One that cannot be read is as good as none: this is no
/// place for complaints, `plugin lint` is.
pub(crate) fn load(plugin: &Plugin, limits: &Limits) -> Command {
    let path = plugin.dir.join(completion::FILE_NAME);
    let Ok(Some(bytes)) = files::read_bounded(&path, limits.manifest_bytes) else { return Command::default() };
    match plugin.allowlist.standing_of_bytes(completion::FILE_NAME, &bytes) {
        Ok(FileStanding::Unchecked | FileStanding::Installed) => completion::parse(&bytes, &path).unwrap_or_default(),
        Ok(FileStanding::Replaced | FileStanding::Unknown) | Err(_) => Command::default(),
    }
}

/// What could stand at the last of `words`, which follow the plugin's name.
///
/// The words are matched against the sub-commands of `completion.yaml`. Where that has no deeper ones the program is asked, with
/// the words that the plugin itself would get, and the last one even where it is empty; its candidates come after those of the
/// file. As in Helm a plugin with `ignoreFlags` is told of its sub-commands only.
pub fn complete(
    subject: RunTarget<'_>,
    tree: &Command,
    words: &[OsString],
    host: &Host,
    environment: &Environment<'_>,
) -> Completions {
    let (current, before) = match words.split_last() {
        Some((current, before)) => (current.clone(), dispatch::plugin_arguments(host, before)),
        None => (OsString::new(), Vec::new()),
    };
    let Some(text) = current.to_str() else { return Completions::files() };

    let mut node = tree;
    let mut commands = Vec::new();
    let plain = before.iter().take_while(|word| *word != "--").filter(|word| !word.as_encoded_bytes().starts_with(b"-"));
    for word in plain {
        let Some(deeper) = node.commands.iter().find(|command| word == command.name.as_str()) else { break };
        commands.push(word.clone());
        node = deeper;
    }
    let mut found = of_file(node, text);
    if !node.commands.is_empty() {
        return found;
    }
    let ignores = subject.metadata.cli().is_some_and(|cli| cli.ignore_flags);
    let args = if ignores { commands } else { [before, vec![current]].concat() };
    // Who installed a module installed something that can reach nothing: no program comes along with it.
    if subject.metadata.subprocess().is_none() {
        return found;
    }
    // Neither a missing program nor a failing one is worth a word in the middle of a command line.
    if let Ok(answer) = runtime::ask(subject, PROGRAM_NAME, &args, environment, LIMIT) {
        let answer = read(&String::from_utf8_lossy(&answer));
        found.candidates.extend(answer.candidates);
        found.directive = answer.directive;
    }
    found
}

/// The candidates of one command of `completion.yaml`.
fn of_file(node: &Command, current: &str) -> Completions {
    let spelled = |flag: &String| match flag.strip_prefix('-') {
        Some(_) => flag.clone(),
        None if flag.chars().count() == 1 => format!("-{flag}"),
        None => format!("--{flag}"),
    };
    let words: Vec<String> = if current.starts_with('-') {
        node.flags.iter().map(spelled).collect()
    } else {
        node.commands.iter().map(|command| command.name.clone()).chain(node.valid_args.iter().cloned()).collect()
    };
    let candidates: Vec<CompletionItem> = words
        .into_iter()
        .filter(|word| word.starts_with(current))
        .map(|word| match word.split_once('\t') {
            Some((word, help)) => CompletionItem::new(word, help),
            None => CompletionItem::new(word, ""),
        })
        .collect();
    let nothing_said = node.commands.is_empty() && node.valid_args.is_empty() && !current.starts_with('-');
    if nothing_said { Completions::files() } else { Completions::only(candidates) }
}

/// What the program wrote: a candidate a line, with its help after a tab, and perhaps `:N` as the last line.
fn read(answer: &str) -> Completions {
    let mut lines: Vec<&str> = answer.lines().filter(|line| !line.is_empty()).collect();
    let directive = lines.last().and_then(|line| line.strip_prefix(':')).and_then(|number| number.parse().ok());
    if directive.is_some() {
        lines.pop();
    }
    let candidates = lines.into_iter().map(|line| {
        let (value, help) = line.split_once('\t').unwrap_or((line, ""));
        CompletionItem::new(value, help)
    });
    Completions { candidates: candidates.collect(), directive: directive.unwrap_or_default() }
}

#[cfg(test)]
mod tests;
