//! Verifying a new version as the installed one was, and by the same signer.

use super::{UpdateError, UpdateRequest};
use crate::manager::{InstallError, Manager, Trust};
use crate::package::Fetched;
use crate::provenance::{self, Evidence, Requirement, Verified, VerifyError};
use crate::store::{Means, Receipt};
use crate::text::Plain;

impl Manager<'_> {
    /// Verifies a fetched package as the installed one was, or as the user asked, and by the same signer.
    pub(super) fn verify_as_before(
        &self,
        receipt: &Receipt,
        mut fetched: Fetched,
        request: &UpdateRequest,
    ) -> Result<Verified, UpdateError> {
        let name = receipt.name.as_str();
        let failed = |source: InstallError| UpdateError::failed(name, receipt.version.as_deref(), source);
        let before = &receipt.verified;
        let signature = || Trust::Signature {
            keyrings: Vec::new(),
            allowed_signers: None,
            allow_expired_key: request.allow_expired_key,
        };
        if let (Some(_), Some(release)) = (&before.fingerprint, &mut fetched.origin.release) {
            // Whoever can put a package into a release can put its checksum there too: what was signed stays signed.
            release.checksums = None;
        }
        let by_digest = request.trust.is_none() && before.by == Means::Digest;
        if by_digest && fetched.provenance.is_none() && fetched.origin.git.is_none() && !fetched.is_vouched_for() {
            // Said before a keyring is asked for: there is nothing that it could verify.
            return Err(UpdateError::NeedsDigest {
                name: name.to_owned(),
                found: fetched.digest(),
                at: fetched.provenance_at,
            });
        }
        let trust = match (&request.trust, before.by) {
            (Some(trust), _) => trust.clone(),
            (None, Means::Signature | Means::Digest) => signature(),
            (None, Means::None | Means::Local) => Trust::Nothing,
        };
        let requirement = match &trust {
            Trust::Signature { .. } if fetched.is_vouched_for() => Requirement::Digest(fetched.digest()),
            trust => self.requirement(trust).map_err(|e| failed(e.into()))?,
        };
        let verified =
            provenance::verify(fetched, &requirement, &self.settings.limits).map_err(|e: VerifyError| failed(e.into()))?;
        // Also of what a lock file said who signed it, and that was verified by its digest.
        let (Means::Signature | Means::Digest, Some(fingerprint)) = (before.by, &before.fingerprint) else {
            if matches!(verified.evidence(), Evidence::Skipped) {
                self.report.warning(&format!("the new version of {} is not verified", Plain(name)));
            }
            return Ok(verified);
        };
        let old = match before.signer.as_deref() {
            None | Some("") => fingerprint.clone(),
            Some(signer) => format!("{} ({fingerprint})", Plain(signer)),
        };
        match verified.evidence() {
            Evidence::Signature(signature) if signature.fingerprint.eq_ignore_ascii_case(fingerprint) => {}
            Evidence::Signature(signature) if request.accept_signer => self.report.notice(&format!(
                "the signer of {} was {old} and is now {signature}, which you accepted",
                Plain(name)
            )),
            Evidence::Signature(signature) => {
                return Err(UpdateError::OtherSigner { name: name.to_owned(), old, new: signature.to_string() });
            }
            Evidence::Digest(_) => self.report.warning(&format!(
                "the version of {} that is installed was signed by {old}; the new one is verified by the digest that you named",
                Plain(name)
            )),
            Evidence::Skipped => self.report.warning(&format!(
                "the version of {} that is installed was signed by {old}; the new one is not verified, as you asked",
                Plain(name)
            )),
        }
        Ok(verified)
    }
}
