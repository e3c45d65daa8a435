//! `plugin push`.

use std::path::PathBuf;

use clap::Args;

use super::install::NetworkArguments;
use crate::Context;
use crate::error::{CommandFailure, Result};
use crate::verb::{Action, OutputArguments, RowText, VerbRow, run_one, shown};
use plugsmith::intake::source::{OciReference, is_package};
use plugsmith::manager::PushRequest;
use plugsmith::text::Sanitized;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The package; its provenance is FILE.prov
    #[arg(value_name = "FILE")]
    package: PathBuf,
    /// Where to: the plugin's name and version are added where they are not there
    #[arg(value_name = "oci://REGISTRY/PATH")]
    reference: String,
    /// Replace other bytes that are under the version's tag
    #[arg(long)]
    force: bool,
    /// Push a package that is not signed, which nobody can verify
    #[arg(long)]
    unsigned: bool,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    network: NetworkArguments,
}

pub(crate) fn run(arguments: &Arguments, context: &Context<'_>) -> Result {
    run_one(arguments.output.output, context, VerbRow::of_path(&arguments.package), |_| {
        if !arguments.package.exists() {
            return Err(CommandFailure::not_there(&arguments.package, is_package, "check the path"));
        }
        let pushed = context.manager().push(&PushRequest {
            file: arguments.package.clone(),
            reference: arguments.reference.clone(),
            fetch: arguments.network.options(None, context)?,
            force: arguments.force,
            unsigned: arguments.unsigned,
        })?;
        if pushed.already_there {
            context.output.notice("it was there already, byte for byte");
        }
        let reference = pushed.reference.to_string();
        let text = format!("Pushed {}\nDigest: sha256:{}", Sanitized(&reference), pushed.digest);
        let OciReference { repository, tag, .. } = pushed.reference;
        Ok(VerbRow {
            name: repository.rsplit('/').next().map(str::to_owned),
            // A tag has no `+`.
            version: tag.map(|tag| tag.replace('_', "+")),
            source: Some(reference),
            digest: Some(format!("sha256:{}", pushed.digest)),
            path: Some(shown(&arguments.package)),
            text: RowText::Result(text),
            ..VerbRow::new(if pushed.already_there { Action::Unchanged } else { Action::Pushed })
        })
    })
}
