//! Readers beside a writer. They take no lock, so that what they read of a plugin, its manifest, its receipt and its files, may be of two
//! versions. Whoever finds a difference asks here whether that may be why, and then looks again.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::receipt::ReceiptFile;
use super::tree::{Stamp, TreeId};
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
pub(super) struct Race<'s> {
    store: &'s Store,
    name: &'s str,
    /// What was there after the last look.
    seen: Option<Vec<Moment>>,
    /// When the reader began to look again.
    since: Option<Instant>,
    nap: Duration,
}

impl Store {
    /// Takes a `look` at the plugin `name`, and another one as long as what was found wrong may come of a change that is under way.
    pub(crate) fn look_at<T, E>(&self, name: &str, mut look: impl FnMut() -> Result<T, E>) -> Result<T, E> {
        let mut race = Race::new(self, name);
        loop {
            match look() {
                Err(_) if race.goes_on() => {}
                seen => return seen,
            }
        }
    }
}

/// What a writer changes of a plugin in one root.
#[derive(Debug, PartialEq, Eq)]
struct Moment {
    receipt: Option<Stamp>,
    tree: Option<TreeId>,
    under_way: bool,
}

impl<'s> Race<'s> {
    /// A reader that has not yet found a difference: this costs nothing.
    pub(super) fn new(store: &'s Store, name: &'s str) -> Self {
        Self { store, name, seen: None, since: None, nap: Duration::ZERO }
    }

    /// Whether what was found may come of a change that is, or was, under way: then it is worth another look. Where nothing changes
    /// that is so once.
    pub(super) fn goes_on(&mut self) -> bool {
        let now: Vec<Moment> = self.store.roots.iter().map(|root| Moment::of(root, self.name)).collect();
        if now.iter().all(Moment::is_empty) {
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

impl Moment {
    fn of(root: &Root, name: &str) -> Self {
        let path = root.receipt(name);
        Self {
            receipt: fs::symlink_metadata(&path).ok().map(|metadata| Stamp::of(&metadata)),
            tree: TreeId::of(&root.plugin(name)).ok().flatten(),
            under_way: ReceiptFile::may_be_ahead(&path).unwrap_or_default() || disk::exists(&root.renewed()),
        }
    }

    fn is_empty(&self) -> bool {
        self.receipt.is_none() && self.tree.is_none() && !self.under_way
    }
}
