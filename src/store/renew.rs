//! Trees that cannot be renamed. Those of a lower layer of a container image are of this kind: overlayfs without `redirect_dir` answers
//! `EXDEV` for their directories, though not for files. A tree that is to leave its place is then replaced by its own copy, which can:
//!
//! 1. A copy is made in `.state/renewed`, under a temporary name.
//! 2. It is renamed to the name of what it is a copy of: from here on it is known to be whole.
//! 3. The tree is removed, and the copy renamed to its place.
//!
//! What is killed before step 2 changed nothing; after it, the next writer does step 3 again. Readers wait meanwhile for
//! `.state/renewed` to go.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::files;

use super::error::StoreError;
use super::tree::TreeId;
use super::{Root, disk};

/// What may have to be renewed of a plugin; `dir` is the name of its directory.
#[derive(Debug, Clone, Copy)]
pub(super) enum Renewed<'d> {
    Plugin(&'d str),
    Previous(&'d str),
}

impl Renewed<'_> {
    fn place(self, root: &Root) -> PathBuf {
        match self {
            Self::Plugin(dir) => root.plugin(dir),
            Self::Previous(dir) => root.previous(dir),
        }
    }

    /// Where its whole copy waits.
    fn copy(self, root: &Root) -> PathBuf {
        root.renewed().join(match self {
            Self::Plugin(dir) => format!("{dir}{PLUGIN}"),
            Self::Previous(dir) => format!("{dir}{PREVIOUS}"),
        })
    }

    /// What waits under the name `copy`; `None` for one that is not whole.
    fn waiting(copy: &str) -> Option<Renewed<'_>> {
        let whole = Some(copy).filter(|copy| !copy.starts_with(disk::TEMPORARY))?;
        let plugin = whole.strip_suffix(PLUGIN).map(Renewed::Plugin);
        plugin.or_else(|| whole.strip_suffix(PREVIOUS).map(Renewed::Previous))
    }
}

/// How the names of whole copies end.
const PLUGIN: &str = ".plugin";
const PREVIOUS: &str = ".previous";

/// Renames the directory of a plugin to `to`, renewing it first where it cannot be renamed.
pub(super) fn rename(root: &Root, dir: &str, to: &Path) -> Result<(), StoreError> {
    let from = root.plugin(dir);
    let mut result = disk::rename(&from, to);
    if result.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::CrossesDevices) {
        renew(root, Renewed::Plugin(dir))?;
        result = disk::rename(&from, to);
    }
    result.map_err(|source| StoreError::io("rename", &from, source))
}

/// Replaces a tree by its own copy, and says which it is now. What is no directory can be renamed as it is.
pub(super) fn renew(root: &Root, what: Renewed<'_>) -> Result<Option<TreeId>, StoreError> {
    let place = what.place(root);
    let failed = |source| StoreError::io("renew", &place, source);
    if fs::symlink_metadata(&place).map_err(failed)?.is_dir() {
        copy(root, what).and_then(|()| put(root, what)).and_then(|()| clear_up(root)).map_err(failed)?;
    }
    TreeId::of(&place).map_err(failed)
}

/// Steps 1 and 2.
fn copy(root: &Root, what: Renewed<'_>) -> io::Result<()> {
    files::create_private_dir(&root.renewed())?;
    let begun = tempfile::Builder::new().prefix(disk::TEMPORARY).tempdir_in(root.renewed())?;
    let tree = begun.path().join("tree");
    disk::copy_tree(&what.place(root), &tree)?;
    disk::rename(&tree, &what.copy(root))
}

/// Ends every renewal that was killed, and clears up after it.
pub(super) fn finish(root: &Root) -> Result<(), StoreError> {
    put_all(root).map_err(|source| StoreError::io("change", &root.renewed(), source))
}

fn put_all(root: &Root) -> io::Result<()> {
    let entries = match fs::read_dir(root.renewed()) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let name = entry?.file_name();
        if let Some(what) = name.to_str().and_then(Renewed::waiting) {
            put(root, what)?;
        }
    }
    clear_up(root)
}

/// Step 3.
fn put(root: &Root, what: Renewed<'_>) -> io::Result<()> {
    let place = what.place(root);
    disk::remove_tree(&place)?;
    disk::rename(&what.copy(root), &place)
}

fn clear_up(root: &Root) -> io::Result<()> {
    disk::remove_tree(&root.renewed())
}
