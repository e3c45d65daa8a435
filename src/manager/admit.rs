//! Whether something may come in: the policy's rules about sources, names and signers, what the user lets a key sign, and
//! who signed a plugin before. Install, update, sync, pull and rollback all ask here; what runs is asked about by the store's gate.
//!
//! A digest says which bytes are meant, and never who may have signed them. Where a signer is known, only the user can do without
//! them: not a lock file, and not the checksums of a release.

use std::fmt;

use jiff::Timestamp;

use super::{Manager, VerificationMode};
use crate::error::{Classified, ErrorKind};
use crate::intake::package::{FetchedPackage, PackageOrigin};
use crate::intake::provenance::{
    self, Alternatives, Evidence, Instead, Keyring, KeyringError, Requirement, Signature, SignerState, VerifiedPackage,
    VerifyError,
};
use crate::intake::source::{FetchOptions, GitUrl, Source};
use crate::policy::{Policy, PolicyRequest, Proof, Refusal, RulePosition, SourceLocation, VerificationLevel};
use crate::store::Receipt;
use crate::text::{Sanitized, sanitized};
use crate::trust::{KnownSigner, TrustFile, TrustFileError};

/// The option that accepts another signer.
pub(super) const ACCEPT_SIGNER: &str = "--accept-signer";

/// Why something may not come in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdmitError {
    /// A policy refuses it.
    #[error("{what} is refused")]
    Policy {
        /// The plugin or its source, safe to show.
        what: String,
        /// The rule, and where it stands.
        source: Box<Refusal>,
    },
    /// A policy asks for more verification than the user did, and that failed.
    #[error("the policy {at} asks for {}, whatever else is said", least_in_words(*.least))]
    Raised {
        /// The rule.
        at: RulePosition,
        /// What it asks for.
        least: VerificationLevel,
        /// What failed.
        source: Box<UnverifiedError>,
    },
    /// It was not verified.
    #[error(transparent)]
    Unverified(#[from] UnverifiedError),
    /// The user lets the key sign other plugins only.
    #[error("{} is signed by {signer}, who may only sign {limits}; `{host} plugin keyring limit {fingerprint}` changes that", Sanitized(.name))]
    Limited {
        /// The plugin's name.
        name: String,
        /// Who signed it, safe to show.
        signer: String,
        /// What they may sign, safe to show.
        limits: String,
        /// The fingerprint of their key.
        fingerprint: String,
        /// The host's name.
        host: String,
    },
    /// The key of whoever signed it no longer counts.
    #[error(
        "{} was signed by {signer}, whose key {}; ask its author what happened, and for a version that another key signed",
        Sanitized(.name), if *.revoked { "is revoked" } else { "no longer counts" }
    )]
    Revoked {
        /// The plugin's name.
        name: String,
        /// Who signed it, safe to show.
        signer: String,
        /// Whether the key was revoked; else it is too weak or may not sign.
        revoked: bool,
    },
    /// Somebody signed it before, and nobody does now.
    #[error(
        "{} was signed by {old} until now, and nobody signed this; ask its author, then accept that with `{way}`",
        Sanitized(.name)
    )]
    SignerMissing {
        /// The plugin's name.
        name: String,
        /// Who signed it before, safe to show.
        old: String,
        /// What accepts that: an option, or a command.
        way: String,
    },
    /// Somebody else signed it before.
    #[error(
        "{} was signed by {old} until now, and this is signed by {new}; ask its author, then accept the new signer with `{way}`",
        Sanitized(.name)
    )]
    SignerChanged {
        /// The plugin's name.
        name: String,
        /// Who signed it before, safe to show.
        old: String,
        /// Who signed this, safe to show.
        new: String,
        /// What accepts that: an option, or a command.
        way: String,
    },
    /// What the user trusts is not known.
    #[error(transparent)]
    Trusted(#[from] TrustFileError),
}

impl Classified for AdmitError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Policy { source, .. } => source.kind(),
            Self::Raised { .. } => ErrorKind::PolicyVerification,
            Self::Unverified(error) => error.kind(),
            Self::Limited { .. } | Self::Revoked { .. } | Self::SignerMissing { .. } | Self::SignerChanged { .. } => {
                ErrorKind::Unverified
            }
            Self::Trusted(error) => error.kind(),
        }
    }
}

impl AdmitError {
    /// The same where no more than `others` may be named instead of a signature.
    pub(super) fn with_alternatives(self, others: Alternatives) -> Self {
        match self {
            Self::Unverified(UnverifiedError::Verify(error)) => {
                UnverifiedError::Verify(error.with_alternatives(others)).into()
            }
            other => other,
        }
    }

    /// The same for who only looks at the plugin: what accepts another signer is the command `command` then.
    pub(super) fn for_preview(mut self, command: &str) -> Self {
        if let Self::SignerMissing { way, .. } | Self::SignerChanged { way, .. } = &mut self {
            *way = format!("{command} {ACCEPT_SIGNER}");
        }
        self.with_alternatives(Alternatives::Nothing)
    }
}

/// Why something is not verified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnverifiedError {
    /// There is no keyring to verify with.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// It is not what was required.
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

impl Classified for UnverifiedError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Keyring(error) => error.kind(),
            Self::Verify(error) => error.kind(),
        }
    }
}

fn least_in_words(least: VerificationLevel) -> &'static str {
    match least {
        VerificationLevel::Signature => "a signature",
        VerificationLevel::Digest | VerificationLevel::None => "a signature or a digest",
    }
}

/// A plugin that is about to come in.
pub(super) struct AdmissionRequest<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// Everywhere that it comes from.
    pub(super) locations: &'a [SourceLocation],
    /// What the source is called where signers are remembered; see [`source_identity`].
    pub(super) source: String,
    /// Why it is trusted; `None` for a directory of the user's own.
    pub(super) evidence: Option<&'a Evidence>,
    /// Who says so, where nobody signed it.
    pub(super) voucher: Voucher,
    /// The receipt of what it replaces.
    pub(super) replaced: Option<&'a Receipt>,
    /// Whether another signer than before is fine.
    pub(super) accept_signer: bool,
}

/// Who says that something which nobody signed may be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Voucher {
    /// The user, who named a digest or a commit, or said that nothing is to be verified.
    User,
    /// A lock file, or the checksums of a release.
    ThirdParty,
}

impl Voucher {
    /// Who vouches for what comes from `source` in `version`, where `trust` is asked for and there is no signature.
    pub(super) fn of(trust: &VerificationMode, source: &Source, version: Option<&str>) -> Self {
        match trust {
            VerificationMode::Digest(_) | VerificationMode::Nothing => Self::User,
            VerificationMode::Signature { .. } if source.is_exact(version) => Self::User,
            VerificationMode::Signature { .. } => Self::ThirdParty,
        }
    }
}

/// Somebody who signed a plugin before. It is shown as `user id (fingerprint)`, safe for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SignerIdentity {
    pub(super) fingerprint: String,
    pub(super) user_id: String,
}

impl SignerIdentity {
    pub(super) fn made(&self, signature: &Signature) -> bool {
        self.fingerprint.eq_ignore_ascii_case(&signature.fingerprint)
    }
}

impl fmt::Display for SignerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.user_id {
            "" => f.pad(&self.fingerprint),
            user_id => write!(f, "{} ({})", Sanitized(user_id), self.fingerprint),
        }
    }
}

/// What is remembered of a plugin once it has come in.
#[must_use = "a signer is known only once this is remembered"]
#[derive(Debug, Default)]
pub(super) struct Admission {
    new_signer: Option<KnownSigner>,
}

impl Manager<'_> {
    /// Decides whether a plugin may come in. Nothing is changed: [`Manager::remember_signer`] does that once it is there.
    pub(super) fn admit(&self, request: &AdmissionRequest<'_>) -> Result<Admission, AdmitError> {
        let AdmissionRequest { name, locations, evidence, .. } = *request;
        self.admit_package(name, locations, evidence)?;
        match evidence {
            Some(evidence) => self.check_signer(&TrustFile::load(&self.homes.config.path)?, evidence, request),
            // A directory of the user's own has no signer.
            None => Ok(Admission::default()),
        }
    }

    /// Decides whether a version that was kept may come back, by what is known of its signer today. The policy is asked by the
    /// store.
    pub(super) fn admit_previous(&self, receipt: &Receipt) -> Result<(), AdmitError> {
        let Some((fingerprint, user_id)) = receipt.verified.signed_by() else { return Ok(()) };
        let signer = SignerIdentity { fingerprint: fingerprint.to_owned(), user_id: user_id.to_owned() };
        self.check_signer_state(&receipt.name, &receipt.locations(), &signer)
    }

    /// Refuses a signer whose key was revoked since, or who may not sign this plugin: for what is not verified anew.
    pub(super) fn check_signer_state(
        &self,
        name: &str,
        locations: &[SourceLocation],
        signer: &SignerIdentity,
    ) -> Result<(), AdmitError> {
        self.check_limit(&TrustFile::load(&self.homes.config.path)?, signer, name, locations)?;
        let keyring = match Keyring::locate(&[], self.host, self.homes) {
            // What only GnuPG can read is not our keyring: nothing is known of its keys.
            Err(KeyringError::KeyboxDaemon { .. }) => return Ok(()),
            keyring => keyring.map_err(UnverifiedError::from)?,
        };
        let own = keyring.signers().into_iter().find(|own| own.fingerprint.eq_ignore_ascii_case(&signer.fingerprint));
        match own.map(|own| own.state) {
            Some(state @ (SignerState::Revoked | SignerState::Unusable)) => Err(AdmitError::Revoked {
                name: name.to_owned(),
                signer: signer.to_string(),
                revoked: state == SignerState::Revoked,
            }),
            Some(SignerState::Valid | SignerState::Expired) | None => Ok(()),
        }
    }

    /// Who is known to sign the plugin `name` from the source `source`: whoever signed what it replaces, and whoever is
    /// remembered, also after an uninstall.
    pub(super) fn known_signers(
        &self,
        name: &str,
        source: &str,
        replaced: Option<&Receipt>,
    ) -> Result<Vec<SignerIdentity>, AdmitError> {
        Ok(known_signers(&TrustFile::load(&self.homes.config.path)?, name, source, replaced))
    }

    /// Decides whether a package is fine by itself, whatever was there before.
    pub(super) fn admit_package(
        &self,
        name: &str,
        locations: &[SourceLocation],
        evidence: Option<&Evidence>,
    ) -> Result<(), AdmitError> {
        let proof = evidence.map_or(Proof::Nothing, policy_proof);
        let request = PolicyRequest { name: Some(name), locations, proof: Some(proof), ..PolicyRequest::default() };
        self.ask_policy(&request, || format!("plugin `{}`", Sanitized(name)))?;
        match evidence {
            Some(Evidence::Signature(signature)) => {
                self.check_limit(&TrustFile::load(&self.homes.config.path)?, &signature.into(), name, locations)
            }
            Some(Evidence::Digest(_) | Evidence::Skipped) | None => Ok(()),
        }
    }

    /// Refuses a key that the user lets sign other plugins only.
    fn check_limit(
        &self,
        trusted: &TrustFile,
        signer: &SignerIdentity,
        name: &str,
        locations: &[SourceLocation],
    ) -> Result<(), AdmitError> {
        let Some(limit) = trusted.limit(&signer.fingerprint).filter(|limit| !limit.allows(name, locations)) else {
            return Ok(());
        };
        Err(AdmitError::Limited {
            name: name.to_owned(),
            signer: signer.to_string(),
            limits: sanitized(&limit.to_string()).into_owned(),
            fingerprint: signer.fingerprint.clone(),
            host: self.host.name().to_owned(),
        })
    }

    /// Refuses another signer than that of what is replaced, or of what first came from there under that name; and nobody in their
    /// place, unless the user says so.
    fn check_signer(
        &self,
        trusted: &TrustFile,
        evidence: &Evidence,
        request: &AdmissionRequest<'_>,
    ) -> Result<Admission, AdmitError> {
        let AdmissionRequest { name, source, replaced, .. } = request;
        let signature = match evidence {
            Evidence::Signature(signature) => Some(signature),
            Evidence::Digest(_) | Evidence::Skipped => None,
        };
        let known = known_signers(trusted, name, source, *replaced);
        if let Some(old) = known.iter().find(|known| !signature.is_some_and(|signature| known.made(signature))) {
            self.check_signer_change(old, evidence, request)?;
        }
        let Some(signature) = signature else { return Ok(Admission::default()) };
        let is_known = trusted
            .known_signer(name, source)
            .is_some_and(|known_signer| known_signer.fingerprint.eq_ignore_ascii_case(&signature.fingerprint));
        let known_signer = (!is_known).then(|| KnownSigner {
            name: (*name).to_owned(),
            source: source.clone(),
            fingerprint: signature.fingerprint.clone(),
            user_id: signature.user_id.clone(),
            since: Timestamp::now(),
        });
        Ok(Admission { new_signer: known_signer })
    }

    /// Whether what `old` signed until now may be what `evidence` speaks of: where the user accepts that, or said it by themselves.
    fn check_signer_change(
        &self,
        old: &SignerIdentity,
        evidence: &Evidence,
        request: &AdmissionRequest<'_>,
    ) -> Result<(), AdmitError> {
        let AdmissionRequest { name, accept_signer, voucher, .. } = *request;
        let shown = Sanitized(name);
        match evidence {
            Evidence::Signature(new) if accept_signer => {
                self.report.notice(&format!("the signer of {shown} was {old} and is now {new}, which you accepted"));
            }
            Evidence::Signature(new) => {
                let (old, new) = (old.to_string(), new.to_string());
                return Err(AdmitError::SignerChanged { name: name.to_owned(), old, new, way: ACCEPT_SIGNER.to_owned() });
            }
            Evidence::Digest(_) | Evidence::Skipped if voucher == Voucher::ThirdParty && !accept_signer => {
                let way = ACCEPT_SIGNER.to_owned();
                return Err(AdmitError::SignerMissing { name: name.to_owned(), old: old.to_string(), way });
            }
            Evidence::Digest(_) | Evidence::Skipped => {
                let how = match evidence {
                    Evidence::Skipped => "not verified, as you asked",
                    Evidence::Digest(_) | Evidence::Signature(_) => "verified by its digest, and nobody signed it",
                };
                self.report.warning(&format!("{shown} was signed by {old} until now; this is {how}"));
            }
        }
        Ok(())
    }

    /// Remembers the signer of what has come in.
    pub(super) fn remember_signer(&self, admission: Admission) {
        let Some(known_signer) = admission.new_signer else { return };
        // The plugin is in place: that its signer could not be written down does not undo it.
        if let Err(error) = TrustFile::change(&self.homes.config.path, |trusted| trusted.set_known_signer(known_signer)) {
            self.report.warning(&format!("the signer is not remembered: {error}"));
        }
    }

    /// Refuses a source that a policy does not let in, before anything is asked of it.
    pub(super) fn admit_source(&self, source: &Source) -> Result<(), AdmitError> {
        self.admit_locations(&self.locations_of(source), source)
    }

    /// Refuses what came from elsewhere than it was asked for, where a policy does not let that in.
    pub(super) fn admit_origin(&self, source: &Source, origin: &PackageOrigin) -> Result<(), AdmitError> {
        self.admit_locations(&self.locations_of_fetched(source, origin), source)
    }

    /// Everywhere that `source` may mean before it is fetched.
    pub(super) fn locations_of(&self, source: &Source) -> Vec<SourceLocation> {
        let mut locations = named_locations(source);
        // Where a variable says that GitHub is elsewhere, that is where everything comes from.
        if let (Source::GitHub { .. }, Some((_, address))) = (source, self.host.variable("GITHUB_API")) {
            add(&mut locations, SourceLocation::of(&format!("{}/", address.to_string_lossy().trim_end_matches('/'))));
        }
        locations
    }

    /// Everywhere that a fetched package came from: what was asked for, and what that led to.
    pub(super) fn locations_of_fetched(&self, source: &Source, origin: &PackageOrigin) -> Vec<SourceLocation> {
        let git = |place: SourceLocation| if origin.git.is_some() { place.as_git() } else { place };
        let mut locations: Vec<SourceLocation> = self.locations_of(source).into_iter().map(git).collect();
        for text in [&origin.asked, &origin.resolved] {
            // The text of a source that has no place of its own, a name in an index, says nothing either.
            let is_place = text.contains("://") || text.starts_with('/') || text.contains('@');
            if is_place {
                add(&mut locations, git(SourceLocation::of(text)));
            }
        }
        locations
    }

    pub(super) fn admit_locations(&self, locations: &[SourceLocation], source: &Source) -> Result<(), AdmitError> {
        self.ask_policy(&PolicyRequest { locations, ..PolicyRequest::default() }, || format!("the source `{source}`"))
    }

    fn ask_policy(&self, request: &PolicyRequest<'_>, what: impl Fn() -> String) -> Result<(), AdmitError> {
        if !self.policy.is_empty() {
            self.report.step(&format!("asking the policy about {}", what()));
        }
        self.policy.judge(request).map_err(|source| AdmitError::Policy { what: what(), source: Box::new(source) })
    }

    /// The options of a fetch, with the provenance that a policy may ask for.
    pub(super) fn options_under_policy(&self, options: &FetchOptions, source: &Source) -> FetchOptions {
        let asked = self.policy.may_ask_for_a_signature(&self.locations_of(source));
        let wanted = if asked { options.wanted.and_provenance() } else { options.wanted };
        let refuse_git_redirects = self.policy.judges_sources();
        FetchOptions { wanted, refuse_git_redirects, ..options.clone() }
    }

    /// Verifies a package as `requirement` asks, and as the policy does where that asks for more: `--verify=false`, a digest
    /// that the user names and a lock file make no less of it. `name` is the plugin's, where it is known already.
    pub(super) fn verify_under_policy(
        &self,
        fetched: FetchedPackage,
        requirement: &Requirement,
        source: &Source,
        name: Option<&str>,
    ) -> Result<VerifiedPackage, AdmitError> {
        let verify = |fetched, requirement: &Requirement| {
            let verified = provenance::verify(fetched, requirement, &self.settings.limits).map_err(UnverifiedError::from)?;
            self.report.step(&format!(
                "verified {} ({}, sha256:{}): {}",
                Sanitized(verified.fetched().file_name()),
                Sanitized(&crate::text::masked_source(&verified.fetched().origin().resolved)),
                verified.fetched().digest(),
                verified.evidence()
            ));
            if let Evidence::Signature(Signature { other_name: Some(name), .. }) = verified.evidence() {
                let file_name = Sanitized(verified.fetched().file_name());
                self.report.notice(&format!("the provenance of `{file_name}` lists it as `{}`", Sanitized(name)));
            }
            Ok::<_, UnverifiedError>(verified)
        };
        let locations = self.locations_of_fetched(source, fetched.origin());
        let Some(rule) = self.policy.required_level(name, &locations) else { return Ok(verify(fetched, requirement)?) };
        let enough = match requirement {
            Requirement::Signature { instead: Instead::Nothing, .. } => true,
            Requirement::Signature { instead: Instead::ObjectId, .. } => {
                rule.value < VerificationLevel::Signature || !fetched.is_named_by_id()
            }
            Requirement::Digest(digest) => rule.value < VerificationLevel::Signature || *digest != fetched.digest(),
            Requirement::Bytes(digest) => *digest != fetched.digest(),
            Requirement::Nothing => false,
        };
        if enough {
            return Ok(verify(fetched, requirement)?);
        }
        // A commit or a manifest that is named by its id is as good as a digest, and no better.
        let instead = if rule.value < VerificationLevel::Signature { Instead::ObjectId } else { Instead::Nothing };
        let raised = |source| AdmitError::Raised { at: rule.at.clone(), least: rule.value, source: Box::new(source) };
        let signature = match requirement {
            Requirement::Signature { .. } => requirement.clone(),
            Requirement::Digest(_) | Requirement::Bytes(_) | Requirement::Nothing => {
                self.requirement(&VerificationMode::signature()).map_err(|e| raised(e.into()))?
            }
        };
        let signature = signature.with_instead(instead);
        let otherwise =
            if rule.value == VerificationLevel::Signature { Alternatives::Nothing } else { Alternatives::Digest };
        verify(fetched, &signature).map_err(|error| match error {
            UnverifiedError::Verify(error) => raised(error.with_alternatives(otherwise).into()),
            error => raised(error),
        })
    }
}

impl From<&Signature> for SignerIdentity {
    fn from(signature: &Signature) -> Self {
        Self { fingerprint: signature.fingerprint.clone(), user_id: signature.user_id.clone() }
    }
}

fn known_signers(trusted: &TrustFile, name: &str, source: &str, replaced: Option<&Receipt>) -> Vec<SignerIdentity> {
    let installed = replaced.and_then(|receipt| receipt.verified.signed_by());
    let remembered = trusted
        .known_signer(name, source)
        .map(|known_signer| (known_signer.fingerprint.as_str(), known_signer.user_id.as_str()));
    let known = installed.into_iter().chain(remembered);
    known
        .map(|(fingerprint, user_id)| SignerIdentity { fingerprint: fingerprint.to_owned(), user_id: user_id.to_owned() })
        .collect()
}

impl Policy {
    /// Whether a signature may be asked for of what comes from `places`, whatever it is called.
    fn may_ask_for_a_signature(&self, locations: &[SourceLocation]) -> bool {
        self.has_signers_by_name() || self.required_level(None, locations).is_some()
    }
}

/// What `evidence` is to a policy.
pub(super) fn policy_proof(evidence: &Evidence) -> Proof<'_> {
    match evidence {
        Evidence::Signature(signature) => {
            Proof::Signature { fingerprint: &signature.fingerprint, subkey: signature.subkey.as_deref() }
        }
        Evidence::Digest(_) => Proof::Digest,
        Evidence::Skipped => Proof::Nothing,
    }
}

/// Everywhere that `source` may mean before it is fetched. A name in an index is judged by where the index sends us.
fn named_locations(source: &Source) -> Vec<SourceLocation> {
    let mut locations = Vec::new();
    match source {
        Source::Directory(path) | Source::Archive(path) => {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            locations.push(SourceLocation::path(&path));
            // Both the link and what it leads to: either could be changed by somebody else.
            if let Ok(real) = path.canonicalize() {
                add(&mut locations, SourceLocation::path(&real));
            }
        }
        Source::Index { .. } => {}
        Source::Git(GitUrl::Plain(url)) if url.starts_with("file://") => {
            locations.push(SourceLocation::of(&source.asked()));
            let path = percent_encoding::percent_decode_str(url.trim_start_matches("file://")).decode_utf8_lossy();
            if let Ok(real) = std::path::Path::new(&*path).canonicalize() {
                add(&mut locations, SourceLocation::path(&real).as_git());
            }
        }
        Source::GitHub { owner, repo, .. } => locations.push(SourceLocation::of(&format!("{owner}/{repo}"))),
        other => locations.push(SourceLocation::of(&other.asked())),
    }
    locations
}

fn add(locations: &mut Vec<SourceLocation>, place: SourceLocation) {
    if !locations.contains(&place) {
        locations.push(place);
    }
}

/// What the source of a plugin is called where its signer is remembered: what stays the same from one version to the next.
pub(super) fn source_identity(source: &Source) -> String {
    match source {
        Source::Index { index, name, .. } => index.as_ref().map_or_else(|| name.clone(), |index| format!("{index}/{name}")),
        source => named_locations(source).first().map(SourceLocation::without_version).unwrap_or_default(),
    }
}
