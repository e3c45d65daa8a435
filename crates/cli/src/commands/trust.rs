//! `plugin trust` and `plugin untrust`.

use clap::Args;

use crate::Context;
use crate::acts::{Action, OutputArguments, Row, act};
use crate::error::{Failure, Result, code};
use crate::output::{Format, Table};
use plugsmith::text::{Plain, plain};
use plugsmith::trust::{AcceptedFile, Pin, Trusted};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The plugin's name; without it, what is trusted is shown
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// How to print what was done, or what is trusted
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

#[derive(Debug, Args)]
pub(crate) struct UntrustArguments {
    /// The plugin's name
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    output: OutputArguments,
}

pub(crate) fn run(arguments: &Arguments, context: &Context<'_>) -> Result {
    let Some(name) = &arguments.name else { return show(arguments.output, context) };
    act(arguments.output, context, Row::of_name(name), |acts| {
        let accepted = context.manager().trust(name)?;
        if accepted.is_empty() {
            let text = format!("no file of {} has changed", Plain(name));
            return Ok(acts.installed(Action::Unchanged, name).noted(text));
        }
        let lines: Vec<String> = accepted.iter().map(|difference| format!("Accepted: {difference}")).collect();
        Ok(acts.installed(Action::Updated, name).said(lines.join("\n")))
    })
}

fn show(format: Format, context: &Context<'_>) -> Result {
    let trusted = context.manager().trusted()?;
    if format == Format::Name {
        return Err(Failure::said(code::USAGE, "there are no names to print: it is about keys, signers and files"));
    }
    if format == Format::Table && trusted == Trusted::default() {
        context.output.notice("no key is limited, no signer is known, and no change was accepted");
        return Ok(());
    }
    let table = || table(&trusted).render(context.output.has_colored_results());
    Ok(context.output.value(format, &trusted, table)?)
}

fn table(trusted: &Trusted) -> Table {
    let mut table = Table::new(["WHAT", "NAME", "DETAILS"]);
    for limit in &trusted.signers {
        table.row(["key".to_owned(), plain(&limit.fingerprint).into_owned(), format!("may only sign {limit}")]);
    }
    for Pin { name, source, fingerprint, user_id, .. } in &trusted.pins {
        let signer = if user_id.is_empty() { fingerprint.clone() } else { format!("{user_id} ({fingerprint})") };
        table.row(["signer".to_owned(), name.clone(), format!("from {source}: {signer}")]);
    }
    for accepted in &trusted.accepted {
        for AcceptedFile { path, sha256, installed } in &accepted.files {
            let how = match (sha256, installed) {
                (None, _) => "removed",
                (_, None) => "added",
                _ => "changed",
            };
            table.row(["change".to_owned(), accepted.name.clone(), format!("{path} was {how}")]);
        }
    }
    table
}

pub(crate) fn untrust(arguments: &UntrustArguments, context: &Context<'_>) -> Result {
    let name = &arguments.name;
    act(arguments.output.output, context, Row::of_name(name), |acts| {
        let untrusted = context.manager().untrust(name)?;
        let files = untrusted.files.iter();
        let mut lines: Vec<String> =
            files.map(|path| format!("No longer accepted: the change of `{}`", Plain(path))).collect();
        for pin in &untrusted.pins {
            let signer = if pin.user_id.is_empty() { String::new() } else { format!("{} ", Plain(&pin.user_id)) };
            let (fingerprint, source) = (Plain(&pin.fingerprint), Plain(&pin.source));
            lines.push(format!("No longer expected: {signer}({fingerprint}) as the signer from {source}"));
        }
        if lines.is_empty() {
            let text = format!("nothing was trusted of {}", Plain(name));
            return Ok(acts.installed(Action::Unchanged, name).noted(text));
        }
        Ok(acts.installed(Action::Updated, name).said(lines.join("\n")))
    })
}
