//! `plugin verify`.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::Context;
use crate::error::{CommandFailure, Result, code};
use crate::verb::{Action, OutputArguments, VerbRow, run_one, shown, verified_by};
use plugsmith::digest::Sha256Digest;
use plugsmith::intake::provenance::Evidence;
use plugsmith::intake::source::is_package;
use plugsmith::manager::{PackageVerification, VerificationMode};
use plugsmith::text::{Sanitized, masked_source, quoted, sanitized};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A package, or the name of an installed plugin
    #[arg(value_name = "FILE|NAME")]
    what: String,
    /// A keyring with the keys that may sign: a file or a directory; may be given several times
    #[arg(long, value_name = "PATH")]
    keyring: Vec<PathBuf>,
    /// Accept a signature made before its key expired
    #[arg(long)]
    allow_expired_key: bool,
    /// The package's digest, instead of a signature
    #[arg(long, value_name = "sha256:HEX")]
    digest: Option<Sha256Digest>,
    #[command(flatten)]
    output: OutputArguments,
}

pub(crate) fn run(arguments: &Arguments, context: &Context<'_>) -> Result {
    let what = Path::new(&arguments.what);
    let subject = if is_file(what) { VerbRow::of_path(what) } else { VerbRow::of_name(&arguments.what) };
    run_one(arguments.output.output, context, subject, |_| verify(arguments, context))
}

/// Whether a file is meant. A name has no dot and no slash; whatever has one was meant as a file, also if it is not there.
fn is_file(what: &Path) -> bool {
    what.to_string_lossy().contains(['/', '\\', '.']) || what.is_file()
}

fn verify(arguments: &Arguments, context: &Context<'_>) -> Result<VerbRow> {
    let trust = match arguments.digest {
        Some(digest) => VerificationMode::Digest(digest),
        None => VerificationMode::Signature {
            keyrings: arguments.keyring.clone(),
            allowed_signers: None,
            allow_expired_key: arguments.allow_expired_key,
        },
    };
    let manager = context.manager();
    let path = Path::new(&arguments.what);
    if is_file(path) {
        check_file(&arguments.what, context)?;
        let package = manager.verify_package(path, &trust)?;
        let text = text(&package, context).join("\n");
        return Ok(VerbRow { path: Some(shown(path)), ..row(&package).with_result(text) });
    }
    let plugin = manager.verify_installed(&arguments.what, &trust)?;
    let mut lines = match &plugin.package {
        Some(package) => text(package, context),
        None => vec![format!("Plugin: {}", super::install::label(&plugin.name, plugin.version.as_deref()))],
    };
    lines.push(match plugin.accepted.as_slice() {
        [] => format!("Files: {}, all as they were installed", plugin.files),
        accepted => format!(
            "Files: {}, as they were installed but for changes that you accepted: {}",
            plugin.files,
            sanitized(&accepted.join(", "))
        ),
    });
    if !plugin.made.is_empty() {
        lines.push(format!("Made when it ran: {}", sanitized(&plugin.made.join(", "))));
    }
    let row = plugin.package.as_ref().map_or_else(|| VerbRow::new(Action::Verified), row);
    let path = manager.details(&plugin.name).ok().map(|details| shown(&details.listed.directory));
    Ok(VerbRow { name: Some(plugin.name), version: plugin.version, path, ..row.with_result(lines.join("\n")) })
}

/// Whether `what` is a file that could be a package.
fn check_file(what: &str, context: &Context<'_>) -> Result {
    let path = Path::new(what);
    if path.is_dir() {
        let text = format!("{} is a directory: a package is verified, or an installed plugin by its name", Sanitized(what));
        let hint = format!("`{} plugin lint {}` checks a directory", context.host.name(), quoted(what));
        return Err(CommandFailure::text(code::FAILED, text).hint(hint));
    }
    if !matches!(path.try_exists(), Ok(false)) {
        return Ok(());
    }
    // A URL may hold a password.
    if what.contains("://") {
        let hint = format!(
            "`{} plugin pull {}` downloads a package and verifies it",
            context.host.name(),
            quoted(&masked_source(what))
        );
        let text = "a URL is not verified: give a file, or the name of an installed plugin";
        return Err(CommandFailure::text(code::NOT_THERE, text).hint(hint));
    }
    Err(CommandFailure::not_there(path, is_package, "check the path"))
}

fn row(package: &PackageVerification) -> VerbRow {
    VerbRow {
        name: Some(package.name.clone()),
        version: package.version.clone(),
        digest: Some(format!("sha256:{}", package.digest)),
        verified: verified_by(Some(&package.evidence)),
        ..VerbRow::new(Action::Verified)
    }
}

fn text(package: &PackageVerification, context: &Context<'_>) -> Vec<String> {
    let what = if package.is_plugin { "Plugin" } else { "Package" };
    let mut lines = vec![format!("{what}: {}", super::install::label(&package.name, package.version.as_deref()))];
    if !package.is_plugin {
        context
            .output
            .warning("there is no plugin.yaml in it: the signature is good, but it is no plugin that could be installed");
    }
    if let Evidence::Signature(signature) = &package.evidence {
        lines.push(format!("Signed by: {}", Sanitized(&signature.user_id)));
        lines.push(format!("Key fingerprint: {}", signature.fingerprint));
        if let Some(subkey) = &signature.subkey {
            lines.push(format!("Signing subkey: {subkey}"));
        }
        lines.push(format!("Signed at: {}", signature.signed_at.strftime("%Y-%m-%dT%H:%M:%SZ")));
        if signature.key_expired {
            context.output.warning("the key has expired since it signed, which you allowed");
        }
        if let Some(name) = &signature.other_name {
            context.output.warning(&format!("the provenance lists this package as {}", sanitized(name)));
        }
    }
    lines.push(format!("Digest: sha256:{}", package.digest));
    lines
}
