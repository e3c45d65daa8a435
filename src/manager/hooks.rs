//! Hooks between a verb and the runtime: shown and agreed to before anything changes, then run through the gate.
//!
//! What a hook that failed means for the verb is the verb's to say.

use crate::manifest::Metadata;
use crate::policy::HookPolicy;
use crate::report::Consent;
use crate::runtime::{
    Confinement, Environment, HookError, HookEvent, HookOutcome, RunTarget, StdoutUse, has_hook, hook_line, run_hook,
};
use crate::settings::Sandbox;
use crate::store::{GateError, Store, VerificationMethod};
use crate::text::{Sanitized, shown_word};

use super::Manager;

/// Why a hook did not do its work.
#[derive(Debug)]
pub(super) enum HookFailure {
    /// The plugin may not be run.
    Gate(GateError),
    /// It did not run, or failed.
    Hook(HookError),
}

impl Manager<'_> {
    /// Whether `hooks` are wanted and the plugin has one for `event`, which the user then agreed to: the question comes before
    /// anything is changed, so that a "no" leaves nothing half made. Where nobody can be asked, whoever started the work agrees to
    /// the hook of what was verified, or is their own, and to no other.
    pub(super) fn agreed_hook(
        &self,
        metadata: &Metadata,
        event: HookEvent,
        verified: VerificationMethod,
        hooks: bool,
    ) -> Result<bool, HookError> {
        if !hooks || !has_hook(metadata, event) {
            return Ok(false);
        }
        let plugin = || metadata.name.clone();
        if let Some(rule) = self.policy.hooks().filter(|rule| rule.value == HookPolicy::Forbid) {
            return Err(HookError::Forbidden { plugin: plugin(), event, at: rule.at.to_string() });
        }
        if let Some(variable) = self.host.plugins_off() {
            return Err(HookError::SwitchedOff { plugin: plugin(), event, variable });
        }
        // Without a command for this platform it fails by itself, and says why.
        let Some(line) = hook_line(metadata, event) else { return Ok(true) };
        let words: Vec<String> = line.into_iter().map(shown_word).collect();
        let what = format!("the {event} hook of plugin `{}` runs:\n  {}", metadata.name, words.join(" "));
        let question = match self.settings.hooks.sandbox {
            Sandbox::Off if self.hook_policy() == HookPolicy::Allow => "run it, with all your rights?",
            _ => "run it?",
        };
        match (self.report.ask_consent(&what, question), verified) {
            (Consent::Yes, _)
            | (
                Consent::Unattended,
                VerificationMethod::Signature | VerificationMethod::Digest | VerificationMethod::Local,
            ) => Ok(true),
            (Consent::Unattended, VerificationMethod::None) => Err(HookError::Unasked { plugin: plugin(), event }),
            (Consent::No, _) => Err(HookError::Declined { plugin: plugin(), event }),
        }
    }

    /// Runs the hook of the installed plugin `name` through the gate, like everything that runs.
    pub(super) fn run_hook(&self, store: &Store, name: &str, event: HookEvent) -> Result<(), HookFailure> {
        let plugin = store.open_plugin(name, self.settings.gate).map_err(HookFailure::Gate)?;
        plugin.warnings.iter().for_each(|warning| self.report.warning(warning));
        let environment = Environment::new(self.host, self.homes, self.debug);
        let mut settings = self.settings.hooks.clone();
        // The user may ask for more than the organisation does, and not for less.
        let asked = self.policy.hooks().filter(|rule| rule.value >= HookPolicy::Sandbox);
        if asked.is_some() {
            settings.sandbox = Sandbox::Require;
        }
        let results = if self.report.reserves_stdout() { StdoutUse::Document } else { StdoutUse::Text };
        let ran = run_hook(RunTarget::from(&plugin), event, &environment, &settings, results).map_err(|error| {
            asked.map(|rule| rule.at.to_string()).into_iter().fold(error, |error, at| error.confined_by(&at))
        });
        if let HookOutcome::Ran(confinement @ (Confinement::Impossible | Confinement::ExceptTruncation)) =
            ran.map_err(HookFailure::Hook)?
        {
            self.report.detail(&format!("about the {event} hook of plugin `{}`: {confinement}", Sanitized(name)));
        }
        Ok(())
    }

    /// What the organisation lets hooks do.
    fn hook_policy(&self) -> HookPolicy {
        self.policy.hooks().map_or(HookPolicy::Allow, |rule| rule.value)
    }
}
