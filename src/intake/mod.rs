//! Intake: how a package comes into the house, from an argument to what the store can put in place, and how one is made.
//!
//! The types of the way are made in here and nowhere else: a [`package::FetchedPackage`] by [`source`], a
//! [`provenance::VerifiedPackage`] by [`provenance`].

pub mod package;
pub mod provenance;
pub mod source;
