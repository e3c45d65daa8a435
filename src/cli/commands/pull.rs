//! `plugin pull`.

use std::path::PathBuf;

use clap::Args;

use super::install::{FetchArguments, TrustArguments, label, trusted_by};
use crate::cli::Context;
use crate::cli::error::Result;
use crate::text::plain;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A package, or the URL of one
    #[arg(value_name = "SOURCE")]
    source: String,
    /// The directory for the package and its provenance
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    destination: PathBuf,
    #[command(flatten)]
    trust: TrustArguments,
    #[command(flatten)]
    fetch: FetchArguments,
}

pub(crate) fn run(arguments: &Arguments, context: &Context<'_>) -> Result {
    crate::cli::clear_up_on_interrupt();
    let trust = arguments.trust.trust(context)?;
    let fetch = arguments.fetch.options(&trust, context)?;
    let pulled = context.manager().pull(&arguments.source, &fetch, &trust, &arguments.destination)?;
    let label = label(&pulled.name, pulled.version.as_deref());
    let path = pulled.package.to_string_lossy();
    let why = trusted_by(Some(&pulled.evidence));
    Ok(context.output.print(&format!("Pulled {label} to {}: {why}", plain(&path)))?)
}
