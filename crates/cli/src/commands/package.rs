//! `plugin package`.

use std::path::{Path, PathBuf};

use clap::{ArgAction, Args};

use super::sign::KeyArguments;
use crate::Context;
use crate::error::{CommandFailure, Result};
use crate::verb::{Action, OutputArguments, VerbRow, run_one, shown, signed_by};
use plugsmith::intake::package;
use plugsmith::manifest::lint::lint_programs;
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
    // The manifest before the key, since a directory that is no plugin needs none; the key before the packing, since to pack
    // a large plugin and then find no key would be a waste.
    package::packable(&arguments.directory, &context.settings.limits)?;
    let key = if arguments.sign { Some(arguments.key.find(context)?) } else { None };
    for problem in lint_programs(&arguments.directory, &context.settings.limits) {
        context.output.warning(&format!("{}:{problem}", Sanitized(&problem.file)));
    }
    let unpublished = package::pack(&arguments.directory, &arguments.destination, &context.settings.limits, context.output)?;
    let provenance = match &key {
        Some(key) => {
            Some(arguments.key.sign(key, &unpublished.metadata, &unpublished.file_name, &unpublished.digest, context)?)
        }
        None => None,
    };
    let mut row = VerbRow::new(Action::Packaged);
    row.name = Some(unpublished.metadata.name.to_string());
    row.version = unpublished.metadata.version.as_ref().map(ToString::to_string);
    let digest = format!("sha256:{}", unpublished.digest);
    let size = unpublished.size;
    let published = unpublished.publish(provenance.as_deref())?;
    if !arguments.sign {
        context
            .output
            .warning("the package is not signed: whoever installs it has to name its digest, or to do without verification");
    }
    if published.removed_provenance {
        let gone = format!("{}.prov", published.package.display());
        context.output.warning(&format!("removed {}: it signed an older package", Sanitized(&gone)));
    }
    let mut lines = vec![format!("Package: {}", Sanitized(&shown(&published.package)))];
    lines.extend(published.provenance.iter().map(|provenance| format!("Provenance: {}", Sanitized(&shown(provenance)))));
    if let Some(key) = &key {
        lines.push(format!("Signed by: {}", Sanitized(&key.describe())));
        row.verified = signed_by(key.user_id(), &key.fingerprint());
    }
    lines.extend([format!("Digest: {digest}"), format!("Size: {size} bytes")]);
    Ok(VerbRow { digest: Some(digest), path: Some(shown(&published.package)), ..row.with_result(lines.join("\n")) })
}
