//! `plugin uninstall`.

use clap::Args;

use crate::cli::Context;
use crate::cli::error::Result;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Names of installed plugins
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Do not run the delete hook
    #[arg(long)]
    no_hooks: bool,
}

pub(crate) fn run(arguments: &Arguments, context: &Context<'_>) -> Result {
    crate::cli::clear_up_on_interrupt();
    context.each(&arguments.names, |name| {
        let done = context.manager().uninstall(name, !arguments.no_hooks)?;
        let label = super::install::label(&done.name, Some(done.version.as_str()).filter(|version| !version.is_empty()));
        Ok(context.output.print(&format!("Uninstalled {label}"))?)
    })
}
