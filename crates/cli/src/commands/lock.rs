//! `plugin lock` and `plugin export`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::install::NetworkArguments;
use crate::Context;
use crate::error::Result;
use crate::verb::{Action, OutputArguments, VerbRow, VerbRows, run_each, shown};
use plugsmith::manager::{LOCK_FILE_NAME, LockFile, LockedPlugin, UnlockablePlugin};
use plugsmith::text::{Sanitized, sanitized};

#[derive(Debug, Args)]
pub(crate) struct LockArguments {
    /// The lock file
    #[arg(long, value_name = "FILE", default_value = LOCK_FILE_NAME)]
    lock_file: PathBuf,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// The directory for the mirror
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    network: NetworkArguments,
}

pub(crate) fn lock(arguments: &LockArguments, context: &Context<'_>) -> Result {
    run_each(arguments.output.output, context, |acts| {
        let written = context.manager().lock(&arguments.lock_file)?;
        warn_of(&written.left_out, &written.unverified, context);
        let text = format!("Locked {} in {}", count(written.plugins), sanitized(&shown(&written.path)));
        of_locked(acts, Action::Locked, text, &written.path, |_| written.path.clone())
    })
}

pub(crate) fn export(arguments: &ExportArguments, context: &Context<'_>) -> Result {
    let directory = &arguments.directory;
    run_each(arguments.output.output, context, |acts| {
        let fetch = arguments.network.options(None, context)?;
        let exported = context.manager().export(directory, &fetch)?;
        warn_of(&exported.left_out, &exported.unverified, context);
        let text = format!("Exported {} to {}", count(exported.packages), sanitized(&shown(directory)));
        let package = |locked: &LockedPlugin| directory.join("packages").join(locked.file_name());
        of_locked(acts, Action::Pulled, text, &exported.lock_file, package)
    })
}

/// One sentence for people, or a row for each plugin in the lock file that was written; `path` says where it is.
fn of_locked(
    acts: &mut VerbRows<'_>,
    action: Action,
    text: String,
    lock_file: &Path,
    path: impl Fn(&LockedPlugin) -> PathBuf,
) -> Result {
    if !acts.wants_rows() {
        acts.take(VerbRow::of_path(lock_file), Ok(VerbRow::new(action).with_result(text)));
        return Ok(());
    }
    for locked in LockFile::read(lock_file, acts.host().name())?.plugins.values() {
        let row = acts.installed(action, locked.name.as_str());
        acts.take(VerbRow::of_path(lock_file), Ok(VerbRow { path: Some(shown(&path(locked))), ..row }));
    }
    Ok(())
}

fn warn_of(left_out: &[UnlockablePlugin], unverified: &[String], context: &Context<'_>) {
    for UnlockablePlugin { name, why } in left_out {
        context.output.warning(&format!("{} is left out: {why}", Sanitized(name)));
    }
    for name in unverified {
        context.output.warning(&format!(
            "{} is not verified, and whoever gets it by this lock file has it unverified; install it again with a signature or its digest",
            Sanitized(name)
        ));
    }
}

fn count(plugins: usize) -> String {
    if plugins == 1 { "1 plugin".to_owned() } else { format!("{plugins} plugins") }
}
