//! `plugin exec`.

use std::ffi::OsString;

use clap::Args;

use crate::cli::error::Result;
use crate::cli::{Context, run};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The plugin's name
    #[arg(value_name = "NAME")]
    name: String,
    /// The plugin's arguments
    #[arg(value_name = "ARGS", last = true)]
    arguments: Vec<OsString>,
}

pub(crate) fn run(arguments: &Arguments, context: &Context<'_>) -> Result {
    run::plugin(&arguments.name, &arguments.arguments, context)
}
