//! `plugin outdated`.

use clap::Args;

use super::install::{KeyringArguments, NetworkArguments};
use crate::cli::Context;
use crate::cli::error::{Failure, Result, code};
use crate::cli::output::{Format, Table};
use crate::manager::{Outdated, UpdateRequest};
use crate::text::plain;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Names of installed plugins; without one, all
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// How to print the list
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    output: Format,
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
        return Err(Failure::said(code::USAGE, text));
    }
    let manager = context.manager();
    let names = if arguments.names.is_empty() { manager.names_to_update()? } else { arguments.names.clone() };
    let request = UpdateRequest {
        fetch: arguments.network.options(None, None, context)?,
        trust: arguments.keyring.is_given().then(|| arguments.keyring.trust()),
        allow_expired_key: arguments.keyring.allows_expired_keys(),
        pre: arguments.pre,
        ..UpdateRequest::default()
    };
    let mut first_failure: Option<Failure> = None;
    let mut outdated: Vec<Outdated> = Vec::new();
    // Whoever names keys wants to know whether they signed: else nothing is fetched that need not be.
    let verify = arguments.keyring.is_given();
    for looked_up in manager.outdated(&names, &request, verify) {
        let ended = looked_up.map(|found| outdated.extend(found)).map_err(Failure::from);
        context.keep_first(&mut first_failure, ended);
    }
    if outdated.is_empty() && arguments.output == Format::Table {
        if first_failure.is_none() {
            context.output.notice("every plugin is up to date");
        }
    } else {
        context.output.list(arguments.output, &outdated, table, |plugin| &plugin.name)?;
    }
    first_failure.map_or(Ok(()), Err)
}

fn table(plugins: &[Outdated]) -> Table {
    let mut table = Table::new(["NAME", "INSTALLED", "AVAILABLE", "PINNED", "SOURCE"]);
    for plugin in plugins {
        let text = |value: &Option<String>| value.as_deref().map_or_else(|| "-".to_owned(), |text| plain(text).into_owned());
        let pinned = if plugin.pinned { "yes" } else { "no" };
        table.row([
            plain(&plugin.name).into_owned(),
            text(&plugin.version),
            text(&plugin.available),
            pinned.to_owned(),
            plugin.source.clone(),
        ]);
    }
    table
}
