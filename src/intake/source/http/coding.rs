//! Content codings (RFC 9110, section 8.4): what a server, or a proxy on the way, packs although it is asked not to.
//!
//! A package is a gzip file itself, and many servers say of such a file that its *coding* is gzip. So for a package the label is
//! believed only where what comes out bears it out; what is no package is what comes out.

use std::io::{self, Cursor, Read};

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use reqwest::header::{CONTENT_ENCODING, HeaderMap};

use crate::text;

/// How a gzip file begins.
pub(super) const GZIP: [u8; 2] = [0x1f, 0x8b];

/// As much of what comes out is looked at.
const HEAD: u64 = 512;

/// Where a tar header says that it is one.
const TAR_MAGIC: std::ops::Range<usize> = 257..262;

/// How a body was packed on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum ContentCoding {
    /// Not at all.
    #[default]
    Identity,
    Gzip,
    Deflate,
}

impl ContentCoding {
    /// What the headers of an answer say; the name of one that cannot be undone, safe to show, where it is one.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, String> {
        let values = headers
            .get_all(CONTENT_ENCODING)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase());
        let joined = values.collect::<Vec<_>>().join(",");
        let mut named = joined.split(',').map(str::trim).filter(|name| !matches!(*name, "" | "identity"));
        match (named.next(), named.next()) {
            (None, _) => Ok(Self::Identity),
            (Some("gzip" | "x-gzip"), None) => Ok(Self::Gzip),
            (Some("deflate"), None) => Ok(Self::Deflate),
            (Some(_), _) => Err(text::sanitized(joined.get(..100).unwrap_or(&joined)).into_owned()),
        }
    }

    /// `body` as it was before it was packed. One that does not begin as its label says was never packed.
    pub(super) fn undo<'r>(self, mut body: impl Read + 'r) -> io::Result<Box<dyn Read + 'r>> {
        let mut first = Vec::new();
        body.by_ref().take(2).read_to_end(&mut first)?;
        let is_gzip = first.starts_with(&GZIP);
        // RFC 1950, section 2.2; some leave the header out.
        let is_zlib = matches!(first.as_slice(), [a, b] if a & 15 == 8 && (u16::from(*a) << 8 | u16::from(*b)) % 31 == 0);
        let is_empty = first.is_empty();
        let body = Cursor::new(first).chain(body);
        Ok(match self {
            Self::Gzip if is_gzip => Box::new(MultiGzDecoder::new(body)),
            Self::Deflate if is_zlib => Box::new(ZlibDecoder::new(body)),
            Self::Deflate if !is_gzip && !is_empty => Box::new(DeflateDecoder::new(body)),
            Self::Identity | Self::Gzip | Self::Deflate => Box::new(body),
        })
    }

    /// How what was packed begins, as far as `sent`, the beginning of it, tells.
    pub(super) fn head(self, sent: impl Read) -> Vec<u8> {
        let mut head = Vec::new();
        if let Ok(body) = self.undo(sent) {
            // It ends in the middle, and what came out before that stays.
            let _ = body.take(HEAD).read_to_end(&mut head);
        }
        head
    }

    /// Whether a file whose unpacked beginning is `head` is meant as it was sent: a package, which is packed by itself and by nobody
    /// on the way. `is_packed` says that the file's name or type is that of something packed.
    pub(super) fn is_label_alone(self, head: &[u8], is_packed: bool) -> bool {
        self == Self::Gzip && !head.starts_with(&GZIP) && (is_tar(head) || is_packed)
    }
}

/// Whether a tar archive begins so.
pub(super) fn is_tar(head: &[u8]) -> bool {
    head.get(TAR_MAGIC) == Some(b"ustar")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use reqwest::header::HeaderValue;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn codings_are_told_by_their_names() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_ENCODING, HeaderValue::from_str(value).unwrap());
            }
            ContentCoding::of(&headers)
        };
        for (values, want) in [
            (&[][..], ContentCoding::Identity),
            (&[""], ContentCoding::Identity),
            (&["identity"], ContentCoding::Identity),
            (&["GZip"], ContentCoding::Gzip),
            (&["x-gzip"], ContentCoding::Gzip),
            (&["identity, gzip"], ContentCoding::Gzip),
            (&["deflate"], ContentCoding::Deflate),
        ] {
            assert_eq!(of(values), Ok(want), "{values:?}");
        }
        for values in [&["br"][..], &["zstd"], &["gzip, gzip"], &["gzip", "br"], &["x\u{e9}"]] {
            assert!(of(values).is_err(), "{values:?}");
        }
    }

    #[test]
    fn what_was_packed_comes_out_and_what_was_not_stays() {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(b"signed").unwrap();
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::fast());
        raw.write_all(b"signed").unwrap();
        let packed = gzip(b"signed");
        for (coding, sent, want) in [
            (ContentCoding::Identity, packed.clone(), Some(packed.clone())),
            (ContentCoding::Gzip, packed.clone(), Some(b"signed".to_vec())),
            (ContentCoding::Gzip, [gzip(b"sig"), gzip(b"ned")].concat(), Some(b"signed".to_vec())),
            (ContentCoding::Gzip, b"signed".to_vec(), Some(b"signed".to_vec())),
            (ContentCoding::Gzip, Vec::new(), Some(Vec::new())),
            (ContentCoding::Gzip, packed[..12].to_vec(), None),
            (ContentCoding::Deflate, zlib.finish().unwrap(), Some(b"signed".to_vec())),
            (ContentCoding::Deflate, raw.finish().unwrap(), Some(b"signed".to_vec())),
            (ContentCoding::Deflate, packed.clone(), Some(packed.clone())),
            (ContentCoding::Deflate, Vec::new(), Some(Vec::new())),
        ] {
            let mut out = Vec::new();
            let outcome = coding.undo(sent.as_slice()).and_then(|mut body| body.read_to_end(&mut out));
            assert_eq!(outcome.ok().map(|_| out), want, "{coding:?} {sent:?}");
        }
    }

    #[test]
    fn a_package_that_is_only_called_packed_is_meant_as_it_is() {
        let mut tar = vec![0; 512];
        tar[TAR_MAGIC].copy_from_slice(b"ustar");
        let package = gzip(&tar);
        for (coding, sent, is_packed, alone) in [
            (ContentCoding::Gzip, package.clone(), true, true),
            (ContentCoding::Gzip, package.clone(), false, true),
            (ContentCoding::Gzip, gzip(&package), true, false),
            (ContentCoding::Gzip, gzip(b"something older than ustar"), true, true),
            (ContentCoding::Gzip, gzip(b"<html>"), false, false),
            (ContentCoding::Identity, package.clone(), true, false),
            (ContentCoding::Deflate, package.clone(), true, false),
        ] {
            let head = coding.head(sent.as_slice());
            assert_eq!(coding.is_label_alone(&head, is_packed), alone, "{coding:?} {head:?}");
        }
    }
}
