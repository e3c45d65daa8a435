//! SHA-256 digests: the one kind that packages, provenance, receipts and lock files speak of.
//!
//! What a digest is compared with, and what a difference means, is the caller's affair.

use std::fmt;
use std::io::{self, Read, Write};
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::files;

/// How much is read at a time. Larger blocks leave the L2 cache between the read and the hash.
const BLOCK: usize = 128 * 1024;

/// A SHA-256 digest. It is shown as 64 lower-case hexadecimal digits, without a prefix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256Digest([u8; 32]);

/// Why a text is not a SHA-256 digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DigestError {
    /// Another algorithm's name stands before the colon.
    #[error("unsupported digest algorithm `{algorithm}`: expected `sha256:` and 64 hexadecimal digits")]
    Algorithm {
        /// What stood before the colon.
        algorithm: String,
    },
    /// The digits are too many, too few or no hexadecimal digits.
    #[error("`{text}` is not a SHA-256 digest: expected 64 hexadecimal digits, with or without `sha256:` before them")]
    Digits {
        /// The text as given.
        text: String,
    },
}

impl Sha256Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest and the size in bytes of what `reader` still holds.
    ///
    /// # Errors
    /// What reading gives.
    pub fn of_reader(mut reader: impl Read) -> io::Result<(Self, u64)> {
        let mut hasher = Hasher::new();
        let mut block = vec![0; BLOCK];
        loop {
            match reader.read(&mut block) {
                Ok(0) => return Ok(hasher.finish()),
                Ok(n) => hasher.update(&block[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// The digest and the size in bytes of the file at `path`.
    ///
    /// # Errors
    /// What opening or reading gives; also where it is not a regular file.
    pub fn of_file(path: &Path) -> io::Result<(Self, u64)> {
        Self::of_reader(files::open_regular(path)?.0)
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hex = [0; 64];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(self.0) {
            pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
            pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
        }
        f.pad(std::str::from_utf8(&hex).unwrap_or_default())
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{self}")
    }
}

impl FromStr for Sha256Digest {
    type Err = DigestError;

    /// Reads `sha256:<hex>` or bare `<hex>`, in either case of letters.
    fn from_str(text: &str) -> Result<Self, DigestError> {
        let hex = match text.split_once(':') {
            Some(("sha256", hex)) => hex,
            Some((algorithm, _)) => return Err(DigestError::Algorithm { algorithm: algorithm.to_owned() }),
            None => text,
        };
        let malformed = || DigestError::Digits { text: text.to_owned() };
        if hex.len() != 64 {
            return Err(malformed());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let digit = |c: u8| char::from(c).to_digit(16);
            match (digit(pair[0]), digit(pair[1])) {
                (Some(high), Some(low)) => *byte = (high * 16 + low) as u8,
                _ => return Err(malformed()),
            }
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Sha256Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Takes a digest while bytes pass, and counts them.
#[derive(Clone, Default)]
pub struct Hasher {
    state: Sha256,
    size: u64,
}

impl Hasher {
    /// A hasher that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes `bytes` into the digest.
    pub fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
        self.size += bytes.len() as u64;
    }

    /// The digest and the number of bytes seen.
    pub fn finish(self) -> (Sha256Digest, u64) {
        (Sha256Digest(self.state.finalize().into()), self.size)
    }
}

/// Hashes what is written through it.
pub struct HashingWriter<W> {
    inner: W,
    hasher: Hasher,
}

impl<W: Write> HashingWriter<W> {
    /// Wraps `inner`.
    pub fn new(inner: W) -> Self {
        Self { inner, hasher: Hasher::new() }
    }

    /// The wrapped writer, the digest and the number of bytes written.
    pub fn finish(self) -> (W, Sha256Digest, u64) {
        let (digest, size) = self.hasher.finish();
        (self.inner, digest, size)
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_spellings_and_writes_one() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Sha256Digest::of(b"").to_string(), hex);
        assert_eq!(format!("sha256:{}", hex.to_uppercase()).parse::<Sha256Digest>().unwrap().to_string(), hex);
        assert!(matches!("sha512:00".parse::<Sha256Digest>(), Err(DigestError::Algorithm { .. })));
        for bad in ["", "sha256:", &hex[1..], &hex.replace('e', "g"), &format!("{hex}0")] {
            assert!(matches!(bad.parse::<Sha256Digest>(), Err(DigestError::Digits { .. })), "{bad}");
        }
    }
}
