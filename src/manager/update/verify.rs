//! Verifying a new version as the installed one was, and by the same signer.

use super::error::Stopped;
use super::{UpdateError, UpdateRequest};
use crate::intake::package::FetchedPackage;
use crate::intake::provenance::{Evidence, Requirement, VerifiedPackage};
use crate::intake::source::Source;
use crate::manager::admit::{Admission, AdmissionRequest, Voucher, source_identity};
use crate::manager::{Manager, VerificationMode};
use crate::store::{Receipt, VerificationMethod};
use crate::text::Sanitized;

impl Manager<'_> {
    /// Verifies a package that was fetched from `source` as the installed one was, or as the user asked, and by a signer who may
    /// sign it.
    pub(super) fn verify_as_before(
        &self,
        receipt: &Receipt,
        fetched: FetchedPackage,
        source: &Source,
        request: &UpdateRequest,
    ) -> Result<(VerifiedPackage, Admission), Stopped> {
        let name = receipt.name.as_str();
        let before = &receipt.verified;
        let signature = || VerificationMode::Signature {
            keyrings: Vec::new(),
            allowed_signers: None,
            allow_expired_key: request.allow_expired_key,
        };
        // Whoever can put a package into a release can put its checksum there too: what was signed stays signed.
        let has_trusted_digest = match &before.fingerprint {
            Some(_) => fetched.is_named_by_id(),
            None => fetched.has_trusted_digest(),
        };
        let by_digest = request.trust.is_none() && before.by == VerificationMethod::Digest;
        if by_digest && fetched.provenance().is_none() && fetched.origin().git.is_none() && !has_trusted_digest {
            // Said before a keyring is asked for: there is nothing that it could verify.
            return Err(UpdateError::NeedsDigest {
                name: name.to_owned(),
                found: fetched.digest(),
                at: fetched.provenance_at().to_owned(),
            }
            .into());
        }
        let trust = match (&request.trust, before.by) {
            (Some(trust), _) => trust.clone(),
            (None, VerificationMethod::Signature | VerificationMethod::Digest) => signature(),
            (None, VerificationMethod::None | VerificationMethod::Local) => VerificationMode::Nothing,
        };
        let requirement = match &trust {
            VerificationMode::Signature { .. } if has_trusted_digest => Requirement::Digest(fetched.digest()),
            trust => self.requirement(trust)?,
        };
        let locations = self.locations_of_fetched(source, fetched.origin());
        let verified = self.verify_under_policy(fetched, &requirement, source, Some(name))?;
        let admission = self.admit(&AdmissionRequest {
            name,
            locations: &locations,
            source: source_identity(source),
            evidence: Some(verified.evidence()),
            voucher: Voucher::of(&trust, source, request.to.as_deref()),
            replaced: Some(receipt),
            accept_signer: request.accept_signer,
        })?;
        if matches!(verified.evidence(), Evidence::Skipped) && before.signed_by().is_none() {
            self.report.warning(&format!("the new version of {} is not verified", Sanitized(name)));
        }
        Ok((verified, admission))
    }
}
