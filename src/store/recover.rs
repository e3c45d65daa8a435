//! What the next writer does with a change that was killed, and the end of every change, which is the same work: see
//! [`super::commit`] for the steps.
//!
//! Whatever is done here can be done again from any point on, since this can be killed too.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::files;

use super::error::StoreError;
use super::receipt::{ChangeKind, HookState, PendingChange, Receipt, ReceiptFile};
use super::staging::PACKAGE;
use super::tree::TreeId;
use super::{Root, copy_up, disk, is_one_part, is_package_of, private, prov};

/// Finishes or undoes what the receipt of `dir` says is under way; says what was done.
pub(super) fn recover(root: &Root, dir: &str) -> Result<Option<String>, StoreError> {
    let path = root.receipt(dir);
    if !is_one_part(dir) || !ReceiptFile::may_have_change(&path)? {
        return Ok(None);
    }
    let Some(ReceiptFile { change: Some(change), next, current, .. }) = ReceiptFile::read(&path)? else { return Ok(None) };
    copy_up::finish(root)?;
    let place = root.plugin(dir);
    let staged = staged_path(root, &change)?;
    let plugin = crate::text::Sanitized(&change.plugin).to_string();
    let finished = Ok(Some(format!("finished an interrupted change of plugin `{plugin}`")));
    let undone = Ok(Some(format!("undid an interrupted change of plugin `{plugin}`")));
    let io = |action| {
        let place = &place;
        move |source| StoreError::io(action, place, source)
    };

    if change.kind == ChangeKind::Remove {
        if TreeId::of(&place).map_err(io("look at"))?.is_some() {
            restore(&path, current)?;
            prune(root, dir)?;
            return undone;
        }
        finish_removal(root, dir, &change)?;
        return finished;
    }

    disk::mend_exchange(&staged, &place).map_err(io("change"))?;
    let there = TreeId::of(&place).map_err(io("look at"))?;
    let arrived = there.is_some() && there == change.new;
    let pending = next.as_ref().is_some_and(|next| next.hook == Some(HookState::Pending));
    // Somebody may have cleared staging by hand: then there is no way back.
    let way_back = change.old.is_none() || disk::exists(&staged);
    if arrived && !(pending && way_back) {
        finalize(root, dir, &change, current.as_ref(), next.as_ref())?;
        return finished;
    }
    if arrived {
        if let Some(parent) = staged.parent() {
            files::create_private_dir(parent).map_err(io("change"))?;
        }
        match change.old {
            Some(_) => disk::exchange(&staged, &place),
            None => disk::rename(&place, &staged),
        }
        .map_err(io("change"))?;
    }
    restore(&path, current)?;
    prune(root, dir)?;
    undone
}

/// What no receipt speaks of any more is not kept.
fn prune(root: &Root, dir: &str) -> Result<(), StoreError> {
    private::prune(root, dir).map_err(|source| StoreError::io("change", &root.private(), source))
}

/// Where the other tree of `change` is. A receipt is a file like any other: a path in it leads nowhere but into `.state`.
fn staged_path(root: &Root, change: &PendingChange) -> Result<PathBuf, StoreError> {
    let inside = change.staged.components().all(|part| matches!(part, Component::Normal(_)));
    if !inside || change.staged.components().count() < 2 {
        let path = root.state().join(&change.staged);
        return Err(StoreError::io("change place with", &path, io::ErrorKind::InvalidData.into()));
    }
    Ok(root.state().join(&change.staged))
}

/// Writes the receipt of before a change.
fn restore(path: &Path, current: Option<Receipt>) -> Result<(), StoreError> {
    match current {
        Some(current) => ReceiptFile::at_rest(current).write(path)?,
        None => disk::remove_file(path).map_err(|source| StoreError::io("remove", path, source))?,
    }
    Ok(())
}

/// Step 4 of an install or rollback: every part of it can be done again.
pub(super) fn finalize(
    root: &Root,
    dir: &str,
    change: &PendingChange,
    current: Option<&Receipt>,
    next: Option<&Receipt>,
) -> Result<(), StoreError> {
    let staged = staged_path(root, change)?;
    finalize_packages(root, dir, change, &staged, current, next)?;
    if change.keep_old {
        if change.kind == ChangeKind::Install {
            keep_tree(root, dir, change, &staged)?;
        }
        restore(&root.previous_receipt(dir), current.cloned().map(|current| without_lost_package(current, next)))?;
    }
    let mut next = next.cloned();
    if let Some(next) = &mut next
        && next.hook == Some(HookState::Pending)
    {
        next.hook = None;
    }
    restore(&root.receipt(dir), next)?;
    prune(root, dir)
}

/// The receipt of the version before. Where the one that came has the same version, its package lies where the old one was.
fn without_lost_package(mut before: Receipt, next: Option<&Receipt>) -> Receipt {
    let taken = next.and_then(|next| next.archive.as_ref()).and_then(|archive| archive.file.as_ref());
    if let Some(archive) = before.archive.as_mut().filter(|archive| archive.file.as_ref() == taken) {
        archive.file = None;
        archive.provenance = false;
    }
    before
}

/// Makes the old tree at `staged` the version before.
fn keep_tree(root: &Root, dir: &str, change: &PendingChange, staged: &Path) -> Result<(), StoreError> {
    let previous = root.previous(dir);
    let io = |source| StoreError::io("replace", &previous, source);
    // Done again, the old tree is where it belongs already.
    if TreeId::of(staged).map_err(io)? != change.old {
        return Ok(());
    }
    if disk::exists(&previous) {
        let discarded = staged.with_extension("discarded");
        disk::remove_tree(&discarded).map_err(io)?;
        match disk::rename(&previous, &discarded) {
            // In a lower layer of an image; it is not needed any more.
            Err(e) if e.kind() == io::ErrorKind::CrossesDevices => disk::remove_tree(&previous),
            result => result,
        }
        .map_err(io)?;
    }
    disk::rename(staged, &previous).map_err(io)
}

/// Brings the new package beside the plugin, keeps the old one for rollback, and removes those of other versions.
fn finalize_packages(
    root: &Root,
    dir: &str,
    change: &PendingChange,
    staged: &Path,
    current: Option<&Receipt>,
    next: Option<&Receipt>,
) -> Result<(), StoreError> {
    let package = |receipt: Option<&Receipt>| {
        let archive = receipt?.archive.as_ref()?;
        // Only ever a package of this plugin, whatever the receipt says.
        let file = archive.file.clone().filter(|file| is_package_of(file, &change.plugin) && !file.ends_with(".prov"))?;
        Some((file, archive.provenance))
    };
    let (old, new) = (package(current), package(next));
    let kept = root.previous_package(dir);
    let waiting = match change.kind {
        ChangeKind::Rollback => kept.clone(),
        _ => staged.with_file_name(PACKAGE),
    };
    let move_over = |from: &Path, to: &Path| match disk::rename_if_there(from, to) {
        Ok(_) => Ok(()),
        Err(source) => Err(StoreError::io("rename", from, source)),
    };

    let same = matches!((&old, &new), (Some((old, _)), Some((new, _))) if old == new);
    if let Some((file, provenance)) = &new {
        let to = root.0.join(file);
        // A rollback that is done again may find the old package, or its provenance, where the new one waited.
        let comes = |to: &Path| change.kind == ChangeKind::Install || !disk::exists(to);
        if comes(&to) {
            move_over(&waiting, &to)?;
        }
        if *provenance && comes(&prov(&to)) {
            move_over(&prov(&waiting), &prov(&to))?;
        }
    }
    if change.keep_old && !same {
        let remove = |path: &Path| disk::remove_file(path).map_err(|source| StoreError::io("remove", path, source));
        match &old {
            Some((file, provenance)) => {
                let from = root.0.join(file);
                move_over(&from, &kept)?;
                if *provenance {
                    move_over(&prov(&from), &prov(&kept))?;
                } else {
                    remove(&prov(&kept))?;
                }
            }
            None => {
                remove(&kept)?;
                remove(&prov(&kept))?;
            }
        }
    }
    remove_packages(root, &change.plugin, new.as_ref().map(|(file, provenance)| (file.as_str(), *provenance)))
}

/// Removes the packages and provenances of exactly the plugin `name`, but for one.
fn remove_packages(root: &Root, name: &str, but: Option<(&str, bool)>) -> Result<(), StoreError> {
    let unreadable = |source| StoreError::io("read", &root.0, source);
    for entry in fs::read_dir(&root.0).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let file = entry.file_name();
        let Some(file) = OsStr::to_str(&file).filter(|file| is_package_of(file, name)) else { continue };
        let stays = but.is_some_and(|(package, provenance)| {
            file == package || (provenance && file.strip_suffix(".prov").is_some_and(|file| file == package))
        });
        if !stays && entry.file_type().map_err(unreadable)?.is_file() {
            disk::remove_file(&entry.path()).map_err(|source| StoreError::io("remove", &entry.path(), source))?;
        }
    }
    Ok(())
}

/// Whether there can be a version before of what is in `dir`: only for directories that we made, whose names hold no dot.
/// The files of one with a dot could be another plugin's.
pub(super) fn has_previous(dir: &str) -> bool {
    !dir.contains('.')
}

/// Removes what belongs to a plugin whose tree has left its place. Its receipt goes last: it says that this is to be done.
pub(super) fn finish_removal(root: &Root, dir: &str, change: &PendingChange) -> Result<(), StoreError> {
    remove_packages(root, &change.plugin, None)?;
    let remove = |path: &Path| disk::remove_tree(path).map_err(|source| StoreError::io("remove", path, source));
    if has_previous(dir) {
        let kept = root.previous_package(dir);
        for path in [root.previous(dir), root.previous_receipt(dir), prov(&kept), kept] {
            remove(&path)?;
        }
    }
    remove(&root.receipt(dir))?;
    prune(root, dir)
}
