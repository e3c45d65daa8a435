//! `plugin rollback`.

use clap::Args;

use super::install::label;
use crate::cli::Context;
use crate::cli::error::Result;
use crate::text::Plain;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The plugin's name
    #[arg(value_name = "NAME")]
    name: String,
}

pub(crate) fn run(arguments: &Arguments, context: &Context<'_>) -> Result {
    crate::cli::clear_up_on_interrupt();
    let done = context.manager().rollback(&arguments.name)?;
    let from = label(&done.name, done.from.as_deref());
    let to = done.to.as_deref().unwrap_or("the version before");
    Ok(context.output.print(&format!("Rolled back {from} -> {}", Plain(to)))?)
}
