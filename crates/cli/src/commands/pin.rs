//! `plugin pin` and `plugin unpin`.

use clap::Args;

use crate::Context;
use crate::error::Result;
use crate::verb::{Action, OutputArguments, VerbRow, run_each};
use plugsmith::text::Sanitized;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Names of installed plugins
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    #[command(flatten)]
    output: OutputArguments,
}

pub(crate) fn run(arguments: &Arguments, held: bool, context: &Context<'_>) -> Result {
    run_each(arguments.output.output, context, |acts| {
        acts.each(
            &arguments.names,
            |name| VerbRow::of_name(name),
            |acts, name| {
                if !context.manager().set_held(name, held)? {
                    let state = if held { "pinned" } else { "not pinned" };
                    return Ok(acts
                        .installed(Action::Unchanged, name)
                        .with_notice(format!("{} is {state} already", Sanitized(name))));
                }
                let done = if held { "Pinned" } else { "Unpinned" };
                Ok(acts.installed(Action::Updated, name).with_result(format!("{done} {}", Sanitized(name))))
            },
        );
        Ok(())
    })
}
