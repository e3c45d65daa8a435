//! The same work for many things at once, within bounds, with one progress display for all.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;

use crate::report::{Report, ReportEvent};
use crate::store::interrupt;

/// Does `work` for every item on up to `at_once` threads, and hands each result with its place to `take`, on this thread, as
/// they come. After an interrupt no more are begun.
pub(super) fn for_each<T: Sync, R: Send>(
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
pub(super) struct SharedProgress<'a> {
    report: &'a dyn Report,
    done: AtomicU64,
}

impl<'a> SharedProgress<'a> {
    /// Begins the step `what`, which ends when this is dropped.
    pub(super) fn start(report: &'a dyn Report, what: &str) -> Self {
        report.event(ReportEvent::Started { what, total: None });
        Self { report, done: AtomicU64::new(0) }
    }

    /// The report of one part.
    pub(super) fn part(&self) -> ProgressPart<'_> {
        ProgressPart { shared: self, done: AtomicU64::new(0) }
    }
}

impl Drop for SharedProgress<'_> {
    fn drop(&mut self) {
        self.report.event(ReportEvent::Finished);
    }
}

/// What one thread reports to.
pub(super) struct ProgressPart<'a> {
    shared: &'a SharedProgress<'a>,
    /// Bytes of its present step.
    done: AtomicU64,
}

impl Report for ProgressPart<'_> {
    fn event(&self, event: ReportEvent<'_>) {
        match event {
            ReportEvent::Started { .. } => self.done.store(0, Ordering::Relaxed),
            ReportEvent::Advanced { done } => {
                // A download that begins again counts from the beginning: then nothing is added until it is past that.
                let before = self.done.fetch_max(done, Ordering::Relaxed);
                let more = done.saturating_sub(before);
                let all = self.shared.done.fetch_add(more, Ordering::Relaxed) + more;
                self.shared.report.event(ReportEvent::Advanced { done: all });
            }
            ReportEvent::Finished => {}
            ReportEvent::Notice(_) | ReportEvent::Warning(_) | ReportEvent::Detail(_) | ReportEvent::Step(_) => {
                self.shared.report.event(event);
            }
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
        for_each(
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
        for_each(&[] as &[u64], 0, |item| *item, |_, _| panic!("nothing to do"));
    }

    #[test]
    fn parts_show_as_one_step() {
        struct Log(Mutex<Vec<String>>);
        impl Report for Log {
            fn event(&self, event: ReportEvent<'_>) {
                let text = match event {
                    ReportEvent::Started { what, .. } => what.to_owned(),
                    ReportEvent::Advanced { done } => done.to_string(),
                    ReportEvent::Finished => "end".to_owned(),
                    ReportEvent::Notice(text)
                    | ReportEvent::Warning(text)
                    | ReportEvent::Detail(text)
                    | ReportEvent::Step(text) => text.to_owned(),
                };
                self.0.lock().unwrap().push(text);
            }
        }
        let log = Log(Mutex::default());
        let progress = SharedProgress::start(&log, "many");
        let (a, b) = (progress.part(), progress.part());
        a.event(ReportEvent::Started { what: "a", total: None });
        a.event(ReportEvent::Advanced { done: 5 });
        b.event(ReportEvent::Advanced { done: 7 });
        a.event(ReportEvent::Advanced { done: 3 });
        a.notice("hello");
        a.event(ReportEvent::Finished);
        drop(progress);
        assert_eq!(*log.0.lock().unwrap(), ["many", "5", "12", "12", "hello", "end"]);
    }
}
