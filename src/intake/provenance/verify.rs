//! Turns a fetched package into a verified one, in the order of `docs/spec/provenance.md`, section 4: the form of the message, a
//! signature that counts, and only then what the signed text says. That its name and version are the package's own is
//! checked by [`VerifiedPackage::check_manifest`], once somebody has looked into the package. What was made from a git commit has no
//! provenance of its own: there the signature of the tag or commit counts.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::checker::{self, SignatureChecker, SignatureProblem, ValidSignature};
use super::keyring::Keyring;
use super::message::{self, Message, MessageError};
use super::ssh::{self, SshError};
use super::statement::{Statement, StatementError, StatementMatch};
use super::{Evidence, Signature, VerifiedPackage};
use crate::digest::Sha256Digest;
use crate::error::{Classified, ErrorKind};
use crate::intake::package::{FetchedPackage, GitOrigin, SignedObject};
use crate::manifest::Metadata;
use crate::settings::Limits;
use crate::text::Sanitized;

/// What must be true of a package before it may come in.
#[derive(Debug, Clone)]
pub enum Requirement {
    /// A key of the keyring signed it.
    Signature {
        /// The keys that may sign.
        keyring: Keyring,
        /// Whether a key may have expired after it signed.
        allow_expired_key: bool,
        /// What else counts.
        instead: Instead,
    },
    /// It has this digest, by which it is trusted.
    Digest(Sha256Digest),
    /// It has this digest, for which nobody vouches.
    Bytes(Sha256Digest),
    /// Nothing: the user said so.
    Nothing,
}

/// What counts instead of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instead {
    /// The id of a commit or a manifest, where the user named the package by it: everything in it hangs on that.
    ObjectId,
    /// Nothing: whoever asks wants to know who signed it.
    Nothing,
}

impl Requirement {
    /// The same, where no more than `others` counts instead of a signature.
    #[must_use]
    pub fn with_instead(mut self, others: Instead) -> Self {
        if let Self::Signature { instead, .. } = &mut self {
            *instead = others;
        }
        self
    }
}

/// What else than a signature whoever asks may name: only that is advised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Alternatives {
    /// A digest, the id of a commit as `--version`, or nothing at all: an install.
    #[default]
    Install,
    /// The same, but for the id of a commit, which is `--to`: an update.
    Update,
    /// A digest.
    Digest,
    /// Nothing else counts.
    Nothing,
}

impl Alternatives {
    /// What to do about a package without a provenance, behind the advice to sign it.
    fn for_package(self) -> &'static str {
        match self {
            Self::Install | Self::Update => {
                ", name its digest with `--digest sha256:...`, or do without verification with `--verify=false`"
            }
            Self::Digest => ", or name its digest with `--digest sha256:...`",
            Self::Nothing => "",
        }
    }

    /// What to do about a `commit` without a signature that counts; `first` goes before it.
    fn for_commit(self, first: &str, commit: &str) -> String {
        let option = match self {
            Self::Install => "--version",
            Self::Update => "--to",
            Self::Digest | Self::Nothing if first.is_empty() => return "ask its author to sign it".to_owned(),
            Self::Digest | Self::Nothing => return first.to_owned(),
        };
        let comma = if first.is_empty() { "name" } else { ", or" };
        let commit = Sanitized(commit);
        format!(
            "{first}{comma} the full commit id with `{option} {commit}` if you trust it, or do without verification with `--verify=false`"
        )
    }
}

/// Why a package is not what was required.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// There is no provenance.
    #[error(
        "`{}` has no provenance ({} does not exist): put `{}.prov` beside it{}",
        Sanitized(.file_name), Sanitized(.at), Sanitized(.file_name), alternatives.for_package()
    )]
    Missing {
        /// The package's file name.
        file_name: String,
        /// Where the provenance would have been.
        at: String,
        /// What else would do.
        alternatives: Alternatives,
    },
    /// The provenance holds nothing.
    #[error("the provenance {} is empty: ask for it again from where the package came from", Sanitized(.at))]
    Empty {
        /// Where the provenance was.
        at: String,
    },
    /// The provenance is too large.
    #[error("the provenance {} is larger than {limit} bytes (setting `limits.provenanceBytes`)", Sanitized(.at))]
    TooLarge {
        /// Where the provenance was.
        at: String,
        /// How many bytes it may have.
        limit: u64,
    },
    /// The provenance is not one signed message.
    #[error("the provenance {} is malformed: it is not one cleartext-signed message", Sanitized(.at))]
    Malformed {
        /// Where the provenance was.
        at: String,
        /// Why.
        #[source]
        source: MessageError,
    },
    /// A valid signature covers a text that is not what a provenance says.
    #[error("the provenance {} is malformed: it is signed, but does not say what a provenance must", Sanitized(.at))]
    Statement {
        /// Where the provenance was.
        at: String,
        /// Why.
        #[source]
        source: StatementError,
    },
    /// No signature counts.
    #[error("the provenance {} has no valid signature: {}", Sanitized(.at), explain(.reasons, .keyring, .how_to_trust))]
    NoValidSignature {
        /// Where the provenance was.
        at: String,
        /// What is wrong with each signature, in order.
        reasons: Vec<SignatureProblem>,
        /// The keyring that was asked.
        keyring: String,
        /// What to do where the signer is unknown, in words.
        how_to_trust: String,
    },
    /// A git tag or commit is not signed.
    #[error(
        "{} is not signed: {}",
        Sanitized(.what), alternatives.for_commit("", .commit)
    )]
    GitUnsigned {
        /// The tag, branch or commit.
        what: String,
        /// The full id of the commit.
        commit: String,
        /// What else would do.
        alternatives: Alternatives,
    },
    /// A git tag or commit is signed with an SSH key, and nobody said whose keys may sign.
    #[error(
        "{} is signed with an SSH key: {}",
        Sanitized(.what), alternatives.for_commit("name a file with the keys that you trust with `--allowed-signers FILE`", .commit)
    )]
    GitSsh {
        /// The tag or commit.
        what: String,
        /// The full id of the commit.
        commit: String,
        /// What else would do.
        alternatives: Alternatives,
    },
    /// The SSH signature of a git tag or commit does not count.
    #[error("{} has no valid signature (allowed signers: {})", Sanitized(.what), allowed.display())]
    GitSshInvalid {
        /// The tag or commit.
        what: String,
        /// The file of allowed signers.
        allowed: PathBuf,
        /// Why not.
        #[source]
        source: SshError,
    },
    /// The signature of a git tag or commit is none.
    #[error("the signature of {} is malformed", Sanitized(.what))]
    GitMalformed {
        /// The tag or commit.
        what: String,
        /// Why.
        #[source]
        source: MessageError,
    },
    /// No signature of a git tag or commit counts.
    #[error("{} has no valid signature: {}", Sanitized(.what), explain(.reasons, .keyring, .how_to_trust))]
    GitNoValidSignature {
        /// The tag or commit.
        what: String,
        /// What is wrong with each signature, in order.
        reasons: Vec<SignatureProblem>,
        /// The keyring that was asked.
        keyring: String,
        /// What to do where the signer is unknown, in words.
        how_to_trust: String,
    },
    /// The package is another one.
    #[error(
        "`{}` is not the package that {} speaks of: its SHA-256 digest is {actual}, expected {expected}; fetch it again, and if that does not help ask its publisher",
        Sanitized(.file_name), Sanitized(.stated_by)
    )]
    DigestMismatch {
        /// The package's file name.
        file_name: String,
        /// Who said what the digest should be.
        stated_by: String,
        /// What it should be.
        expected: Sha256Digest,
        /// What it is.
        actual: Sha256Digest,
    },
    /// The signed list does not hold the package.
    #[error(
        "the provenance {} does not speak of `{}` (SHA-256 {actual}): it lists {}; get the provenance of this very package",
        Sanitized(.at), Sanitized(.file_name), names(.listed)
    )]
    NotListed {
        /// Where the provenance was.
        at: String,
        /// The package's file name.
        file_name: String,
        /// The package's digest.
        actual: Sha256Digest,
        /// The names that it lists.
        listed: Vec<String>,
    },
    /// The signed list gives the package a digest of another kind.
    #[error(
        "the provenance {} gives `{}` the digest `{}`, which is not `sha256:` and 64 hexadecimal digits",
        Sanitized(.at), Sanitized(.file_name), Sanitized(.digest)
    )]
    UnsupportedDigest {
        /// Where the provenance was.
        at: String,
        /// The package's file name.
        file_name: String,
        /// What stands there.
        digest: String,
    },
    /// The signed name or version is another than the package's own.
    #[error(
        "the provenance of `{}` was signed for {} `{}`, but the package's manifest says `{}`: this is another plugin or version; get its own provenance",
        Sanitized(.file_name), .field, Sanitized(.signed), Sanitized(.manifest)
    )]
    MetadataMismatch {
        /// The package's file name.
        file_name: String,
        /// `name` or `version`.
        field: &'static str,
        /// What the signed text says.
        signed: String,
        /// What the package's manifest says.
        manifest: String,
    },
    /// A registry calls the package by the name of another version, such as an old one that it passes off as new.
    #[error("the registry calls the package `{}`, but it is {}; ask its author to push it anew", Sanitized(.title), Sanitized(.plugin))]
    Title {
        /// The layer's title.
        title: String,
        /// The name and version in the package's manifest.
        plugin: String,
    },
}

impl Classified for VerifyError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Unverified
    }
}

/// Decides whether `fetched` is what `requirement` asks for.
///
/// # Errors
/// See [`VerifyError`]. The package is then gone from the program's hands: nothing can be done with it by mistake.
pub fn verify(fetched: FetchedPackage, requirement: &Requirement, limits: &Limits) -> Result<VerifiedPackage, VerifyError> {
    match requirement {
        Requirement::Nothing => Ok(VerifiedPackage { fetched, evidence: Evidence::Skipped, signed: None }),
        Requirement::Digest(expected) => {
            let fetched = expect_digest(fetched, expected)?;
            Ok(VerifiedPackage { fetched, evidence: Evidence::Digest(*expected), signed: None })
        }
        Requirement::Bytes(expected) => {
            let fetched = expect_digest(fetched, expected)?;
            Ok(VerifiedPackage { fetched, evidence: Evidence::Skipped, signed: None })
        }
        Requirement::Signature { keyring, allow_expired_key, instead } => {
            let policy = SignatureChecker::new(*allow_expired_key);
            match &fetched.origin.git {
                _ if *instead == Instead::ObjectId && fetched.is_named_by_id() => {
                    let evidence = Evidence::Digest(fetched.digest);
                    Ok(VerifiedPackage { fetched, evidence, signed: None })
                }
                None => verify_signature(fetched, keyring, &policy, limits),
                Some(git) => match verify_git(git, keyring, *allow_expired_key, limits) {
                    Ok(evidence) => Ok(VerifiedPackage { fetched, evidence, signed: None }),
                    Err(e) => Err(e),
                },
            }
        }
    }
}

/// Gives `fetched` back if it has the digest that was `expected`; it is nobody's yet.
///
/// # Errors
/// [`VerifyError::DigestMismatch`].
pub(crate) fn expect_digest(fetched: FetchedPackage, expected: &Sha256Digest) -> Result<FetchedPackage, VerifyError> {
    if fetched.digest == *expected {
        return Ok(fetched);
    }
    Err(VerifyError::DigestMismatch {
        stated_by: "the given digest".to_owned(),
        expected: *expected,
        actual: fetched.digest,
        file_name: fetched.file_name,
    })
}

/// [`verify`] by signature, under a policy.
pub(super) fn verify_signature(
    fetched: FetchedPackage,
    keyring: &Keyring,
    policy: &SignatureChecker,
    limits: &Limits,
) -> Result<VerifiedPackage, VerifyError> {
    let message = read_message(&fetched, limits)?;
    let valid = match check(&message, keyring, policy) {
        Ok(valid) => valid,
        Err(reasons) => {
            let (at, how_to_trust) = (fetched.provenance_at, keyring.how_to_trust());
            return Err(VerifyError::NoValidSignature { at, reasons, keyring: keyring.describe(), how_to_trust });
        }
    };
    let (statement, other_name) = read_statement(&message, &fetched)?;
    Ok(VerifiedPackage { fetched, evidence: evidence(valid, other_name), signed: Some((statement.name, statement.version)) })
}

/// Whether the provenance of `fetched` speaks of it, whoever signed that: for whoever is about to publish both.
///
/// # Errors
/// [`VerifyError`], also where there is none.
pub(crate) fn check_provenance(fetched: &FetchedPackage, limits: &Limits) -> Result<(), VerifyError> {
    let message = read_message(fetched, limits)?;
    read_statement(&message, fetched).map(drop)
}

fn read_message(fetched: &FetchedPackage, limits: &Limits) -> Result<Message, VerifyError> {
    let at = || fetched.provenance_at.clone();
    let Some(bytes) = &fetched.provenance else {
        return Err(VerifyError::Missing {
            file_name: fetched.file_name.clone(),
            at: at(),
            alternatives: Alternatives::default(),
        });
    };
    if bytes.len() as u64 > limits.provenance_bytes {
        return Err(VerifyError::TooLarge { at: at(), limit: limits.provenance_bytes });
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(VerifyError::Empty { at: at() });
    }
    Message::read(bytes, limits).map_err(|source| VerifyError::Malformed { at: at(), source })
}

/// What a provenance says, and the name under which it lists `fetched`, where that is not its own.
fn read_statement(message: &Message, fetched: &FetchedPackage) -> Result<(Statement, Option<String>), VerifyError> {
    let (at, file_name, actual) = (fetched.provenance_at.clone(), fetched.file_name.clone(), fetched.digest);
    let statement = match Statement::read(message.text()) {
        Ok(statement) => statement,
        Err(source) => return Err(VerifyError::Statement { at, source }),
    };
    match statement.look_up(&file_name, &actual) {
        StatementMatch::Own => Ok((statement, None)),
        StatementMatch::Other(name) => Ok((statement, Some(name))),
        StatementMatch::Mismatch(expected) => {
            Err(VerifyError::DigestMismatch { file_name, stated_by: at, expected, actual })
        }
        StatementMatch::Unsupported(digest) => Err(VerifyError::UnsupportedDigest { at, file_name, digest }),
        StatementMatch::Not(listed) => Err(VerifyError::NotListed { at, file_name, actual, listed }),
    }
}

/// Decides about a package that was made from a git commit: the tag or commit must be signed.
fn verify_git(
    git: &GitOrigin,
    keyring: &Keyring,
    allow_expired_key: bool,
    limits: &Limits,
) -> Result<Evidence, VerifyError> {
    let Some(SignedObject { what, payload, signature }) = &git.signed else {
        let what = match &git.reference {
            Some(reference) => format!("`{reference}`"),
            None => format!("commit `{}`", git.commit),
        };
        return Err(VerifyError::GitUnsigned { what, commit: git.commit.clone(), alternatives: Alternatives::default() });
    };
    if signature.len() as u64 > limits.provenance_bytes {
        return Err(VerifyError::TooLarge { at: what.clone(), limit: limits.provenance_bytes });
    }
    if signature.trim_ascii_start().starts_with(ssh::OPENING) {
        let Some(allowed) = keyring.allowed_signers() else {
            return Err(VerifyError::GitSsh {
                what: what.clone(),
                commit: git.commit.clone(),
                alternatives: Alternatives::default(),
            });
        };
        return match ssh::check(signature, payload, allowed, allow_expired_key) {
            Ok(valid) => Ok(evidence(valid, None)),
            Err(source) => Err(VerifyError::GitSshInvalid { what: what.clone(), allowed: allowed.to_owned(), source }),
        };
    }
    let policy = SignatureChecker::new(allow_expired_key);
    let packets = message::read_detached(signature, limits)
        .map_err(|source| VerifyError::GitMalformed { what: what.clone(), source })?;
    let mut reasons = Vec::new();
    for packet in &packets {
        match policy.check(packet, payload, &[], keyring) {
            Ok(valid) => return Ok(evidence(valid, None)),
            Err(reason) => reasons.push(reason),
        }
    }
    let (what, how_to_trust) = (what.clone(), keyring.how_to_trust());
    Err(VerifyError::GitNoValidSignature { what, reasons, keyring: keyring.describe(), how_to_trust })
}

fn evidence(valid: ValidSignature, other_name: Option<String>) -> Evidence {
    let ValidSignature { fingerprint, user_id, subkey, signed_at, key_expired } = valid;
    Evidence::Signature(Signature { fingerprint, user_id, subkey, signed_at, key_expired, other_name })
}

/// The first signature of `message` that counts, or what is wrong with each of them.
pub(super) fn check(
    message: &Message,
    keyring: &Keyring,
    policy: &SignatureChecker,
) -> Result<ValidSignature, Vec<SignatureProblem>> {
    let bytes = message.signed_bytes();
    let mut reasons = Vec::new();
    let unused = checker::names_unused_hash(message.hashes(), message.signatures());
    for packet in message.signatures() {
        match policy.check(packet, &bytes, message.hashes(), keyring) {
            Ok(_) if unused => reasons.push(SignatureProblem::UnusedHash),
            Ok(valid) => return Ok(valid),
            Err(reason) => reasons.push(reason),
        }
    }
    Err(reasons)
}

impl VerifiedPackage {
    /// Checks that a signature was made for the plugin and version that the package really holds: a package whose manifest says
    /// something else than what was signed must not be filed under either.
    ///
    /// # Errors
    /// [`VerifyError::MetadataMismatch`], [`VerifyError::Title`].
    pub fn check_manifest(&self, metadata: &Metadata) -> Result<(), VerifyError> {
        let title = &self.fetched.file_name;
        // A layer was chosen by its title alone; files elsewhere may be called anything.
        if self.fetched.origin.resolved.starts_with("oci://")
            && *title != format!("{}-{}.tgz", metadata.name, metadata.version_text())
        {
            let plugin = format!("{} {}", metadata.name, metadata.version_text());
            return Err(VerifyError::Title { title: title.clone(), plugin });
        }
        let Some((name, version)) = &self.signed else { return Ok(()) };
        for (field, signed, manifest) in
            [("name", name, metadata.name.to_string()), ("version", version, metadata.version_text())]
        {
            if *signed != manifest {
                let file_name = self.fetched.file_name.clone();
                return Err(VerifyError::MetadataMismatch { file_name, field, signed: signed.clone(), manifest });
            }
        }
        Ok(())
    }
}

impl VerifyError {
    /// The same where no more than `others` may be named instead of a signature.
    #[must_use]
    pub fn with_alternatives(mut self, others: Alternatives) -> Self {
        if let Self::Missing { alternatives, .. }
        | Self::GitUnsigned { alternatives, .. }
        | Self::GitSsh { alternatives, .. } = &mut self
        {
            *alternatives = others;
        }
        self
    }
}

/// How many reasons or names a message shows.
const SHOWN: usize = 4;

/// The reasons, the keyring, and what to do where the signer is unknown.
fn explain(reasons: &[SignatureProblem], keyring: &str, how_to_trust: &str) -> String {
    let mut out = String::new();
    let mut shown: Vec<&SignatureProblem> = Vec::new();
    for reason in reasons {
        if !shown.contains(&reason) && shown.len() < SHOWN {
            let semicolon = if shown.is_empty() { "" } else { "; " };
            let _ = write!(out, "{semicolon}{reason}");
            shown.push(reason);
        }
    }
    let _ = write!(out, " (keyring: {keyring})");
    if reasons.iter().all(|reason| matches!(reason, SignatureProblem::UnknownSigner { .. })) {
        let _ = write!(out, "; if you trust its owner, {how_to_trust}");
    }
    out
}

/// Names for a message.
fn names(names: &[String]) -> String {
    if names.is_empty() {
        return "no file".to_owned();
    }
    let mut out = String::new();
    for (i, name) in names.iter().take(SHOWN).enumerate() {
        let comma = if i == 0 { "" } else { ", " };
        let _ = write!(out, "{comma}`{}`", Sanitized(name));
    }
    match names.len() - names.len().min(SHOWN) {
        0 => out,
        more => format!("{out} and {more} more"),
    }
}
