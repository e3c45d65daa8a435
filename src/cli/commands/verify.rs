//! `plugin verify`.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::Context;
use crate::cli::error::{Failure, Result, code};
use crate::digest::Sha256Digest;
use crate::manager::{Trust, VerifiedPackage};
use crate::provenance::Evidence;
use crate::text::{Plain, plain};

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
}

pub(crate) fn run(arguments: &Arguments, context: &Context<'_>) -> Result {
    let trust = match arguments.digest {
        Some(digest) => Trust::Digest(digest),
        None => Trust::Signature {
            keyrings: arguments.keyring.clone(),
            allowed_signers: None,
            allow_expired_key: arguments.allow_expired_key,
        },
    };
    let manager = context.manager();
    let path = Path::new(&arguments.what);
    if path.is_dir() && arguments.what.contains(['/', '.']) {
        let text =
            format!("{} is a directory: a package is verified, or an installed plugin by its name", Plain(&arguments.what));
        return Err(
            Failure::said(code::FAILED, text).hint(format!("`{} plugin lint` checks a directory", context.host.name()))
        );
    }
    // A name has no dot and no slash; whatever has one was meant as a file, also where it is not there.
    let is_file = arguments.what.contains(['/', '\\', '.']);
    if is_file && matches!(path.try_exists(), Ok(false)) {
        // A URL may hold a password.
        let (text, hint) = if arguments.what.contains("://") {
            let hint = format!("`{} plugin pull URL` downloads a package and verifies it", context.host.name());
            ("a URL is not verified: give a file, or the name of an installed plugin".to_owned(), hint)
        } else {
            (format!("{} is not there", Plain(&arguments.what)), "check the path".to_owned())
        };
        return Err(Failure::said(code::NOT_THERE, text).hint(hint));
    }
    if is_file || path.is_file() {
        let package = manager.verify_package(path, &trust)?;
        return show(&package, context);
    }
    let plugin = manager.verify_installed(&arguments.what, &trust)?;
    match &plugin.package {
        Some(package) => show(package, context)?,
        None => {
            context.output.print(&format!("Plugin: {}", super::install::label(&plugin.name, plugin.version.as_deref())))?;
        }
    }
    let files = match plugin.accepted.as_slice() {
        [] => format!("Files: {}, all as they were installed", plugin.files),
        accepted => format!(
            "Files: {}, as they were installed but for changes that you accepted: {}",
            plugin.files,
            plain(&accepted.join(", "))
        ),
    };
    Ok(context.output.print(&files)?)
}

fn show(package: &VerifiedPackage, context: &Context<'_>) -> Result {
    let what = if package.is_plugin { "Plugin" } else { "Package" };
    let mut lines = vec![format!("{what}: {}", super::install::label(&package.name, package.version.as_deref()))];
    if !package.is_plugin {
        context
            .output
            .warning("there is no plugin.yaml in it: the signature is good, but it is no plugin that could be installed");
    }
    if let Evidence::Signature(signature) = &package.evidence {
        lines.push(format!("Signed by: {}", Plain(&signature.user_id)));
        lines.push(format!("Key fingerprint: {}", signature.fingerprint));
        if let Some(subkey) = &signature.subkey {
            lines.push(format!("Signing subkey: {subkey}"));
        }
        lines.push(format!("Signed at: {}", signature.signed_at.strftime("%Y-%m-%dT%H:%M:%SZ")));
        if signature.key_expired {
            context.output.warning("the key has expired since it signed, which you allowed");
        }
        if let Some(name) = &signature.other_name {
            context.output.warning(&format!("the provenance lists this package as {}", plain(name)));
        }
    }
    lines.push(format!("Digest: sha256:{}", package.digest));
    Ok(context.output.print(&lines.join("\n"))?)
}
