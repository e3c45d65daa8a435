//! What all rules together say about a plugin: each that is about it, and the first that refuses it.

use std::fmt;

use semver::Version;

use super::{Pattern, Policy, Rule, RulePosition, SignerRule, SourceLocation, VerificationLevel};
use crate::error::{Classified, ErrorKind};
use crate::text::Sanitized;

/// What is judged, as far as it is known. What is not known yet is not judged.
#[derive(Debug, Clone, Copy, Default)]
pub struct PolicyRequest<'a> {
    /// The plugin's name.
    pub name: Option<&'a str>,
    /// Everywhere that it comes from: as it was asked for, as that was resolved, after redirects. Each must be allowed.
    pub locations: &'a [SourceLocation],
    /// How it is verified.
    pub proof: Option<Proof<'a>>,
    /// The command that brings back what was installed, where the user accepted changes of it since: no proof is one of those.
    pub accepted: Option<&'a str>,
    /// Whether it is there already: then its sources are no longer judged, only who signed what comes from there.
    pub installed: bool,
}

/// How a plugin is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof<'a> {
    /// By a signature.
    Signature {
        /// The fingerprint of the signer's certificate.
        fingerprint: &'a str,
        /// The fingerprint of the key that signed, where it is a subkey.
        subkey: Option<&'a str>,
    },
    /// By a digest that somebody named.
    Digest,
    /// Not at all: nobody wanted to know, or it is a directory.
    Nothing,
}

impl Proof<'_> {
    /// How much it counts.
    pub fn verification(&self) -> VerificationLevel {
        match self {
            Self::Signature { .. } => VerificationLevel::Signature,
            Self::Digest => VerificationLevel::Digest,
            Self::Nothing => VerificationLevel::None,
        }
    }
}

/// What one rule says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The rule, as the policy has it: `sources.deny: git+**`. Not yet safe to show.
    pub rule: String,
    /// Where it stands.
    pub at: RulePosition,
    /// What it says.
    pub verdict: RuleVerdict,
}

/// What a rule says about a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleVerdict {
    /// It is about something else.
    NotApplicable,
    /// It is kept.
    Satisfied,
    /// It is not.
    Refused(Box<Refusal>),
    /// It can only be said once the package is here, with its name and its signature.
    Undecided,
    /// It refuses nothing by itself: it binds what the program does with it.
    Binding,
}

/// Why a policy refuses something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The source is denied.
    #[error("the policy {at} denies the source `{place}` (`{}`); take another source, or ask whoever keeps the policy", Sanitized(.pattern))]
    SourceDenied {
        /// The rule.
        at: RulePosition,
        /// The source, safe to show.
        place: String,
        /// The pattern that matches.
        pattern: String,
    },
    /// The source is not one of those that are allowed.
    #[error(
        "the policy {at} does not allow the source `{place}`; take one that `sources.allow` lists, or ask whoever keeps the policy"
    )]
    SourceNotAllowed {
        /// The rule.
        at: RulePosition,
        /// The source, safe to show.
        place: String,
    },
    /// The plugin is denied.
    #[error("the policy {at} denies the plugin `{}`; ask whoever keeps the policy", Sanitized(.name))]
    PluginDenied {
        /// The rule.
        at: RulePosition,
        /// The plugin's name.
        name: String,
    },
    /// The plugin is not verified well enough.
    #[error("the policy {at} asks for {}, but {} is {}; {}", required_words(*.least), shown_name(.name), found_level(*.found), next_step(*.least))]
    TooWeak {
        /// The rule.
        at: RulePosition,
        /// The plugin's name, or its source; safe to show.
        name: String,
        /// The least that counts.
        least: VerificationLevel,
        /// What there is.
        found: VerificationLevel,
    },
    /// Somebody signed the plugin who may not, or nobody did.
    #[error("the policy {at} wants {} to be signed by {}, but it is {}; ask whoever keeps the policy", shown_name(.name), .allowed.join(" or "), signed_by(.found))]
    Signer {
        /// The rule.
        at: RulePosition,
        /// The plugin's name, or its source; safe to show.
        name: String,
        /// Who signed it, safe to show.
        found: Option<String>,
        /// Who may, safe to show.
        allowed: Vec<String>,
    },
    /// Changes were accepted since the plugin was installed, and what verified it does not cover them.
    #[error("the policy {at} asks for {}, and changes of {} were accepted since it was installed, which {} does not cover; restore it with `{restore}`",
        required_words(*.least), shown_name(.name), covered_by(*.found))]
    Accepted {
        /// The rule.
        at: RulePosition,
        /// The plugin's name, safe to show.
        name: String,
        /// The least that counts.
        least: VerificationLevel,
        /// How it was verified when it was installed.
        found: VerificationLevel,
        /// The command that brings back what was installed, safe to show.
        restore: String,
    },
    /// The host is too old.
    #[error("the policy {at} asks for {} {minimum} or newer, and this is {version}; update it", Sanitized(.host))]
    HostTooOld {
        /// The rule.
        at: RulePosition,
        /// The host's name.
        host: String,
        /// Its version.
        version: Version,
        /// The oldest version that is allowed.
        minimum: Version,
    },
}

impl Classified for Refusal {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::TooWeak { .. } | Self::Signer { .. } | Self::Accepted { .. } => ErrorKind::PolicyVerification,
            Self::SourceDenied { .. }
            | Self::SourceNotAllowed { .. }
            | Self::PluginDenied { .. }
            | Self::HostTooOld { .. } => ErrorKind::Policy,
        }
    }
}

impl Refusal {
    /// The rule that refuses.
    pub fn at(&self) -> &RulePosition {
        match self {
            Self::SourceDenied { at, .. }
            | Self::SourceNotAllowed { at, .. }
            | Self::PluginDenied { at, .. }
            | Self::TooWeak { at, .. }
            | Self::Signer { at, .. }
            | Self::Accepted { at, .. }
            | Self::HostTooOld { at, .. } => at,
        }
    }
}

fn shown_name(name: &str) -> String {
    if name.is_empty() { "it".to_owned() } else { format!("`{name}`") }
}

fn required_words(least: VerificationLevel) -> &'static str {
    match least {
        VerificationLevel::Signature => "a signature",
        VerificationLevel::Digest => "a signature or a digest",
        VerificationLevel::None => "nothing",
    }
}

fn found_level(found: VerificationLevel) -> &'static str {
    match found {
        VerificationLevel::Signature => "signed",
        VerificationLevel::Digest => "verified by a digest only",
        VerificationLevel::None => "not verified",
    }
}

fn covered_by(found: VerificationLevel) -> &'static str {
    match found {
        VerificationLevel::Signature => "its signature",
        VerificationLevel::Digest => "its digest",
        VerificationLevel::None => "nothing",
    }
}

fn next_step(least: VerificationLevel) -> &'static str {
    match least {
        VerificationLevel::Signature => "install a signed package of it",
        _ => "install a signed package of it, or one that you name the digest of",
    }
}

fn signed_by(found: &Option<String>) -> String {
    found.as_ref().map_or_else(|| "not signed".to_owned(), |signer| format!("signed by {signer}"))
}

impl Policy {
    /// What each rule says about `request`, file after file.
    pub fn decide(&self, request: &PolicyRequest<'_>) -> Vec<Decision> {
        let mut decisions = Vec::new();
        self.each_decision(request, |rule, at, verdict| {
            decisions.push(Decision { rule: rule.to_string(), at: at.clone(), verdict });
            true
        });
        decisions
    }

    /// Refuses `request` where a rule does.
    ///
    /// # Errors
    /// The first refusal.
    pub fn judge(&self, request: &PolicyRequest<'_>) -> Result<(), Refusal> {
        let mut refusal = Ok(());
        self.each_decision(request, |_, _, verdict| match verdict {
            RuleVerdict::Refused(why) => {
                refusal = Err(*why);
                false
            }
            RuleVerdict::NotApplicable | RuleVerdict::Satisfied | RuleVerdict::Undecided | RuleVerdict::Binding => true,
        });
        refusal
    }

    /// The least that counts as verified for what is called `name` or comes from `places`, and the rule that says so: also one
    /// that says who must have signed.
    pub fn required_level(&self, name: Option<&str>, locations: &[SourceLocation]) -> Option<Rule<VerificationLevel>> {
        let mut least: Option<Rule<VerificationLevel>> = None;
        let mut take = |value, at: &RulePosition| {
            if least.as_ref().is_none_or(|least| least.value < value) {
                least = Some(Rule { value, at: at.clone() });
            }
        };
        for file in self.files.iter() {
            if let Some(rule) = &file.verification {
                take(rule.value, &rule.at);
            }
            for rule in file.signers.iter().filter(|rule| rule.value.is_about(name, locations)) {
                take(VerificationLevel::Signature, &rule.at);
            }
        }
        least.filter(|least| least.value != VerificationLevel::None)
    }

    /// Whether a rule is about sources.
    pub fn judges_sources(&self) -> bool {
        let by_source = |rule: &Rule<SignerRule>| rule.value.source.is_some();
        self.files.iter().any(|file| file.allow.is_some() || !file.deny.is_empty() || file.signers.iter().any(by_source))
    }

    /// Whether a rule says by name who must have signed.
    pub fn has_signers_by_name(&self) -> bool {
        self.files.iter().flat_map(|file| &file.signers).any(|rule| rule.value.name.is_some())
    }

    /// Refuses a place that is denied, whatever is allowed: for what is fetched and not installed.
    ///
    /// # Errors
    /// [`Refusal::SourceDenied`].
    pub fn judge_denied(&self, locations: &[SourceLocation]) -> Result<(), Refusal> {
        for rule in self.files.iter().flat_map(|file| &file.deny) {
            denied(rule, locations)?;
        }
        Ok(())
    }

    /// Tells `take` what each rule says, as long as it wants more: the rule, where it stands and what it says. Every run is
    /// judged, and few are explained: the rule is put into words by who shows it.
    fn each_decision(
        &self,
        request: &PolicyRequest<'_>,
        mut take: impl FnMut(fmt::Arguments<'_>, &RulePosition, RuleVerdict) -> bool,
    ) {
        let PolicyRequest { name, locations, proof, accepted, installed } = *request;
        let arriving = if installed { &[][..] } else { locations };
        let called = || match (name, locations.first()) {
            (Some(name), _) => Sanitized(name).to_string(),
            (None, place) => place.map(|place| place.shown().to_owned()).unwrap_or_default(),
        };
        // What was verified is what must still be there.
        let unaccepted = |at: &RulePosition, least, proof: Proof<'_>| match accepted {
            Some(restore) if least > VerificationLevel::None => Err(Refusal::Accepted {
                at: at.clone(),
                name: called(),
                least,
                found: proof.verification(),
                restore: Sanitized(restore).to_string(),
            }),
            _ => Ok(()),
        };
        for file in self.files.iter() {
            if let (Some(rule), Some((host, version))) = (&file.minimum_host_version, &self.host) {
                let judged = host_is_new_enough(rule, host, version);
                if !take(format_args!("minimumHostVersion: {}", rule.value), &rule.at, verdict(true, judged)) {
                    return;
                }
            }
            for rule in &file.deny {
                if !take(format_args!("sources.deny: {}", rule.value), &rule.at, verdict(false, denied(rule, arriving))) {
                    return;
                }
            }
            if let Some(rule) = &file.allow
                && !take(
                    format_args!("{}", Allow(&rule.value)),
                    &rule.at,
                    verdict(!arriving.is_empty(), allowed(rule, arriving)),
                )
            {
                return;
            }
            for rule in &file.plugins {
                let said = match name {
                    Some(name) if rule.value.matches_name(name) => {
                        RuleVerdict::Refused(Box::new(Refusal::PluginDenied { at: rule.at.clone(), name: name.to_owned() }))
                    }
                    Some(_) => RuleVerdict::NotApplicable,
                    None => RuleVerdict::Undecided,
                };
                if !take(format_args!("plugins.deny: {}", rule.value), &rule.at, said) {
                    return;
                }
            }
            if let Some(rule) = &file.verification {
                let said = proof.map_or(RuleVerdict::Undecided, |proof| {
                    let judged = match proof.verification() < rule.value {
                        true => Err(Refusal::TooWeak {
                            at: rule.at.clone(),
                            name: called(),
                            least: rule.value,
                            found: proof.verification(),
                        }),
                        false => unaccepted(&rule.at, rule.value, proof),
                    };
                    verdict(true, judged)
                });
                if !take(format_args!("verification: {}", rule.value.as_str()), &rule.at, said) {
                    return;
                }
            }
            for rule in &file.signers {
                let about = rule.value.is_about(name, locations);
                let said = match proof {
                    Some(proof) if about => {
                        let judged = rule.value.check(&rule.at, proof, called);
                        verdict(true, judged.and_then(|()| unaccepted(&rule.at, VerificationLevel::Signature, proof)))
                    }
                    None if about || name.is_none() && rule.value.name.is_some() => RuleVerdict::Undecided,
                    _ => RuleVerdict::NotApplicable,
                };
                if !take(format_args!("{}", rule.value), &rule.at, said) {
                    return;
                }
            }
            if let Some(rule) = &file.hooks
                && !take(format_args!("hooks: {}", rule.value.as_str()), &rule.at, RuleVerdict::Binding)
            {
                return;
            }
            if let Some(rule) = &file.audit
                && !take(format_args!("audit: required"), &rule.at, RuleVerdict::Binding)
            {
                return;
            }
        }
    }
}

/// What a rule says that is `about` the subject, or is not.
fn verdict(about: bool, judged: Result<(), Refusal>) -> RuleVerdict {
    match judged {
        Err(why) => RuleVerdict::Refused(Box::new(why)),
        Ok(()) if about => RuleVerdict::Satisfied,
        Ok(()) => RuleVerdict::NotApplicable,
    }
}

fn host_is_new_enough(rule: &Rule<Version>, host: &str, version: &Version) -> Result<(), Refusal> {
    if version.cmp_precedence(&rule.value).is_ge() {
        return Ok(());
    }
    let (at, host) = (rule.at.clone(), host.to_owned());
    Err(Refusal::HostTooOld { at, host, version: version.clone(), minimum: rule.value.clone() })
}

fn denied(rule: &Rule<Pattern>, locations: &[SourceLocation]) -> Result<(), Refusal> {
    match locations.iter().find(|place| rule.value.may_match(place)) {
        Some(place) => Err(Refusal::SourceDenied {
            at: rule.at.clone(),
            place: place.shown().to_owned(),
            pattern: rule.value.to_string(),
        }),
        None => Ok(()),
    }
}

fn allowed(rule: &Rule<Vec<Rule<Pattern>>>, locations: &[SourceLocation]) -> Result<(), Refusal> {
    let allowed = |place: &&SourceLocation| rule.value.iter().any(|pattern| pattern.value.surely_matches(place));
    match locations.iter().find(|place| !allowed(place)) {
        Some(place) => Err(Refusal::SourceNotAllowed { at: rule.at.clone(), place: place.shown().to_owned() }),
        None => Ok(()),
    }
}

/// The rule about what is allowed, in words.
struct Allow<'a>(&'a [Rule<Pattern>]);

impl fmt::Display for Allow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patterns: Vec<_> = self.0.iter().map(|pattern| pattern.value.to_string()).collect();
        write!(f, "sources.allow: [{}]", patterns.join(", "))
    }
}

impl SignerRule {
    /// Whether it is about what is called `name` or comes from one of `places`.
    fn is_about(&self, name: Option<&str>, locations: &[SourceLocation]) -> bool {
        let by_name = self.name.as_ref().zip(name).is_some_and(|(pattern, name)| pattern.matches_name(name));
        by_name || self.source.as_ref().is_some_and(|pattern| locations.iter().any(|place| pattern.may_match(place)))
    }

    fn check(&self, at: &RulePosition, proof: Proof<'_>, called: impl Fn() -> String) -> Result<(), Refusal> {
        let found = match proof {
            Proof::Signature { fingerprint, subkey } => {
                let is_listed =
                    |key: &str| self.fingerprints.iter().any(|own| own.eq_ignore_ascii_case(key) && same_form(own, key));
                if is_listed(fingerprint) || subkey.is_some_and(is_listed) {
                    return Ok(());
                }
                Some(Sanitized(fingerprint).to_string())
            }
            Proof::Digest | Proof::Nothing => None,
        };
        let allowed = self.fingerprints.iter().map(|fingerprint| Sanitized(fingerprint).to_string()).collect();
        Err(Refusal::Signer { at: at.clone(), name: called(), found, allowed })
    }
}

/// The fingerprint of an SSH key is base64, where upper and lower case differ.
fn same_form(own: &str, key: &str) -> bool {
    !own.starts_with("SHA256:") || own == key
}

impl fmt::Display for SignerRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("signers: {")?;
        if let Some(source) = &self.source {
            write!(f, "source: {source}, ")?;
        }
        if let Some(name) = &self.name {
            write!(f, "name: {name}, ")?;
        }
        write!(f, "fingerprints: [{}]}}", self.fingerprints.join(", "))
    }
}
