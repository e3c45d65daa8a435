//! Readers beside a writer. They take no lock, so that what they read of a plugin, its manifest, its receipt and its files, may be of two
//! versions. Whoever finds a difference asks here whether that may be why, and then looks again.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::receipt::ReceiptFile;
use super::tree::{FileStamp, TreeId};
use super::{Root, Store, disk};

/// How long a reader looks again while a change is under way. One that takes longer runs a hook, or was killed.
#[cfg(not(test))]
const PATIENCE: Duration = Duration::from_secs(2);
// The tests kill writers at every step, and nobody finishes what they began.
#[cfg(test)]
const PATIENCE: Duration = Duration::from_millis(20);

/// The longest pause between two looks.
const LONGEST_NAP: Duration = Duration::from_millis(10);

/// The looks of one reader at one plugin.
#[derive(Debug)]
pub(super) struct ReadRetry<'s> {
    store: &'s Store,
    name: &'s str,
    /// What was there after the last look.
    seen: Option<Vec<ChangeMarks>>,
    /// When the reader began to look again.
    since: Option<Instant>,
    nap: Duration,
}

impl Store {
    /// Takes a `look` at the plugin `name`, and another one as long as what was found wrong may come of a change that is under way.
    pub(crate) fn read_with_retries<T, E>(&self, name: &str, mut look: impl FnMut() -> Result<T, E>) -> Result<T, E> {
        let mut retry = ReadRetry::new(self, name);
        loop {
            match look() {
                Err(_) if retry.should_retry() => {}
                seen => return seen,
            }
        }
    }
}

/// What a writer changes of a plugin in one root.
#[derive(Debug, PartialEq, Eq)]
struct ChangeMarks {
    receipt: Option<FileStamp>,
    tree: Option<TreeId>,
    under_way: bool,
}

impl<'s> ReadRetry<'s> {
    /// A reader that has not yet found a difference: this costs nothing.
    pub(super) fn new(store: &'s Store, name: &'s str) -> Self {
        Self { store, name, seen: None, since: None, nap: Duration::ZERO }
    }

    /// Whether what was found may come of a change that is, or was, under way: then it is worth another look. Where nothing changes
    /// that is so once.
    pub(super) fn should_retry(&mut self) -> bool {
        let now: Vec<ChangeMarks> = self.store.roots.iter().map(|root| ChangeMarks::of(root, self.name)).collect();
        if now.iter().all(ChangeMarks::is_empty) {
            return false;
        }
        let under_way = now.iter().any(|moment| moment.under_way);
        let moves = under_way || self.seen.as_ref() != Some(&now);
        self.seen = Some(now);
        if !moves || self.since.get_or_insert_with(Instant::now).elapsed() >= PATIENCE {
            return false;
        }
        if under_way {
            thread::sleep(self.nap);
            self.nap = (self.nap * 2).clamp(Duration::from_micros(200), LONGEST_NAP);
        }
        true
    }
}

impl ChangeMarks {
    fn of(root: &Root, name: &str) -> Self {
        let path = root.receipt(name);
        Self {
            receipt: fs::symlink_metadata(&path).ok().map(|metadata| FileStamp::of(&metadata)),
            tree: TreeId::of(&root.plugin(name)).ok().flatten(),
            under_way: ReceiptFile::may_have_change(&path).unwrap_or_default() || disk::exists(&root.renewed()),
        }
    }

    fn is_empty(&self) -> bool {
        self.receipt.is_none() && self.tree.is_none() && !self.under_way
    }
}
