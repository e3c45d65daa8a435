//! `plugin pin` and `plugin unpin`.

use clap::Args;

use crate::cli::Context;
use crate::cli::error::Result;
use crate::text::Plain;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Names of installed plugins
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments, pinned: bool, context: &Context<'_>) -> Result {
    crate::cli::clear_up_on_interrupt();
    context.each(&arguments.names, |name| {
        if !context.manager().set_pinned(name, pinned)? {
            let state = if pinned { "pinned" } else { "not pinned" };
            context.output.notice(&format!("{} is {state} already", Plain(name)));
            return Ok(());
        }
        let done = if pinned { "Pinned" } else { "Unpinned" };
        Ok(context.output.print(&format!("{done} {}", Plain(name)))?)
    })
}
