//! `plugin list`.

use clap::Args;

use crate::Context;
use crate::error::Result;
use crate::output::{OutputFormat, Table};
use plugsmith::store::{ListedPlugin, VerificationMethod};
use plugsmith::text::sanitized;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How to print the list
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    output: OutputFormat,
    /// Only plugins of this type, such as `cli/v1` or `getter`
    #[arg(long = "type", value_name = "TYPE")]
    plugin_type: Option<String>,
}

pub(crate) fn run(arguments: &Arguments, context: &Context<'_>) -> Result {
    let mut listing = context.manager().list()?;
    for warning in &listing.warnings {
        context.output.warning(warning);
    }
    if let Some(wanted) = &arguments.plugin_type {
        listing.plugins.retain(|plugin| {
            let own = plugin.plugin_type.as_deref().unwrap_or_default();
            own == wanted || own.strip_suffix("/v1") == Some(wanted)
        });
    }
    if listing.plugins.is_empty() && arguments.output == OutputFormat::Table {
        let of_type = arguments.plugin_type.as_ref().map(|wanted| format!(" of type {}", sanitized(wanted)));
        context.output.notice(&format!("no plugins{} are installed", of_type.unwrap_or_default()));
        return Ok(());
    }
    Ok(context.output.list(arguments.output, &listing.plugins, table, |plugin| &plugin.name)?)
}

fn table(plugins: &[ListedPlugin]) -> Table {
    let mut table = Table::new(["NAME", "VERSION", "TYPE", "STATUS", "VERIFIED", "SOURCE"]);
    for plugin in plugins {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let status = match plugin.status {
            status if plugin.held => format!("{}, pinned", status.as_str()),
            status => status.as_str().to_owned(),
        };
        table.row([
            sanitized(&plugin.name).into_owned(),
            text(&plugin.version),
            text(&plugin.plugin_type),
            status,
            if plugin.accepted.is_empty() { verified(plugin) } else { format!("{}, changes accepted", verified(plugin)) },
            text(&plugin.source),
        ]);
    }
    table
}

/// The signer, not only "signed".
fn verified(plugin: &ListedPlugin) -> String {
    let verified = &plugin.verified;
    match (&verified.signer, &verified.fingerprint) {
        // A lock file's word is no signature that was verified.
        _ if verified.by != VerificationMethod::Signature && plugin.has_receipt => verified.by.as_str().to_owned(),
        (Some(signer), _) if !signer.is_empty() => signer.clone(),
        (_, Some(fingerprint)) => fingerprint.clone(),
        _ if !plugin.has_receipt => "-".to_owned(),
        _ => verified.by.as_str().to_owned(),
    }
}
