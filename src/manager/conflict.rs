//! An install without `--force` that finds a plugin of that name in its place: the very same is fine, anything else is an error that
//! shows both and says what to do.

use std::fs;

use crate::intake::source::Source;
use crate::intake::source::version::Range;
use crate::manifest::PluginName;
use crate::store::{DifferenceKind, InstallKind, InstalledPlugin, Receipt, StagedPlugin, StoreError, StoreLock};
use crate::text::{Sanitized, quoted};

use super::admit::source_identity;
use super::audit::AuditNote;
use super::{InstallError, Installation, Manager};

/// What is in the place of a plugin that is to be installed, and what came.
pub(super) struct InstallConflict<'a> {
    pub(super) found: &'a InstalledPlugin,
    pub(super) receipt: Option<&'a Receipt>,
    pub(super) staged: StagedPlugin,
    pub(super) source: &'a Source,
}

impl Manager<'_> {
    /// The end of an install that finds something in its place. Where it is the same, its receipt takes over a better proof.
    pub(super) fn resolve_conflict(
        &self,
        lock: &StoreLock<'_>,
        conflict: &InstallConflict<'_>,
        note: &mut AuditNote,
    ) -> Result<Installation, InstallError> {
        let InstallConflict { found, receipt, staged, source } = conflict;
        let name = staged.metadata().name.clone();
        if found.link && !found.directory.exists() {
            let path = found.directory.clone();
            return Err(StoreError::InTheWay { path, what: "a symbolic link that points nowhere" }.into());
        }
        let same_version = found.metadata.is_ok() && found.version_text() == staged.metadata().version_text();
        if !(same_version && self.is_same(found, *receipt, staged, source)) {
            return Err(self.conflict_error(conflict, same_version, name));
        }
        if let Some(differences) = self.describe_changes(found, *receipt, &name)? {
            let next = format!("`{}` puts it right, `--force` replaces it", self.store().restore_command(name.as_str()));
            let there = format!("{} with changed files ({differences})", describe_installed(found, *receipt));
            return Err(InstallError::Conflict { name, there, offered: describe_staged(staged), next });
        }
        if !lock.upgrade_verification(found, staged)? {
            note.event = None;
        }
        Ok(Installation {
            version: staged.metadata().version.as_ref().map(ToString::to_string),
            directory: found.directory.clone(),
            evidence: staged.evidence().cloned(),
            already_there: true,
            replaced: None,
            name,
        })
    }

    /// Whether what came is what is there: the same bytes, and not of another registry, repository or owner.
    fn is_same(&self, found: &InstalledPlugin, receipt: Option<&Receipt>, staged: &StagedPlugin, source: &Source) -> bool {
        match (staged.kind(), receipt) {
            (InstallKind::Link, _) => {
                let target = fs::canonicalize(&staged.source().asked).ok();
                found.link && target.is_some() && target == fs::canonicalize(&found.directory).ok()
            }
            (_, None) => false,
            (kind, Some(receipt)) if kind != receipt.kind => false,
            (InstallKind::Copy, Some(receipt)) => {
                let known = receipt.all_files();
                let same = known.len() == staged.files().len();
                same && known
                    .iter()
                    .zip(staged.files())
                    .all(|(known, came)| known.path == came.path && known.sha256 == came.sha256)
            }
            (InstallKind::Package, Some(receipt)) => {
                let archive = receipt.archive.as_ref().map(|archive| archive.sha256);
                let revision = staged.source().revision.as_ref();
                // The same commit may be packed differently by another version of this program.
                let same_bytes = archive.is_some() && archive == staged.package_digest()
                    || revision.is_some() && revision == receipt.source.revision.as_ref();
                same_bytes && self.is_same_origin(receipt, source)
            }
        }
    }

    /// Whether `source` is where the plugin of `receipt` came from, versions aside. A file of this machine says nothing of an origin.
    fn is_same_origin(&self, receipt: &Receipt, source: &Source) -> bool {
        if matches!(source, Source::Archive(_)) {
            return true;
        }
        let installed = self.parse_source(&receipt.source.asked);
        installed.is_ok_and(|installed| match (&installed, source) {
            // A server has many paths for one file, and one for each version.
            (Source::Http(_), Source::Http(_)) => installed.server() == source.server(),
            _ => source_identity(&installed) == source_identity(source),
        })
    }

    /// How the files that are there differ from what was installed, in words.
    fn describe_changes(
        &self,
        found: &InstalledPlugin,
        receipt: Option<&Receipt>,
        name: &PluginName,
    ) -> Result<Option<String>, InstallError> {
        if found.link || receipt.is_none() {
            return Ok(None);
        }
        let damage = self.store().damage(name.as_str())?;
        let differences = damage.differences.iter().filter(|one| one.kind != DifferenceKind::Added);
        let words: Vec<String> = differences.take(3).map(ToString::to_string).collect();
        Ok((!words.is_empty()).then(|| words.join(", ")))
    }

    /// The error that shows what is there and what came.
    fn conflict_error(&self, conflict: &InstallConflict<'_>, same_version: bool, name: PluginName) -> InstallError {
        let InstallConflict { found, receipt, staged, source } = conflict;
        let next = match receipt {
            Some(receipt) if !same_version => self.update_hint(receipt, staged, source, &name),
            _ => None,
        };
        InstallError::Conflict {
            name,
            there: describe_installed(found, *receipt),
            offered: describe_staged(staged),
            next: next.map_or_else(|| "`--force` replaces it".to_owned(), |next| format!("{next}, `--force` replaces it")),
        }
    }

    /// What brings the plugin of `receipt` to the version that came, where an update does.
    fn update_hint(&self, receipt: &Receipt, staged: &StagedPlugin, source: &Source, name: &PluginName) -> Option<String> {
        let to = staged.metadata().version.as_ref()?;
        let newer = receipt.version.as_ref().and_then(|version| version.parse().ok()).is_some_and(|from| *to > from);
        let update = format!("{} plugin update {}", self.host.name(), quoted(name.as_str()));
        let one_file = matches!(source, Source::Archive(_) | Source::Http(_) | Source::Directory(_));
        if receipt.kind == InstallKind::Link || !self.is_same_origin(receipt, source) {
            return None;
        }
        if one_file {
            let same_file = receipt.source.asked == staged.source().asked;
            return (newer && same_file).then(|| format!("`{update}` brings it up to date")).or_else(|| {
                // It is asked where it came from, which is another file than this one.
                newer.then(|| format!("`{update}` looks for a newer one at {}", receipt.shown_source()))
            });
        }
        let follows =
            receipt.constraint.as_deref().is_none_or(|range| Range::parse(range).is_ok_and(|range| range.matches(to)));
        let exact = receipt.source.asked != staged.source().asked || receipt.held;
        Some(match newer && follows && !exact {
            true => format!("`{update}` brings it up to date"),
            false => format!("`{update} --to {}` moves it", quoted(&to.to_string())),
        })
    }
}

/// What is there, in words.
fn describe_installed(found: &InstalledPlugin, receipt: Option<&Receipt>) -> String {
    let version = match found.version_text() {
        version if version.is_empty() => "an unknown version".to_owned(),
        version => format!("version {}", Sanitized(&version)),
    };
    let how = match receipt {
        _ if found.link => {
            let target = fs::read_link(&found.directory).unwrap_or_default();
            format!("a link to {}", Sanitized(&target.to_string_lossy()))
        }
        None => "copied in by hand or by another program".to_owned(),
        Some(receipt) => match receipt.kind {
            InstallKind::Link => format!("a link to {}", receipt.shown_source()),
            InstallKind::Copy => format!("a copy of {}", receipt.shown_source()),
            InstallKind::Package => {
                let digest = receipt.archive.as_ref().map(|archive| format!(" (sha256:{})", archive.sha256));
                format!("from {}{}", receipt.shown_source(), digest.unwrap_or_default())
            }
        },
    };
    format!("{version}, {how}")
}

/// What came, in words.
fn describe_staged(staged: &StagedPlugin) -> String {
    let version = match staged.metadata().version_text() {
        version if version.is_empty() => "an unknown version".to_owned(),
        version => format!("version {version}"),
    };
    let digest = staged.package_digest().map(|digest| format!(" (sha256:{digest})"));
    let source = crate::text::masked_source(&staged.source().asked);
    format!("{version}, from {source}{}", digest.unwrap_or_default())
}
