//! What of receipts is nobody else's to read. Receipts can be read by whoever can read the plugins; the query of a source's URL, which
//! may hold a token, is kept apart in `.state/private/<name>.json`, for updates alone, and what the receipt has of it is masked.
//!
//! One file serves all receipts of a plugin: that of the installed version, the one before it, and the one that comes. Each is known by its
//! tree. An entry too many does no harm, so it is written before the receipts are, and what no receipt speaks of is taken out later.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::receipt::{Receipt, ReceiptFile, RecordedSource};
use super::tree::TreeId;
use super::{Root, disk};
use crate::files;
use crate::text::masked_source;

/// More than the URLs of a few receipts can take.
const MAX_BYTES: u64 = 1 << 20;

/// How a query that is kept apart stands in a receipt.
const MASK: &str = "?***";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PrivateReceipt {
    /// The tree of the receipt that this belongs to.
    tree: TreeId,
    /// The URL as it was asked for.
    asked: String,
    /// The URL that it came to be.
    resolved: Option<String>,
}

/// Where the private part of the receipt at `receipt` is: that of a version before is beside its plugin's.
fn path_of(receipt: &Path) -> Option<PathBuf> {
    let parent = receipt.parent()?;
    let state = if parent.ends_with("previous") { parent.parent()? } else { parent };
    Some(state.join("private").join(receipt.file_name()?))
}

impl RecordedSource {
    fn has_query(&self) -> bool {
        let has = |text: &str| text.contains("://") && text.contains('?') && !text.ends_with(MASK);
        has(&self.asked) || self.resolved.as_deref().is_some_and(has)
    }

    /// Whether the query that belongs to it is not known: it is kept apart, and cannot be read or is gone.
    pub fn lacks_query(&self) -> bool {
        self.asked.contains("://") && self.asked.ends_with(MASK)
    }

    fn masked(&self) -> Self {
        let mask = |text: &String| if text.contains("://") { masked_source(text) } else { text.clone() };
        Self { asked: mask(&self.asked), resolved: self.resolved.as_ref().map(mask), ..self.clone() }
    }
}

/// Puts the queries of the receipts in `file` back, which was read at `path`, as far as they can be read.
pub(super) fn fill(file: &mut ReceiptFile, path: &Path) {
    let is_masked = |text: &str| text.contains("://") && text.ends_with(MASK);
    let wants =
        |receipt: &Receipt| is_masked(&receipt.source.asked) || receipt.source.resolved.as_deref().is_some_and(is_masked);
    if ![&file.current, &file.next].into_iter().flatten().any(wants) {
        return;
    }
    let entries = path_of(path).map(|path| read(&path)).unwrap_or_default();
    for receipt in [&mut file.current, &mut file.next].into_iter().flatten() {
        let known = entries.iter().find(|entry| entry.tree == receipt.tree);
        // It belongs to this receipt only if it says the same.
        if let Some(PrivateReceipt { asked, resolved, .. }) = known {
            let full = RecordedSource { asked: asked.clone(), resolved: resolved.clone(), ..receipt.source.clone() };
            if full.masked() == receipt.source {
                receipt.source = full;
            }
        }
    }
}

/// Writes the queries of the receipts in `file`, which is about to be written at `path`, to their own place. Gives the file without
/// them; `None` where it has none.
pub(super) fn split(file: &ReceiptFile, path: &Path) -> io::Result<Option<ReceiptFile>> {
    let receipts = || [&file.current, &file.next].into_iter().flatten().filter(|receipt| receipt.source.has_query());
    let Some(place) = path_of(path).filter(|_| receipts().next().is_some()) else { return Ok(None) };
    let before = read(&place);
    let mut entries = before.clone();
    for receipt in receipts() {
        entries.retain(|entry| entry.tree != receipt.tree);
        let RecordedSource { asked, resolved, .. } = receipt.source.clone();
        entries.push(PrivateReceipt { tree: receipt.tree, asked, resolved });
    }
    // Which of them changed last is no difference.
    entries.sort_by(|a, b| (&a.asked, a.tree.inode).cmp(&(&b.asked, b.tree.inode)));
    if entries != before {
        write(&place, &entries)?;
    }
    let mut public = file.clone();
    for receipt in [&mut public.current, &mut public.next].into_iter().flatten() {
        receipt.source = receipt.source.masked();
    }
    Ok(Some(public))
}

/// Takes out what no receipt of `dir` speaks of any more.
pub(super) fn prune(root: &Root, dir: &str) -> io::Result<()> {
    let receipt = root.receipt(dir);
    let Some(place) = path_of(&receipt).filter(|place| disk::exists(place)) else { return Ok(()) };
    let mut trees = Vec::new();
    for path in [receipt, root.previous_receipt(dir)] {
        // One that cannot be read may speak of any of them.
        let Ok(file) = ReceiptFile::read_head(&path) else { return Ok(()) };
        let receipts = file.into_iter().flat_map(|file| [file.current, file.next]).flatten();
        trees.extend(receipts.map(|receipt| receipt.tree));
    }
    let before = read(&place);
    let kept: Vec<PrivateReceipt> = before.iter().filter(|entry| trees.contains(&entry.tree)).cloned().collect();
    match kept.as_slice() {
        [] => {
            disk::remove_file(&place)?;
            remove_if_empty(root);
            Ok(())
        }
        kept if *kept == *before => Ok(()),
        kept => write(&place, kept),
    }
}

/// [`prune`] of all plugins in `root`.
pub(super) fn prune_all(root: &Root) -> io::Result<()> {
    for entry in fs::read_dir(root.private()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.starts_with(disk::TEMPORARY) {
            disk::remove_file(&entry.path())?;
        } else if let Some(dir) = name.strip_suffix(".json") {
            prune(root, dir)?;
        }
    }
    // A killed writer leaves it with nothing in it.
    remove_if_empty(root);
    Ok(())
}

fn remove_if_empty(root: &Root) {
    let _ = fs::remove_dir(root.private());
}

/// What cannot be read is as good as lost: who wants to update is told.
fn read(path: &Path) -> Vec<PrivateReceipt> {
    let bytes = files::read_bounded(path, MAX_BYTES).ok().flatten();
    bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

fn write(path: &Path, entries: &[PrivateReceipt]) -> io::Result<()> {
    path.parent().map_or(Ok(()), files::create_private_dir)?;
    disk::write_private(path, &serde_json::to_vec(entries)?)
}
