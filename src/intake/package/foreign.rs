//! Files of other kinds under a package's name. They are whole, so that to fetch them again gives the same: what helps is to know what
//! they are.

use std::fmt;

use super::fault::PackageFault;

/// What a file is that does not begin as a gzip file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Foreign {
    /// Nothing is in it.
    Empty,
    /// An archive or a packed file of this kind, with its article.
    Archive(&'static str),
    /// A page for a browser.
    Page,
    /// The text that stands for a large file in a git repository.
    LargeFile,
    /// A document in this language, with its article.
    Document(&'static str),
    /// Nothing that is known here.
    Unknown,
}

/// What a package is before it is packed.
const TAR: &str = "a tar archive that is not packed";

/// How files begin that are archives or packed.
const ARCHIVES: [(&[u8], &str); 14] = [
    (b"\xfd7zXZ\0", "an xz file"),
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "a zip archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
    (b"BZh", "a bzip2 file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a rar archive"),
    (b"LZIP", "an lzip file"),
    (b"\x5d\0\0", "an lzma file"),
    (b"\x04\x22\x4d\x18", "an lz4 file"),
    (b"\x1f\x9d", "a file of `compress`"),
    (b"!<arch>\n", "a deb package or another ar archive"),
    (b"\xed\xab\xee\xdb", "an rpm package"),
    (b"\x1f\x8b", "a gzip file"),
];

/// How the documents begin that servers give instead of a file.
const DOCUMENTS: [(&str, Foreign); 7] = [
    ("<!doctype html", Foreign::Page),
    ("<html", Foreign::Page),
    ("<head", Foreign::Page),
    ("<?xml", Foreign::Document("an XML document")),
    ("{", Foreign::Document("a JSON document")),
    ("[{", Foreign::Document("a JSON document")),
    ("version https://git-lfs", Foreign::LargeFile),
];

impl Foreign {
    /// What begins with `head`, up to 512 bytes, or is no more than that.
    pub(super) fn of(head: &[u8]) -> Self {
        if head.is_empty() {
            return Self::Empty;
        }
        if let Some((_, what)) = ARCHIVES.iter().find(|(magic, _)| head.starts_with(magic)) {
            return Self::Archive(what);
        }
        if head.get(257..262) == Some(b"ustar") {
            return Self::Archive(TAR);
        }
        let text = String::from_utf8_lossy(head).trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
        DOCUMENTS.iter().find(|(begin, _)| text.starts_with(begin)).map_or(Self::Unknown, |(_, what)| *what)
    }
}

impl Foreign {
    /// The fault of a gzip file in which stands what begins with `head`, where that is known and is no tar archive.
    pub(super) fn inside(head: &[u8]) -> Option<PackageFault> {
        let what = Self::of(head);
        let is_tar = matches!(what, Self::Archive(TAR));
        (!is_tar && what != Self::Unknown).then_some(PackageFault::ForeignInside { what })
    }
}

/// What it is, and what to do: behind `it is`.
impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("empty; ask whoever made it"),
            Self::Archive(what) => write!(f, "{what}, and a package is a tar archive packed with gzip; pack it anew"),
            Self::Page => f.write_str(
                "an HTML page and no package: one that asks to log in, perhaps, or that shows the package; check the URL",
            ),
            Self::LargeFile => f.write_str("a git-lfs pointer and not the package itself; fetch that with `git lfs pull`"),
            Self::Document(what) => write!(f, "{what} and no package; check where it comes from"),
            Self::Unknown => {
                f.write_str("not a gzip file, and a package is a tar archive packed with gzip; check where it comes from")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_are_named_for_what_they_are() {
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        for (head, words) in [
            (&b"\xfd7zXZ\0\0\x04"[..], "an xz file"),
            (b"PK\x03\x04x", "a zip archive"),
            (b"\x28\xb5\x2f\xfdx", "a zstd file"),
            (b"BZh91AY", "a bzip2 file"),
            (b"7z\xbc\xaf\x27\x1c\0", "a 7z archive"),
            (b"Rar!\x1a\x07\x01\0", "a rar archive"),
            (b"!<arch>\ndebian-binary", "a deb package"),
            (&tar, "a tar archive that is not packed"),
            (b"\x1f\x8b\x08", "a gzip file"),
            (b"\n <!DOCTYPE HTML><html>", "an HTML page"),
            (b"\xef\xbb\xbf<html lang=en>", "an HTML page"),
            (b"<?xml version=\"1.0\"?><Error>", "an XML document"),
            (b"{\"message\":\"Not Found\"}", "a JSON document"),
            (b"version https://git-lfs.github.com/spec/v1\noid", "a git-lfs pointer"),
            (b"", "empty"),
            (b"hello", "not a gzip file"),
            (b"\x1f", "not a gzip file"),
        ] {
            let shown = Foreign::of(head).to_string();
            assert!(shown.contains(words) && !shown.contains("damaged"), "{head:?}: {shown}");
        }
    }
}
