//! `plugin sign`, and the arguments about keys that `plugin package` has too.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;

use clap::Args;

use crate::Context;
use crate::error::{CommandFailure, Result, code};
use crate::verb::{Action, OutputArguments, VerbRow, run_one, shown, signed_by};
use plugsmith::digest::Sha256Digest;
use plugsmith::error::{Classified as _, ErrorKind};
use plugsmith::intake::provenance::{Keyring, KeyringError, Passphrase, SignError, SigningKey, sign};
use plugsmith::intake::source::is_package;
use plugsmith::manifest::Metadata;
use plugsmith::text::Sanitized;

/// Bytes of a passphrase file.
const MAX_PASSPHRASE: u64 = 64 << 10;

/// Which key signs.
#[derive(Debug, Args)]
#[command(next_help_heading = "Signing")]
pub(crate) struct KeyArguments {
    /// The key: its fingerprint, key id, e-mail address or part of its user id
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// A keyring with the key; may be given several times
    #[arg(long, value_name = "PATH")]
    keyring: Vec<PathBuf>,
    /// A file whose first line is the key's passphrase; `-`: standard input
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The package
    #[arg(value_name = "FILE")]
    package: PathBuf,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    key: KeyArguments,
}

pub(crate) fn run(arguments: &Arguments, context: &Context<'_>) -> Result {
    run_one(arguments.output.output, context, VerbRow::of_path(&arguments.package), |_| sign_package(arguments, context))
}

fn sign_package(arguments: &Arguments, context: &Context<'_>) -> Result<VerbRow> {
    if !arguments.package.exists() {
        return Err(CommandFailure::not_there(&arguments.package, is_package, "check the path"));
    }
    let key = arguments.key.find(context)?;
    let mut row = VerbRow::new(Action::Signed);
    let provenance = context.manager().sign_package(&arguments.package, |metadata, file_name, digest| {
        row.name = Some(metadata.name.to_string());
        row.version = metadata.version.as_ref().map(ToString::to_string);
        row.digest = Some(format!("sha256:{digest}"));
        arguments.key.sign(&key, metadata, file_name, digest, context)
    })?;
    let text = format!("Provenance: {}\nSigned by: {}", Sanitized(&shown(&provenance)), Sanitized(&key.describe()));
    Ok(VerbRow {
        path: Some(shown(&provenance)),
        verified: signed_by(key.user_id(), &key.fingerprint()),
        ..row.with_result(text)
    })
}

impl KeyArguments {
    /// The key that the arguments name, or the only one there is.
    pub(crate) fn find(&self, context: &Context<'_>) -> Result<SigningKey> {
        // Nothing is verified here, so nothing failed to verify.
        let failed = |error: KeyringError| CommandFailure {
            code: if error.kind() == ErrorKind::KeyringNotFound { code::NOT_THERE } else { code::FAILED },
            ..error.into()
        };
        let keyring = Keyring::locate_for_signing(&self.keyring, context.host, context.homes).map_err(failed)?;
        let key = SigningKey::find(&keyring, self.key.as_deref())?;
        if let Some(file) = &self.passphrase_file
            && file.as_os_str() != "-"
            && !file.exists()
        {
            let text = format!("the passphrase file {} is not there", Sanitized(&file.to_string_lossy()));
            return Err(CommandFailure::text(code::NOT_THERE, text)
                .hint("check the path; `-` reads the passphrase from standard input"));
        }
        let key = match &self.passphrase_file {
            // Its agent asks by itself, but not where the passphrase lies ready.
            Some(_) if key.is_in_gnupg() => {
                let given = self.passphrase("", context);
                key.with_passphrase(
                    given.map_err(|e| CommandFailure::new(code::FAILED, e).hint("give it with `--passphrase-file FILE`"))?,
                )
            }
            _ => key,
        };
        context.output.verbose(&format!("signing with {}", key.describe()));
        Ok(key)
    }

    /// The provenance of a package, signed; asks for the passphrase where the key has one.
    pub(crate) fn sign(
        &self,
        key: &SigningKey,
        metadata: &Metadata,
        file_name: &str,
        digest: &Sha256Digest,
        context: &Context<'_>,
    ) -> std::result::Result<Vec<u8>, SignError> {
        sign(metadata, file_name, digest, key, &mut |question| self.passphrase(question, context))
    }

    fn passphrase(&self, question: &str, context: &Context<'_>) -> io::Result<Passphrase> {
        let bytes = match &self.passphrase_file {
            Some(file) if file.as_os_str() == "-" => {
                let mut bytes = Vec::new();
                io::stdin().take(MAX_PASSPHRASE).read_to_end(&mut bytes)?;
                bytes
            }
            // A pipe is fine here (`--passphrase-file <(pass show key)`), and bounded all the same.
            Some(file) => {
                let mut bytes = Vec::new();
                File::open(file)?.take(MAX_PASSPHRASE).read_to_end(&mut bytes)?;
                bytes
            }
            None => {
                let given = context.output.secret(question, "give it with `--passphrase-file`").map_err(io::Error::other)?;
                return Ok(given.into());
            }
        };
        Ok(Passphrase::first_line(&bytes))
    }
}
