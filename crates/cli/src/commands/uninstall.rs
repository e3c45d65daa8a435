//! `plugin uninstall`.

use clap::Args;

use crate::Context;
use crate::error::Result;
use crate::verb::{Action, OutputArguments, VerbRow, run_each, shown};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Names of installed plugins
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Do not run the delete hook
    #[arg(long)]
    no_hooks: bool,
    #[command(flatten)]
    output: OutputArguments,
}

pub(crate) fn run(arguments: &Arguments, context: &Context<'_>) -> Result {
    run_each(arguments.output.output, context, |acts| {
        acts.each(
            &arguments.names,
            |name| VerbRow::of_name(name),
            |acts, name| {
                // Later nobody knows any more where it came from.
                let was = acts.installed(Action::Removed, name);
                let done = context.manager().uninstall(name, !arguments.no_hooks)?;
                let version = Some(done.version).filter(|version| !version.is_empty());
                let text = format!("Uninstalled {}", super::install::label(&done.name, version.as_deref()));
                let path = Some(shown(&done.directory));
                Ok(VerbRow { name: Some(done.name), previous_version: version, version: None, path, ..was }
                    .with_result(text))
            },
        );
        Ok(())
    })
}
