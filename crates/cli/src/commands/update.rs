//! `plugin update`.

use clap::Args;

use super::install::{NetworkArguments, TrustArguments, label, trusted_by};
use crate::Context;
use crate::error::{CommandFailure, Result, code};
use crate::verb::{Action, OutputArguments, VerbRow, VerbRows, run_each, verified_by};
use plugsmith::manager::{Update, UpdateOutcome, UpdateRequest};
use plugsmith::text::Sanitized;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Names of installed plugins
    #[arg(value_name = "NAME", conflicts_with = "all")]
    names: Vec<String>,
    /// Update every plugin that is not pinned
    #[arg(long)]
    all: bool,
    /// Do everything but the change itself, and say what it would be
    #[arg(long)]
    dry_run: bool,
    /// Go to this version, also back; a range, tag, branch or commit is followed from then on
    #[arg(long, value_name = "VERSION", conflicts_with = "all")]
    to: Option<String>,
    /// Take pre-releases too
    #[arg(long)]
    pre: bool,
    /// Do not run the update hook
    #[arg(long)]
    no_hooks: bool,
    #[command(flatten)]
    output: OutputArguments,
    /// Accept a new version that is signed by somebody else than the installed one
    #[arg(long, help_heading = "Verification")]
    accept_signer: bool,
    #[command(flatten)]
    trust: TrustArguments,
    #[command(flatten)]
    network: NetworkArguments,
}

pub(crate) fn run(arguments: &Arguments, context: &Context<'_>) -> Result {
    if arguments.names.is_empty() && !arguments.all {
        let failure = CommandFailure::text(code::USAGE, "no plugin is named");
        return Err(failure.hint(format!(
            "name those to update, or give `--all`; `{} plugin outdated` shows what there is",
            context.host.name()
        )));
    }
    let several = arguments.all || arguments.names.len() > 1;
    for (given, option) in [
        (arguments.to.is_some(), "--to"),
        (arguments.trust.has_digest(), "--digest"),
        // The sources are those of the receipts: a password must not go to them all.
        (arguments.network.has_username(), "--username"),
    ] {
        if given && several {
            return Err(CommandFailure::text(
                code::USAGE,
                format!("`{option}` is about one plugin, and several are to be updated"),
            ));
        }
    }
    run_each(arguments.output.output, context, |acts| {
        let request = request(arguments, context)?;
        let manager = context.manager();
        let names = if arguments.all { manager.names_to_update()? } else { arguments.names.clone() };
        if names.is_empty() {
            context.output.notice("no plugins are installed");
        }
        acts.each(
            &names,
            |name| VerbRow::of_name(name),
            |acts, name| Ok(row(manager.update(name, &request)?, arguments.dry_run, acts)),
        );
        Ok(())
    })
}

fn request(arguments: &Arguments, context: &Context<'_>) -> Result<UpdateRequest> {
    let trust = arguments.trust.given()?;
    Ok(UpdateRequest {
        fetch: arguments.network.options(None, context)?,
        trust,
        allow_expired_key: arguments.trust.allow_expired_key(),
        accept_signer: arguments.accept_signer,
        to: arguments.to.clone(),
        pre: arguments.pre,
        hooks: !arguments.no_hooks,
        dry_run: arguments.dry_run,
        all: arguments.all,
    })
}

fn row(update: Update, dry_run: bool, acts: &VerbRows<'_>) -> VerbRow {
    let from = label(&update.name, update.from.as_deref());
    match update.outcome {
        UpdateOutcome::Changed { to, evidence } => {
            let done = if dry_run { "Would update" } else { "Updated" };
            let new = to.as_deref().unwrap_or("a new version");
            let text = format!("{done} {from} -> {}: {}", Sanitized(new), trusted_by(evidence.as_ref()));
            let row = acts.installed(Action::Updated, &update.name).with_result(text);
            let digest = row.digest.filter(|_| !dry_run);
            VerbRow { version: to, previous_version: update.from, verified: verified_by(evidence.as_ref()), digest, ..row }
        }
        UpdateOutcome::Unchanged(why) => {
            acts.installed(Action::Unchanged, &update.name).with_notice(format!("{from} {why}"))
        }
    }
}
