//! What can be wrong with the content of a package: one list for both directions, since [`super::pack()`] refuses whatever
//! [`super::unpack()`] would refuse.
//!
//! A fault knows neither the package's own file nor where it was going to: [`super::PackError`] and [`super::UnpackError`] add that.

use std::fmt;
use std::io;

use super::foreign::Foreign;
use crate::text::Sanitized;

/// Why an archive, or a directory that should become one, is refused as a whole (`docs/spec/package.md`, section 4).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackageFault {
    /// A path that no package may hold.
    #[error("entry {name}: its path {rule}")]
    Path {
        /// The path as far as it can be shown.
        name: ShownName,
        /// The rule that it breaks.
        rule: PathRule,
    },
    /// Neither a regular file nor a directory.
    #[error("entry {name} is {kind}: only regular files and directories are accepted")]
    Kind {
        /// The entry's path.
        name: ShownName,
        /// What it is, with its article.
        kind: &'static str,
    },
    /// One path twice.
    #[error("entry {name} stands there twice")]
    Duplicate {
        /// The path.
        name: ShownName,
    },
    /// Two paths that are one on a file system which folds case or normalises Unicode (CVE-2026-23950).
    #[error("entry {name} and {other} are the same path where case or Unicode form does not count")]
    Collision {
        /// The path.
        name: ShownName,
        /// The path that was there first.
        other: ShownName,
    },
    /// A path that is a file and is needed as a directory, or the other way round.
    #[error("entry {name}: {part} is both a file and a directory")]
    FileAndDirectory {
        /// The path.
        name: ShownName,
        /// The part of the path that is both.
        part: ShownName,
    },
    /// More entries than the limit.
    #[error("it has more than {limit} entries (`limits.entries` in config.yaml)")]
    Entries {
        /// The limit.
        limit: u64,
    },
    /// One file larger than the limit.
    #[error(
        "entry {name} has {size} bytes, more than the {limit} that one file may have (`limits.fileBytes` in config.yaml)"
    )]
    FileBytes {
        /// The entry's path.
        name: ShownName,
        /// The size that its header gives.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// All files together larger than the limit.
    #[error("its files have more than {limit} bytes together (`limits.totalBytes` in config.yaml)")]
    TotalBytes {
        /// The limit.
        limit: u64,
    },
    /// So much more comes out than went in that it can only be meant to fill a disk.
    #[error(
        "it unpacks to more than {floor} bytes plus {ratio} times its packed size (`limits.ratioFloor` and `limits.ratio` in \
         config.yaml)"
    )]
    Ratio {
        /// The bytes that are fine whatever the ratio.
        floor: u64,
        /// Unpacked bytes for each packed byte.
        ratio: u64,
    },
    /// A manifest larger than the limit.
    #[error("{name} is larger than {limit} bytes (`limits.manifestBytes` in config.yaml)")]
    ManifestBytes {
        /// The manifest's path.
        name: ShownName,
        /// The limit.
        limit: u64,
    },
    /// Neither the archive's root nor a first-level directory holds a manifest.
    #[error("neither its root nor a directory of its first level holds a `plugin.yaml`: is it a plugin's package?")]
    NoManifest,
    /// Two directories could be the plugin.
    #[error("both {first} and {second} hold a `plugin.yaml`: a package holds one plugin")]
    Ambiguous {
        /// The first of the two.
        first: ShownName,
        /// The other.
        second: ShownName,
    },
    /// A header that is none: wrong checksum, or a number that cannot be read.
    #[error("malformed tar header at byte {offset}: {what}")]
    Header {
        /// Where the header lies in the unpacked archive.
        offset: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A PAX or GNU extension that is malformed, or belongs to no entry.
    #[error("malformed PAX or GNU extension at byte {offset}: {what}")]
    Extension {
        /// Where its header lies in the unpacked archive.
        offset: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A global PAX extension that says of all entries what some programs believe and others do not.
    #[error("a global PAX header sets {key} for all that follows it, which some programs apply and others do not")]
    Global {
        /// What it sets.
        key: ShownName,
    },
    /// A header and an extension that say different things, of which readers would believe one or the other
    /// (CVE-2025-62518).
    #[error("entry {name}: the {what} of its header and of its extension contradict each other")]
    Contradiction {
        /// The path in the header.
        name: ShownName,
        /// What they disagree about.
        what: &'static str,
    },
    /// It ends in the middle of something.
    #[error("it is cut short at byte {offset} of the unpacked archive")]
    Truncated {
        /// How many bytes there are.
        offset: u64,
    },
    /// Something follows the end of the archive.
    #[error("there is data after the end of the archive, at byte {offset}")]
    TrailingData {
        /// Where it lies in the unpacked archive.
        offset: u64,
    },
    /// A file of another kind under a package's name.
    #[error("it is {what}")]
    Foreign {
        /// What it is.
        what: Foreign,
    },
    /// A gzip file of something else than a tar archive.
    #[error("what is packed in it is no tar archive: it is {what}")]
    ForeignInside {
        /// What that is.
        what: Foreign,
    },
    /// The gzip layer is damaged: wrong checksum or length, cut short, or followed by something else.
    #[error("its gzip stream is damaged: fetch it again")]
    Gzip {
        /// What the decoder says.
        source: io::Error,
    },
    /// The file cannot be read.
    #[error("reading failed")]
    Read {
        /// What reading gave.
        source: io::Error,
    },
}

/// The rules for a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathRule {
    /// Nothing is left of it.
    #[error("is empty")]
    Empty,
    /// It begins with a slash.
    #[error("is absolute")]
    Absolute,
    /// It has `..` in it.
    #[error("has `..` in it")]
    Parent,
    /// A drive letter, or an alternate data stream.
    #[error("has a `:` in it")]
    Colon,
    /// A separator on Windows, a plain character elsewhere.
    #[error("has a backslash in it")]
    Backslash,
    /// NUL, line breaks, escapes.
    #[error("has a control character in it")]
    Control,
    /// Not UTF-8.
    #[error("is not UTF-8")]
    NotUtf8,
    /// Windows drops these, so that two names become one.
    #[error("has a part that ends in a dot or a space")]
    DotOrSpace,
    /// A device on Windows, whatever its extension.
    #[error("has a part that is a reserved device name on Windows")]
    Reserved,
    /// A file whose name ends like a directory's.
    #[error("ends in a slash, though it is a file")]
    Slash,
    /// Longer than the limit.
    #[error("has more than {0} bytes (`limits.pathBytes` in config.yaml)")]
    Bytes(usize),
    /// Deeper than the limit.
    #[error("has more than {0} levels (`limits.pathLevels` in config.yaml)")]
    Levels(usize),
    /// A part longer than the limit.
    #[error("has a part of more than {0} bytes (`limits.partBytes` in config.yaml)")]
    Part(usize),
}

/// A name from an archive, shown in backticks, short and with nothing in it that could act on a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownName(String);

impl ShownName {
    /// Takes the bytes of a name, whatever they are.
    pub(super) fn new(name: impl AsRef<[u8]>) -> Self {
        const ENOUGH: usize = 200;
        let name = name.as_ref();
        let mut text = String::from_utf8_lossy(&name[..name.len().min(ENOUGH)]).into_owned();
        if name.len() > ENOUGH {
            text.push_str("...");
        }
        Self(text)
    }
}

impl fmt::Display for ShownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", Sanitized(&self.0))
    }
}
