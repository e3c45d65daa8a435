//! Trees that cannot be renamed. Those of a lower layer of a container image are of this kind: overlayfs without `redirect_dir` answers
//! `EXDEV` for their directories, though not for files. A tree that is to leave its place is then replaced by its own copy, which can:
//!
//! 1. A copy is made in `.state/renewed`, under a temporary name.
//! 2. It is renamed to the name of what it is a copy of: from here on it is known to be whole.
//! 3. The tree is removed, and the copy renamed to its place.
//!
//! What is killed before step 2 changed nothing; after it, the next writer does step 3 again. If step 3 fails, since something
//! in the tree cannot be removed, what is gone of it comes back from the copy. Readers wait meanwhile for
//! `.state/renewed` to go.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use crate::files;

use super::error::StoreError;
use super::tree::TreeId;
use super::{Root, disk};

/// What may have to be renewed of a plugin; `dir` is the name of its directory.
#[derive(Debug, Clone, Copy)]
pub(super) enum CopyUpTarget<'d> {
    Plugin(&'d str),
    Previous(&'d str),
}

impl CopyUpTarget<'_> {
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
    fn waiting(copy: &str) -> Option<CopyUpTarget<'_>> {
        let whole = Some(copy).filter(|copy| !copy.starts_with(disk::TEMPORARY))?;
        let plugin = whole.strip_suffix(PLUGIN).map(CopyUpTarget::Plugin);
        plugin.or_else(|| whole.strip_suffix(PREVIOUS).map(CopyUpTarget::Previous))
    }
}

/// How the names of whole copies end.
const PLUGIN: &str = ".plugin";
const PREVIOUS: &str = ".previous";

/// Entries that are copied of one tree, and bytes: ten times what a package may bring, as for whoever compares the files.
const MAX_ENTRIES: u64 = 1_000_000;
const MAX_BYTES: u64 = 40 << 30;

/// Renames the directory of a plugin to `to`, renewing it first where it cannot be renamed.
pub(super) fn rename(root: &Root, dir: &str, to: &Path) -> Result<(), StoreError> {
    let from = root.plugin(dir);
    let mut result = disk::rename(&from, to);
    if result.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::CrossesDevices) {
        copy_up(root, CopyUpTarget::Plugin(dir))?;
        result = disk::rename(&from, to);
    }
    result.map_err(|source| StoreError::io("rename", &from, source))
}

/// Replaces a tree by its own copy, and says which it is now. What is no directory can be renamed as it is.
pub(super) fn copy_up(root: &Root, what: CopyUpTarget<'_>) -> Result<Option<TreeId>, StoreError> {
    let place = what.place(root);
    let failed = |source| StoreError::io("renew", &place, source);
    if fs::symlink_metadata(&place).map_err(failed)?.is_dir() {
        copy(root, what).and_then(|()| replace_with_copy(root, what)).and_then(|()| clear_up(root)).map_err(failed)?;
    }
    TreeId::of(&place).map_err(failed)
}

/// Steps 1 and 2.
fn copy(root: &Root, what: CopyUpTarget<'_>) -> io::Result<()> {
    files::create_private_dir(&root.renewed())?;
    let begun = tempfile::Builder::new().prefix(disk::TEMPORARY).tempdir_in(root.renewed())?;
    let tree = begun.path().join("tree");
    copy_tree(&what.place(root), &tree)?;
    disk::rename(&tree, &what.copy(root))
}

/// Ends every renewal that was killed, and clears up after it.
pub(super) fn finish(root: &Root) -> Result<(), StoreError> {
    replace_all(root).map_err(|source| StoreError::io("change", &root.renewed(), source))
}

fn replace_all(root: &Root) -> io::Result<()> {
    let entries = match fs::read_dir(root.renewed()) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let name = entry?.file_name();
        if let Some(what) = name.to_str().and_then(CopyUpTarget::waiting) {
            replace_with_copy(root, what)?;
        }
    }
    clear_up(root)
}

/// Step 3; if it fails, the place is made whole again.
fn replace_with_copy(root: &Root, what: CopyUpTarget<'_>) -> io::Result<()> {
    use io::ErrorKind::{AlreadyExists, DirectoryNotEmpty};
    let (copy, place) = (what.copy(root), what.place(root));
    // Where nothing can be renamed to that place, for whatever reason, this shows it before anything is removed.
    let result = match disk::rename(&copy, &place) {
        Err(e) if matches!(e.kind(), AlreadyExists | DirectoryNotEmpty) => {
            disk::remove_tree(&place).and_then(|()| disk::rename(&copy, &place))
        }
        result => result,
    };
    if result.is_err() && copy_tree(&copy, &place).is_ok() {
        // Not removed at once: half a copy must never be taken for a whole one.
        let _ = disk::rename(&copy, &root.renewed().join(format!("{}given-up", disk::TEMPORARY)));
    }
    result
}

/// Replaces the version before in the directory `dir` by `tree`, of which no receipt says that it changes, in the same way.
pub(super) fn put_previous(root: &Root, dir: &str, tree: &Path) -> Result<(), StoreError> {
    let what = CopyUpTarget::Previous(dir);
    let waits = files::create_private_dir(&root.renewed()).and_then(|()| disk::rename(tree, &what.copy(root)));
    let put = waits.and_then(|()| replace_with_copy(root, what)).and_then(|()| clear_up(root));
    put.map_err(|source| StoreError::io("change", &what.place(root), source))
}

fn clear_up(root: &Root) -> io::Result<()> {
    disk::remove_tree(&root.renewed())
}

/// Copies what is in `from` to `to`, where what is there already and as long stays: with modes, times and, as far as we may,
/// owners. A link stays a link, whatever it points to.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    let (mut entries, mut bytes) = (0_u64, 0_u64);
    let mut directories = Vec::new();
    for entry in walkdir::WalkDir::new(from).follow_links(false) {
        let entry = entry?;
        let metadata = entry.metadata()?;
        (entries, bytes) = (entries + 1, bytes.saturating_add(metadata.len()));
        if entries > MAX_ENTRIES || bytes > MAX_BYTES {
            return Err(io::Error::other(format!("it has more than {MAX_ENTRIES} files or {MAX_BYTES} bytes")));
        }
        let target = to.join(entry.path().strip_prefix(from).map_err(io::Error::other)?);
        if metadata.is_dir() {
            if disk::create_dir(&target)? {
                directories.push((target, metadata));
            }
        } else if !metadata.is_file() && !metadata.is_symlink() {
            return Err(io::Error::other(format!("{} is neither a file nor a directory", entry.path().display())));
        } else if !fs::symlink_metadata(&target).is_ok_and(|there| there.len() == metadata.len()) {
            disk::copy_entry(entry.path(), &target).and_then(|()| copy_attributes(&target, &metadata))?;
        }
    }
    // The innermost first, and all of them last: one may let nobody write to it.
    directories.iter().rev().try_for_each(|(target, metadata)| copy_attributes(target, metadata))
}

/// Gives what is at `path`, a copy, what else there is to know of what it was made from.
fn copy_attributes(path: &Path, from: &Metadata) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown};
        let ours = fs::symlink_metadata(path)?;
        let same = (ours.uid(), ours.gid()) == (from.uid(), from.gid());
        let is_theirs = same || lchown(path, Some(from.uid()), Some(from.gid())).is_ok();
        if from.is_symlink() {
            return Ok(());
        }
        File::open(path)?.set_modified(from.modified()?)?;
        // What runs with its owner's rights must not come to run with ours.
        let kept = if is_theirs { 0o7777 } else { 0o1777 };
        fs::set_permissions(path, fs::Permissions::from_mode(from.mode() & kept))?;
    }
    #[cfg(not(unix))]
    let _ = (path, from, File::open::<&Path>);
    Ok(())
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    /// A tree with everything that a plugin's may hold.
    fn tree(at: &Path) {
        fs::create_dir_all(at.join("empty")).unwrap();
        fs::create_dir(at.join("closed")).unwrap();
        for (path, mode) in [("run.sh", 0o755), ("data", 0o640), ("closed/secret", 0o400), ("closed/sticky", 0o1644)] {
            fs::write(at.join(path), path).unwrap();
            fs::set_permissions(at.join(path), fs::Permissions::from_mode(mode)).unwrap();
        }
        File::options().write(true).open(at.join("data")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        symlink("/etc/passwd", at.join("leaves")).unwrap();
        symlink("nowhere", at.join("closed/dangles")).unwrap();
        fs::set_permissions(at.join("closed"), fs::Permissions::from_mode(0o555)).unwrap();
    }

    #[test]
    fn a_copy_has_modes_times_and_links_as_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        tree(&from);
        copy_tree(&from, &to).unwrap();
        for path in ["", "empty", "closed", "run.sh", "data", "closed/secret", "closed/sticky"] {
            assert_eq!(mode(&to.join(path)), mode(&from.join(path)), "{path}");
        }
        assert_eq!(to.join("data").metadata().unwrap().modified().unwrap(), std::time::UNIX_EPOCH);
        assert_eq!(fs::read_link(to.join("leaves")).unwrap(), Path::new("/etc/passwd"));
        assert_eq!(fs::read_link(to.join("closed/dangles")).unwrap(), Path::new("nowhere"));
        assert_eq!(fs::read_to_string(to.join("closed/secret")).unwrap(), "closed/secret");

        rustix::fs::mkfifoat(rustix::fs::CWD, from.join("fifo"), rustix::fs::Mode::RWXU).unwrap();
        let error = copy_tree(&from, &dir.path().join("other")).unwrap_err();
        assert!(error.to_string().contains("fifo"), "{error}");
        disk::remove_tree(&from).unwrap();
        disk::remove_tree(&to).unwrap();
    }

    #[test]
    fn what_cannot_be_replaced_is_made_whole_again() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root(dir.path().to_owned());
        let (place, copy) = (root.plugin("foo"), CopyUpTarget::Plugin("foo").copy(&root));
        fs::create_dir_all(root.renewed()).unwrap();
        tree(&place);
        copy_tree(&place, &copy).unwrap();
        fs::write(place.join("data"), "").unwrap();
        disk::tests::BUSY.set(true);
        let failed = replace_with_copy(&root, CopyUpTarget::Plugin("foo"));
        disk::tests::BUSY.set(false);
        assert!(failed.is_err() && !copy.exists());
        assert_eq!(fs::read_to_string(place.join("run.sh")).unwrap(), "run.sh");
        assert_eq!(fs::read_to_string(place.join("data")).unwrap(), "data");
        assert_eq!(mode(&place.join("run.sh")), 0o755);
        // The next writer is not held up by it.
        finish(&root).unwrap();
        assert!(!root.renewed().exists() && place.join("closed/secret").exists());
        disk::remove_tree(&place).unwrap();
    }
}
