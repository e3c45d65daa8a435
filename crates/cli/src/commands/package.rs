//! `plugin package`.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use clap::{ArgAction, Args};

use super::sign::KeyArguments;
use crate::Context;
use crate::error::{CommandFailure, Result};
use crate::verb::{Action, OutputArguments, VerbRow, run_one, shown, signed_by};
use plugsmith::digest::Sha256Digest;
use plugsmith::manifest::Metadata;
use plugsmith::text::Sanitized;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The plugin's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Sign the package; `--sign=false` makes it without a provenance
    #[arg(
        long, value_name = "BOOL", default_value_t = true, default_missing_value = "true", num_args = 0..=1,
        require_equals = true, action = ArgAction::Set
    )]
    sign: bool,
    /// Where to put the package
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    destination: PathBuf,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    key: KeyArguments,
}

pub(crate) fn run(arguments: &Arguments, context: &Context<'_>) -> Result {
    run_one(arguments.output.output, context, VerbRow::of_path(&arguments.directory), |_| package(arguments, context))
}

fn package(arguments: &Arguments, context: &Context<'_>) -> Result<VerbRow> {
    if !arguments.directory.exists() {
        return Err(CommandFailure::not_there(&arguments.directory, Path::is_dir, "give a plugin's directory"));
    }
    let key = OnceCell::new();
    let signer = || -> Result<_> {
        if !arguments.sign {
            return Ok(None);
        }
        let found = arguments.key.find(context)?;
        let key = key.get_or_init(|| found);
        Ok(Some(|metadata: &Metadata, file_name: &str, digest: &Sha256Digest| {
            arguments.key.sign(key, metadata, file_name, digest, context)
        }))
    };
    let packaged = context.manager().package(&arguments.directory, &arguments.destination, signer)?;
    let mut row = VerbRow::new(Action::Packaged);
    row.name = Some(packaged.metadata.name.to_string());
    row.version = packaged.metadata.version.as_ref().map(ToString::to_string);
    let mut lines = vec![format!("Package: {}", Sanitized(&shown(&packaged.package)))];
    lines.extend(packaged.provenance.iter().map(|provenance| format!("Provenance: {}", Sanitized(&shown(provenance)))));
    if let Some(key) = key.get() {
        lines.push(format!("Signed by: {}", Sanitized(&key.describe())));
        row.verified = signed_by(key.user_id(), &key.fingerprint());
    }
    let digest = format!("sha256:{}", packaged.digest);
    lines.extend([format!("Digest: {digest}"), format!("Size: {} bytes", packaged.size)]);
    Ok(VerbRow { digest: Some(digest), path: Some(shown(&packaged.package)), ..row.with_result(lines.join("\n")) })
}
