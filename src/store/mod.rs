//! Plugins on disk: layout, lock, staging, receipts, and the gate before every run.
//!
//! Deciding whether a package may come in is [`crate::provenance`]'s; starting what the gate hands out is
//! [`crate::runtime`]'s.
