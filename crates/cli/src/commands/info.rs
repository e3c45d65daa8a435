//! `plugin info`.

use std::fmt::Write as _;

use clap::Args;

use crate::Context;
use crate::error::Result;
use crate::output::OutputFormat;
use plugsmith::manager::{DetailedCommand, ModuleAccess, PluginDetails};
use plugsmith::store::VerificationMethod;
use plugsmith::text::{Sanitized, sanitized, sanitized_block, shown_word};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The plugin's name
    #[arg(value_name = "NAME")]
    name: String,
    /// How to print it
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    output: OutputFormat,
}

pub(crate) fn run(arguments: &Arguments, context: &Context<'_>) -> Result {
    let details = context.manager().details(&arguments.name)?;
    if arguments.output == OutputFormat::Name {
        return Ok(context.output.print(&Sanitized(&details.listed.name).to_string())?);
    }
    Ok(context.output.value(arguments.output, &details, || text(&details))?)
}

fn text(details: &PluginDetails) -> String {
    let listed = &details.listed;
    let mut out = String::new();
    let mut line = |label: &str, value: &str| {
        if !value.is_empty() {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{:<12} {}", format!("{label}:"), Sanitized(value));
        }
    };
    let optional = |value: &Option<String>| value.clone().unwrap_or_default();
    line("Name", &listed.name);
    line("Version", &optional(&listed.version));
    line("Type", &optional(&listed.plugin_type));
    line("Runtime", &optional(&listed.runtime));
    line("Directory", &listed.directory.to_string_lossy());
    line("Status", listed.status.as_str());
    line("Problem", &optional(&listed.problem));
    line("Source", &optional(&listed.source));
    line("Follows", &optional(&details.constraint));
    line("Revision", &optional(&details.revision));
    line("Digest", &optional(&details.digest));
    line("Homepage", &optional(&details.source_url));
    if listed.has_receipt {
        line("Verified by", listed.verified.by.as_str());
        line("But not", &listed.accepted.join(", "));
        // What was verified by the digest of a lock file was signed by the word of that file alone.
        let by_signature = listed.verified.by == VerificationMethod::Signature;
        line(if by_signature { "Signer" } else { "Lock's signer" }, &optional(&listed.verified.signer));
        line("Fingerprint", &optional(&listed.verified.fingerprint));
        line("Pinned", if listed.held { "yes" } else { "" });
        line("Installed", &listed.installed_at.map(|time| time.to_string()).unwrap_or_default());
        line("Updated", &listed.updated_at.map(|time| time.to_string()).unwrap_or_default());
        line("Files", &details.files.len().to_string());
    } else {
        line("Receipt", "none: it was copied in by hand or by another program");
    }
    if let Some(ModuleAccess { hosts, memory_bytes, time_ms, temporary_files, host_functions }) = &details.reach {
        let or_none = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        line("May call", &or_none(hosts));
        line("Memory", &format!("{} KiB", memory_bytes >> 10));
        line("Time", &format!("{time_ms} ms a call"));
        line("Its files", if *temporary_files { "temporary ones alone" } else { "none" });
        line("Host's", &or_none(host_functions));
    }
    for (label, commands) in [("Commands", &details.commands), ("Hooks", &details.hooks)] {
        if !commands.is_empty() {
            let _ = writeln!(out, "{label}:");
        }
        for command in commands {
            let _ = writeln!(out, "  {}", command_line(command));
        }
    }
    if !details.description.trim().is_empty() {
        let _ = writeln!(out, "\n{}", sanitized_block(details.description.trim_end()));
    }
    out
}

fn command_line(command: &DetailedCommand) -> String {
    let platform = match (command.os.as_str(), command.arch.as_str()) {
        ("", _) => "any".to_owned(),
        (os, "") => os.to_owned(),
        (os, arch) => format!("{os}/{arch}"),
    };
    let text = match (&command.event, command.protocols.as_slice()) {
        (Some(event), _) => format!("{event} ({platform}): "),
        (None, []) => format!("{platform}: "),
        (None, protocols) => format!("{}:// ({platform}): ", protocols.join(", ")),
    };
    let mut text = Sanitized(&text).to_string();
    text.push_str(&sanitized(&command.command));
    for argument in &command.args {
        let _ = write!(text, " {}", shown_word(argument));
    }
    text
}
