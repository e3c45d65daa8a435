//! A plugin's directory to a tarball and back: ignore rules, entry rules, limits, reproducible gzip.
//!
//! Whether a package can be trusted is [`crate::intake::provenance`]'s to say; where it comes from [`crate::intake::source`]'s, where it goes
//! [`crate::store`]'s.
//!
//! | module | what it decides |
//! |---|---|
//! | `fault` | what can be wrong with a package's content, for both directions |
//! | `path` | which paths may be in a package, and which collide |
//! | `header` | one block of tar, read and written |
//! | `entries` | the entries of an archive under all the rules |
//! | `gunzip` | a gzip file as a stream, with the bound on its ratio |
//! | `inflate` | the blocks of a package of ours, inflated by several threads |
//! | `unpack` | an archive to a directory, or to its manifest |
//! | `walk` | what of a directory goes into a package |
//! | `gzip` | one gzip stream from all cores |
//! | `blocks` | where a package says where its blocks lie |
//! | `pointer` | where a package says that its manifest is |
//! | `pack` | a directory to a package, published as a whole |

mod blocks;
mod entries;
mod fault;
mod foreign;
mod gunzip;
mod gzip;
mod header;
mod inflate;
mod pack;
mod path;
mod pointer;
mod unpack;
mod walk;

use std::path::{Path, PathBuf};

pub use fault::{PackageFault, PathRule, ShownName};
pub use foreign::Foreign;
pub use pack::{PackError, Published, Unpublished, pack, packable};
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
/// Only [`crate::intake::source`] makes one, and only [`crate::intake::provenance`] turns it into a [`crate::intake::provenance::VerifiedPackage`].
#[derive(Debug)]
pub struct FetchedPackage {
    /// The file, in a directory that only this user can enter: what is verified here is what is unpacked later.
    pub(in crate::intake) path: PathBuf,
    /// The file's name at its source, such as `foo-1.0.0.tgz`.
    pub(in crate::intake) file_name: String,
    /// The file's digest, taken while it was copied or downloaded.
    pub(in crate::intake) digest: Sha256Digest,
    /// The file's size in bytes.
    pub(in crate::intake) size: u64,
    /// The bytes of `<file>.prov`, where somebody asked for them and they are there.
    pub(in crate::intake) provenance: Option<Vec<u8>>,
    /// Where a provenance was, or would have been: a path or a URL, for messages.
    pub(in crate::intake) provenance_at: String,
    /// Where the bytes came from, for the receipt.
    pub(in crate::intake) origin: PackageOrigin,
    /// What its source vouches for. Only [`crate::intake::source`] says so.
    pub(in crate::intake) vouched: Vouched,
}

/// What the source of a package vouches for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Vouched {
    /// Nothing: only a digest or a signature does.
    #[default]
    Nothing,
    /// All bytes hang on an id that the user gave: that of a commit, or the digest of a manifest.
    ObjectId,
    /// The checksums file of the release gives this digest.
    Checksum,
}

/// Where a package came from, as the receipt keeps it: without user names and passwords, but with the query of a URL, which
/// is masked wherever it is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackageOrigin {
    /// The source as the user named it, in a form that means the same from every directory.
    pub asked: String,
    /// The source that it came to be: a URL after its redirects, an absolute path, a reference with its digest.
    pub resolved: String,
    /// The commit or the manifest digest, where the source has one.
    pub revision: Option<String>,
    /// What tells a web server's version of the package from another: an entity tag, else a date.
    pub validator: Option<String>,
    /// What vouches for a git commit, where the package was made from one.
    pub git: Option<GitOrigin>,
    /// The release that it is a file of, where it is one.
    pub release: Option<ReleaseOrigin>,
}

/// What is known of the release that a package is a file of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseOrigin {
    /// The tag of the release.
    pub tag: String,
}

/// What is known of the git commit that a package was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitOrigin {
    /// The full id of the commit.
    pub commit: String,
    /// The tag or branch that led to it, such as `v1.2.0`; none where the user named the commit itself.
    pub reference: Option<String>,
    /// The signed tag, else the signed commit, where there is one: nobody has checked the signature yet.
    pub signed: Option<SignedObject>,
}

/// A git tag or commit with a signature, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedObject {
    /// What it is, for messages: ``tag `v1.2.0` `` or `commit 1234...`.
    pub what: String,
    /// The bytes that were signed.
    pub payload: Vec<u8>,
    /// The signature in its armor: OpenPGP, or SSH in the namespace `git`.
    pub signature: Vec<u8>,
}

impl FetchedPackage {
    /// A package at `path`, called `file_name` at its source, without a provenance and of unknown origin.
    pub(in crate::intake) fn new(path: PathBuf, file_name: String, digest: Sha256Digest, size: u64) -> Self {
        Self {
            path,
            file_name,
            digest,
            size,
            provenance: None,
            provenance_at: String::new(),
            origin: PackageOrigin::default(),
            vouched: Vouched::default(),
        }
    }

    /// What messages call it: where it came from, without secrets; where nobody knows, where it is.
    pub(crate) fn display_name(&self) -> PathBuf {
        match self.origin.asked.as_str() {
            "" => self.path.clone(),
            asked => crate::text::masked_source(asked).into(),
        }
    }

    /// Whether its source vouches for its digest, so that it counts as verified by digest without a signature: all bytes hang on
    /// an id that the user gave, or there is no provenance in its release and the release's checksums give this digest.
    pub fn has_trusted_digest(&self) -> bool {
        match self.vouched {
            Vouched::ObjectId => true,
            Vouched::Checksum => self.provenance.is_none(),
            Vouched::Nothing => false,
        }
    }

    /// Whether all bytes hang on an id that the user gave, of a commit or of a manifest.
    pub fn is_named_by_id(&self) -> bool {
        self.vouched == Vouched::ObjectId
    }

    /// Whether there is a signature, of whomever: nobody has looked at it.
    pub(crate) fn is_signed(&self) -> bool {
        self.provenance.is_some() || self.origin.git.as_ref().is_some_and(|git| git.signed.is_some())
    }

    /// Where the file is: a private place.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many bytes the file has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The bytes of its provenance, where somebody asked for them and they are there.
    pub fn provenance(&self) -> Option<&[u8]> {
        self.provenance.as_deref()
    }

    /// Where a provenance was, or would have been: a path or a URL, for messages.
    pub fn provenance_at(&self) -> &str {
        &self.provenance_at
    }

    /// Where the bytes came from.
    pub fn origin(&self) -> &PackageOrigin {
        &self.origin
    }

    /// A package that nobody fetched, for the tests of other modules: from `asked`, with `provenance`.
    #[cfg(test)]
    pub(crate) fn made_up(path: PathBuf, file_name: String, asked: String, provenance: Vec<u8>) -> Self {
        let (digest, size) = Sha256Digest::of_file(&path).unwrap();
        let mut fetched = Self::new(path, file_name, digest, size);
        (fetched.origin.asked, fetched.provenance) = (asked, Some(provenance));
        fetched
    }

    /// The file's name at its source.
    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    /// The file's digest.
    pub fn digest(&self) -> Sha256Digest {
        self.digest
    }
}

#[cfg(test)]
mod tests;
