//! What all rules together say about a plugin: each that is about it, and the first that refuses it.

use std::fmt;

use semver::Version;

use super::{At, Pattern, Place, Policy, Ruled, SignerRule, Verification};
use crate::text::Plain;

/// What is judged, as far as it is known. What is not known yet is not judged.
#[derive(Debug, Clone, Copy, Default)]
pub struct Subject<'a> {
    /// The plugin's name.
    pub name: Option<&'a str>,
    /// Everywhere that it comes from: as it was asked for, as that was resolved, after redirects. Each must be allowed.
    pub places: &'a [Place],
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
    pub fn verification(&self) -> Verification {
        match self {
            Self::Signature { .. } => Verification::Signature,
            Self::Digest => Verification::Digest,
            Self::Nothing => Verification::None,
        }
    }
}

/// What one rule says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The rule, as the policy has it: `sources.deny: git+**`. Not yet safe to show.
    pub rule: String,
    /// Where it stands.
    pub at: At,
    /// What it says.
    pub verdict: Verdict,
}

/// What a rule says about a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is about something else.
    Silent,
    /// It is kept.
    Kept,
    /// It is not.
    Refused(Box<Refusal>),
    /// It can only be said once the package is here, with its name and its signature.
    Later,
    /// It refuses nothing by itself: it binds what the program does with it.
    Binds,
}

/// Why a policy refuses something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The source is denied.
    #[error("the policy {at} denies the source `{place}` (`{}`); take another source, or ask whoever keeps the policy", Plain(.pattern))]
    SourceDenied {
        /// The rule.
        at: At,
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
        at: At,
        /// The source, safe to show.
        place: String,
    },
    /// The plugin is denied.
    #[error("the policy {at} denies the plugin `{}`; ask whoever keeps the policy", Plain(.name))]
    PluginDenied {
        /// The rule.
        at: At,
        /// The plugin's name.
        name: String,
    },
    /// The plugin is not verified well enough.
    #[error("the policy {at} asks for {}, but {} is {}; {}", asked(*.least), subject(.name), weakly(*.found), next(*.least))]
    TooWeak {
        /// The rule.
        at: At,
        /// The plugin's name, or its source; safe to show.
        name: String,
        /// The least that counts.
        least: Verification,
        /// What there is.
        found: Verification,
    },
    /// Somebody signed the plugin who may not, or nobody did.
    #[error("the policy {at} wants {} to be signed by {}, but it is {}; ask whoever keeps the policy", subject(.name), .allowed.join(" or "), signed_by(.found))]
    Signer {
        /// The rule.
        at: At,
        /// The plugin's name, or its source; safe to show.
        name: String,
        /// Who signed it, safe to show.
        found: Option<String>,
        /// Who may, safe to show.
        allowed: Vec<String>,
    },
    /// Changes were accepted since the plugin was installed, and what verified it does not cover them.
    #[error("the policy {at} asks for {}, and changes of {} were accepted since it was installed, which {} does not cover; restore it with `{restore}`",
        asked(*.least), subject(.name), covered_by(*.found))]
    Accepted {
        /// The rule.
        at: At,
        /// The plugin's name, safe to show.
        name: String,
        /// The least that counts.
        least: Verification,
        /// How it was verified when it was installed.
        found: Verification,
        /// The command that brings back what was installed, safe to show.
        restore: String,
    },
    /// The host is too old.
    #[error("the policy {at} asks for {} {minimum} or newer, and this is {version}; update it", Plain(.host))]
    HostTooOld {
        /// The rule.
        at: At,
        /// The host's name.
        host: String,
        /// Its version.
        version: Version,
        /// The oldest version that is allowed.
        minimum: Version,
    },
}

impl Refusal {
    /// The rule that refuses.
    pub fn at(&self) -> &At {
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

    /// Whether it is about how something is verified (exit code 3), rather than what or where it is.
    pub fn is_verification(&self) -> bool {
        matches!(self, Self::TooWeak { .. } | Self::Signer { .. } | Self::Accepted { .. })
    }
}

fn subject(name: &str) -> String {
    if name.is_empty() { "it".to_owned() } else { format!("`{name}`") }
}

fn asked(least: Verification) -> &'static str {
    match least {
        Verification::Signature => "a signature",
        Verification::Digest => "a signature or a digest",
        Verification::None => "nothing",
    }
}

fn weakly(found: Verification) -> &'static str {
    match found {
        Verification::Signature => "signed",
        Verification::Digest => "verified by a digest only",
        Verification::None => "not verified",
    }
}

fn covered_by(found: Verification) -> &'static str {
    match found {
        Verification::Signature => "its signature",
        Verification::Digest => "its digest",
        Verification::None => "nothing",
    }
}

fn next(least: Verification) -> &'static str {
    match least {
        Verification::Signature => "install a signed package of it",
        _ => "install a signed package of it, or one that you name the digest of",
    }
}

fn signed_by(found: &Option<String>) -> String {
    found.as_ref().map_or_else(|| "not signed".to_owned(), |signer| format!("signed by {signer}"))
}

impl Policy {
    /// What each rule says about `subject`, file after file.
    pub fn decide(&self, subject: &Subject<'_>) -> Vec<Decision> {
        let mut decisions = Vec::new();
        self.each_decision(subject, |rule, at, verdict| {
            decisions.push(Decision { rule: rule.to_string(), at: at.clone(), verdict });
            true
        });
        decisions
    }

    /// Refuses `subject` where a rule does.
    ///
    /// # Errors
    /// The first refusal.
    pub fn judge(&self, subject: &Subject<'_>) -> Result<(), Refusal> {
        let mut refusal = Ok(());
        self.each_decision(subject, |_, _, verdict| match verdict {
            Verdict::Refused(why) => {
                refusal = Err(*why);
                false
            }
            Verdict::Silent | Verdict::Kept | Verdict::Later | Verdict::Binds => true,
        });
        refusal
    }

    /// The least that counts as verified for what is called `name` or comes from `places`, and the rule that says so: also one
    /// that says who must have signed.
    pub fn least(&self, name: Option<&str>, places: &[Place]) -> Option<Ruled<Verification>> {
        let mut least: Option<Ruled<Verification>> = None;
        let mut take = |value, at: &At| {
            if least.as_ref().is_none_or(|least| least.value < value) {
                least = Some(Ruled { value, at: at.clone() });
            }
        };
        for file in self.files.iter() {
            if let Some(rule) = &file.verification {
                take(rule.value, &rule.at);
            }
            for rule in file.signers.iter().filter(|rule| rule.value.is_about(name, places)) {
                take(Verification::Signature, &rule.at);
            }
        }
        least.filter(|least| least.value != Verification::None)
    }

    /// Whether a rule is about sources.
    pub fn judges_sources(&self) -> bool {
        let by_source = |rule: &Ruled<SignerRule>| rule.value.source.is_some();
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
    pub fn judge_denied(&self, places: &[Place]) -> Result<(), Refusal> {
        for rule in self.files.iter().flat_map(|file| &file.deny) {
            denied(rule, places)?;
        }
        Ok(())
    }

    /// Tells `take` what each rule says, as long as it wants more: the rule, where it stands and what it says. Every run is
    /// judged, and few are explained: the rule is put into words by who shows it.
    fn each_decision(&self, subject: &Subject<'_>, mut take: impl FnMut(fmt::Arguments<'_>, &At, Verdict) -> bool) {
        let Subject { name, places, proof, accepted, installed } = *subject;
        let arriving = if installed { &[][..] } else { places };
        let called = || match (name, places.first()) {
            (Some(name), _) => Plain(name).to_string(),
            (None, place) => place.map(|place| place.shown().to_owned()).unwrap_or_default(),
        };
        // What was verified is what must still be there.
        let unaccepted = |at: &At, least, proof: Proof<'_>| match accepted {
            Some(restore) if least > Verification::None => Err(Refusal::Accepted {
                at: at.clone(),
                name: called(),
                least,
                found: proof.verification(),
                restore: Plain(restore).to_string(),
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
                        Verdict::Refused(Box::new(Refusal::PluginDenied { at: rule.at.clone(), name: name.to_owned() }))
                    }
                    Some(_) => Verdict::Silent,
                    None => Verdict::Later,
                };
                if !take(format_args!("plugins.deny: {}", rule.value), &rule.at, said) {
                    return;
                }
            }
            if let Some(rule) = &file.verification {
                let said = proof.map_or(Verdict::Later, |proof| {
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
                let about = rule.value.is_about(name, places);
                let said = match proof {
                    Some(proof) if about => {
                        let judged = rule.value.check(&rule.at, proof, called);
                        verdict(true, judged.and_then(|()| unaccepted(&rule.at, Verification::Signature, proof)))
                    }
                    None if about || name.is_none() && rule.value.name.is_some() => Verdict::Later,
                    _ => Verdict::Silent,
                };
                if !take(format_args!("{}", rule.value), &rule.at, said) {
                    return;
                }
            }
            if let Some(rule) = &file.hooks
                && !take(format_args!("hooks: {}", rule.value.as_str()), &rule.at, Verdict::Binds)
            {
                return;
            }
            if let Some(rule) = &file.audit
                && !take(format_args!("audit: required"), &rule.at, Verdict::Binds)
            {
                return;
            }
        }
    }
}

/// What a rule says that is `about` the subject, or is not.
fn verdict(about: bool, judged: Result<(), Refusal>) -> Verdict {
    match judged {
        Err(why) => Verdict::Refused(Box::new(why)),
        Ok(()) if about => Verdict::Kept,
        Ok(()) => Verdict::Silent,
    }
}

fn host_is_new_enough(rule: &Ruled<Version>, host: &str, version: &Version) -> Result<(), Refusal> {
    if version.cmp_precedence(&rule.value).is_ge() {
        return Ok(());
    }
    let (at, host) = (rule.at.clone(), host.to_owned());
    Err(Refusal::HostTooOld { at, host, version: version.clone(), minimum: rule.value.clone() })
}

fn denied(rule: &Ruled<Pattern>, places: &[Place]) -> Result<(), Refusal> {
    match places.iter().find(|place| rule.value.may_match(place)) {
        Some(place) => Err(Refusal::SourceDenied {
            at: rule.at.clone(),
            place: place.shown().to_owned(),
            pattern: rule.value.to_string(),
        }),
        None => Ok(()),
    }
}

fn allowed(rule: &Ruled<Vec<Ruled<Pattern>>>, places: &[Place]) -> Result<(), Refusal> {
    let allowed = |place: &&Place| rule.value.iter().any(|pattern| pattern.value.surely_matches(place));
    match places.iter().find(|place| !allowed(place)) {
        Some(place) => Err(Refusal::SourceNotAllowed { at: rule.at.clone(), place: place.shown().to_owned() }),
        None => Ok(()),
    }
}

/// The rule about what is allowed, in words.
struct Allow<'a>(&'a [Ruled<Pattern>]);

impl fmt::Display for Allow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patterns: Vec<_> = self.0.iter().map(|pattern| pattern.value.to_string()).collect();
        write!(f, "sources.allow: [{}]", patterns.join(", "))
    }
}

impl SignerRule {
    /// Whether it is about what is called `name` or comes from one of `places`.
    fn is_about(&self, name: Option<&str>, places: &[Place]) -> bool {
        let by_name = self.name.as_ref().zip(name).is_some_and(|(pattern, name)| pattern.matches_name(name));
        by_name || self.source.as_ref().is_some_and(|pattern| places.iter().any(|place| pattern.may_match(place)))
    }

    fn check(&self, at: &At, proof: Proof<'_>, called: impl Fn() -> String) -> Result<(), Refusal> {
        let found = match proof {
            Proof::Signature { fingerprint, subkey } => {
                let is_listed =
                    |key: &str| self.fingerprints.iter().any(|own| own.eq_ignore_ascii_case(key) && same_form(own, key));
                if is_listed(fingerprint) || subkey.is_some_and(is_listed) {
                    return Ok(());
                }
                Some(Plain(fingerprint).to_string())
            }
            Proof::Digest | Proof::Nothing => None,
        };
        let allowed = self.fingerprints.iter().map(|fingerprint| Plain(fingerprint).to_string()).collect();
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
