//! GnuPG's keybox (`pubring.kbx`): finds the OpenPGP certificates in it.
//!
//! A keybox is a sequence of blobs. Each begins with its length (four octets, big-endian), its type and its version; that of a
//! certificate goes on with two octets of flags and with offset and length of the certificate, counted from the blob's start.
//! What GnuPG keeps beside it (fingerprints, trust, a checksum) is not needed: certificates prove themselves.

/// Whether these are the bytes of a keybox: its first blob is a header with this mark.
pub(super) fn is_keybox(bytes: &[u8]) -> bool {
    bytes.get(8..12) == Some(b"KBXf")
}

/// Why a keybox cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyboxError {
    /// A blob that ends after the file does, or that is too short to be one.
    #[error("the keybox is damaged or cut short at byte {offset}")]
    Blob {
        /// Where the blob begins.
        offset: usize,
    },
}

const OPENPGP: u8 = 2;

/// Set on what GnuPG found on the way (in a mail, say) and does not count as part of the keyring.
const EPHEMERAL: u16 = 2;

/// The certificates of a keybox, each as its packets. Blobs of other kinds (X.509, empty) are skipped.
pub(super) fn certificates(bytes: &[u8]) -> Result<Vec<&[u8]>, KeyboxError> {
    let mut found = Vec::new();
    let mut offset = 0;
    while offset < bytes.len() {
        let damaged = KeyboxError::Blob { offset };
        let rest = &bytes[offset..];
        let length = number(rest, 0).filter(|&length| length >= 5).ok_or(damaged)?;
        let blob = rest.get(..length).ok_or(damaged)?;
        if blob[4] == OPENPGP {
            let flags = blob.get(6..8).ok_or(damaged)?;
            let start = number(blob, 8).ok_or(damaged)?;
            let length = number(blob, 12).ok_or(damaged)?;
            let certificate = start.checked_add(length).and_then(|end| blob.get(start..end)).ok_or(damaged)?;
            if u16::from_be_bytes([flags[0], flags[1]]) & EPHEMERAL == 0 {
                found.push(certificate);
            }
        }
        offset += length;
    }
    Ok(found)
}

/// The four octets at `at`.
fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let octets = bytes.get(at..at + 4)?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*octets) as usize)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn blob(kind: u8, flags: u16, certificate: &[u8]) -> Vec<u8> {
        let mut blob = vec![0; 4];
        blob.extend([kind, 1]);
        blob.extend(flags.to_be_bytes());
        blob.extend(20u32.to_be_bytes());
        blob.extend((certificate.len() as u32).to_be_bytes());
        blob.extend([0; 4]);
        blob.extend(certificate);
        let length = blob.len() as u32;
        blob[..4].copy_from_slice(&length.to_be_bytes());
        blob
    }

    fn header() -> Vec<u8> {
        [&[0, 0, 0, 32, 1, 1, 0, 2][..], b"KBXf", &[0; 20]].concat()
    }

    #[test]
    fn p23_keybox_skips_x509_empty_and_ephemeral_blobs() {
        let bytes = [
            header(),
            blob(2, 0, b"one"),
            blob(3, 0, b"x509"),
            blob(2, 2, b"ephemeral"),
            blob(0, 0, b""),
            blob(2, 0, b"two"),
        ]
        .concat();
        assert!(is_keybox(&bytes));
        assert_eq!(certificates(&bytes).unwrap(), [b"one", b"two"]);
    }

    #[test]
    fn p23_a_truncated_keybox_is_refused() {
        let bytes = [header(), blob(2, 0, b"one")].concat();
        for end in 33..bytes.len() {
            assert_eq!(certificates(&bytes[..end]), Err(KeyboxError::Blob { offset: 32 }), "{end}");
        }
        assert!(certificates(&[header(), vec![0, 0, 0, 0, 2]].concat()).is_err());
        let mut outside = blob(2, 0, b"one");
        outside[15] = 200;
        assert!(certificates(&[header(), outside].concat()).is_err());
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes: Vec<u8>) {
            let _ = certificates(&[header(), bytes].concat());
        }
    }
}
