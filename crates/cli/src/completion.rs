//! Completion of command lines in shells: what could stand where the cursor is.
//!
//! The scripts that `completion SHELL` prints ([`Shell::script`]) know nothing themselves. They call the hidden command
//! `__complete` with the words up to the cursor, and get the answer in the form that Cobra's programs use, Helm among them: a line
//! for each candidate, with its help after a tab, then a line `:N` whose bits say what the shell should do ([`Completions`]).
//! So a plugin that asks its host for completions, as some for Helm do, finds what it expects.
//!
//! Completing names runs no plugin. Past a plugin's name its own sources are asked: [`plugin`].

pub mod plugin;
mod shell;

use std::ffi::{OsStr, OsString};

use clap::{Arg, Command, ValueHint};

pub use self::shell::Shell;
use crate::dispatch;
use crate::globals::HostFlag;
use plugsmith::host::Host;
use plugsmith::runtime::{Environment, RunTarget};
use plugsmith::settings::GateMode;
use plugsmith::store::{ListedPlugin, Store};
use plugsmith::text;

/// The command that the scripts call.
pub const HIDDEN_COMMAND: &str = "__complete";

/// The id of the argument of [`command`].
const SHELL: &str = "shell";

/// Commands of the `plugin` group whose `NAME` is not that of an installed plugin.
const NOT_INSTALLED: [&str; 2] = ["create", "index"];

/// What could stand where the cursor is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Completions {
    /// The candidates; not all need begin with what is there already.
    pub candidates: Vec<CompletionItem>,
    /// What the shell should do besides: the bits of this type's constants.
    pub directive: u32,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletionItem {
    /// The word.
    pub value: String,
    /// A few words about it; may be empty.
    pub help: String,
}

impl Completions {
    /// The candidates are worthless.
    pub const ERROR: u32 = 1;
    /// No space after the word.
    pub const NO_SPACE: u32 = 2;
    /// No files where there are no candidates.
    pub const NO_FILES: u32 = 4;
    /// The candidates are extensions of the files to offer.
    pub const FILTER_EXTENSIONS: u32 = 8;
    /// Directories only.
    pub const ONLY_DIRECTORIES: u32 = 16;

    /// No candidates, and files instead.
    pub(crate) fn files() -> Self {
        Self::default()
    }

    /// These candidates and nothing else.
    pub(crate) fn only(candidates: Vec<CompletionItem>) -> Self {
        Self { candidates, directive: Self::NO_FILES }
    }

    /// The answer as the scripts read it. What would act on a terminal, or break the form, is left out.
    pub fn render(&self) -> String {
        let mut out = String::new();
        for CompletionItem { value, help } in &self.candidates {
            if value.is_empty() || text::sanitized(value) != value.as_str() {
                continue;
            }
            out.push_str(value);
            if !help.is_empty() {
                out.push('\t');
                out.push_str(&text::sanitized(help));
            }
            out.push('\n');
        }
        out + &format!(":{}\n", self.directive)
    }
}

impl CompletionItem {
    /// A candidate with its help.
    pub(crate) fn new(value: impl Into<String>, help: impl Into<String>) -> Self {
        Self { value: value.into(), help: help.into() }
    }
}

/// Whose names are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PluginFilter {
    /// Plugins that are commands.
    Commands,
    /// Plugins that are post-renderers.
    PostRenderers,
    /// All that is installed, broken or not.
    Installed,
}

/// What completion asks about plugins.
pub struct Plugins<'a> {
    /// The names of some plugins, and a line of help for each. No plugin may be run for that.
    pub names: &'a dyn Fn(PluginFilter) -> Vec<CompletionItem>,
    /// What could stand at the last of the words that follow the plugin's name: see [`plugin::complete`].
    pub complete: &'a dyn Fn(&str, &[OsString]) -> Completions,
}

/// The command `completion SHELL` of `host`.
pub fn command(host: &Host) -> Command {
    let name = host.name();
    let help = format!(
        "Print a script that completes command lines of {name}, plugins included.\n\n  \
         bash:        source <({name} completion bash)\n  \
         zsh:         source <({name} completion zsh)\n  \
         fish:        {name} completion fish | source\n  \
         powershell:  {name} completion powershell | Out-String | Invoke-Expression\n  \
         elvish:      eval ({name} completion elvish | slurp)"
    );
    Command::new("completion")
        .about("Print a completion script for a shell")
        .long_about(help)
        .arg(Arg::new(SHELL).value_name("SHELL").required(true).value_parser(clap::value_parser!(Shell)))
}

/// The script that the matches of [`command`] ask for.
pub fn script(matches: &clap::ArgMatches, host: &Host) -> Option<String> {
    matches.get_one::<Shell>(SHELL).map(|shell| shell.script(host.name()))
}

/// What could stand at the last of `words`, for a host with the commands of `tree` and the plugins of `store`. What a plugin itself
/// has to offer is only asked of one that passes the gate; one that does not offers nothing, and says nothing.
pub fn answer(
    tree: &Command,
    host: &Host,
    words: &[OsString],
    store: &Store,
    gate: GateMode,
    environment: &Environment<'_>,
) -> Completions {
    if host.plugins_off().is_some() {
        let nothing = |_: &str, _: &[OsString]| Completions::only(Vec::new());
        return complete(tree, host, words, &Plugins { names: &|_| Vec::new(), complete: &nothing });
    }
    // Nobody can be warned in the middle of a command line.
    let gate = if gate == GateMode::Off { GateMode::Off } else { GateMode::Require };
    let complete_plugin = |name: &str, words: &[OsString]| match store.open_plugin(name, gate) {
        Ok(opened) => {
            let tree = plugin::load(&opened, store.limits());
            let subject = RunTarget::from(&opened);
            plugin::complete(subject, &tree, words, host, environment)
        }
        Err(_) => Completions::only(Vec::new()),
    };
    complete(tree, host, words, &Plugins { names: &|named| names(store, named), complete: &complete_plugin })
}

/// The names of installed plugins.
fn names(store: &Store, named: PluginFilter) -> Vec<CompletionItem> {
    let fits = |plugin: &ListedPlugin| match named {
        PluginFilter::Commands => plugin.is_command && plugin.status.is_in_use(),
        PluginFilter::PostRenderers => plugin.plugin_type.as_deref() == Some("postrenderer/v1") && plugin.status.is_in_use(),
        PluginFilter::Installed => true,
    };
    let plugins = store.list().unwrap_or_default().plugins.into_iter().filter(fits);
    plugins.map(|plugin| CompletionItem::new(plugin.name, plugin.short_help)).collect()
}

/// What could stand at the last of `words`, which follow the name of the host, whose commands are those of `tree`.
pub fn complete(tree: &Command, host: &Host, words: &[OsString], plugins: &Plugins<'_>) -> Completions {
    let (current, before) = words.split_last().map_or((OsStr::new(""), words), |(last, before)| (last.as_os_str(), before));
    let Some(current) = current.to_str() else { return Completions::files() };
    let mut tree = tree.clone();
    tree.build();

    let mut place = CursorPlace { path: vec![&tree], positional: 0, escaped: false };
    let mut rest = before;
    while let Some(word) = rest.first() {
        rest = &rest[1..];
        let command = place.command();
        if word == "--" && !place.escaped {
            place.escaped = true;
        } else if let (false, Some(flag)) =
            (place.escaped, word.to_str().filter(|word| word.len() > 1 && word.starts_with('-')))
        {
            if let Some((arg, None)) = find_flag(command, flag) {
                if rest.is_empty() {
                    return complete_value(arg, &place, current, plugins);
                }
                rest = &rest[1..];
            } else if let Some((HostFlag { value: None, .. }, 1)) = declared(host, word)
                && takes_value(host, flag)
            {
                if rest.is_empty() {
                    return Completions::files();
                }
                rest = &rest[1..];
            }
        } else if let (false, Some(sub)) = (place.escaped, word.to_str().and_then(|word| command.find_subcommand(word))) {
            place = CursorPlace { path: [place.path.as_slice(), &[sub]].concat(), positional: 0, escaped: false };
        } else if place.path.len() == 1 && word.to_str().is_some_and(|word| !dispatch::is_own(host, word)) {
            let words = [rest, &[OsString::from(current)]].concat();
            return (plugins.complete)(&word.to_string_lossy(), &words);
        } else {
            place.positional += 1;
        }
    }
    complete_word(&place, current, plugins)
}

/// Where in the tree of commands the cursor is.
struct CursorPlace<'t> {
    /// The commands from the host to the innermost; never empty.
    path: Vec<&'t Command>,
    /// How many positional arguments of the innermost stand before the cursor.
    positional: usize,
    /// Whether `--` stands before the cursor.
    escaped: bool,
}

impl<'t> CursorPlace<'t> {
    fn command(&self) -> &'t Command {
        self.path[self.path.len() - 1]
    }

    /// Which plugins' names `arg` of the innermost command takes, if it takes any.
    fn named(&self, arg: &Arg) -> Option<PluginFilter> {
        let command = self.command().get_name();
        let in_group = self.path.len() == 3 && self.path[1].get_name() == "plugin" && !NOT_INSTALLED.contains(&command);
        let mut words = arg.get_value_names().unwrap_or_default().iter().flat_map(|name| name.split('|'));
        words.any(|word| word == "PLUGIN" || in_group && word == "NAME").then_some(match command {
            "exec" => PluginFilter::Commands,
            "post-render" => PluginFilter::PostRenderers,
            _ => PluginFilter::Installed,
        })
    }
}

/// A new word: a flag, a sub-command or a positional argument.
fn complete_word(place: &CursorPlace<'_>, current: &str, plugins: &Plugins<'_>) -> Completions {
    let command = place.command();
    if !place.escaped && current.starts_with('-') {
        if let Some((flag, value)) = current.split_once('=') {
            let Some((arg, _)) = find_flag(command, flag) else { return Completions::only(Vec::new()) };
            let mut found = complete_value(arg, place, value, plugins);
            found.candidates.iter_mut().for_each(|candidate| candidate.value.insert_str(0, &format!("{flag}=")));
            return found;
        }
        return Completions::only(flags(command, current));
    }
    let mut candidates = Vec::new();
    let mut files = false;
    if !place.escaped && place.positional == 0 {
        let visible = command.get_subcommands().filter(|sub| !sub.is_hide_set());
        candidates.extend(visible.map(|sub| CompletionItem::new(sub.get_name(), one_line(sub.get_about()))));
        let about_plugins = place.path.len() == 1 || place.path.len() == 2 && command.get_name() == "help";
        if about_plugins {
            candidates.extend((plugins.names)(PluginFilter::Commands));
        }
    }
    let positionals: Vec<&Arg> = command.get_positionals().collect();
    let many = |arg: &&&Arg| arg.get_num_args().is_some_and(|range| range.max_values() > 1);
    let arg = positionals.get(place.positional).or_else(|| positionals.last().filter(many));
    let mut directive = Completions::NO_FILES;
    if let Some(arg) = arg.filter(|arg| place.escaped || !arg.is_last_set()) {
        let found = complete_value(arg, place, current, plugins);
        candidates.extend(found.candidates);
        files = found.directive & Completions::NO_FILES == 0;
        directive = found.directive;
    }
    candidates.retain(|candidate| candidate.value.starts_with(current));
    // A plugin may have the name of a command, which it does not get.
    let mut seen = std::collections::HashSet::new();
    candidates.retain(|candidate| seen.insert(candidate.value.clone()));
    Completions { candidates, directive: if files { directive } else { Completions::NO_FILES } }
}

/// A value of `arg`.
fn complete_value(arg: &Arg, place: &CursorPlace<'_>, current: &str, plugins: &Plugins<'_>) -> Completions {
    let mut candidates: Vec<CompletionItem> = arg
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| CompletionItem::new(value.get_name(), one_line(value.get_help())))
        .collect();
    if let Some(named) = place.named(arg) {
        candidates.extend((plugins.names)(named));
    }
    candidates.retain(|candidate| candidate.value.starts_with(current));
    let directive = match arg.get_value_hint() {
        ValueHint::AnyPath | ValueHint::FilePath | ValueHint::ExecutablePath => 0,
        ValueHint::DirPath => Completions::ONLY_DIRECTORIES,
        _ if names_a_path(arg) => 0,
        _ => Completions::NO_FILES,
    };
    Completions { candidates, directive }
}

/// Whether the value's name in the help says that a path may stand there, where its type does not.
fn names_a_path(arg: &Arg) -> bool {
    let names = arg.get_value_names().unwrap_or_default();
    names.iter().flat_map(|name| name.split('|')).any(|name| matches!(name, "SOURCE" | "FILE" | "PATH" | "DIR"))
}

/// The flags of `command` that begin with `current`.
fn flags(command: &Command, current: &str) -> Vec<CompletionItem> {
    let mut found = Vec::new();
    for arg in command.get_arguments().filter(|arg| !arg.is_positional() && !arg.is_hide_set()) {
        let long = arg.get_long().map(|long| format!("--{long}"));
        let short = arg.get_short().map(|short| format!("-{short}"));
        let spelled = long.filter(|long| long.starts_with(current)).or(short.filter(|short| short.starts_with(current)));
        found.extend(spelled.map(|spelled| CompletionItem::new(spelled, one_line(arg.get_help()))));
    }
    found
}

/// The flag of `command` that `word` is, and the value within the word. Flags without values are not looked for.
fn find_flag<'c>(command: &'c Command, word: &str) -> Option<(&'c Arg, Option<String>)> {
    let (name, value) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (word, None),
    };
    let arg = command.get_arguments().find(|arg| {
        let long = name.strip_prefix("--");
        let short = name.strip_prefix('-').and_then(|name| name.chars().last()).filter(|_| long.is_none());
        let is_long = long.is_some_and(|name| {
            arg.get_long() == Some(name) || arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&name))
        });
        is_long || short.is_some() && arg.get_short() == short
    })?;
    arg.get_action().takes_values().then_some((arg, value))
}

fn declared(host: &Host, word: &OsStr) -> Option<(HostFlag, usize)> {
    crate::globals::take_declared(host, &[word.to_owned()])
}

fn takes_value(host: &Host, flag: &str) -> bool {
    host.global_flags().iter().any(|own| own.takes_value && flag.strip_prefix("--") == Some(&own.name))
}

/// The first line of a help text.
fn one_line(help: Option<&clap::builder::StyledStr>) -> String {
    help.map(|help| help.to_string().lines().next().unwrap_or_default().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
