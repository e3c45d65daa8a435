//! The same work for many things at once, within bounds, with one progress display for all.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;

use crate::report::{Event, Report};
use crate::store::interrupt;

/// Does `work` for every item on up to `at_once` threads, and hands each result with its place to `take`, on this thread, as
/// they come. After an interrupt no more are begun.
pub(super) fn each<T: Sync, R: Send>(
    items: &[T],
    at_once: usize,
    work: impl Fn(&T) -> R + Sync,
    mut take: impl FnMut(usize, R),
) {
    let next = AtomicUsize::new(0);
    let (done, results) = channel();
    thread::scope(|scope| {
        for _ in 0..at_once.clamp(1, items.len().max(1)) {
            let (done, next, work) = (done.clone(), &next, &work);
            scope.spawn(move || {
                while !interrupt::requested() {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else { break };
                    if done.send((at, work(item))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(done);
        for (at, result) in results {
            take(at, result);
        }
    });
}

/// One progress display for work on several threads: the bytes of all parts together.
pub(super) struct Together<'a> {
    report: &'a dyn Report,
    done: AtomicU64,
}

impl<'a> Together<'a> {
    /// Begins the step `what`, which ends when this is dropped.
    pub(super) fn start(report: &'a dyn Report, what: &str) -> Self {
        report.event(Event::Started { what, total: None });
        Self { report, done: AtomicU64::new(0) }
    }

    /// The report of one part.
    pub(super) fn part(&self) -> Part<'_> {
        Part { together: self, done: AtomicU64::new(0) }
    }
}

impl Drop for Together<'_> {
    fn drop(&mut self) {
        self.report.event(Event::Finished);
    }
}

/// What one thread reports to.
pub(super) struct Part<'a> {
    together: &'a Together<'a>,
    /// Bytes of its present step.
    done: AtomicU64,
}

impl Report for Part<'_> {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Started { .. } => self.done.store(0, Ordering::Relaxed),
            Event::Advanced { done } => {
                // A download that begins again counts from the beginning: then nothing is added until it is past that.
                let before = self.done.fetch_max(done, Ordering::Relaxed);
                let more = done.saturating_sub(before);
                let all = self.together.done.fetch_add(more, Ordering::Relaxed) + more;
                self.together.report.event(Event::Advanced { done: all });
            }
            Event::Finished => {}
            Event::Notice(_) | Event::Warning(_) | Event::Detail(_) | Event::Step(_) => self.together.report.event(event),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn every_item_is_done_once_and_no_more_than_so_many_at_once() {
        let items: Vec<u64> = (0..50).collect();
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let mut results = BTreeMap::new();
        each(
            &items,
            4,
            |item| {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                thread::sleep(std::time::Duration::from_millis(1));
                running.fetch_sub(1, Ordering::SeqCst);
                item * 2
            },
            |at, result| assert!(results.insert(at, result).is_none()),
        );
        assert_eq!(results.into_values().collect::<Vec<_>>(), items.iter().map(|item| item * 2).collect::<Vec<_>>());
        assert!((1..=4).contains(&most.load(Ordering::SeqCst)));
        each(&[] as &[u64], 0, |item| *item, |_, _| panic!("nothing to do"));
    }

    #[test]
    fn parts_show_as_one_step() {
        struct Log(Mutex<Vec<String>>);
        impl Report for Log {
            fn event(&self, event: Event<'_>) {
                let text = match event {
                    Event::Started { what, .. } => what.to_owned(),
                    Event::Advanced { done } => done.to_string(),
                    Event::Finished => "end".to_owned(),
                    Event::Notice(text) | Event::Warning(text) | Event::Detail(text) | Event::Step(text) => text.to_owned(),
                };
                self.0.lock().unwrap().push(text);
            }
        }
        let log = Log(Mutex::default());
        let together = Together::start(&log, "many");
        let (a, b) = (together.part(), together.part());
        a.event(Event::Started { what: "a", total: None });
        a.event(Event::Advanced { done: 5 });
        b.event(Event::Advanced { done: 7 });
        a.event(Event::Advanced { done: 3 });
        a.notice("hello");
        a.event(Event::Finished);
        drop(together);
        assert_eq!(*log.0.lock().unwrap(), ["many", "5", "12", "12", "hello", "end"]);
    }
}
