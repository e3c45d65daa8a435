//! `get`.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

use super::install::FetchArguments;
use crate::Context;
use crate::error::{CommandFailure, Result, code};
use crate::output::OutputError;
use plugsmith::manager::GetError;
use plugsmith::runtime::{InvokeError, end_by_signal};
use plugsmith::text::Sanitized;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What to download: http, https, oci, or a scheme that a getter plugin serves
    #[arg(value_name = "URL")]
    url: String,
    /// The file to write, or a directory to put it into; without this, or with `-`, it goes to standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    fetch: FetchArguments,
}

pub(crate) fn run(arguments: &Arguments, context: &Context<'_>) -> Result {
    crate::clear_up_on_interrupt();
    let options = arguments.fetch.options(context)?;
    let target = arguments.output.as_deref().filter(|path| path.as_os_str() != "-");
    // What comes whole is renamed into its place, so it is downloaded where that is; else nothing of a broken download is shown.
    let directory = match target {
        Some(path) if path.is_dir() => path.to_owned(),
        Some(path) => match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => parent.to_owned(),
            None => PathBuf::from("."),
        },
        None => std::env::temp_dir(),
    };
    if !directory.is_dir() {
        let text = format!("there is no directory {} to write to; make it first", Sanitized(&directory.to_string_lossy()));
        return Err(CommandFailure::text(code::NOT_THERE, text));
    }
    let downloaded = context.manager().get(&arguments.url, &options, &directory).map_err(|error| end(error, context))?;
    match target {
        Some(path) => {
            let path = if path.is_dir() { path.join(downloaded.file_name()) } else { path.to_owned() };
            let size = downloaded.size();
            downloaded.keep(&path)?;
            context.output.notice(&format!("wrote {size} bytes to {}", Sanitized(&path.to_string_lossy())));
            Ok(())
        }
        None => copy(downloaded.path()),
    }
}

fn copy(path: &Path) -> Result {
    let mut file = File::open(path).map_err(|source| CommandFailure::new(code::FAILED, source))?;
    io::copy(&mut file, &mut io::stdout().lock()).map_err(|source| OutputError::Stdout { source })?;
    Ok(())
}

/// What a failed download means for this program: where a plugin failed, it ends as the plugin did.
fn end(error: GetError, context: &Context<'_>) -> CommandFailure {
    let GetError::Getter { source, .. } = &error else { return error.into() };
    match **source {
        InvokeError::Exit { code, .. } => CommandFailure::new(u8::try_from(code).unwrap_or(code::FAILED), error),
        InvokeError::Signal { signal, .. } => {
            context.output.error(&error, &[]);
            end_by_signal(signal)
        }
        _ => error.into(),
    }
}
