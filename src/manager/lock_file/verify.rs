//! What makes a locked package trusted: its digest says which bytes are meant, and its signature who signed them. A file that
//! somebody else wrote can ask for less than this machine knows to expect, and gets no less.

use super::fetch::{FetchContext, FetchLockedError, FetchedLocked, fetch_failed, no_digest};
use super::{LockedPlugin, LockedSigner, LockedVerification};
use crate::intake::provenance::{Evidence, Instead, KeyringError, Requirement, VerifiedPackage};
use crate::manager::admit::{ACCEPT_SIGNER, SignerIdentity, source_identity};
use crate::manager::{AdmitError, InstallError, Manager, VerificationMode};
use crate::report::Report;

/// A package as the lock file has it.
#[derive(Debug)]
pub(super) struct VerifiedLocked {
    /// The package, trusted for no more than the file says.
    pub(super) verified: VerifiedPackage,
    /// What was found out of its signer, also where the file speaks of none.
    pub(super) evidence: Evidence,
}

impl From<VerifiedPackage> for VerifiedLocked {
    fn from(verified: VerifiedPackage) -> Self {
        Self { evidence: verified.evidence().clone(), verified }
    }
}

impl From<&LockedSigner> for SignerIdentity {
    fn from(signer: &LockedSigner) -> Self {
        Self { fingerprint: signer.fingerprint.clone(), user_id: signer.user_id.clone().unwrap_or_default() }
    }
}

impl Manager<'_> {
    /// Who signed the plugin of `locked` until now, as far as this machine knows.
    pub(super) fn known_signers_of(&self, locked: &LockedPlugin) -> Result<Vec<SignerIdentity>, AdmitError> {
        let source = self.parse_source(&locked.source);
        let source = source.map_or_else(|_| locked.source.clone(), |source| source_identity(&source));
        self.known_signers(locked.name.as_str(), &source, self.installed_receipt(locked).as_ref())
    }

    /// Verifies what the file says of a signer, and what `known` signers ask for.
    pub(super) fn verify_locked(
        &self,
        locked: &LockedPlugin,
        known: &[SignerIdentity],
        package: FetchedLocked,
        context: &FetchContext<'_>,
        report: &dyn Report,
    ) -> Result<VerifiedLocked, FetchLockedError> {
        match (locked.signer(), known.first()) {
            (Some(signer), None) => match self.why_signature_unverifiable(locked, &package, context)? {
                Some(why) => self.verify_by_digest_alone(locked, &signer.into(), package, context, why, report),
                None => self.verify_signer(locked, &signer.into(), package, context),
            },
            (Some(signer), Some(_)) => self.verify_signer(locked, &signer.into(), package, context),
            (None, Some(old)) => self.verify_known_signer(locked, old, package, context),
            (None, None) => Ok(self.verify_as_locked(locked, package, context)?.into()),
        }
    }

    /// Why no signature can be looked at, where none can be.
    fn why_signature_unverifiable(
        &self,
        locked: &LockedPlugin,
        package: &FetchedLocked,
        context: &FetchContext<'_>,
    ) -> Result<Option<&'static str>, FetchLockedError> {
        if package.from_mirror && !locked.has_provenance() {
            return Ok(Some("its signature stayed in its repository, of which a mirror has the files alone"));
        }
        Ok(match self.signature_requirement(context).map_err(|e| fetch_failed(locked, e.into()))? {
            Requirement::Signature { keyring, .. } if keyring.is_empty() && keyring.allowed_signers().is_none() => {
                Some("there is no keyring on this machine, so its signature cannot be verified")
            }
            _ => None,
        })
    }

    /// A signature by the keys that the user named, else by those of this machine.
    fn signature_requirement(&self, context: &FetchContext<'_>) -> Result<Requirement, KeyringError> {
        match context.trust {
            trust @ VerificationMode::Signature { .. } => self.requirement(trust),
            VerificationMode::Digest(_) | VerificationMode::Nothing => self.requirement(&VerificationMode::signature()),
        }
    }

    /// The locked signer must have signed it.
    fn verify_signer(
        &self,
        locked: &LockedPlugin,
        signer: &SignerIdentity,
        package: FetchedLocked,
        context: &FetchContext<'_>,
    ) -> Result<VerifiedLocked, FetchLockedError> {
        let name = locked.name.to_string();
        if !package.fetched.is_signed() {
            return Err(FetchLockedError::Unsigned {
                name,
                signer: signer.to_string(),
                at: package.fetched.provenance_at().to_owned(),
            });
        }
        let verified = self.verify_signed(locked, package, context)?;
        match verified.evidence() {
            Evidence::Signature(found) if signer.made(found) => Ok(verified.into()),
            Evidence::Signature(found) => {
                Err(FetchLockedError::OtherSigner { name, found: found.to_string(), locked: signer.fingerprint.clone() })
            }
            // A signature was asked for, so that there is no other evidence.
            Evidence::Digest(_) | Evidence::Skipped => Err(no_digest(locked)),
        }
    }

    fn verify_signed(
        &self,
        locked: &LockedPlugin,
        package: FetchedLocked,
        context: &FetchContext<'_>,
    ) -> Result<VerifiedPackage, FetchLockedError> {
        let FetchedLocked { fetched, source, .. } = package;
        let failed = |error: InstallError| fetch_failed(locked, error);
        // That the file names a commit or a manifest says which it is, and not who signed it.
        let requirement = self.signature_requirement(context).map_err(|e| failed(e.into()))?.with_instead(Instead::Nothing);
        let name = Some(locked.name.as_str());
        self.verify_under_policy(fetched, &requirement, &source, name).map_err(|e| failed(e.into()))
    }

    /// Nothing is known of the signature; what is known of the key that the file names still counts.
    fn verify_by_digest_alone(
        &self,
        locked: &LockedPlugin,
        signer: &SignerIdentity,
        package: FetchedLocked,
        context: &FetchContext<'_>,
        why: &str,
        report: &dyn Report,
    ) -> Result<VerifiedLocked, FetchLockedError> {
        let name = locked.name.as_str();
        if !package.has_known_digest(locked) {
            return Err(no_digest(locked));
        }
        self.check_signer_state(name, &self.locations_of_fetched(&package.source, package.fetched.origin()), signer)?;
        let verified = self.verify_as_locked(locked, package, context)?;
        report.warning(&format!("plugin `{name}` is verified by the digest in the lock file alone: {why}"));
        Ok(verified.into())
    }

    /// The file speaks of no signer, and this machine knows that `old` signed it.
    fn verify_known_signer(
        &self,
        locked: &LockedPlugin,
        old: &SignerIdentity,
        package: FetchedLocked,
        context: &FetchContext<'_>,
    ) -> Result<VerifiedLocked, FetchLockedError> {
        if !package.fetched.is_signed() {
            let name = locked.name.to_string();
            return Err(AdmitError::SignerMissing { name, old: old.to_string(), way: ACCEPT_SIGNER.to_owned() }.into());
        }
        let (source, from_mirror) = (package.source.clone(), package.from_mirror);
        let signed = self.verify_signed(locked, package, context)?;
        let evidence = signed.evidence().clone();
        let fetched = signed.into_fetched();
        let verified = self.verify_as_locked(locked, FetchedLocked { fetched, source, from_mirror }, context)?;
        Ok(VerifiedLocked { verified, evidence })
    }

    /// By no more than the file says; what it does not settle for this platform must be signed.
    fn verify_as_locked(
        &self,
        locked: &LockedPlugin,
        package: FetchedLocked,
        context: &FetchContext<'_>,
    ) -> Result<VerifiedPackage, FetchLockedError> {
        let has_digest = package.has_known_digest(locked);
        if !has_digest && context.frozen {
            return Err(no_digest(locked));
        }
        let failed = |error: InstallError| fetch_failed(locked, error);
        let FetchedLocked { fetched, source, .. } = package;
        let requirement = match &locked.verified {
            _ if !has_digest && !fetched.has_trusted_digest() => {
                self.requirement(context.trust).map_err(|e| failed(e.into()))?
            }
            LockedVerification::Nothing => Requirement::Bytes(fetched.digest()),
            LockedVerification::Signature(_) | LockedVerification::Digest => Requirement::Digest(fetched.digest()),
        };
        let name = Some(locked.name.as_str());
        self.verify_under_policy(fetched, &requirement, &source, name).map_err(|e| failed(e.into()))
    }
}
