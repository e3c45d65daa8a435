//! `plugin pin` and `plugin unpin`.

use clap::Args;

use crate::Context;
use crate::acts::{Action, OutputArguments, Row, acts};
use crate::error::Result;
use plugsmith::text::Plain;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Names of installed plugins
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    #[command(flatten)]
    output: OutputArguments,
}

pub(crate) fn run(arguments: &Arguments, pinned: bool, context: &Context<'_>) -> Result {
    acts(arguments.output.output, context, |acts| {
        acts.each(
            &arguments.names,
            |name| Row::of_name(name),
            |acts, name| {
                if !context.manager().set_pinned(name, pinned)? {
                    let state = if pinned { "pinned" } else { "not pinned" };
                    return Ok(acts.installed(Action::Unchanged, name).noted(format!("{} is {state} already", Plain(name))));
                }
                let done = if pinned { "Pinned" } else { "Unpinned" };
                Ok(acts.installed(Action::Updated, name).said(format!("{done} {}", Plain(name))))
            },
        );
        Ok(())
    })
}
