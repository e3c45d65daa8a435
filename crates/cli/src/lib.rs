//! The command line of a program with plugins: the `plugin` group and the few commands around it, output, dispatch, completion.
//!
//! [`main`] makes a whole program of a [`Host`]: the reference host is nothing else, and an embedding program adds its own
//! commands. Only this crate prints, reads arguments or decides on exit codes; the verbs themselves are `plugsmith`'s.

#![forbid(unsafe_code)]

mod commands;
pub mod completion;
pub mod dispatch;
mod env;
mod error;
pub mod globals;
mod help;
pub mod output;
mod run;
mod signals;
mod verb;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{ArgMatches, Args as _, Command, FromArgMatches, Subcommand as _};

use self::commands::{PluginCommand, get, post_render};
use self::dispatch::Route;
use self::error::{CommandFailure, Result, code};
use self::globals::Globals;
use self::output::{Output, OutputFormat};
use plugsmith::host::{Homes, Host};
use plugsmith::interrupt;
use plugsmith::manager::Manager;
use plugsmith::manifest::RuntimeConfig;
use plugsmith::policy::Policy;
use plugsmith::runtime::Environment;
use plugsmith::settings::Settings;
use plugsmith::store::Plugin;

/// What every command gets.
pub(crate) struct Context<'a> {
    pub(crate) host: &'a Host,
    pub(crate) homes: &'a Homes,
    pub(crate) settings: &'a Settings,
    pub(crate) policy: &'a Policy,
    pub(crate) output: &'a Output,
    pub(crate) globals: &'a Globals,
}

impl<'a> Context<'a> {
    /// The verbs.
    pub(crate) fn manager(&self) -> Manager<'a> {
        Manager::new(self.host, self.homes, self.settings, self.policy, self.output).with_debug(self.globals.debug)
    }

    /// The environment of plugins.
    pub(crate) fn environment(&self) -> Environment<'a> {
        Environment::new(self.host, self.homes, self.globals.debug)
    }

    /// Does `act` with all of `these`, also where it fails with one, but no more of them after an interrupt. Every failure is told at
    /// once; the first is how the command ends.
    pub(crate) fn each<T>(&self, these: impl IntoIterator<Item = T>, mut act: impl FnMut(T) -> Result) -> Result {
        let mut first_failure = None;
        for one in these {
            self.keep_first(&mut first_failure, act(one));
            if plugsmith::interrupt::requested() {
                break;
            }
        }
        first_failure.map_or(Ok(()), Err)
    }

    /// Remembers the first failure of several, and tells of every one at once.
    pub(crate) fn keep_first(&self, first: &mut Option<CommandFailure>, ended: Result) {
        if let Err(failure) = ended {
            failure.tell(self.output);
            first.get_or_insert(CommandFailure::silent(failure.code));
        }
    }
}

/// Runs `host` as a program with the arguments of this process. `command` holds the host's own commands, which `own` runs:
/// it gets the name and the matches of the one that was given, and says how the program ends. The commands `plugin`,
/// `completion`, `env`, `get` and `version` and all installed plugins come by themselves, unless the host has its own of that name.
pub fn main(host: Host, command: Command, own: impl FnOnce(&str, &ArgMatches) -> ExitCode) -> ExitCode {
    #[cfg(feature = "wasm")]
    let host = if host.runs_wasm() { host } else { host.runner(plugsmith_wasm::Wasmtime) };
    let host = dispatch::reserve_commands(host, &command);
    let host =
        ["plugin", "completion", "env", "version", "help", "post-render", "get"].into_iter().fold(host, Host::reserve);
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let route = dispatch::route(&host, &args);
    match route {
        Ok(Route::Plugin(call)) => {
            let globals = call.globals.clone().with_environment(&host);
            finish(&host, &globals, |context| run::call(&call, context))
        }
        Ok(Route::Help(call)) => {
            let globals = call.globals.clone().with_environment(&host);
            finish(&host, &globals, |context| run::help(&call, context))
        }
        Ok(Route::Builtin) => built_in(&host, command, args, own),
        Err(error) => {
            let globals = Globals::default().with_environment(&host);
            CommandFailure::new(code::USAGE, error).end(&Output::new(&host, &globals))
        }
    }
}

/// A line that is the host's: clap reads it.
fn built_in(
    host: &Host,
    command: Command,
    args: Vec<OsString>,
    own: impl FnOnce(&str, &ArgMatches) -> ExitCode,
) -> ExitCode {
    let asks_for_completion = args.first().is_some_and(|first| first == completion::HIDDEN_COMMAND);
    let shared = |name: &str| command.find_subcommand(name).is_none();
    let (completion_is_ours, env_is_ours, version_is_ours) = (shared("completion"), shared("env"), shared("version"));
    let (post_render_is_ours, get_is_ours) = (shared("post-render"), shared("get"));
    // Scripts ask for it all the time, and a tree of commands would take as long as everything else in such a run.
    if version_is_ours && args == ["version"] {
        let globals = Globals::default().with_environment(host);
        return finish(host, &globals, |context| run::version(OutputFormat::Table, context));
    }
    let mut group = Command::new("plugin").about("Manage plugins").subcommand_required(true).arg_required_else_help(true);
    // Its two dozen commands cost more than starting the program does: they are described only to lines that speak of them.
    if args.iter().any(|arg| arg == "plugin") || asks_for_completion {
        group = help::arrange(PluginCommand::augment_subcommands(group), host.name());
    }
    let mut tree =
        Globals::augment_args(command.name(host.name().to_owned())).version(host.version().to_string()).subcommand(group);
    tree = tree.max_term_width(help::WIDTH);
    // Each page names them; general help explains them, and completion offers them.
    if !asks_for_completion && !wants_general_help(&args) {
        tree = help::without_global_options(tree);
    }
    if completion_is_ours {
        tree = tree.subcommand(help::command(completion::command(host), "bash", host.name()));
    }
    if env_is_ours {
        let about = "Show the settings in force and where each comes from";
        let command = env::Arguments::augment_args(Command::new("env").about(about));
        tree = tree.subcommand(help::command(command, "-o json", host.name()));
    }
    if version_is_ours {
        let command = env::Arguments::augment_args(Command::new("version").about("Show the version"));
        tree = tree.subcommand(help::command(command, "", host.name()));
    }
    if post_render_is_ours {
        let about = "Change a document from standard input with post-renderer plugins";
        let command = post_render::Arguments::augment_args(Command::new("post-render").about(about));
        tree = tree.subcommand(help::command(command, "add-labels < manifests.yaml", host.name()));
    }
    if get_is_ours {
        let about = "Download a URL through built-in or plugin getters";
        let command = get::Arguments::augment_args(Command::new("get")).about(about);
        tree = tree.subcommand(help::command(command, "https://example.com/values.yaml -o values.yaml", host.name()));
    }
    // Completion asks with words that need not make sense: no parser but its own reads them.
    if asks_for_completion {
        let globals = Globals::default().with_environment(host);
        return finish(host, &globals, |context| run::complete(&tree, &args[1..], context));
    }
    if wants_general_help(&args) {
        let globals = Globals::default().with_environment(host);
        let plugins = run::plugins_for_help(host, &Output::new(host, &globals));
        tree = tree.after_help(plugins.clone());
        if args.is_empty() {
            let parts = [plugins, help::how_to_begin(host.name())];
            tree = tree.after_help(
                parts.iter().map(|part| part.trim_end()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n"),
            );
            let _ = tree.print_help();
            return ExitCode::SUCCESS;
        }
    }
    let program = std::iter::once(OsString::from(host.name()));
    let matches = match tree.try_get_matches_from(program.chain(args)) {
        Ok(matches) => matches,
        Err(error) => {
            // Help goes to standard output, where a closed pipe is the reader's choice.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(code::USAGE));
        }
    };
    let globals = Globals::from_arg_matches(&matches).unwrap_or_default().with_environment(host);
    match matches.subcommand() {
        Some(("plugin", matches)) => {
            let command = |context: &Context<'_>| match PluginCommand::from_arg_matches(matches) {
                Ok(command) => command.run(context),
                Err(error) => Err(CommandFailure::new(code::USAGE, error)),
            };
            match matches.subcommand_name() {
                // What is wrong with settings and policies is among what it finds.
                Some("doctor") => finish_anyway(host, &globals, command),
                _ => finish(host, &globals, command),
            }
        }
        Some(("completion", matches)) if completion_is_ours => {
            finish(host, &globals, |context| run::completion(matches, context))
        }
        Some(("env", matches)) if env_is_ours => finish_with(host, &globals, matches, env::run),
        Some(("post-render", matches)) if post_render_is_ours => finish_with(host, &globals, matches, post_render::run),
        Some(("get", matches)) if get_is_ours => finish_with(host, &globals, matches, get::run),
        Some(("version", matches)) if version_is_ours => {
            finish_with(host, &globals, matches, |arguments: &env::Arguments, context| {
                run::version(arguments.output, context)
            })
        }
        Some((name, matches)) => own(name, matches),
        None => ExitCode::from(code::USAGE),
    }
}

/// Whether the line asks what there is at all: only then are plugins listed.
fn wants_general_help(args: &[OsString]) -> bool {
    let is_flag = |arg: &OsString| arg.as_encoded_bytes().first() == Some(&b'-');
    match args {
        [] => true,
        [one] if one == "help" => true,
        several => several.iter().all(is_flag) && several.iter().any(|arg| arg == "--help" || arg == "-h"),
    }
}

/// Runs a command with what it needs, and turns its end into an exit code.
fn finish(host: &Host, globals: &Globals, command: impl FnOnce(&Context<'_>) -> Result) -> ExitCode {
    let homes = Homes::find(host);
    let output = Output::new(host, globals);
    let settings = match Settings::load(&homes.config.path) {
        Ok(settings) => settings,
        Err(error) => return CommandFailure::new(code::FAILED, error).end(&output),
    };
    let output = output.with_settings(globals, settings.output.color, settings.output.progress);
    let policy = match Policy::load(host, &homes) {
        Ok(policy) => policy,
        Err(error) => return CommandFailure::new(code::FAILED, error).end(&output),
    };
    end(&Context { host, homes: &homes, settings: &settings, policy: &policy, output: &output, globals }, command)
}

/// [`finish`] for a command with arguments of its own.
fn finish_with<A: FromArgMatches>(
    host: &Host,
    globals: &Globals,
    matches: &ArgMatches,
    command: impl FnOnce(&A, &Context<'_>) -> Result,
) -> ExitCode {
    finish(host, globals, |context| match A::from_arg_matches(matches) {
        Ok(arguments) => command(&arguments, context),
        Err(error) => Err(CommandFailure::new(code::USAGE, error)),
    })
}

/// [`finish`], also where the settings or the policy cannot be used: for a command that only looks at them.
fn finish_anyway(host: &Host, globals: &Globals, command: impl FnOnce(&Context<'_>) -> Result) -> ExitCode {
    let homes = Homes::find(host);
    let settings = Settings::load(&homes.config.path).unwrap_or_default();
    let output = Output::new(host, globals).with_settings(globals, settings.output.color, settings.output.progress);
    let policy = Policy::load(host, &homes).unwrap_or_default();
    end(&Context { host, homes: &homes, settings: &settings, policy: &policy, output: &output, globals }, command)
}

/// Runs a command, and turns its end into an exit code.
fn end(context: &Context<'_>, command: impl FnOnce(&Context<'_>) -> Result) -> ExitCode {
    let ended = command(context);
    if let Some(signal) = interrupt::signal() {
        signals::end(signal);
    }
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.end(context.output),
    }
}

/// From now on Ctrl-C clears the temporary directory of `plugin`, where it gets one from us.
pub(crate) fn clear_up_after(plugin: &Plugin) {
    if matches!(&plugin.metadata.runtime, RuntimeConfig::Extism(extism) if extism.create_temp_dir) {
        clear_up_on_interrupt();
    }
}

/// From now on a signal clears staging and temporary directories and ends the program; for commands that make some.
pub(crate) fn clear_up_on_interrupt() {
    signals::clear_up();
}

/// The programs of the guide, compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/embedding.md")]
struct EmbeddingGuide;
