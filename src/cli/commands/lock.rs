//! `plugin lock` and `plugin export`.

use std::path::PathBuf;

use clap::Args;

use super::install::NetworkArguments;
use crate::cli::Context;
use crate::cli::error::Result;
use crate::manager::{LOCK_FILE_NAME, LeftOut};
use crate::text::{Plain, plain};

#[derive(Debug, Args)]
pub(crate) struct LockArguments {
    /// The lock file
    #[arg(long, value_name = "FILE", default_value = LOCK_FILE_NAME)]
    lock_file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// The directory for the mirror
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    #[command(flatten)]
    network: NetworkArguments,
}

pub(crate) fn lock(arguments: &LockArguments, context: &Context<'_>) -> Result {
    let written = context.manager().lock(&arguments.lock_file)?;
    warn_of(&written.left_out, context);
    let path = written.path.to_string_lossy();
    Ok(context.output.print(&format!("Locked {} in {}", count(written.plugins), plain(&path)))?)
}

pub(crate) fn export(arguments: &ExportArguments, context: &Context<'_>) -> Result {
    crate::cli::clear_up_on_interrupt();
    let fetch = arguments.network.options(None, None, context)?;
    let exported = context.manager().export(&arguments.directory, &fetch)?;
    warn_of(&exported.left_out, context);
    let path = arguments.directory.to_string_lossy();
    Ok(context.output.print(&format!("Exported {} to {}", count(exported.packages), plain(&path)))?)
}

fn warn_of(left_out: &[LeftOut], context: &Context<'_>) {
    for LeftOut { name, why } in left_out {
        context.output.warning(&format!("{} is left out: {why}", Plain(name)));
    }
}

fn count(plugins: usize) -> String {
    if plugins == 1 { "1 plugin".to_owned() } else { format!("{plugins} plugins") }
}
