//! `plugin package`.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::sign::KeyArguments;
use crate::cli::Context;
use crate::cli::error::Result;
use crate::package;
use crate::provenance::SigningKey;
use crate::text::Plain;

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
    key: KeyArguments,
}

pub(crate) fn run(arguments: &Arguments, context: &Context<'_>) -> Result {
    // The manifest before the key, since a directory that is no plugin needs none; the key before the packing, since to pack
    // a large plugin and then find no key would be a waste.
    package::packable(&arguments.directory, &context.settings.limits)?;
    let key = if arguments.sign { Some(arguments.key.find(context)?) } else { None };
    let unpublished = package::pack(&arguments.directory, &arguments.destination, &context.settings.limits, context.output)?;
    let signer = key.as_ref().map(SigningKey::describe);
    let provenance = match key {
        Some(key) => {
            Some(arguments.key.sign(&key, &unpublished.metadata, &unpublished.file_name, &unpublished.digest, context)?)
        }
        None => None,
    };
    let (digest, size) = (unpublished.digest, unpublished.size);
    let published = unpublished.publish(provenance.as_deref())?;
    if !arguments.sign {
        context.output.warning("the package is not signed: whoever installs it needs its digest, or `--verify=false`");
    }
    if published.removed_provenance {
        let gone = format!("{}.prov", published.package.display());
        context.output.warning(&format!("removed {}: it signed an older package", Plain(&gone)));
    }
    context.output.print(&format!("Package: {}", Plain(&published.package.display().to_string())))?;
    if let Some(provenance) = &published.provenance {
        context.output.print(&format!("Provenance: {}", Plain(&provenance.display().to_string())))?;
    }
    if let Some(signer) = signer {
        context.output.print(&format!("Signed by: {}", Plain(&signer)))?;
    }
    context.output.print(&format!("Digest: sha256:{digest}"))?;
    context.output.print(&format!("Size: {size} bytes"))?;
    Ok(())
}
