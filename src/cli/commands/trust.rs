//! `plugin trust`.

use clap::Args;

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
    let accepted = context.manager().trust(&arguments.name)?;
    for difference in &accepted {
        context.output.print(&format!("Accepted: {difference}"))?;
    }
    if accepted.is_empty() {
        context.output.notice(&format!("no file of {} has changed", Plain(&arguments.name)));
    }
    Ok(())
}
