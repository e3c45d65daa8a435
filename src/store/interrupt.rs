//! What Ctrl-C does: what is being fetched or unpacked goes, what is being put in place is finished first.
//!
//! The program's signal handler (a thread, not a handler proper) calls [`on_signal`]. Staging
//! directories register themselves here for as long as they live. While a change of the store is under way, or a hook runs
//! between its two halves, a signal only sets a flag: the change ends by itself within moments, and a hook gets the signal
//! from the terminal and dies, or is ended where it does not, which undoes the change.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use crate::interrupt::requested;

use super::disk;
use crate::interrupt;

/// What is under way in this process.
static UNDER_WAY: ActiveChanges = ActiveChanges::new();

/// Directories to clear, and how many changes are under way.
struct ActiveChanges(Mutex<State>);

struct State {
    scratch: Vec<PathBuf>,
    changes: usize,
}

impl ActiveChanges {
    const fn new() -> Self {
        Self(Mutex::new(State { scratch: Vec::new(), changes: 0 }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Clears staging and calls `exit`, unless a change is under way.
    fn interrupt(&self, exit: impl FnOnce()) {
        let state = self.state();
        if state.changes > 0 {
            return;
        }
        for path in &state.scratch {
            // Another thread may be writing there: what it makes between our listing and our removing makes the removal fail.
            for _ in 0..50 {
                if disk::remove_tree(path).is_ok() {
                    break;
                }
            }
        }
        exit();
    }
}

/// Takes an interrupt by `signal`. Outside a change, staging is cleared and `exit` is called; it should end the process, after Ctrl-C
/// with code 130, and not return. Within one, nothing happens but that [`requested`] is true from now on; the operation ends by itself, and
/// the program should then exit with 130.
///
/// No change can begin while `exit` runs.
pub fn on_signal(signal: i32, exit: impl FnOnce()) {
    interrupt::request(signal);
    UNDER_WAY.interrupt(exit);
}

/// Says that `path` is to go when an interrupt comes.
pub(crate) fn register(path: &Path) {
    UNDER_WAY.state().scratch.push(path.to_owned());
}

/// Takes back [`register`].
pub(crate) fn unregister(path: &Path) {
    UNDER_WAY.state().scratch.retain(|other| other != path);
}

/// A change of the store: as long as one lives, interrupts wait.
#[derive(Debug)]
pub(super) struct InterruptGuard(());

impl InterruptGuard {
    /// Begins a change. Where an interrupt is already being served this does not return: the process is about to end.
    pub(super) fn begin() -> Self {
        UNDER_WAY.state().changes += 1;
        Self(())
    }
}

impl Drop for InterruptGuard {
    fn drop(&mut self) {
        let mut state = UNDER_WAY.state();
        state.changes = state.changes.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staging_goes_unless_a_change_is_under_way() {
        let dir = tempfile::tempdir().unwrap();
        let (staged, other) = (dir.path().join("staged"), dir.path().join("other"));
        std::fs::create_dir_all(staged.join("deep")).unwrap();
        std::fs::create_dir(&other).unwrap();
        let under_way = ActiveChanges::new();
        under_way.state().scratch.push(staged.clone());

        under_way.state().changes = 1;
        let mut exited = false;
        under_way.interrupt(|| exited = true);
        assert!(!exited && staged.exists());

        under_way.state().changes = 0;
        under_way.interrupt(|| exited = true);
        assert!(exited && !staged.exists() && other.exists());
    }
}
