//! `plugin trust` and `plugin untrust`.

use clap::Args;

use crate::Context;
use crate::error::{CommandFailure, Result, code};
use crate::output::{OutputFormat, Table};
use crate::verb::{Action, OutputArguments, VerbRow, run_one};
use plugsmith::text::{Sanitized, sanitized};
use plugsmith::trust::{AcceptedFile, KnownSigner, TrustFile};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The plugin's name; without it, what is trusted is shown
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// How to print what was done, or what is trusted
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    output: OutputFormat,
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
    run_one(arguments.output, context, VerbRow::of_name(name), |acts| {
        let accepted = context.manager().trust(name)?;
        if accepted.is_empty() {
            let text = format!("no file of {} has changed", Sanitized(name));
            return Ok(acts.installed(Action::Unchanged, name).with_notice(text));
        }
        let lines: Vec<String> = accepted.iter().map(|difference| format!("Accepted: {difference}")).collect();
        Ok(acts.installed(Action::Updated, name).with_result(lines.join("\n")))
    })
}

fn show(format: OutputFormat, context: &Context<'_>) -> Result {
    let trusted = context.manager().trusted()?;
    if format == OutputFormat::Name {
        return Err(CommandFailure::text(code::USAGE, "there are no names to print: it is about keys, signers and files"));
    }
    if format == OutputFormat::Table && trusted == TrustFile::default() {
        context.output.notice("no key is limited, no signer is known, and no change was accepted");
        return Ok(());
    }
    let table = || table(&trusted).render(context.output.has_colored_results());
    Ok(context.output.value(format, &trusted, table)?)
}

fn table(trusted: &TrustFile) -> Table {
    let mut table = Table::new(["WHAT", "NAME", "DETAILS"]);
    for limit in &trusted.signers {
        table.row(["key".to_owned(), sanitized(&limit.fingerprint).into_owned(), format!("may only sign {limit}")]);
    }
    for KnownSigner { name, source, fingerprint, user_id, .. } in &trusted.known_signers {
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
    run_one(arguments.output.output, context, VerbRow::of_name(name), |acts| {
        let untrusted = context.manager().untrust(name)?;
        let files = untrusted.files.iter();
        let mut lines: Vec<String> =
            files.map(|path| format!("No longer accepted: the change of `{}`", Sanitized(path))).collect();
        for known in &untrusted.signers {
            let signer = if known.user_id.is_empty() { String::new() } else { format!("{} ", Sanitized(&known.user_id)) };
            let (fingerprint, source) = (Sanitized(&known.fingerprint), Sanitized(&known.source));
            lines.push(format!("No longer expected: {signer}({fingerprint}) as the signer from {source}"));
        }
        if lines.is_empty() {
            let text = format!("nothing was trusted of {}", Sanitized(name));
            return Ok(acts.installed(Action::Unchanged, name).with_notice(text));
        }
        Ok(acts.installed(Action::Updated, name).with_result(lines.join("\n")))
    })
}
