//! `plugin sync`.

use std::path::PathBuf;

use clap::Args;

use super::install::{KeyringArguments, NetworkArguments, label};
use crate::cli::Context;
use crate::cli::error::{Failure, Result};
use crate::manager::{Change, LOCK_FILE_NAME, SyncRequest, Synced, Trust};
use crate::text::Plain;

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
    /// Accept plugins that are signed by somebody else than before
    #[arg(long, help_heading = "Verification")]
    accept_signer: bool,
    #[command(flatten)]
    keyring: KeyringArguments,
    #[command(flatten)]
    network: NetworkArguments,
}

pub(crate) fn run(arguments: &Arguments, context: &Context<'_>) -> Result {
    crate::cli::clear_up_on_interrupt();
    let lock_file = match (&arguments.lock_file, &arguments.mirror) {
        (Some(file), _) => file.clone(),
        (None, Some(mirror)) => mirror.join(LOCK_FILE_NAME),
        (None, None) => PathBuf::from(LOCK_FILE_NAME),
    };
    let trust: Trust = arguments.keyring.trust();
    let request = SyncRequest {
        lock_file,
        mirror: arguments.mirror.clone(),
        offline: arguments.offline,
        frozen: arguments.frozen,
        prune: arguments.prune,
        hooks: !arguments.no_hooks,
        fetch: arguments.network.options(None, None, context)?,
        trust,
        accept_signer: arguments.accept_signer,
    };
    let mut first_failure: Option<Failure> = None;
    let mut changed = false;
    let results = context.manager().sync(&request)?;
    let all = results.len();
    let mut failed = Vec::new();
    for (name, synced) in results {
        let ended = match synced {
            Ok(synced) => {
                changed |= synced.change != Change::None;
                show(&synced, context)
            }
            Err(error) => {
                failed.push(name);
                Err(Failure::from(error))
            }
        };
        context.keep_first(&mut first_failure, ended);
    }
    if all > 1 && !failed.is_empty() {
        context.output.notice(&format!(
            "{} of {all} plugins are not as the lock file has them: {}; `sync` again tries them again",
            failed.len(),
            Plain(&failed.join(", "))
        ));
    }
    if !changed && first_failure.is_none() {
        context.output.notice("every plugin is as the lock file has it");
    }
    first_failure.map_or(Ok(()), Err)
}

fn show(synced: &Synced, context: &Context<'_>) -> Result {
    let from = label(&synced.name, synced.from.as_deref());
    let to = label(&synced.name, synced.to.as_deref());
    let line = match synced.change {
        Change::None => {
            context.output.verbose(&format!("{to} is there already"));
            return Ok(());
        }
        Change::Installed => format!("Installed {to}"),
        Change::Replaced if synced.from == synced.to => format!("Restored {to}"),
        Change::Replaced => format!("Changed {from} -> {}", synced.to.as_deref().unwrap_or("another version")),
        Change::Removed => format!("Uninstalled {from}"),
    };
    Ok(context.output.print(&line)?)
}
