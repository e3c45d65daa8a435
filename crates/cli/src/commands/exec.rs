//! `plugin exec`.

use std::ffi::OsString;

use clap::Args;

use crate::error::Result;
use crate::{Context, run};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The plugin's name
    #[arg(value_name = "NAME")]
    name: String,
    /// The plugin's arguments
    // All that follows is theirs; a first `--` is ours, and needed only where an argument could be taken for a flag of ours.
    #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

pub(crate) fn run(arguments: &Arguments, context: &Context<'_>) -> Result {
    run::exec(&arguments.name, &arguments.arguments, context)
}
