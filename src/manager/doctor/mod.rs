//! `plugin doctor`: looks at everything that could be wrong, says where and what to do, and with `--fix` puts right what can
//! be without a loss: files that are missing are put back, too. A file that somebody changed is never touched: the command that restores it
//! is named instead.
//!
//! | file | what it looks at |
//! |---|---|
//! | `plugins` | the store, what the policy and the keyring say of installed plugins |
//! | `surroundings` | settings, policies, trust, keyrings, environment, programs, the cache |
//! | `explain` | what each rule of the policy says of a plugin or source |

mod explain;
mod plugins;
mod surroundings;

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use super::Manager;
use crate::text::sanitized;
use crate::trust::TrustFile;

pub use explain::{ExplainError, ExplainedGate, ExplainedRule, PolicyExplanation};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum FindingSeverity {
    /// Something does not work, or is not safe.
    Error,
    /// Something should be put right.
    Warning,
    /// Something that is good to know.
    Note,
}

impl FindingSeverity {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How bad it is.
    pub severity: FindingSeverity,
    /// What kind of thing it is, in a word that stays the same: `plugin-changed`.
    pub code: &'static str,
    /// What it is, safe to show.
    pub message: String,
    /// The plugin that it is about.
    pub plugin: Option<String>,
    /// The file or directory.
    #[serde(serialize_with = "lossy")]
    pub file: Option<PathBuf>,
    /// The line in the file.
    pub line: Option<u32>,
    /// What to do about it, safe to show.
    pub help: Option<String>,
    /// Whether it was put right.
    pub fixed: bool,
    /// How it can be put right without a loss.
    #[serde(skip)]
    mend: Option<Fix>,
}

/// How something can be put right without a loss.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fix {
    /// By taking these permission bits away from a file or directory.
    Mode(PathBuf, u32),
    /// By clearing up the store.
    Tidy,
    /// By putting back what is missing of a plugin.
    Restore(String),
    /// By forgetting which changes of a plugin were accepted that is no longer there.
    Forget(String),
}

/// What `plugin doctor -o json` prints.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnosis {
    /// Whether no error is left.
    pub ok: bool,
    /// What was found, the worst first.
    pub findings: Vec<Finding>,
}

impl Finding {
    fn new(severity: FindingSeverity, code: &'static str, message: impl AsRef<str>) -> Self {
        Self {
            severity,
            code,
            message: sanitized(message.as_ref()).into_owned(),
            plugin: None,
            file: None,
            line: None,
            help: None,
            fixed: false,
            mend: None,
        }
    }

    fn error(code: &'static str, message: impl AsRef<str>) -> Self {
        Self::new(FindingSeverity::Error, code, message)
    }

    fn warning(code: &'static str, message: impl AsRef<str>) -> Self {
        Self::new(FindingSeverity::Warning, code, message)
    }

    fn note(code: &'static str, message: impl AsRef<str>) -> Self {
        Self::new(FindingSeverity::Note, code, message)
    }

    fn of(mut self, plugin: &str) -> Self {
        self.plugin = Some(plugin.to_owned());
        self
    }

    fn at(mut self, file: &Path) -> Self {
        self.file = Some(file.to_owned());
        self
    }

    fn line(mut self, line: Option<u32>) -> Self {
        self.line = line;
        self
    }

    fn help(mut self, help: impl AsRef<str>) -> Self {
        self.help = Some(sanitized(help.as_ref()).into_owned());
        self
    }

    fn mend(mut self, mend: Fix) -> Self {
        self.mend = Some(mend);
        self
    }

    /// Whether `other` is about the same thing.
    fn is_same(&self, other: &Self) -> bool {
        (self.code, &self.plugin, &self.file, self.line) == (other.code, &other.plugin, &other.file, other.line)
    }
}

impl Diagnosis {
    fn of(mut findings: Vec<Finding>) -> Self {
        findings.sort_by(|a, b| {
            let key = |finding: &Finding| (finding.severity, finding.code);
            key(a).cmp(&key(b)).then_with(|| (&a.plugin, &a.file, a.line).cmp(&(&b.plugin, &b.file, b.line)))
        });
        let ok = findings.iter().all(|finding| finding.fixed || finding.severity != FindingSeverity::Error);
        Self { ok, findings }
    }
}

impl Manager<'_> {
    /// Looks at everything; with `fix`, puts right what can be without a loss and looks again. Settings and policies are read
    /// anew: what is wrong with them is found too, and the manager may have been made without them.
    pub fn diagnose(&self, fix: bool) -> Diagnosis {
        let mut found = self.examine_all();
        if !fix {
            return Diagnosis::of(found);
        }
        let failures = self.mend(&found);
        let left = self.examine_all();
        found.retain(|finding| !left.iter().any(|other| finding.is_same(other)));
        // What is no longer there and nobody mended has gone with something that was.
        found.iter_mut().for_each(|finding| finding.fixed = true);
        found.extend(left);
        found.extend(failures);
        Diagnosis::of(found)
    }

    fn examine_all(&self) -> Vec<Finding> {
        let mut findings = self.look_at_surroundings();
        findings.extend(self.look_at_plugins());
        findings
    }

    /// Puts right what can be, and says what could not.
    fn mend(&self, findings: &[Finding]) -> Vec<Finding> {
        let mut failures = Vec::new();
        for finding in findings {
            let failed = |reason: String| Finding::error("fix-failed", format!("cannot mend this: {reason}"));
            match &finding.mend {
                Some(Fix::Mode(path, bits)) => {
                    if let Err(e) = take_bits(path, *bits) {
                        failures.push(failed(e.to_string()).at(path));
                    }
                }
                Some(Fix::Forget(name)) => {
                    let forget = |trusted: &mut TrustFile| trusted.accepted.retain(|accepted| accepted.name != *name);
                    if let Err(e) = TrustFile::change(&self.homes.config.path, forget) {
                        failures.push(failed(e.to_string()).of(name));
                    }
                }
                Some(Fix::Restore(name)) => {
                    if let Err(e) = self.restore(name, &self.default_fetch_options()) {
                        failures.push(failed(chain(&e)).of(name));
                    }
                }
                Some(Fix::Tidy) | None => {}
            }
        }
        // Once for all of them, and after the modes, which may stand in its way.
        if findings.iter().any(|finding| finding.mend == Some(Fix::Tidy))
            && let Err(e) = self.store().tidy(self.report)
        {
            failures.push(Finding::error("fix-failed", format!("cannot clear up the store: {}", chain(&e))));
        }
        failures
    }

    fn command(&self, words: &str) -> String {
        format!("`{} plugin {words}`", self.host.name())
    }
}

/// Takes permission bits away; a link is not followed, since it would lead to somebody else's file.
fn take_bits(path: &Path, bits: u32) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let metadata = path.symlink_metadata()?;
        if !metadata.is_symlink() {
            let mode = metadata.permissions().mode() & 0o7777 & !bits;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        }
    }
    #[cfg(not(unix))]
    let _ = (path, bits);
    Ok(())
}

/// An error with its causes in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// A path as text: one that is not UTF-8 must not keep the findings from being shown.
fn lossy<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_ref().map(|path| path.to_string_lossy()).serialize(serializer)
}

/// The command that takes `bits` (`go-w`) from `path`.
fn chmod(bits: &str, path: &Path) -> String {
    format!("`chmod {bits} '{}'`", sanitized(&path.to_string_lossy()).replace('\'', "'\\''"))
}
