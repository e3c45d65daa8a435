//! Whether the user has interrupted, or something asked the program to end: one fact for the whole process, which the program's signal
//! handler notes.
//!
//! What an interrupt means for changes of the store is [`crate::store::interrupt`]'s to say.

use std::sync::atomic::{AtomicI32, Ordering};

/// The number of the signal that Ctrl-C sends; it is the same everywhere.
pub const SIGINT: i32 = 2;

/// The number of the first signal that came; zero before that.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

/// Notes that `signal` came.
pub(crate) fn request(signal: i32) {
    // The first one decides how the program ends.
    let _ = SIGNAL.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst);
}

/// Whether an interrupt came: whoever sees an error then should report the interrupt instead.
pub fn requested() -> bool {
    signal().is_some()
}

/// The signal by which the program should end.
pub fn signal() -> Option<i32> {
    Some(SIGNAL.load(Ordering::SeqCst)).filter(|&signal| signal != 0)
}
