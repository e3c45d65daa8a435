//! `plugin rollback`.

use clap::Args;

use super::install::label;
use crate::Context;
use crate::error::Result;
use crate::verb::{Action, OutputArguments, VerbRow, run_one};
use plugsmith::text::Sanitized;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The plugin's name
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    output: OutputArguments,
}

pub(crate) fn run(arguments: &Arguments, context: &Context<'_>) -> Result {
    run_one(arguments.output.output, context, VerbRow::of_name(&arguments.name), |acts| {
        let done = context.manager().rollback(&arguments.name)?;
        let from = label(&done.name, done.from.as_deref());
        let to = done.to.as_deref().unwrap_or("the previous version");
        let text = format!("Rolled back {from} -> {}", Sanitized(to));
        let row = acts.installed(Action::Restored, &done.name).with_result(text);
        Ok(VerbRow { previous_version: done.from, version: done.to, ..row })
    })
}
