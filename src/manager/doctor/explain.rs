//! `plugin doctor --policy`: what each rule says of a plugin or a source, and where it stands.

use std::path::PathBuf;

use serde::Serialize;

use crate::error::{Classified, ErrorKind};
use crate::intake::package;
use crate::intake::source::{Source, SourceError};
use crate::manager::Manager;
use crate::manifest;
use crate::policy::{PolicyRequest, Proof, RuleVerdict, SourceLocation};
use crate::settings::GateMode;
use crate::spelling::did_you_mean;
use crate::store::{ListedPlugin, Status, StoreError};
use crate::text::sanitized;

/// What all rules say of one plugin or source.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyExplanation {
    /// The plugin, where one is meant.
    pub name: Option<String>,
    /// Where it comes from, safe to show.
    pub sources: Vec<String>,
    /// How it is verified, where that is known: `signature`, `digest` or `none`.
    pub verified: Option<&'static str>,
    /// Whether every rule is kept, as far as is known.
    pub allowed: bool,
    /// The gate that an installed plugin goes through; none for a source.
    pub gate: Option<ExplainedGate>,
    /// The rules, file after file.
    pub rules: Vec<ExplainedRule>,
}

/// How strict the gate is before a plugin runs.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedGate {
    /// How strict it is: `require`, `warn` or `off`.
    pub value: &'static str,
    /// What the settings say.
    pub setting: &'static str,
    /// The policy's file and line that asks for a verified plugin, and so for `require`, safe to show.
    pub raised_by: Option<String>,
}

/// What one rule says.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedRule {
    /// The rule, safe to show.
    pub rule: String,
    /// The policy.
    pub file: PathBuf,
    /// The line in it.
    pub line: u32,
    /// `kept`, `refused`, `silent` where it is about something else, `later` where it can only be said once the package is here, or
    /// `binds` where it refuses nothing by itself (hooks, the audit log).
    pub verdict: &'static str,
    /// Why it is refused, safe to show.
    pub reason: Option<String>,
}

/// Why nothing can be explained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// Nothing of that name is there.
    #[error(
        "`{name}` is not an installed plugin and not a source, so there is nothing to judge; {}",
        did_you_mean(nearest).unwrap_or_else(|| format!("`{host} plugin list` shows what is installed"))
    )]
    NotThere {
        /// The name as given, safe to show.
        name: String,
        /// The host's name.
        host: String,
        /// Installed plugins whose names are near, safe to show.
        nearest: Vec<String>,
    },
    /// It is no plugin, and no source either.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Classified for ExplainError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotThere { .. } => ErrorKind::NotFound,
            Self::Source(error) => error.kind(),
            Self::Store(error) => error.kind(),
        }
    }
}

impl Manager<'_> {
    /// Explains what the policy says of an installed plugin, of a source, or of all installed plugins. Of a source neither the
    /// name nor the signer is known before it is fetched: what rules about those say comes later.
    ///
    /// # Errors
    /// See [`ExplainError`].
    pub fn explain_policy(&self, what: Option<&str>) -> Result<Vec<PolicyExplanation>, ExplainError> {
        let store = self.store();
        let Some(what) = what else {
            let plugins = store.list()?.plugins.into_iter().filter(|listed| listed.status != Status::Shadowed);
            return plugins.map(|listed| self.explain_installed(&listed)).collect();
        };
        if let Some(found) = store.find(what)? {
            let listed = store.list()?.plugins.into_iter().find(|listed| listed.directory == found.directory);
            if let Some(listed) = listed {
                return Ok(vec![self.explain_installed(&listed)?]);
            }
        }
        Ok(vec![self.explain_source(what, &self.parse_source(what)?)?])
    }

    /// What lies on this machine is looked into: what cannot be read, or is no plugin, is not allowed by anybody.
    fn explain_source(&self, what: &str, source: &Source) -> Result<PolicyExplanation, ExplainError> {
        let (name, proof) = match source {
            Source::Directory(path) => {
                let metadata = manifest::load(path, &self.settings.limits).map_err(StoreError::from)?;
                (Some(metadata.name.to_string()), Some(Proof::Nothing))
            }
            Source::Archive(path) => {
                let metadata = package::inspect(path, &self.settings.limits).map_err(StoreError::from)?;
                (Some(metadata.name.to_string()), None)
            }
            Source::Index { name, .. } => (Some(name.clone()), None),
            Source::Oci(_)
            | Source::Http(_)
            | Source::Git(_)
            | Source::Web(_)
            | Source::Getter { .. }
            | Source::GitHub { .. } => (None, None),
        };
        let locations = self.locations_of(source);
        let explained =
            self.explain(&PolicyRequest { name: name.as_deref(), locations: &locations, proof, ..PolicyRequest::default() });
        // A rule about names refuses one also where nothing bears it.
        if matches!(source, Source::Index { .. }) && explained.allowed {
            let (name, host) = (sanitized(what).into_owned(), self.host.name().to_owned());
            return Err(ExplainError::NotThere { name, host, nearest: self.store().near(what) });
        }
        Ok(explained)
    }

    fn explain_installed(&self, listed: &ListedPlugin) -> Result<PolicyExplanation, ExplainError> {
        let store = self.store();
        let found = store.find(&listed.name)?.filter(|found| found.directory == listed.directory);
        let receipt = found.and_then(|found| store.receipt(&found).ok().flatten());
        Ok(store.with_policy_request(&listed.name, receipt.as_ref(), |request| {
            let mut explained = self.explain(&PolicyRequest { installed: false, ..*request });
            let raised = self.policy.required_level(request.name, request.locations).map(|rule| rule.at.to_string());
            let value = if raised.is_some() { GateMode::Require } else { self.settings.gate };
            explained.gate =
                Some(ExplainedGate { value: value.as_str(), setting: self.settings.gate.as_str(), raised_by: raised });
            explained
        }))
    }

    fn explain(&self, request: &PolicyRequest<'_>) -> PolicyExplanation {
        let rules: Vec<_> = self
            .policy
            .decide(request)
            .into_iter()
            .map(|decision| {
                let (verdict, reason) = match decision.verdict {
                    RuleVerdict::NotApplicable => ("silent", None),
                    RuleVerdict::Satisfied => ("kept", None),
                    RuleVerdict::Refused(why) => ("refused", Some(why.to_string())),
                    RuleVerdict::Undecided => ("later", None),
                    RuleVerdict::Binding => ("binds", None),
                };
                let file = decision.at.file.to_path_buf();
                let rule = sanitized(&decision.rule).into_owned();
                ExplainedRule { rule, file, line: decision.at.line, verdict, reason }
            })
            .collect();
        let mut sources: Vec<String> =
            request.locations.iter().map(|place| SourceLocation::shown(place).to_owned()).collect();
        // What was asked for is mostly where it came from, too.
        sources.dedup();
        PolicyExplanation {
            name: request.name.map(|name| sanitized(name).into_owned()),
            sources,
            verified: request.proof.map(|proof| proof.verification().as_str()),
            gate: None,
            allowed: rules.iter().all(|rule| rule.verdict != "refused"),
            rules,
        }
    }
}
