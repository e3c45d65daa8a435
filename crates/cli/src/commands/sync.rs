//! `plugin sync`.

use std::path::PathBuf;

use clap::Args;

use super::install::{KeyringArguments, NetworkArguments, label};
use crate::Context;
use crate::error::{CommandFailure, Result, code};
use crate::verb::{Action, OutputArguments, VerbRow, VerbRows, run_each};
use plugsmith::manager::{LOCK_FILE_NAME, SyncChange, SyncRequest, Synced, VerificationMode};
use plugsmith::text::Sanitized;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The lock file; without this it is `plugins.lock` in the mirror, else in the working directory
    #[arg(long, value_name = "FILE")]
    lock_file: Option<PathBuf>,
    /// Resolve nothing: whatever the lock file does not settle is an error
    #[arg(long)]
    frozen: bool,
    /// Do without the network
    #[arg(long)]
    offline: bool,
    /// A directory that `plugin export` wrote, which is looked into first
    #[arg(long, value_name = "DIR")]
    mirror: Option<PathBuf>,
    /// Uninstall what the lock file does not name
    #[arg(long)]
    prune: bool,
    /// Do not run hooks
    #[arg(long)]
    no_hooks: bool,
    /// Change nothing and fetch nothing: say what would be done, and exit with 10 if that is anything
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    output: OutputArguments,
    /// Accept plugins that are signed by somebody else than before
    #[arg(long, help_heading = "Verification")]
    accept_signer: bool,
    #[command(flatten)]
    keyring: KeyringArguments,
    #[command(flatten)]
    network: NetworkArguments,
}

pub(crate) fn run(arguments: &Arguments, context: &Context<'_>) -> Result {
    let lock_file = match (&arguments.lock_file, &arguments.mirror) {
        (Some(file), _) => file.clone(),
        (None, Some(mirror)) => mirror.join(LOCK_FILE_NAME),
        (None, None) => PathBuf::from(LOCK_FILE_NAME),
    };
    let trust: VerificationMode = arguments.keyring.trust();
    let request = SyncRequest {
        lock_file,
        mirror: arguments.mirror.clone(),
        offline: arguments.offline,
        frozen: arguments.frozen,
        prune: arguments.prune,
        hooks: !arguments.no_hooks,
        fetch: arguments.network.options(None, context)?,
        trust,
        accept_signer: arguments.accept_signer,
        check: arguments.check,
    };
    let mut changed = false;
    run_each(arguments.output.output, context, |acts| {
        let results = context.manager().sync(&request)?;
        let all = results.len();
        let mut failed = Vec::new();
        for (name, synced) in results {
            match &synced {
                Ok(synced) => changed |= synced.change != SyncChange::None,
                Err(_) => failed.push(name.clone()),
            }
            let ended = synced.map(|synced| row(synced, arguments.check, acts, context)).map_err(CommandFailure::from);
            acts.take(VerbRow::of_name(&name), ended);
        }
        if all > 1 && !failed.is_empty() {
            context.output.notice(&format!(
                "{} of {all} plugins are not as the lock file has them: {}; `{} plugin sync` tries them again",
                failed.len(),
                Sanitized(&failed.join(", ")),
                context.host.name()
            ));
        }
        if !changed && failed.is_empty() {
            context.output.notice("every plugin is as the lock file has it");
        }
        Ok(())
    })?;
    if arguments.check && changed { Err(CommandFailure::silent(code::DIFFERS)) } else { Ok(()) }
}

/// What was done, or with `check` would be.
fn row(synced: Synced, check: bool, acts: &VerbRows<'_>, context: &Context<'_>) -> VerbRow {
    let said = |done, would, what: &str| format!("{} {what}", if check { would } else { done });
    let from = label(&synced.name, synced.from.as_deref());
    let to = label(&synced.name, synced.to.as_deref());
    let (action, text) = match synced.change {
        SyncChange::None => {
            context.output.verbose(&format!("{to} is there already"));
            (Action::Unchanged, String::new())
        }
        SyncChange::Installed => (Action::Installed, said("Installed", "Would install", &to)),
        SyncChange::Replaced if synced.from == synced.to => (Action::Restored, said("Restored", "Would restore", &to)),
        SyncChange::Replaced => {
            let to = synced.to.as_deref().unwrap_or("another version");
            (Action::Updated, said("Changed", "Would change", &format!("{from} -> {}", Sanitized(to))))
        }
        SyncChange::Removed => (Action::Removed, said("Uninstalled", "Would uninstall", &from)),
    };
    let previous_version = synced.from.filter(|_| action != Action::Unchanged);
    // What is installed is not what would come.
    let row = match check && action != Action::Unchanged {
        true => VerbRow { action, ..VerbRow::of_name(&synced.name) },
        false => acts.installed(action, &synced.name),
    };
    VerbRow { version: synced.to, previous_version, ..row.with_result(text) }
}
