//! Running plugins, completing their command lines, and the small commands around the `plugin` group: `env`, `version`,
//! `completion`.

use std::ffi::OsString;
use std::fmt::Write as _;

use clap::{ArgMatches, Command};

use crate::Context;
use crate::completion;
use crate::dispatch::{self, PluginCall};
use crate::error::{CommandFailure, Result, code};
use crate::output::{Output, OutputFormat};
use plugsmith::host::{Homes, Host};
use plugsmith::manifest::Config;
use plugsmith::runtime::{InvokeError, InvokeInput, InvokeOutput as Answer, ProcessMode, end_by_signal};
use plugsmith::settings::Limits;
use plugsmith::store::{ListedPlugin, Plugin, Store};
use plugsmith::text::Sanitized;

/// A command line that is a plugin's.
pub(super) fn call(call: &PluginCall, context: &Context<'_>) -> Result {
    or_unknown(call, context, plugin(&call.name, &call.args, context))
}

/// `help NAME`: what the plugin itself says, or its manifest where it would not hear the question.
pub(super) fn help(call: &PluginCall, context: &Context<'_>) -> Result {
    let asked = context.manager().open(&call.name).map_err(CommandFailure::from).and_then(|plugin| {
        match dispatch::manifest_help(context.host, &plugin.metadata) {
            Some(text) => Ok(context.output.print(&text)?),
            None => start(&plugin, &call.args, context),
        }
    });
    or_unknown(call, context, asked)
}

/// The end of a command line that was a plugin's, if there is one of that name.
fn or_unknown(call: &PluginCall, context: &Context<'_>, ended: Result) -> Result {
    match ended {
        // A word that no plugin bears is an unknown command; only now is it worth knowing what the others are called.
        Err(failure) if failure.code == code::NOT_THERE => {
            let installed: Vec<String> = commands(context).into_iter().map(|plugin| plugin.name).collect();
            Err(CommandFailure::new(
                code::USAGE,
                dispatch::unknown_command(context.host, &call.name, &call.args, &installed),
            ))
        }
        ended => ended,
    }
}

/// Runs the plugin `name` with `args` in the place of this process.
fn plugin(name: &str, args: &[OsString], context: &Context<'_>) -> Result {
    start(&context.manager().open(name)?, args, context)
}

/// `plugin exec NAME ARGS`: as [`plugin`], and test plugins too, which greet their first argument.
pub(super) fn exec(name: &str, args: &[OsString], context: &Context<'_>) -> Result {
    let plugin = context.manager().open(name)?;
    match plugin.metadata.config {
        Config::Test => {
            let name = args.first().map(|name| name.to_string_lossy()).unwrap_or_default();
            ask(&plugin, InvokeInput::Test { name: &name }, context)
        }
        _ => start(&plugin, args, context),
    }
}

fn start(plugin: &Plugin, args: &[OsString], context: &Context<'_>) -> Result {
    ask(plugin, InvokeInput::Cli { args, process: ProcessMode::Replace }, context)
}

/// Asks something of `plugin`, prints its answer, and ends as it ended.
fn ask(plugin: &Plugin, input: InvokeInput<'_>, context: &Context<'_>) -> Result {
    context.manager().record_run(plugin)?;
    crate::clear_up_after(plugin);
    match plugin.invoke(input, &context.environment(), context.output) {
        Ok(Answer::Cli(bytes)) => Ok(context.output.pass_on(&bytes)?),
        Ok(Answer::Test(greeting)) => Ok(context.output.print(&greeting)?),
        Ok(_) => Ok(()),
        // A program has said what there was to say.
        Err(InvokeError::Exit { code, .. }) if plugin.metadata.subprocess().is_some() => {
            Err(CommandFailure::silent(u8::try_from(code).unwrap_or(code::FAILED)))
        }
        Err(error @ InvokeError::Exit { code, .. }) => {
            Err(CommandFailure::new(u8::try_from(code).unwrap_or(code::FAILED), error))
        }
        Err(InvokeError::Signal { signal, .. }) => end_by_signal(signal),
        // To Helm, a plugin that is no command is none that could be named here.
        Err(error @ InvokeError::NotACommand { .. }) => {
            let failure = CommandFailure::from(error);
            Err(match use_of(plugin, context.host.name()) {
                Some(hint) => failure.hint(hint),
                None => failure,
            })
        }
        Err(error) => Err(error.into()),
    }
}

/// How a plugin that is no command is used.
fn use_of(plugin: &Plugin, host: &str) -> Option<String> {
    let name = &plugin.metadata.name;
    match &plugin.metadata.config {
        Config::Getter { .. } => Some(format!("`{host} get URL` downloads with it")),
        Config::PostRenderer => Some(format!("`{host} post-render {name}` changes a document with it")),
        Config::Test => Some(format!("`{host} plugin exec {name} WORD` asks it for a greeting")),
        Config::Cli(_) => None,
    }
}

/// The plugins that are commands and can be run by their name.
fn commands(context: &Context<'_>) -> Vec<ListedPlugin> {
    if context.host.plugins_off().is_some() {
        return Vec::new();
    }
    let mut plugins = context.manager().list().map(|listing| listing.plugins).unwrap_or_default();
    plugins.retain(|plugin| plugin.is_command && plugin.status.is_in_use());
    plugins.dedup_by(|a, b| a.name == b.name);
    plugins
}

/// What general help says of plugins; warns of broken ones, since this command looked at all.
pub(super) fn plugins_for_help(host: &Host, output: &Output) -> String {
    if host.plugins_off().is_some() {
        return String::new();
    }
    let listing = Store::open(host, &Homes::find(host), Limits::default()).list().unwrap_or_default();
    for warning in &listing.warnings {
        output.warning(warning);
    }
    let mut text = String::new();
    for plugin in listing.plugins.iter().filter(|plugin| plugin.is_command && plugin.status.is_in_use()) {
        if text.is_empty() {
            text.push_str("Plugins:\n");
        }
        let _ = writeln!(text, "  {:<11} {}", Sanitized(&plugin.name), Sanitized(&plugin.short_help));
    }
    text.truncate(text.trim_end().len());
    text
}

/// `version`.
pub(super) fn version(format: OutputFormat, context: &Context<'_>) -> Result {
    let (name, version) = (context.host.name(), context.host.version().to_string());
    let text = format!("{name} {version}");
    Ok(context.output.value(format, &serde_json::json!({"name": name, "version": version}), || text)?)
}

/// `completion SHELL`.
pub(super) fn completion(matches: &ArgMatches, context: &Context<'_>) -> Result {
    match completion::script(matches, context.host) {
        Some(script) => Ok(context.output.print(&script)?),
        None => Err(CommandFailure::text(code::USAGE, "name a shell")),
    }
}

/// `__complete WORDS...`, which the shells' scripts call.
pub(super) fn complete(tree: &Command, words: &[OsString], context: &Context<'_>) -> Result {
    let store = context.manager().store();
    let answer = completion::answer(tree, context.host, words, &store, context.settings.gate, &context.environment());
    Ok(context.output.print(&answer.render())?)
}
