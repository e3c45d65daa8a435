//! A plugin's directory to a tarball and back: ignore rules, entry rules, limits, reproducible gzip.
//!
//! Whether a package can be trusted is [`crate::provenance`]'s to say; where it comes from [`crate::source`]'s, where it goes
//! [`crate::store`]'s.

use std::path::PathBuf;

use crate::digest::Sha256Digest;

/// A package's bytes in a private place, hashed while they came, and what lay beside them: nobody has verified it yet.
///
/// Only [`crate::source`] makes one, and only [`crate::provenance`] turns it into a [`crate::provenance::Verified`].
#[derive(Debug)]
pub struct Fetched {
    /// The file, in a directory that only this user can enter: what is verified here is what is unpacked later.
    pub(crate) path: PathBuf,
    /// The file's name at its source, such as `foo-1.0.0.tgz`.
    pub(crate) file_name: String,
    /// The file's digest, taken while it was copied or downloaded.
    pub(crate) digest: Sha256Digest,
    /// The file's size in bytes.
    pub(crate) size: u64,
    /// The bytes of `<file>.prov`, where somebody asked for them and they are there.
    pub(crate) provenance: Option<Vec<u8>>,
    /// Where a provenance was, or would have been: a path or a URL, for messages.
    pub(crate) provenance_at: String,
}
