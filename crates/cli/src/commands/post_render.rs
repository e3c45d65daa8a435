//! `post-render`.

use std::ffi::OsString;
use std::io;

use clap::Args;

use crate::Context;
use crate::error::{CommandFailure, Result, code};
use crate::output::OutputError;
use plugsmith::runtime::{InvokeError, InvokeInput, InvokeOutput, end_by_signal};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The plugins, each of which gets what the one before it made
    #[arg(value_name = "PLUGIN", required = true)]
    plugins: Vec<String>,
    /// An argument for every plugin; can be given several times
    #[arg(long = "args", value_name = "ARG", allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

pub(crate) fn run(arguments: &Arguments, context: &Context<'_>) -> Result {
    // All are opened before the first runs, so that a mistyped last name does not waste the work of the others.
    let manager = context.manager();
    let mut plugins = Vec::with_capacity(arguments.plugins.len());
    for name in &arguments.plugins {
        let plugin = manager.open(name)?;
        crate::clear_up_after(&plugin);
        plugins.push(plugin);
    }
    let failed = |source| CommandFailure::new(code::FAILED, source);
    let mut document = tempfile::tempfile().map_err(failed)?;
    io::copy(&mut io::stdin().lock(), &mut document).map_err(failed)?;
    for plugin in &plugins {
        manager.record_run(plugin)?;
        let input = InvokeInput::PostRenderer { args: &arguments.arguments, document: &document };
        match plugin.invoke(input, &context.environment(), context.output) {
            Ok(InvokeOutput::PostRenderer(changed)) => document = changed,
            Ok(_) => {}
            Err(error) => return Err(end(error, context)),
        }
    }
    io::Seek::rewind(&mut document).map_err(failed)?;
    io::copy(&mut document, &mut io::stdout().lock()).map_err(|source| OutputError::Stdout { source })?;
    Ok(())
}

/// What a failed plugin means for this program: it ends as the plugin did.
fn end(error: InvokeError, context: &Context<'_>) -> CommandFailure {
    match error {
        InvokeError::Exit { code, .. } => CommandFailure::new(u8::try_from(code).unwrap_or(code::FAILED), error),
        InvokeError::Signal { signal, .. } => {
            context.output.error(&error, &[]);
            end_by_signal(signal)
        }
        // Only these two say how the plugin itself ended.
        _ => error.into(),
    }
}
