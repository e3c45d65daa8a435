//! Radix-64 of OpenPGP (RFC 9580, section 6): strict reading, and writing with the checksum.
//!
//! Which header lines may stand above it is decided by [`super::message`] and [`super::keyring`].

/// Characters of one line of radix-64 that others may write. GnuPG cuts very long lines short where others read them whole, so
/// nothing beyond what the standard ever allowed (RFC 4880, section 6.3) is taken.
const MAX_LINE: usize = 76;

/// Characters of one line that we write, as GnuPG does.
const LINE: usize = 64;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Why lines are not radix-64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ArmorError {
    /// A line holds something else, is too long, or stands where none may.
    #[error("line {line} is not radix-64")]
    Line {
        /// The line, counted from 1.
        line: usize,
    },
    /// The data ends within a group of four characters, or its padding is wrong.
    #[error("the radix-64 data is cut short or badly padded")]
    Padding,
    /// The checksum is there and another.
    #[error("the CRC-24 checksum does not match")]
    Checksum,
}

/// Decodes numbered lines without their line ends. The checksum is compared where there is one.
pub(super) fn decode<'a>(lines: impl IntoIterator<Item = (usize, &'a str)>) -> Result<Vec<u8>, ArmorError> {
    let mut out = Vec::new();
    let mut checksum = None;
    let (mut group, mut held, mut padding) = (0u32, 0u8, 0u8);
    for (number, line) in lines {
        let wrong = ArmorError::Line { line: number };
        if checksum.is_some() || line.is_empty() || line.len() > MAX_LINE {
            return Err(wrong);
        }
        if let Some(crc) = line.strip_prefix('=')
            && crc.len() == 4
        {
            let mut value = 0;
            for c in crc.bytes() {
                value = value << 6 | digit(c).ok_or(wrong)?;
            }
            checksum = Some(value);
            continue;
        }
        for c in line.bytes() {
            if c == b'=' {
                padding += 1;
                if padding > 2 || held + padding > 4 || held < 2 {
                    return Err(wrong);
                }
                continue;
            }
            if padding > 0 {
                return Err(wrong);
            }
            group = group << 6 | digit(c).ok_or(wrong)?;
            held += 1;
            if held == 4 {
                out.extend_from_slice(&group.to_be_bytes()[1..]);
                (group, held) = (0, 0);
            }
        }
    }
    // Bits that no byte uses must be zero: otherwise many texts would stand for the same data.
    match (held, padding) {
        (0, 0) => {}
        (2, 2) if group & 0xf == 0 => out.push((group >> 4) as u8),
        (3, 1) if group & 0x3 == 0 => out.extend_from_slice(&((group >> 2) as u16).to_be_bytes()),
        _ => return Err(ArmorError::Padding),
    }
    match checksum {
        Some(checksum) if checksum != crc24(&out) => Err(ArmorError::Checksum),
        _ => Ok(out),
    }
}

/// Encodes `data` in lines, each with its `\n`, and the checksum on the last one (GnuPG 2.2 misreads armor without it).
pub(super) fn encode(data: &[u8]) -> String {
    let mut flat = String::with_capacity(data.len().div_ceil(3) * 4);
    for chunk in data.chunks(3) {
        push_group(&mut flat, chunk);
    }
    let mut out = String::with_capacity(flat.len() + flat.len() / LINE + 8);
    let mut rest = &*flat;
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(LINE));
        out.push_str(line);
        out.push('\n');
        rest = more;
    }
    out.push('=');
    push_group(&mut out, &crc24(data).to_be_bytes()[1..]);
    out.push('\n');
    out
}

/// Adds one to three bytes as four characters.
fn push_group(out: &mut String, bytes: &[u8]) {
    let mut group = [0; 4];
    group[1..=bytes.len()].copy_from_slice(bytes);
    let group = u32::from_be_bytes(group);
    for i in 0..4 {
        let c = ALPHABET[(group >> (18 - 6 * i) & 0x3f) as usize];
        out.push(if i <= bytes.len() { char::from(c) } else { '=' });
    }
}

fn digit(c: u8) -> Option<u32> {
    let value = match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

/// The CRC-24 of RFC 9580, section 6.1.1.
fn crc24(data: &[u8]) -> u32 {
    let mut crc = 0x00b7_04ce;
    for &byte in data {
        crc ^= u32::from(byte) << 16;
        for _ in 0..8 {
            crc <<= 1;
            if crc & 0x0100_0000 != 0 {
                crc ^= 0x0186_4cfb;
            }
        }
    }
    crc & 0x00ff_ffff
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(text: &str) -> Result<Vec<u8>, ArmorError> {
        decode(text.lines().enumerate().map(|(i, line)| (i + 1, line)))
    }

    #[test]
    fn reads_with_and_without_a_checksum() {
        assert_eq!(decoded("Zm9vYmE=").unwrap(), b"fooba");
        assert_eq!(decoded("Zm9v\nYmFy").unwrap(), b"foobar");
        assert!(encode(b"fooba").starts_with("Zm9vYmE=\n="));
        assert_eq!(crc24(b"123456789"), 0x0021_cf02);
    }

    #[test]
    fn refuses_everything_else() {
        for text in
            ["Zm9", "Z===", "Zm=v", "Zm9=v", "Zm9vYmF=", "Zg==Zg==", "Zm 9v", "Zm9v\n\nZm9v", "Zm9vé", "====", "Zm9v\n=AAAA"]
        {
            assert!(decoded(text).is_err(), "{text:?}");
        }
        assert!(decoded(&"A".repeat(80)).is_err());
        assert!(decoded("Zm9v\n=AAAA\nZm9v").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(data: Vec<u8>) {
            prop_assert_eq!(decoded(&encode(&data)).unwrap(), data);
        }

        #[test]
        fn nothing_panics(text: String) {
            let _ = decoded(&text);
        }
    }
}
