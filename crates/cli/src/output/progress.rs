//! The one line that shows how far long work has come.
//!
//! It is drawn over and over in the last line of the terminal; whoever writes anything else takes it away first. Whether there is to
//! be one at all is the caller's matter.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Steps that are shorter than this show no bar: it would only flicker.
const AFTER: Duration = Duration::from_millis(200);

/// The time between two drawings: enough to be seen moving, too little to slow the work down.
const PAUSE: Duration = Duration::from_millis(100);

/// How many columns the bar itself has at most, with its ends.
const BAR: usize = 26;

/// A bar with fewer columns than this shows nothing.
const SMALLEST_BAR: usize = 8;

/// How many columns a terminal has that does not say.
const COLUMNS: usize = 80;

/// A step of long work that is under way.
pub(super) struct Progress {
    what: String,
    total: Option<u64>,
    began: Instant,
    /// When it is to be drawn next.
    due: Instant,
    visible: bool,
}

impl Progress {
    /// A step that begins now; `what` is safe to show, `total` in bytes.
    pub(super) fn new(what: String, total: Option<u64>) -> Self {
        let began = Instant::now();
        Self { what, total, began, due: began + AFTER, visible: false }
    }

    /// Shows that `done` bytes are done, if it is time to.
    pub(super) fn advance(&mut self, done: u64) {
        let now = Instant::now();
        if now >= self.due {
            let line = self.line(done, now - self.began, columns());
            // Without wrapping, a line that is too long for the terminal is cut off at its edge and stays one line.
            show(&format!("\r\x1b[?7l{line}\x1b[K\x1b[?7h"));
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

    /// What is done, a bar if there is room for one, how much of it, how fast, and how long it will take, in less than `columns`.
    fn line(&self, done: u64, elapsed: Duration, columns: usize) -> String {
        let rate = u128::from(done) * 1000 / elapsed.as_millis().max(1);
        let rate = u64::try_from(rate).unwrap_or(u64::MAX);
        let figures = match self.total {
            Some(total) => {
                format!("{:>3}% {}/s {}", percent(done, total), size(rate), left(total.saturating_sub(done), rate))
            }
            None => format!("{} {}/s", size(done), size(rate)),
        };
        let room = columns.saturating_sub(figures.width() + 2);
        let what = cut(&self.what, room);
        let bar = room.saturating_sub(what.width() + 1).min(BAR);
        match self.total {
            Some(total) if bar >= SMALLEST_BAR => format!("{what} {} {figures}", drawn(done, total, bar - 2)),
            Some(_) | None => format!("{what} {figures}"),
        }
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

/// How wide the terminal is that the line is drawn on.
fn columns() -> usize {
    let size = terminal_size::terminal_size_of(io::stderr());
    size.map(|(width, _)| usize::from(width.0)).filter(|&width| width > 0).unwrap_or(COLUMNS)
}

/// So much of `total`. A server may send more than it said; another part of the program ends that.
fn percent(done: u64, total: u64) -> u128 {
    (u128::from(done.min(total)) * 100).checked_div(u128::from(total)).unwrap_or(100)
}

/// A bar with `width` columns between its ends.
fn drawn(done: u64, total: u64, width: usize) -> String {
    let filled = (u128::from(done.min(total)) * width as u128).checked_div(u128::from(total));
    let filled = filled.and_then(|filled| usize::try_from(filled).ok()).unwrap_or(width);
    let head = if filled < width { ">" } else { "" };
    format!("[{}{head}{}]", "=".repeat(filled), " ".repeat(width - filled - head.len()))
}

/// How long `bytes` will take at so many a second.
fn left(bytes: u64, rate: u64) -> String {
    match bytes.checked_div(rate) {
        None => "-:--".to_owned(),
        Some(seconds) if seconds >= 100 * 3600 => "-:--".to_owned(),
        Some(seconds) if seconds >= 3600 => format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
        Some(seconds) => format!("{}:{:02}", seconds / 60, seconds % 60),
    }
}

/// As much of `text` as fits into so many columns.
fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > columns {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
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
    fn the_line_tells_percent_rate_and_time_left() {
        let line = |total, done, seconds, columns| {
            Progress::new("downloading x".to_owned(), total).line(done, Duration::from_secs(seconds), columns)
        };
        assert_eq!(line(None, 2048, 2, 80), "downloading x 2.00 KiB 1.00 KiB/s");
        assert_eq!(
            line(Some(1 << 20), 1 << 19, 4, 80),
            format!("downloading x [{}>{}]  50% 128.00 KiB/s 0:04", "=".repeat(12), " ".repeat(11))
        );
        assert_eq!(line(Some(1 << 20), 1 << 19, 4, 40), "downloading x  50% 128.00 KiB/s 0:04");
        assert_eq!(line(Some(1 << 40), 1 << 30, 1, 80).split(' ').next_back(), Some("17:03"));
        // All of it, more than there should be, nothing at all to do, and no time to tell.
        for (total, done, seconds) in [(1024, 1024, 1), (1024, u64::MAX, 0), (u64::MAX, u64::MAX, 9), (0, 0, 0)] {
            assert!(line(Some(total), done, seconds, 80).contains("100%"), "{total} {done}");
        }
        assert!(line(Some(10), 0, 1, 80).ends_with("  0% 0 B/s -:--"), "{}", line(Some(10), 0, 1, 80));
    }

    #[test]
    fn the_line_fits_narrow_terminals() {
        for what in ["downloading https://example.com/plugins/a-long-name-1.0.0.tgz", "lädt 日本語日本語日本語日本語"]
        {
            let step = Progress::new(what.to_owned(), Some(5 << 30));
            for columns in [40, 60, 80, 200] {
                for done in [0, 1 << 20, 5 << 30] {
                    let line = step.line(done, Duration::from_secs(7), columns);
                    assert!(line.width() < columns && line.contains('%'), "{columns}: {line}");
                }
            }
        }
    }
}
