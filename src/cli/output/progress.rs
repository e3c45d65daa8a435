//! The one line that shows how far long work has come.
//!
//! It is drawn over and over in the last line of the terminal; whoever writes anything else takes it away first. Whether there is to
//! be one at all is the caller's matter.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

/// Steps that are shorter than this show no bar: it would only flicker.
const AFTER: Duration = Duration::from_millis(200);

/// The time between two drawings: enough to be seen moving, too little to slow the work down.
const PAUSE: Duration = Duration::from_millis(100);

/// How many characters the bar itself has.
const WIDTH: u128 = 24;

/// A step of long work that is under way.
pub(super) struct Progress {
    what: String,
    total: Option<u64>,
    /// When it is to be drawn next.
    due: Instant,
    visible: bool,
}

impl Progress {
    /// A step that begins now; `what` is safe to show, `total` in bytes.
    pub(super) fn new(what: String, total: Option<u64>) -> Self {
        Self { what, total, due: Instant::now() + AFTER, visible: false }
    }

    /// Shows that `done` bytes are done, if it is time to.
    pub(super) fn advance(&mut self, done: u64) {
        let now = Instant::now();
        if now >= self.due {
            // Without wrapping, a line that is too long for the terminal is cut off at its edge and stays one line.
            show(&format!("\r\x1b[?7l{}\x1b[K\x1b[?7h", self.line(done)));
            self.due = now + PAUSE;
            self.visible = true;
        }
    }

    /// Takes the line away; the next advance brings it back.
    pub(super) fn hide(&mut self) {
        if self.visible {
            show("\r\x1b[K");
            self.visible = false;
            self.due = Instant::now();
        }
    }

    fn line(&self, done: u64) -> String {
        let Some(total) = self.total else { return format!("{} {}", self.what, size(done)) };
        // A server may send more than it said; another part of the program ends that.
        let filled = (u128::from(done.min(total)) * WIDTH).checked_div(u128::from(total)).unwrap_or(WIDTH);
        let bar: String = (0..WIDTH)
            .map(|at| match at.cmp(&filled) {
                std::cmp::Ordering::Less => '=',
                std::cmp::Ordering::Equal => '>',
                std::cmp::Ordering::Greater => ' ',
            })
            .collect();
        format!("{} [{bar}] {}/{}", self.what, size(done), size(total))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.hide();
    }
}

/// Writes to the terminal at once. That it may fail to arrive changes nothing.
fn show(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// So many bytes for people, such as `1.50 MiB`.
fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.into_iter().find(|&(_, unit)| bytes >= unit) {
        // Two places after the point, which 128 bits hold for any number of bytes.
        Some((name, unit)) => {
            let hundredths = u128::from(bytes) * 100 / u128::from(unit);
            format!("{}.{:02} {name}", hundredths / 100, hundredths % 100)
        }
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_for_people() {
        let shown = [0, 1023, 1024, 1536, (1 << 20) - 1, 5 << 20, (1 << 30) + (1 << 29), u64::MAX].map(size);
        assert_eq!(
            shown,
            ["0 B", "1023 B", "1.00 KiB", "1.50 KiB", "1023.99 KiB", "5.00 MiB", "1.50 GiB", "17179869183.99 GiB"]
        );
    }

    #[test]
    fn the_bar_fills_from_the_left() {
        let line = |total, done| Progress::new("downloading x".to_owned(), total).line(done);
        assert_eq!(line(None, 2048), "downloading x 2.00 KiB");
        assert_eq!(line(Some(1024), 0), format!("downloading x [>{}] 0 B/1.00 KiB", " ".repeat(23)));
        assert_eq!(line(Some(1024), 512), format!("downloading x [{}>{}] 512 B/1.00 KiB", "=".repeat(12), " ".repeat(11)));
        // All of it, more than there should be, and nothing at all to do.
        for (total, done) in [(1024, 1024), (1024, u64::MAX), (u64::MAX, u64::MAX), (0, 0)] {
            assert!(
                line(Some(total), done).contains(&format!("[{}]", "=".repeat(24))) || total == u64::MAX,
                "{total} {done}"
            );
        }
    }
}
