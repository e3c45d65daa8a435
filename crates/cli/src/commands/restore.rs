//! `plugin restore`.

use clap::Args;

use super::install::{NetworkArguments, label};
use crate::Context;
use crate::error::{CommandFailure, Result, code};
use crate::verb::{Action, OutputArguments, VerbRow, VerbRows, run_each};
use plugsmith::intake::source::FetchOptions;
use plugsmith::manager::Restored;
use plugsmith::store::Difference;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Names of installed plugins
    #[arg(value_name = "NAME", conflicts_with = "all")]
    names: Vec<String>,
    /// Restore every installed plugin
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    output: OutputArguments,
    // For a package that is no longer kept.
    #[command(flatten)]
    network: NetworkArguments,
}

pub(crate) fn run(arguments: &Arguments, context: &Context<'_>) -> Result {
    if arguments.names.is_empty() && !arguments.all {
        return Err(CommandFailure::text(code::USAGE, "no plugin is named").hint("name those to restore, or give `--all`"));
    }
    if arguments.network.has_username() && (arguments.all || arguments.names.len() > 1) {
        // The sources are those of the receipts: a password must not go to them all.
        return Err(CommandFailure::text(code::USAGE, "`--username` is about one plugin, and several are to be restored"));
    }
    crate::clear_up_on_interrupt();
    let fetch = arguments.network.options(None, context)?;
    let names = if arguments.all { context.manager().names_to_restore()? } else { arguments.names.clone() };
    run_each(arguments.output.output, context, |acts| {
        acts.each(&names, |name| VerbRow::of_name(name), |acts, name| restore(acts, name, &fetch, context));
        Ok(())
    })
}

fn restore(acts: &VerbRows<'_>, name: &str, fetch: &FetchOptions, context: &Context<'_>) -> Result<VerbRow> {
    let done = context.manager().restore(name, fetch)?;
    let label = label(&done.name, done.version.as_deref());
    let row = acts.installed(if done.is_changed() { Action::Restored } else { Action::Unchanged }, &done.name);
    Ok(match (done.link, done.is_changed()) {
        (true, _) => row.with_notice(format!("{label} is a link to a directory of yours: there is nothing to restore")),
        (false, false) => row.with_notice(format!("{label} is as it was installed: there is nothing to restore")),
        (false, true) => VerbRow { previous_version: done.version.clone(), ..row }.with_result(describe(&label, &done)),
    })
}

/// What was put back, a line each.
fn describe(label: &str, done: &Restored) -> String {
    let line = |difference: &Difference| format!("\n  {difference}");
    let mut text = format!("Restored {label}");
    if !done.files.is_empty() {
        text.push_str(", which differed:");
        text.extend(done.files.iter().map(line));
    }
    if done.package {
        text.push_str("\n  the package that is kept of it was missing or another one");
    }
    if !done.previous.is_empty() {
        text.push_str("\nRestored the previous version that is kept for a rollback, which differed:");
        text.extend(done.previous.iter().map(line));
    }
    text
}
