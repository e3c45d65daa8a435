//! What Ctrl-C and a request to end do to a verb that is under way: what was begun is cleared away, and the program ends as whoever
//! sent the signal expects.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Once;

use crate::error::code;
use plugsmith::interrupt::SIGINT;
use plugsmith::store::interrupt;

/// From now on a signal clears staging and temporary directories before it ends the program. If no handler can be set, the next command
/// clears up.
pub(super) fn clear_up() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = ctrlc::set_handler(|| interrupt::on_signal(SIGINT, || end(SIGINT)));
        #[cfg(unix)]
        clear_up_on_requests_to_end();
    });
}

#[cfg(unix)]
fn clear_up_on_requests_to_end() {
    use signal_hook::consts::{SIGHUP, SIGTERM};

    let wanted = [SIGTERM, SIGHUP].into_iter().filter(|&signal| !is_ignored(signal));
    let Ok(mut signals) = signal_hook::iterator::Signals::new(wanted) else { return };
    std::thread::spawn(move || {
        for signal in signals.forever() {
            interrupt::on_signal(signal, || end(signal));
        }
    });
}

/// Says why the program ends, and ends it: by the signal itself, but with code 130 after Ctrl-C.
pub(super) fn end(signal: i32) -> ! {
    let what = if signal == SIGINT { "interrupted" } else { "asked to end" };
    let mut stderr = io::stderr().lock();
    // The terminal has written `^C` on the line of a bar, or of nothing.
    let apart = if stderr.is_terminal() { "\n" } else { "" };
    let _ = writeln!(stderr, "{apart}error: {what}: what was not finished has been cleared away");
    #[cfg(unix)]
    if signal != SIGINT {
        // It comes back only if the signal does not end a program by default, which all of ours do.
        let _ = signal_hook::low_level::emulate_default_handler(signal);
    }
    std::process::exit(i32::from(code::INTERRUPTED))
}

/// Whether whoever started us wants `signal` to be ignored, as `nohup` does.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    // Only Linux tells without asking in a way that is unsafe.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    u32::try_from(signal - 1).is_ok_and(|bit| mask.checked_shr(bit).is_some_and(|mask| mask & 1 == 1))
}
