//! Whether anything that the gate would look at of a plugin has changed, told by stamps alone: so that a list can say again what the gate
//! said, without reading a file.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;
use crate::manifest::{MODULE_NAME, Metadata, RuntimeConfig};

use super::receipt::Receipt;
use super::tree::{self, FileStamp};

/// What the gate looks at of one plugin, and what all of it looked like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct GateSnapshot {
    /// Paths in the plugin's directory beside the directory itself.
    paths: Vec<String>,
    /// The digest of all stamps.
    seen: Sha256Digest,
    /// When the last of it changed.
    newest: i64,
}

impl GateSnapshot {
    /// Looks at what the gate would look at of the plugin in `dir`: what its receipt and its commands name, and the directories in which
    /// something that they name could appear.
    pub(super) fn new(dir: &Path, metadata: &Metadata, receipt: Option<&Receipt>) -> Self {
        let mut paths = BTreeSet::from([".".to_owned()]);
        paths.extend(receipt.into_iter().flat_map(|receipt| &receipt.executables).map(|file| file.path.clone()));
        match metadata.runtime {
            RuntimeConfig::Subprocess(_) => {
                for path in tree::named_paths(metadata, None) {
                    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
                    let parts = ends.map(|end| path[..end].to_owned());
                    paths.extend(parts.take_while(|part| fs::symlink_metadata(dir.join(part)).is_ok()));
                }
            }
            RuntimeConfig::Extism(_) => {
                paths.insert(MODULE_NAME.to_owned());
            }
        }
        let paths: Vec<String> = paths.into_iter().collect();
        let (seen, newest) = read_stamps(dir, &paths);
        Self { paths, seen, newest }
    }

    /// The same, never to be believed again: something counted that is not among it.
    pub(super) fn invalidated(self) -> Self {
        Self { newest: i64::MAX, ..self }
    }

    /// Whether all of it still looks as it did.
    pub(super) fn is_current(&self, dir: &Path) -> bool {
        read_stamps(dir, &self.paths).0 == self.seen
    }

    /// Whether a change after `now` would show.
    pub(super) fn shows_changes_after(&self, now: i64) -> bool {
        FileStamp { modified: self.newest, changed: self.newest, inode: 0 }.shows_changes_after(now)
    }
}

/// The digest of the stamps of `dir` itself, which may be a link, and of what lies at `paths` in it, and when the last of them changed.
fn read_stamps(dir: &Path, paths: &[String]) -> (Sha256Digest, i64) {
    let mut text = Vec::with_capacity(32 * (paths.len() + 1));
    let mut newest = 0;
    let all = std::iter::once(fs::symlink_metadata(dir)).chain(paths.iter().map(|path| fs::metadata(dir.join(path))));
    for metadata in all {
        let Ok(metadata) = metadata else {
            text.push(0);
            continue;
        };
        let FileStamp { modified, changed, inode } = FileStamp::of(&metadata);
        newest = newest.max(modified).max(changed);
        text.push(1);
        for number in [metadata.len(), modified.cast_unsigned(), changed.cast_unsigned(), inode] {
            text.extend_from_slice(&number.to_le_bytes());
        }
    }
    (Sha256Digest::of(&text), newest)
}
