//! OpenPGP's packet framing (RFC 9580, section 4.2) where we need it before the OpenPGP library does: to count and bound
//! packets, to cut a keyring into certificates, and to mend the numbers of old signatures.
//!
//! What a packet means is the library's affair.

/// Tags of the packets that this program looks at.
pub(super) mod tag {
    pub(in super::super) const SIGNATURE: u8 = 2;
    pub(in super::super) const SECRET_KEY: u8 = 5;
    pub(in super::super) const PUBLIC_KEY: u8 = 6;
    pub(in super::super) const SECRET_SUBKEY: u8 = 7;
    pub(in super::super) const USER_ID: u8 = 13;
    pub(in super::super) const PUBLIC_SUBKEY: u8 = 14;
    pub(in super::super) const USER_ATTRIBUTE: u8 = 17;
}

/// A packet cut out of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    /// What kind it is.
    pub(super) tag: u8,
    /// What it holds, without the header.
    pub(super) body: &'a [u8],
    /// Header and body.
    pub(super) whole: &'a [u8],
}

/// Why bytes are not a sequence of packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// No packet begins here.
    #[error("no OpenPGP packet begins at byte {offset}")]
    Header {
        /// Where.
        offset: usize,
    },
    /// A length that only streams of data may have.
    #[error("the OpenPGP packet at byte {offset} has no definite length")]
    Indefinite {
        /// Where the packet begins.
        offset: usize,
    },
    /// The bytes end within a packet.
    #[error("the OpenPGP packet at byte {offset} is cut short")]
    Truncated {
        /// Where the packet begins.
        offset: usize,
    },
}

/// Cuts `bytes` into packets; after an error nothing more comes.
pub(super) fn split(bytes: &[u8]) -> Split<'_> {
    Split { bytes, offset: 0 }
}

/// The iterator of [`split`].
pub(super) struct Split<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Iterator for Split<'a> {
    type Item = Result<Packet<'a>, FramingError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.offset..).filter(|rest| !rest.is_empty())?;
        let packet = first(rest, self.offset);
        self.offset = match &packet {
            Ok(packet) => self.offset + packet.whole.len(),
            Err(_) => self.bytes.len(),
        };
        Some(packet)
    }
}

/// The packet at the beginning of `bytes`, which lie at `offset` of the whole.
fn first(bytes: &[u8], offset: usize) -> Result<Packet<'_>, FramingError> {
    let truncated = FramingError::Truncated { offset };
    let octet = |i: usize| bytes.get(i).copied().map(usize::from).ok_or(truncated);
    let ctb = octet(0)?;
    let (tag, header, length): (usize, usize, usize) = match ctb {
        0xc0..=0xff => {
            let (header, length) = match octet(1)? {
                n @ 0..=191 => (2, n),
                n @ 192..=223 => (3, ((n - 192) << 8) + octet(2)? + 192),
                224..=254 => return Err(FramingError::Indefinite { offset }),
                _ => (6, octet(2)? << 24 | octet(3)? << 16 | octet(4)? << 8 | octet(5)?),
            };
            (ctb & 0x3f, header, length)
        }
        0x80..=0xbf => {
            let (header, length) = match ctb & 3 {
                0 => (2, octet(1)?),
                1 => (3, octet(1)? << 8 | octet(2)?),
                2 => (5, octet(1)? << 24 | octet(2)? << 16 | octet(3)? << 8 | octet(4)?),
                _ => return Err(FramingError::Indefinite { offset }),
            };
            (ctb >> 2 & 0xf, header, length)
        }
        _ => return Err(FramingError::Header { offset }),
    };
    let whole = header.checked_add(length).and_then(|end| bytes.get(..end)).ok_or(truncated)?;
    Ok(Packet { tag: tag as u8, body: &whole[header..], whole })
}

/// A packet of `tag` around `body`, with a header in the new format.
pub(super) fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![0xc0 | tag, 0xff];
    packet.extend_from_slice(&(body.len() as u32).to_be_bytes());
    packet.extend_from_slice(body);
    packet
}

/// The body of a signature packet with the bit counts of its numbers set right.
///
/// Go's old `golang.org/x/crypto/openpgp`, which Helm 3 signed with, wrote eight times the number of bytes there instead of the
/// number of bits, so every second RSA signature is malformed for a strict reader. The numbers are not covered by what is
/// signed, and their values stay: nothing can be forged by it. A body that is not a version 4 signature of a known layout
/// comes back as it was.
pub(super) fn mend_signature(body: &[u8]) -> Vec<u8> {
    mended(body).unwrap_or_else(|| body.to_vec())
}

fn mended(body: &[u8]) -> Option<Vec<u8>> {
    // Version, type, public-key algorithm, hash algorithm; two areas of subpackets; two octets of the digest.
    let [4, _, algorithm, _, ..] = *body else { return None };
    let numbers = match algorithm {
        1 | 3 => 1,
        17 | 19 | 22 => 2,
        _ => return None,
    };
    let area = |at: usize| Some(at + 2 + usize::from(u16::from_be_bytes([*body.get(at)?, *body.get(at + 1)?])));
    let start = area(area(4)?)? + 2;
    let mut out = body.get(..start)?.to_vec();
    let mut rest = &body[start..];
    for _ in 0..numbers {
        let (bits, more) = rest.split_first_chunk::<2>()?;
        let (number, more) = more.split_at_checked(usize::from(u16::from_be_bytes(*bits)).div_ceil(8))?;
        rest = more;
        let zeros = number.iter().take_while(|&&byte| byte == 0).count();
        let number = &number[zeros..];
        let bits = number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize);
        out.extend_from_slice(&(bits as u16).to_be_bytes());
        out.extend_from_slice(number);
    }
    out.extend_from_slice(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn splits_old_and_new_headers() {
        let bytes = [0x88, 1, 7, 0xc2, 2, 8, 9, 0x99, 0, 1, 5, 0xc6, 0xff, 0, 0, 0, 1, 6];
        let packets: Vec<_> =
            split(&bytes).map(|packet| packet.map(|p| (p.tag, p.body.to_vec()))).collect::<Result<_, _>>().unwrap();
        assert_eq!(packets, [(2, vec![7]), (2, vec![8, 9]), (6, vec![5]), (6, vec![6])]);
    }

    #[test]
    fn refuses_what_has_no_end() {
        assert_eq!(split(&[0xc2, 0xe1, 0]).next(), Some(Err(FramingError::Indefinite { offset: 0 })));
        assert_eq!(split(&[0x8b, 1]).next(), Some(Err(FramingError::Indefinite { offset: 0 })));
        assert_eq!(split(&[0xc2, 5, 0]).next(), Some(Err(FramingError::Truncated { offset: 0 })));
        assert_eq!(split(&[0xc2, 1, 0, 7]).nth(1), Some(Err(FramingError::Header { offset: 3 })));
        assert_eq!(split(&[0xc6, 0xff, 0xff, 0xff, 0xff, 0xff]).next(), Some(Err(FramingError::Truncated { offset: 0 })));
    }

    #[test]
    fn mends_bit_counts_and_leaves_the_rest() {
        // RSA: no subpackets, a number of two bytes that claims sixteen bits and has nine.
        let body = [4, 1, 1, 10, 0, 0, 0, 0, 0xaa, 0xbb, 0, 16, 1, 2];
        assert_eq!(mend_signature(&body), [4, 1, 1, 10, 0, 0, 0, 0, 0xaa, 0xbb, 0, 9, 1, 2]);
        let padded = [4, 1, 1, 10, 0, 0, 0, 0, 0xaa, 0xbb, 0, 24, 0, 1, 2];
        assert_eq!(mend_signature(&padded), [4, 1, 1, 10, 0, 0, 0, 0, 0xaa, 0xbb, 0, 9, 1, 2]);
        for other in [&b"\x06anything"[..], b"", b"\x04", b"\x04\x01\x01\x0a\xff\xff"] {
            assert_eq!(mend_signature(other), other);
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes: Vec<u8>) {
            let _ = split(&bytes).count();
            let mended = mend_signature(&bytes);
            prop_assert_eq!(mend_signature(&mended), mended);
        }

        #[test]
        fn what_is_framed_is_split(body: Vec<u8>) {
            let bytes = frame(2, &body);
            prop_assert_eq!(split(&bytes).next().unwrap().unwrap().body, &body[..]);
        }
    }
}
