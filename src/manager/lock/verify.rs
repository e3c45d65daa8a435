//! What makes a locked package trusted: its digest says which bytes are meant, and its signature who signed them. A file that
//! somebody else wrote can ask for less than this machine knows to expect, and gets no less.

use super::obtain::{Had, ObtainError, Ways, failed, unsettled};
use super::{Locked, Signer, Vouched};
use crate::intake::provenance::{Evidence, KeyringError, Requirement, Verified};
use crate::manager::admit::{ACCEPT_SIGNER, KnownSigner, pin_source};
use crate::manager::{AdmitError, InstallError, Manager, Trust};
use crate::report::Report;

/// A package as the lock file has it.
#[derive(Debug)]
pub(super) struct Obtained {
    /// The package, trusted for no more than the file says.
    pub(super) verified: Verified,
    /// What was found out of its signer, also where the file speaks of none.
    pub(super) evidence: Evidence,
}

impl From<Verified> for Obtained {
    fn from(verified: Verified) -> Self {
        Self { evidence: verified.evidence().clone(), verified }
    }
}

impl From<&Signer> for KnownSigner {
    fn from(signer: &Signer) -> Self {
        Self { fingerprint: signer.fingerprint.clone(), user_id: signer.user_id.clone().unwrap_or_default() }
    }
}

impl Manager<'_> {
    /// Who signed the plugin of `locked` until now, as far as this machine knows.
    pub(super) fn known_signers_of(&self, locked: &Locked) -> Result<Vec<KnownSigner>, AdmitError> {
        let source = self.parse_source(&locked.source);
        let source = source.map_or_else(|_| locked.source.clone(), |source| pin_source(&source));
        self.known_signers(locked.name.as_str(), &source, self.installed_receipt(locked).as_ref())
    }

    /// Verifies what the file says of a signer, and what `known` signers ask for.
    pub(super) fn verify_locked(
        &self,
        locked: &Locked,
        known: &[KnownSigner],
        had: Had,
        ways: &Ways<'_>,
        report: &dyn Report,
    ) -> Result<Obtained, ObtainError> {
        match (locked.signer(), known.first()) {
            (Some(signer), None) => match self.no_signatures_here(locked, &had, ways)? {
                Some(why) => self.verify_by_digest_alone(locked, &signer.into(), had, ways, why, report),
                None => self.verify_signer(locked, &signer.into(), had, ways),
            },
            (Some(signer), Some(_)) => self.verify_signer(locked, &signer.into(), had, ways),
            (None, Some(old)) => self.verify_beyond(locked, old, had, ways),
            (None, None) => Ok(self.verify_as_locked(locked, had, ways)?.into()),
        }
    }

    /// Why no signature can be looked at, where none can be.
    fn no_signatures_here(&self, locked: &Locked, had: &Had, ways: &Ways<'_>) -> Result<Option<&'static str>, ObtainError> {
        if had.from_mirror && !locked.has_provenance() {
            return Ok(Some("its signature stayed in its repository, of which a mirror has the files alone"));
        }
        Ok(match self.signature_by(ways).map_err(|e| failed(locked, e.into()))? {
            Requirement::Signature { keyring, .. } if keyring.is_empty() && keyring.allowed_signers().is_none() => {
                Some("there is no keyring on this machine, so its signature cannot be verified")
            }
            _ => None,
        })
    }

    /// A signature by the keys that the user named, else by those of this machine.
    fn signature_by(&self, ways: &Ways<'_>) -> Result<Requirement, KeyringError> {
        match ways.trust {
            trust @ Trust::Signature { .. } => self.requirement(trust),
            Trust::Digest(_) | Trust::Nothing => self.requirement(&Trust::signature()),
        }
    }

    /// The locked signer must have signed it.
    fn verify_signer(
        &self,
        locked: &Locked,
        signer: &KnownSigner,
        had: Had,
        ways: &Ways<'_>,
    ) -> Result<Obtained, ObtainError> {
        let name = locked.name.to_string();
        if !had.fetched.is_signed() {
            return Err(ObtainError::Unsigned { name, signer: signer.to_string(), at: had.fetched.provenance_at });
        }
        let verified = self.verify_signed(locked, had, ways)?;
        match verified.evidence() {
            Evidence::Signature(found) if signer.is(found) => Ok(verified.into()),
            Evidence::Signature(found) => {
                Err(ObtainError::OtherSigner { name, found: found.to_string(), locked: signer.fingerprint.clone() })
            }
            // A signature was asked for, so that there is no other evidence.
            Evidence::Digest(_) | Evidence::Skipped => Err(unsettled(locked)),
        }
    }

    fn verify_signed(&self, locked: &Locked, had: Had, ways: &Ways<'_>) -> Result<Verified, ObtainError> {
        let Had { mut fetched, source, .. } = had;
        let failed = |error: InstallError| failed(locked, error);
        let requirement = self.signature_by(ways).map_err(|e| failed(e.into()))?;
        // That the file names a commit or a manifest says which it is, and not who signed it.
        fetched.origin.pinned = false;
        let name = Some(locked.name.as_str());
        self.verify_under_policy(fetched, &requirement, &source, name).map_err(|e| failed(e.into()))
    }

    /// Nothing is known of the signature; what is known of the key that the file names still counts.
    fn verify_by_digest_alone(
        &self,
        locked: &Locked,
        signer: &KnownSigner,
        had: Had,
        ways: &Ways<'_>,
        why: &str,
        report: &dyn Report,
    ) -> Result<Obtained, ObtainError> {
        let name = locked.name.as_str();
        if !had.is_settled(locked) {
            return Err(unsettled(locked));
        }
        self.check_standing(name, &self.places_of_fetched(&had.source, &had.fetched.origin), signer)?;
        let verified = self.verify_as_locked(locked, had, ways)?;
        report.warning(&format!("plugin `{name}` is verified by the digest in the lock file alone: {why}"));
        Ok(verified.into())
    }

    /// The file speaks of no signer, and this machine knows that `old` signed it.
    fn verify_beyond(&self, locked: &Locked, old: &KnownSigner, had: Had, ways: &Ways<'_>) -> Result<Obtained, ObtainError> {
        if !had.fetched.is_signed() {
            let name = locked.name.to_string();
            return Err(AdmitError::NoSigner { name, old: old.to_string(), way: ACCEPT_SIGNER.to_owned() }.into());
        }
        let (pinned, source, from_mirror) = (had.fetched.origin.pinned, had.source.clone(), had.from_mirror);
        let signed = self.verify_signed(locked, had, ways)?;
        let evidence = signed.evidence().clone();
        let mut fetched = signed.into_fetched();
        fetched.origin.pinned = pinned;
        let verified = self.verify_as_locked(locked, Had { fetched, source, from_mirror }, ways)?;
        Ok(Obtained { verified, evidence })
    }

    /// By no more than the file says; what it does not settle for this platform must be signed.
    fn verify_as_locked(&self, locked: &Locked, had: Had, ways: &Ways<'_>) -> Result<Verified, ObtainError> {
        let settled = had.is_settled(locked);
        if !settled && ways.frozen {
            return Err(unsettled(locked));
        }
        let failed = |error: InstallError| failed(locked, error);
        let Had { fetched, source, .. } = had;
        let requirement = match &locked.verified {
            _ if !settled && !fetched.is_vouched_for() => self.requirement(ways.trust).map_err(|e| failed(e.into()))?,
            Vouched::Nothing => Requirement::Bytes(fetched.digest()),
            Vouched::Signature(_) | Vouched::Digest => Requirement::Digest(fetched.digest()),
        };
        let name = Some(locked.name.as_str());
        self.verify_under_policy(fetched, &requirement, &source, name).map_err(|e| failed(e.into()))
    }
}
