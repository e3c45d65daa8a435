//! What plugins depend on and no plugin owns: settings, policies, trust, keyrings, the environment, programs, the cache.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Finding, Fix, chain, chmod};
use crate::files::{self, OtherWriters};
use crate::intake::provenance::{FullFingerprint, Keyring, Signer, SignerState};
use crate::manager::Manager;
use crate::policy::{Policy, PolicyFile, PolicyPath};
use crate::settings::{self, Settings, SettingsError};
use crate::text::Sanitized;
use crate::trust;

/// Bytes of a file of allowed signers.
const MAX_ALLOWED_SIGNERS: u64 = 16 << 20;

impl Manager<'_> {
    pub(super) fn look_at_surroundings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.look_at_settings(&mut findings);
        self.look_at_policies(&mut findings);
        self.look_at_trust(&mut findings);
        self.look_at_keyrings(&mut findings);
        self.look_at_allowed_signers(&mut findings);
        self.look_at_environment(&mut findings);
        self.look_at_programs(&mut findings);
        self.look_at_directories(&mut findings);
        findings
    }

    fn look_at_settings(&self, findings: &mut Vec<Finding>) {
        let path = self.homes.config.path.join(settings::FILE_NAME);
        if let Err(error) = Settings::load(&self.homes.config.path) {
            let line = match &error {
                SettingsError::Invalid { error, .. } => Some(error.at().line),
                _ => None,
            };
            let help = "no command but this one works before it is put right";
            findings.push(Finding::error("settings", chain(&error)).at(&path).line(line).help(help));
        }
    }

    fn look_at_policies(&self, findings: &mut Vec<Finding>) {
        for candidate in Policy::candidates(self.host, self.homes) {
            match PolicyFile::read(&candidate) {
                Ok(None) => {}
                Ok(Some(file)) => {
                    findings.push(Finding::note("policy", policy_note(&candidate)).at(&candidate.path));
                    for rule in &file.signers {
                        for fingerprint in &rule.value.fingerprints {
                            if !is_whole(fingerprint) {
                                let text = format!(
                                    "`{}` is no whole fingerprint, so no key has it and the rule refuses every signer",
                                    Sanitized(fingerprint)
                                );
                                let finding = Finding::warning("policy-fingerprint", text);
                                let help = "`gpg --fingerprint` shows all digits of one";
                                findings.push(finding.at(&rule.at.file).line(Some(rule.at.line)).help(help));
                            }
                        }
                    }
                }
                Err(error) => {
                    let finding = Finding::error("policy-unusable", chain(&error)).at(error.path());
                    let finding = finding.line(error.mark().map(|mark| mark.line));
                    findings.push(finding.help("no command but this one works before it is put right"));
                }
            }
        }
    }

    fn look_at_trust(&self, findings: &mut Vec<Finding>) {
        if let Err(error) = self.trusted() {
            let finding = Finding::error("trust", chain(&error)).at(error.path());
            let finding = finding.line(error.mark().map(|mark| mark.line));
            findings.push(finding.help("nothing that is signed is installed before it is put right"));
        }
    }

    fn look_at_keyrings(&self, findings: &mut Vec<Finding>) {
        let own = self.keyring_path();
        let add = self.command("keyring add FILE");
        let in_force = match Keyring::locate(&[], self.host, self.homes) {
            Ok(keyring) => Some(keyring),
            Err(error) => {
                let finding = Finding::error("keyring", chain(&error)).at(&own);
                findings.push(finding.help(format!("nothing that is signed can be verified; {add} adds a key")));
                None
            }
        };
        // A keyring that somebody named has a place of its own, and messages of its own name it.
        let is_own = self.host.variable("KEYRING").is_none() && own.exists();
        let place = |finding: Finding| if is_own { finding.at(&own) } else { finding };
        if let Some(keyring) = in_force {
            for skipped in keyring.skipped() {
                let finding = Finding::warning("keyring-skipped", skipped);
                findings.push(place(finding.help("remove it, or replace it by a good copy")));
            }
            if keyring.is_empty() {
                let text = format!("there are no keys: {}", keyring.describe());
                findings.push(Finding::note("keyring-empty", text).help(format!("{add} adds one")));
            }
            findings.extend(keyring.signers().iter().filter_map(signer_finding).map(place));
        }
        if let Some((name, _)) = self.host.variable("KEYRING").filter(|_| own.exists()) {
            let text = format!("{name} is set, so this keyring does not count");
            findings.push(Finding::note("keyring-unused", text).at(&own));
        }
        for path in std::iter::once(own.clone()).chain(entries(&own)) {
            findings.extend(writable(&path, "who may change a keyring decides whose plugins are installed"));
        }
    }

    fn look_at_allowed_signers(&self, findings: &mut Vec<Finding>) {
        let path = self.homes.config.path.join("allowed_signers");
        let bytes = match files::read_bounded(&path, MAX_ALLOWED_SIGNERS) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                findings.push(Finding::error("allowed-signers", "it is far too large; is it the right file?").at(&path));
                return;
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => return,
            Err(e) => {
                let text = format!("the allowed signers cannot be read: {e}");
                findings
                    .push(Finding::error("allowed-signers", text).at(&path).help("check that it is a file and its mode"));
                return;
            }
        };
        findings.extend(writable(&path, "who may change it decides whose git tags count"));
        let text = String::from_utf8_lossy(&bytes);
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') && !names_a_key(line) {
                let text = "the line names no key: it needs a principal, options if any, a key's type and the key";
                let finding = Finding::warning("allowed-signers", text).at(&path).line(Some(number));
                findings.push(finding.help("as in `ann@example.com namespaces=\"git\" ssh-ed25519 AAAA...`"));
            }
        }
        if !is_on_path("ssh-keygen") {
            findings.push(Finding::note("program", "`ssh-keygen` is not on PATH; SSH signatures of git need it"));
        }
    }

    fn look_at_environment(&self, findings: &mut Vec<Finding>) {
        if let Some(name) = self.host.plugins_off() {
            let text = format!("{name} is set, so no plugin can be run");
            findings.push(Finding::warning("environment", text).help(format!("unset {name}")));
        }
        if let Some((name, list)) = self.host.variable("PLUGINS") {
            for path in std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()) {
                if path.is_relative() {
                    let text = format!("{name} has a relative path, which means another directory from each place");
                    findings.push(Finding::warning("environment", text).at(&path).help("write the whole path"));
                }
            }
        }
    }

    fn look_at_programs(&self, findings: &mut Vec<Finding>) {
        for (program, needed) in [
            ("git", "plugins cannot be installed from git repositories"),
            ("gpg", "packages cannot be signed with keys that GnuPG holds"),
        ] {
            if !is_on_path(program) {
                findings.push(Finding::note("program", format!("`{program}` is not on PATH: {needed}")));
            }
        }
    }

    /// The directories that are ours, and the files in them that decide something.
    fn look_at_directories(&self, findings: &mut Vec<Finding>) {
        let config = &self.homes.config.path;
        let why = "who may change it decides what is trusted";
        for path in [config.clone(), config.join(settings::FILE_NAME), config.join(trust::FILE_NAME)] {
            findings.extend(writable(&path, why));
        }
        let cache = &self.homes.cache.path;
        for path in std::iter::once(cache.clone()).chain(entries(cache)) {
            findings.extend(writable(&path, "what is kept there is used again later"));
        }
    }
}

fn policy_note(candidate: &PolicyPath) -> String {
    match &candidate.named_by {
        Some(variable) => format!("a policy is in force (named by {variable})"),
        None => "a policy is in force".to_owned(),
    }
}

/// What is wrong with a key.
fn signer_finding(signer: &Signer) -> Option<Finding> {
    let who = match signer.user_ids.first() {
        Some(user_id) => format!("{user_id} ({})", signer.fingerprint),
        None => signer.fingerprint.clone(),
    };
    let problem = signer.problem.clone().unwrap_or_default();
    let (code, text) = match signer.state {
        SignerState::Valid => return None,
        SignerState::Expired => ("key-expired", format!("the key of {who} has expired: {problem}")),
        SignerState::Revoked => ("key-revoked", format!("the key of {who} is revoked: nothing that it signed counts")),
        SignerState::Unusable => ("key-unusable", format!("the key of {who} cannot be used: {problem}")),
    };
    let help = match signer.state {
        SignerState::Expired => "ask its owner for the renewed key, and add that",
        _ => "remove it, once no plugin of its owner is wanted",
    };
    Some(Finding::warning(code, text).help(help))
}

/// Whether others may write to `path`, which must not be. Their right is taken away where it is the mode that gives it.
fn writable(path: &Path, why: &str) -> Option<Finding> {
    let metadata = fs::metadata(path).ok()?;
    let writers = OtherWriters::of(&metadata)?;
    let text = format!("others may change it ({}): {why}", writers.why());
    Some(match writers {
        OtherWriters::Owner => Finding::warning("foreign-owner", text).at(path).help(format!("`{}`", writers.mend(path))),
        OtherWriters::Mode if files::is_sticky(&metadata) => return None,
        OtherWriters::Mode => {
            let mend = Fix::Mode(path.to_owned(), 0o022);
            Finding::error("writable", text).at(path).help(chmod("go-w", path)).mend(mend)
        }
    })
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// A fingerprint of OpenPGP or SSH that names one key.
fn is_whole(fingerprint: &str) -> bool {
    match fingerprint.strip_prefix("SHA256:") {
        Some(digest) => digest.len() == 43,
        None => fingerprint.parse::<FullFingerprint>().is_ok(),
    }
}

/// Whether a line of allowed signers has a key behind its principal and options.
fn names_a_key(line: &str) -> bool {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let is_type =
        |word: &str| ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-sha2-"].iter().any(|start| word.starts_with(start));
    words.windows(2).skip(1).any(|pair| matches!(pair, [kind, key] if is_type(kind) && key.starts_with("AAAA")))
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let name = if cfg!(windows) { format!("{program}.exe") } else { program.to_owned() };
    std::env::split_paths(&path).any(|directory| directory.join(&name).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_allowed_signers() {
        for line in [
            "a@h ssh-ed25519 AAAAC3",
            "a@h,b@h namespaces=\"git\" ssh-rsa AAAAB3 comment",
            "* cert-authority ecdsa-sha2-nistp256 AAAAE2",
        ] {
            assert!(names_a_key(line), "{line}");
        }
        for line in ["a@h", "ssh-ed25519 AAAAC3", "a@h ssh-ed25519", "a@h AAAAC3 ssh-ed25519"] {
            assert!(!names_a_key(line), "{line}");
        }
    }

    #[test]
    fn whole_fingerprints() {
        assert!(is_whole(&"A".repeat(40)) && is_whole(&format!("SHA256:{}", "a".repeat(43))));
        assert!(!is_whole("ABCD...") && !is_whole("SHA256:abc") && !is_whole(&"A".repeat(16)));
    }

    #[test]
    fn words_of_others_are_safe_to_show() {
        assert!(!Finding::note("x", "a\x1b[31m").message.contains(char::is_control));
    }
}
