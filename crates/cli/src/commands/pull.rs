//! `plugin pull`.

use std::path::PathBuf;

use clap::Args;

use super::install::{FetchArguments, TrustArguments, label, trusted_by};
use crate::Context;
use crate::error::Result;
use crate::verb::{Action, OutputArguments, RowText, VerbRow, run_one, shown, verified_by};
use plugsmith::digest::Sha256Digest;
use plugsmith::manager::PullRequest;
use plugsmith::text::{masked_source, sanitized};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A package, or the URL of one
    #[arg(value_name = "SOURCE")]
    source: String,
    /// The directory for the package and its provenance
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    destination: PathBuf,
    /// Accept a package that is signed by somebody else than before
    #[arg(long, help_heading = "Verification")]
    accept_signer: bool,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    trust: TrustArguments,
    #[command(flatten)]
    fetch: FetchArguments,
}

pub(crate) fn run(arguments: &Arguments, context: &Context<'_>) -> Result {
    run_one(arguments.output.output, context, VerbRow::of_source(&arguments.source), |acts| {
        let trust = arguments.trust.trust(context)?;
        let fetch = arguments.fetch.options(context)?;
        let pulled = context.manager().pull(&PullRequest {
            source: arguments.source.clone(),
            fetch,
            trust,
            accept_signer: arguments.accept_signer,
            directory: arguments.destination.clone(),
        })?;
        let label = label(&pulled.name, pulled.version.as_deref());
        let path = shown(&pulled.package);
        let text = format!("Pulled {label} to {}: {}", sanitized(&path), trusted_by(Some(&pulled.evidence)));
        let digest = if acts.wants_rows() { Sha256Digest::of_file(&pulled.package).ok() } else { None };
        Ok(VerbRow {
            name: Some(pulled.name),
            version: pulled.version,
            source: Some(masked_source(&arguments.source)),
            digest: digest.map(|(digest, _)| format!("sha256:{digest}")),
            verified: verified_by(Some(&pulled.evidence)),
            path: Some(path),
            text: RowText::Result(text),
            ..VerbRow::new(Action::Pulled)
        })
    })
}
