//! `plugin outdated`.

use clap::Args;

use super::install::{KeyringArguments, NetworkArguments};
use crate::Context;
use crate::error::{CommandFailure, Result, code};
use crate::output::{OutputFormat, Table};
use plugsmith::manager::{Outdated, OutdatedResult, UpdateBlocker, UpdateRequest};
use plugsmith::text::Sanitized;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Names of installed plugins; without one, all
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// How to print the list
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    output: OutputFormat,
    /// Exit with 10 if an update would bring anything
    #[arg(long)]
    exit_code: bool,
    /// Look at pre-releases too
    #[arg(long)]
    pre: bool,
    #[command(flatten)]
    keyring: KeyringArguments,
    #[command(flatten)]
    network: NetworkArguments,
}

pub(crate) fn run(arguments: &Arguments, context: &Context<'_>) -> Result {
    if arguments.network.has_username() && arguments.names.len() != 1 {
        let text = "`--username` is about one server: name the plugin that comes from there";
        return Err(CommandFailure::text(code::USAGE, text));
    }
    let manager = context.manager();
    let names = if arguments.names.is_empty() { manager.names_to_update()? } else { arguments.names.clone() };
    if names.is_empty() {
        context.output.notice("no plugins are installed");
    }
    let request = UpdateRequest {
        fetch: arguments.network.options(None, context)?,
        trust: arguments.keyring.is_given().then(|| arguments.keyring.trust()),
        allow_expired_key: arguments.keyring.allows_expired_keys(),
        pre: arguments.pre,
        ..UpdateRequest::default()
    };
    let mut first_failure: Option<CommandFailure> = None;
    let mut rows: Vec<Outdated> = Vec::new();
    // Whoever names keys wants to know whether they signed: else nothing is fetched that need not be.
    let verify = arguments.keyring.is_given();
    for OutdatedResult { mut row, error } in manager.outdated(&names, &request, verify) {
        if let Some(failure) = error.map(CommandFailure::from) {
            row.problem = failure.in_words(context.host.name()).0;
            context.keep_first(&mut first_failure, Err(failure));
        } else if let (Some(problem), OutputFormat::Table) = (&row.problem, arguments.output) {
            context.output.notice(&format!("{} is not looked at: it {problem}", Sanitized(&row.name)));
        }
        rows.push(row);
    }
    show(&rows, arguments.output, context)?;
    match first_failure {
        Some(failure) => Err(failure),
        None if arguments.exit_code && rows.iter().any(|row| row.is_newer) => Err(CommandFailure::silent(code::DIFFERS)),
        None => Ok(()),
    }
}

fn show(rows: &[Outdated], format: OutputFormat, context: &Context<'_>) -> Result {
    let with = |wanted: fn(&Outdated) -> bool| rows.iter().filter(|row| wanted(row)).cloned().collect::<Vec<_>>();
    let rows = match format {
        OutputFormat::Json | OutputFormat::Yaml => return Ok(context.output.list(format, rows, table, |row| &row.name)?),
        // Names are for `plugin update`.
        OutputFormat::Name => return Ok(context.output.list(format, &with(|row| row.is_newer), table, |row| &row.name)?),
        OutputFormat::Table => with(|row| row.problem.is_none()),
    };
    if !rows.is_empty() {
        context.output.list(format, &rows, table, |row| &row.name)?;
    }
    let up_to_date = rows.iter().filter(|row| row.is_up_to_date()).count();
    match up_to_date {
        0 => {}
        1 if rows.len() == 1 => context.output.notice("it is up to date"),
        all if all == rows.len() => context.output.notice("all of them are up to date"),
        some => context.output.notice(&format!("{some} of these {} are up to date", rows.len())),
    }
    Ok(())
}

fn table(plugins: &[Outdated]) -> Table {
    let mut table = Table::new(["NAME", "INSTALLED", "WANTED", "LATEST", "HELD", "SOURCE"]);
    for plugin in plugins {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        table.row([
            plugin.name.clone(),
            text(&plugin.installed),
            text(&plugin.wanted),
            text(&plugin.latest),
            plugin.blocker.map_or("-", UpdateBlocker::as_str).to_owned(),
            text(&plugin.source),
        ]);
    }
    table
}
