//! A package on its way in, as far as an install and a pull go together: fetched, and verified as the user asked and the policy does.

use std::path::Path;

use crate::intake::provenance::{Evidence, KeyringError, Requirement, VerifiedPackage};
use crate::intake::source::{FetchOptions, Source};
use crate::policy::SourceLocation;

use super::admit::{AdmissionRequest, Voucher, source_identity};
use super::audit::AuditNote;
use super::{InstallError, Manager, VerificationMode};
use crate::store::Receipt;

/// A package that is wanted.
pub(super) struct Intake<'a> {
    pub(super) source: &'a Source,
    trust: &'a VerificationMode,
    /// How it is fetched, and what comes along.
    pub(super) fetch: FetchOptions,
    /// What it must meet, where that hangs on nothing that is fetched.
    requirement: Option<Requirement>,
}

/// A package that came and was verified.
pub(super) struct VerifiedIntake {
    pub(super) package: VerifiedPackage,
    /// Everywhere that it came from.
    pub(super) locations: Vec<SourceLocation>,
}

impl<'a> Intake<'a> {
    /// Who says that it may be trusted, where nobody signed it.
    fn voucher(&self) -> Voucher {
        Voucher::of(self.trust, self.source, self.fetch.version.as_deref())
    }

    /// What is asked about the plugin `name`, which came from `locations`, before it may come in.
    pub(super) fn admission<'r>(
        &self,
        name: &'r str,
        locations: &'r [SourceLocation],
        evidence: Option<&'r Evidence>,
        replaced: Option<&'r Receipt>,
        accept_signer: bool,
    ) -> AdmissionRequest<'r> {
        let (source, voucher) = (source_identity(self.source), self.voucher());
        AdmissionRequest { name, locations, source, evidence, voucher, replaced, accept_signer }
    }
}

impl Manager<'_> {
    /// Makes ready to fetch from `source`. A keyring that is not there is said now, before anything is locked or fetched, if one will
    /// be needed.
    pub(super) fn intake<'a>(
        &self,
        source: &'a Source,
        fetch: &FetchOptions,
        trust: &'a VerificationMode,
    ) -> Result<Intake<'a>, KeyringError> {
        let signed = matches!(trust, VerificationMode::Signature { .. });
        let may_vouch = signed && source.may_give_digest(fetch.version.as_deref());
        // A directory of the user's own is not verified.
        let is_package = !matches!(source, Source::Directory(_));
        let requirement = if may_vouch || !is_package { None } else { Some(self.requirement(trust)?) };
        Ok(Intake { source, trust, fetch: fetch.wanting(trust.wanted()), requirement })
    }

    /// Fetches the package into `spool` and verifies it.
    pub(super) fn fetch_and_verify(
        &self,
        intake: &Intake<'_>,
        spool: &Path,
        note: &mut AuditNote,
    ) -> Result<VerifiedIntake, InstallError> {
        let Intake { source, trust, fetch, requirement } = intake;
        let fetched = self.fetch(source, fetch, spool, self.report)?;
        note.about.digest = Some(format!("sha256:{}", fetched.digest()));
        let requirement = match requirement {
            Some(requirement) => requirement.clone(),
            // Its source vouches for the digest of what came, by an id that the user gave or by its checksums.
            None if fetched.has_trusted_digest() => Requirement::Digest(fetched.digest()),
            None => self.requirement(trust)?,
        };
        let locations = self.locations_of_fetched(source, fetched.origin());
        let package = self.verify_under_policy(fetched, &requirement, source, None)?;
        if matches!(package.evidence(), Evidence::Skipped) {
            self.report.warning(&format!("{source} is not verified, as you asked"));
        }
        Ok(VerifiedIntake { package, locations })
    }
}
