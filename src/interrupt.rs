//! Whether the user has interrupted: one flag for the whole process, which the program's signal handler sets.
//!
//! What an interrupt means for changes of the store is [`crate::store::interrupt`]'s to say.

use std::sync::atomic::{AtomicBool, Ordering};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Notes that an interrupt came.
pub(crate) fn request() {
    REQUESTED.store(true, Ordering::SeqCst);
}

/// Whether an interrupt came: whoever sees an error then should report the interrupt instead.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}
