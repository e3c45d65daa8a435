//! `plugin push`.

use std::path::PathBuf;

use clap::Args;

use super::install::NetworkArguments;
use crate::cli::Context;
use crate::cli::error::Result;
use crate::text::Plain;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The package; its provenance is FILE.prov
    #[arg(value_name = "FILE")]
    package: PathBuf,
    /// Where to: the plugin's name and version are added where they are not there
    #[arg(value_name = "oci://REGISTRY/PATH")]
    reference: String,
    #[command(flatten)]
    network: NetworkArguments,
}

pub(crate) fn run(arguments: &Arguments, context: &Context<'_>) -> Result {
    let options = arguments.network.options(None, None, context)?;
    let pushed = context.manager().push(&arguments.package, &arguments.reference, &options)?;
    if pushed.already_there {
        context.output.notice("it was there already, byte for byte");
    }
    let reference = pushed.reference.to_string();
    context.output.print(&format!("Pushed {}\nDigest: sha256:{}", Plain(&reference), pushed.digest))?;
    Ok(())
}
