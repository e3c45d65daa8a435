//! A plugin's directory to a tarball and back: ignore rules, entry rules, limits, reproducible gzip.
//!
//! Whether a package can be trusted is [`crate::provenance`]'s to say; where it comes from [`crate::source`]'s, where it goes
//! [`crate::store`]'s.
//!
//! | module | what it decides |
//! |---|---|
//! | `fault` | what can be wrong with a package's content, for both directions |
//! | `path` | which paths may be in a package, and which collide |
//! | `header` | one block of tar, read and written |
//! | `entries` | the entries of an archive under all the rules |
//! | `gunzip` | a gzip file as a stream, with the bound on its ratio |
//! | `unpack` | an archive to a directory, or to its manifest |
//! | `walk` | what of a directory goes into a package |
//! | `gzip` | one gzip stream from all cores |
//! | `pointer` | where a package says that its manifest is |
//! | `pack` | a directory to a package, published as a whole |

mod entries;
mod fault;
mod gunzip;
mod gzip;
mod header;
mod pack;
mod path;
mod pointer;
mod unpack;
mod walk;

use std::path::PathBuf;

pub use fault::{Fault, PathRule, Shown};
pub use pack::{PackError, Published, Unpublished, pack};
pub use unpack::{UnpackError, Unpacked, UnpackedFile, inspect, unpack};

use crate::digest::Sha256Digest;

/// Whether a file's name is that of a package: `.tgz` or `.tar.gz`, in any case.
pub fn is_archive_name(name: &str) -> bool {
    let ends = |suffix: &str| {
        name.len()
            .checked_sub(suffix.len())
            .and_then(|at| name.get(at..))
            .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
    };
    ends(".tgz") || ends(".tar.gz")
}

/// Whether a file that begins with `bytes` is compressed with gzip.
pub fn looks_like_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b, 8])
}

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

#[cfg(test)]
mod tests;
