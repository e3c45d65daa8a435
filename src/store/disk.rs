//! The few changes that the store makes to its directories, each of them one that a crash cannot halve.
//!
//! Everything that changes the store goes through here, so that the tests can stop a change before any of its steps, as
//! `kill -9` would.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// How the names of files begin that are about to take another's place.
pub(super) const TEMPORARY: &str = ".new-";

/// A step of a change begins. In tests it can fail, and every later one with it: nothing runs after a kill.
#[cfg(not(test))]
fn step() -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(super) use crash::step;

#[cfg(test)]
pub(super) mod crash {
    //! Kills for tests: a budget of steps for this thread.

    use std::cell::Cell;
    use std::path::Path;
    use std::{fs, io};

    thread_local! {
        static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
    }

    /// Lets `steps` more steps happen; none after them until this is called again. `None` lifts the limit.
    pub(crate) fn after(steps: Option<u32>) {
        LEFT.set(steps);
    }

    /// Removes half of a tree, and then may be killed.
    pub(crate) fn remove_half(path: &Path) -> io::Result<()> {
        let files = walkdir::WalkDir::new(path).into_iter().flatten().filter(|entry| !entry.file_type().is_dir());
        for file in files.step_by(2) {
            let _ = fs::remove_file(file.path());
        }
        step()
    }

    /// Whether the budget is used up.
    pub(crate) fn happened() -> bool {
        LEFT.get() == Some(0)
    }

    pub(crate) fn step() -> io::Result<()> {
        match LEFT.get() {
            Some(0) => Err(io::Error::other("killed by the test")),
            Some(n) => {
                LEFT.set(Some(n - 1));
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// Whether anything is at `path`, a dangling link included. What cannot be looked at is taken to be there.
pub(super) fn exists(path: &Path) -> bool {
    match fs::symlink_metadata(path) {
        Ok(_) => true,
        Err(e) => !matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
    }
}

/// Writes a file that others may read as far as the umask lets them, in one rename. It is not synced: see [`super::commit`].
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_with(path, bytes, 0o644)
}

/// As [`write()`], a file that is its owner's alone.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_with(path, bytes, 0o600)
}

fn write_with(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    step()?;
    let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = builder.tempfile_in(parent)?;
    file.write_all(bytes)?;
    step()?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

/// Copies the file or link at `from`, with its mode, to `to`; what is there is replaced.
pub(super) fn copy_entry(from: &Path, to: &Path) -> io::Result<()> {
    remove_file(to)?;
    if from.is_symlink() {
        return copy_link(&fs::read_link(from)?, to);
    }
    fs::copy(from, to).map(drop)
}

#[cfg(unix)]
fn copy_link(target: &Path, to: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, to)
}

#[cfg(windows)]
fn copy_link(target: &Path, to: &Path) -> io::Result<()> {
    if target.is_dir() {
        std::os::windows::fs::symlink_dir(target, to)
    } else {
        std::os::windows::fs::symlink_file(target, to)
    }
}

/// Makes a directory that is ours alone; says whether it was not there.
pub(super) fn create_dir(path: &Path) -> io::Result<bool> {
    step()?;
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(false),
        Err(e) => Err(e),
    }
}

/// Renames; the destination is replaced where it is a file.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    step()?;
    #[cfg(test)]
    tests::refuse_lower(&[from])?;
    fs::rename(from, to)
}

/// Renames where there is something to rename; says whether there was.
pub(super) fn rename_if_there(from: &Path, to: &Path) -> io::Result<bool> {
    match rename(from, to) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound && !exists(from) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Removes a file or link; one that is not there is fine.
pub(super) fn remove_file(path: &Path) -> io::Result<()> {
    step()?;
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Removes whatever is at `path`, links unfollowed; nothing there is fine. Directories that forbid it are opened first:
/// they are ours, and a hook may have left them read-only.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    if !metadata.is_dir() {
        return remove_file(path);
    }
    step()?;
    #[cfg(test)]
    {
        tests::leave_lower(path);
        crash::remove_half(path)?;
        if tests::BUSY.get() {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
    }
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            open_directories(path);
            fs::remove_dir_all(path)
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Gives their owner every right on the directories below `path`. What fails here shows when they are removed.
#[cfg(unix)]
fn open_directories(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    // A directory is opened before it is read: walkdir yields it first.
    for entry in walkdir::WalkDir::new(path).follow_links(false).into_iter().flatten() {
        if entry.file_type().is_dir() {
            let _ = fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o700));
        }
    }
}

#[cfg(not(unix))]
fn open_directories(path: &Path) {
    for entry in walkdir::WalkDir::new(path).follow_links(false).into_iter().flatten() {
        if let Ok(metadata) = entry.metadata() {
            let mut permissions = metadata.permissions();
            permissions.set_readonly(false);
            let _ = fs::set_permissions(entry.path(), permissions);
        }
    }
}

/// Where the old tree waits while two renames do what one exchange would.
fn exchange_backup(staged: &Path) -> PathBuf {
    // A plugin's name holds no dot, so this is nobody's directory.
    staged.with_extension("old")
}

/// Puts what is at `staged` at `target`. What stood there, if anything, is then at `staged`.
///
/// One atomic step where the system and the file system have one. Elsewhere it is two or three renames, which
/// [`mend_exchange`] can finish or take back.
pub(super) fn exchange(staged: &Path, target: &Path) -> io::Result<()> {
    if !exists(target) {
        return rename_to_free(staged, target);
    }
    step()?;
    #[cfg(test)]
    tests::refuse_lower(&[staged, target])?;
    match atomic_exchange(staged, target) {
        Some(result) => result,
        None => exchange_by_renames(staged, target),
    }
}

/// [`exchange`] without the system's help.
fn exchange_by_renames(staged: &Path, target: &Path) -> io::Result<()> {
    let aside = exchange_backup(staged);
    rename(target, &aside)?;
    rename(staged, target)?;
    rename(&aside, staged)
}

/// Brings an exchange by renames that a crash halved to one of its ends.
pub(super) fn mend_exchange(staged: &Path, target: &Path) -> io::Result<()> {
    let aside = exchange_backup(staged);
    if !exists(&aside) {
        return Ok(());
    }
    if exists(target) { rename(&aside, staged) } else { rename(&aside, target) }
}

/// Renames to a place where nothing is, and where something is, fails.
fn rename_to_free(from: &Path, to: &Path) -> io::Result<()> {
    step()?;
    #[cfg(test)]
    tests::refuse_lower(&[from])?;
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            Err(e) if unsupported(e) => {}
            result => return result.map_err(Into::into),
        }
    }
    if exists(to) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    fs::rename(from, to)
}

/// Exchanges two paths in one step, or `None` where there is no such step.
fn atomic_exchange(a: &Path, b: &Path) -> Option<io::Result<()>> {
    #[cfg(test)]
    if tests::WITHOUT_EXCHANGE.get() {
        return None;
    }
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        match renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE) {
            Err(e) if unsupported(e) => None,
            result => Some(result.map_err(Into::into)),
        }
    }
    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    {
        let _ = (a, b);
        None
    }
}

/// Whether the file system or the system does not know the flags of a rename.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn unsupported(e: rustix::io::Errno) -> bool {
    use rustix::io::Errno;
    e == Errno::INVAL || e == Errno::NOSYS || e == Errno::OPNOTSUPP || e == Errno::NOTSUP
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    thread_local! {
        /// Directories that this thread finds in a lower layer of overlayfs: they cannot be renamed until they were removed.
        pub(crate) static LOWER: RefCell<Vec<PathBuf>> = const { RefCell::new(Vec::new()) };
        /// Lets no tree be removed as a whole: something is mounted in it, or another user's.
        pub(crate) static BUSY: Cell<bool> = const { Cell::new(false) };
        /// Makes this thread behave as on a file system without exchange.
        pub(crate) static WITHOUT_EXCHANGE: Cell<bool> = const { Cell::new(false) };
    }

    pub(crate) fn refuse_lower(paths: &[&Path]) -> io::Result<()> {
        let is_lower =
            |path: &&Path| path.is_dir() && !path.is_symlink() && LOWER.with_borrow(|all| all.iter().any(|one| one == path));
        if paths.iter().any(is_lower) { Err(io::ErrorKind::CrossesDevices.into()) } else { Ok(()) }
    }

    pub(crate) fn leave_lower(path: &Path) {
        LOWER.with_borrow_mut(|all| all.retain(|one| one != path));
    }

    #[test]
    fn exchanges_either_way_and_mends_what_a_crash_halved() {
        for without in [false, true] {
            for steps in 0..6 {
                let dir = tempfile::tempdir().unwrap();
                let (staged, target) = (dir.path().join("staged"), dir.path().join("target"));
                fs::create_dir(&staged).unwrap();
                fs::write(staged.join("new"), "").unwrap();
                fs::create_dir(&target).unwrap();
                fs::write(target.join("old"), "").unwrap();
                WITHOUT_EXCHANGE.set(without);
                crash::after(Some(steps));
                let done = exchange(&staged, &target);
                crash::after(None);
                WITHOUT_EXCHANGE.set(false);
                mend_exchange(&staged, &target).unwrap();
                let before = staged.join("new").exists() && target.join("old").exists();
                let after = staged.join("old").exists() && target.join("new").exists();
                assert!(before ^ after, "without {without}, {steps} steps");
                assert!(done.is_err() || after);
            }
        }
    }

    #[test]
    fn never_replaces_what_came_in_between() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir(&from).unwrap();
        fs::create_dir(&to).unwrap();
        assert_eq!(rename_to_free(&from, &to).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }

    #[cfg(unix)]
    #[test]
    fn removes_read_only_directories_and_never_follows_links() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let kept = dir.path().join("kept");
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("file"), "").unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("closed")).unwrap();
        fs::write(tree.join("closed/file"), "").unwrap();
        std::os::unix::fs::symlink(&kept, tree.join("link")).unwrap();
        fs::set_permissions(tree.join("closed"), fs::Permissions::from_mode(0o500)).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists() && kept.join("file").exists());
        std::os::unix::fs::symlink(&kept, &tree).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!exists(&tree) && kept.join("file").exists());
    }
}
