//! The outer form of a provenance: one cleartext-signed message (RFC 9580, section 7), read strictly and written.
//!
//! Readers of such messages have often disagreed about which text is signed. So there is one reading here, and whatever another
//! program could read otherwise is refused: text around the block, unknown headers, lines that should be dash-escaped and are
//! not, control characters. What comes out is the text that the signatures cover, and nothing else of the file is ever
//! looked at. Whether a signature holds is for [`super::checker`] to say.

use sequoia_openpgp::types::HashAlgorithm;

use super::armor::{self, ArmorError};
use super::packets::{self, FramingError};
use crate::settings::Limits;
use crate::text::Sanitized;

const BEGIN: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const BEGIN_SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END_SIGNATURE: &str = "-----END PGP SIGNATURE-----";

/// Bytes of one signature packet. The largest kind that there is (SLH-DSA) stays below 50 KiB.
const MAX_SIGNATURE: usize = 64 << 10;

/// One cleartext-signed message. Its signatures are not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    text: String,
    hashes: Vec<HashAlgorithm>,
    signatures: Vec<Vec<u8>>,
}

/// Why bytes are not one cleartext-signed message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// Something that is not UTF-8.
    #[error("line {line} is not valid UTF-8")]
    NotUtf8 {
        /// The line, counted from 1.
        line: usize,
    },
    /// A control character other than tab and line end.
    #[error("line {line} holds the control character U+{code:04X}")]
    ControlCharacter {
        /// The line, counted from 1.
        line: usize,
        /// The character.
        code: u32,
    },
    /// Something other than white space before the message.
    #[error("line {line}: there is text before `{BEGIN}`, which no signature covers")]
    TextBefore {
        /// The line, counted from 1.
        line: usize,
    },
    /// Something other than white space after the message.
    #[error("line {line}: there is text after `{END_SIGNATURE}`, which no signature covers")]
    TextAfter {
        /// The line, counted from 1.
        line: usize,
    },
    /// A second armored block.
    #[error("line {line}: a second block begins; only one signed message may be there")]
    SecondBlock {
        /// The line, counted from 1.
        line: usize,
    },
    /// A header above the text or the signature that is not known there.
    #[error("line {line}: unknown armor header `{}`", Sanitized(.header))]
    Header {
        /// The line, counted from 1.
        line: usize,
        /// The line's text, shortened.
        header: String,
    },
    /// A header by which GnuPG alone reads the text in another way.
    #[error("line {line}: messages that are not dash-escaped are refused")]
    NotDashEscaped {
        /// The line, counted from 1.
        line: usize,
    },
    /// A `Hash:` header with a name that is none.
    #[error("line {line}: `{}` is not a digest algorithm of OpenPGP", Sanitized(.name))]
    UnknownHash {
        /// The line, counted from 1.
        line: usize,
        /// The name as given, shortened.
        name: String,
    },
    /// A line of the text that begins with a dash and is not escaped.
    #[error("line {line} begins with a dash that is not escaped")]
    UnescapedDash {
        /// The line, counted from 1.
        line: usize,
    },
    /// The file ends before the message does.
    #[error("the message ends before `{expected}`")]
    CutShort {
        /// What is missing.
        expected: &'static str,
    },
    /// The signature's armor is damaged.
    #[error("the signature's armor is damaged: {0}")]
    Armor(#[from] ArmorError),
    /// The signature's packets are damaged.
    #[error("the signature's packets are damaged: {0}")]
    Framing(#[from] FramingError),
    /// A packet that is not a signature.
    #[error("the signature block holds a packet of type {tag}, which is not a signature")]
    NotASignature {
        /// The packet's type.
        tag: u8,
    },
    /// A signature packet that is too large.
    #[error("a signature packet has {size} bytes, more than the {MAX_SIGNATURE} allowed")]
    SignatureTooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// Too many signature packets.
    #[error("there are more than {limit} signatures (setting `limits.signatures`)")]
    TooManySignatures {
        /// How many may be there.
        limit: usize,
    },
    /// No signature packet at all.
    #[error("the signature block holds no signature")]
    NoSignature,
}

impl Message {
    /// Reads the one message that `bytes` hold, with white space around it at most. Their number is for the caller to bound.
    ///
    /// # Errors
    /// See [`MessageError`].
    pub fn read(bytes: &[u8], limits: &Limits) -> Result<Self, MessageError> {
        let text = readable(bytes)?;
        let mut lines = numbered(text);

        match lines.find(|(_, line)| !is_blank(line)) {
            Some((_, line)) if trim_end(line) == BEGIN => {}
            Some((line, _)) => return Err(MessageError::TextBefore { line }),
            None => return Err(MessageError::CutShort { expected: BEGIN }),
        }

        let mut hashes = Vec::new();
        for (line, header) in until_blank(&mut lines) {
            match header.split_once(':') {
                Some(("Hash", names)) => read_hashes(line, names, &mut hashes)?,
                Some(("NotDashEscaped", _)) => return Err(MessageError::NotDashEscaped { line }),
                _ => return Err(MessageError::Header { line, header: shortened(header) }),
            }
        }

        let mut signed = String::with_capacity(text.len());
        let mut first = true;
        loop {
            let (line, raw) = lines.next().ok_or(MessageError::CutShort { expected: BEGIN_SIGNATURE })?;
            let unescaped = match raw.strip_prefix("- ") {
                Some(unescaped) => unescaped,
                None if trim_end(raw) == BEGIN_SIGNATURE => break,
                None if raw.starts_with(BEGIN) => return Err(MessageError::SecondBlock { line }),
                None if raw.starts_with('-') => return Err(MessageError::UnescapedDash { line }),
                None => raw,
            };
            if !first {
                signed.push('\n');
            }
            signed.push_str(trim_end(unescaped));
            first = false;
        }

        let signatures = read_block(&mut lines, limits)?;
        Ok(Self { text: signed, hashes, signatures })
    }

    /// The signed text: without escapes and without white space at the ends of lines, which end in `\n`; the last one has no
    /// end.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The bytes that signatures are made over: the text with `\r\n` between its lines.
    pub(super) fn signed_bytes(&self) -> Vec<u8> {
        self.text.replace('\n', "\r\n").into_bytes()
    }

    /// The digest algorithms of the `Hash:` headers; empty where there is no such header.
    pub(super) fn hashes(&self) -> &[HashAlgorithm] {
        &self.hashes
    }

    /// The signature packets, their numbers mended; at least one.
    pub(super) fn signatures(&self) -> &[Vec<u8>] {
        &self.signatures
    }
}

/// Writes a message: `text` (lines end in `\n`, the last one's end is not signed) and its signature packets. `hash` is the
/// name of their digest algorithm.
pub(super) fn write(text: &str, hash: &str, signatures: &[u8]) -> String {
    let mut out = format!("{BEGIN}\nHash: {hash}\n\n");
    for line in canonical(text).split('\n') {
        if line.starts_with('-') {
            out.push_str("- ");
        }
        out.push_str(line);
        out.push('\n');
    }
    out.push_str(BEGIN_SIGNATURE);
    out.push_str("\n\n");
    out.push_str(&armor::encode(signatures));
    out.push_str(END_SIGNATURE);
    out.push('\n');
    out
}

/// `text` as a reader will see it: no white space at the ends of lines, no line end after the last one.
pub(super) fn canonical(text: &str) -> String {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.split('\n').map(trim_end).collect::<Vec<_>>().join("\n")
}

/// `bytes` as text without control characters. A carriage return may stand only before a line feed or the end.
fn readable(bytes: &[u8]) -> Result<&str, MessageError> {
    let line_of = |end: usize| 1 + bytes[..end].iter().filter(|&&byte| byte == b'\n').count();
    let text = std::str::from_utf8(bytes).map_err(|e| MessageError::NotUtf8 { line: line_of(e.valid_up_to()) })?;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let fine = match c {
            '\n' | '\t' => true,
            '\r' => chars.peek().is_none_or(|(_, next)| *next == '\n'),
            c => !c.is_control(),
        };
        if !fine {
            return Err(MessageError::ControlCharacter { line: line_of(at), code: c.into() });
        }
    }
    Ok(text)
}

/// The lines of a text without their ends, counted from 1.
fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).enumerate().map(|(i, line)| (i + 1, line))
}

/// The lines up to the next blank one, which is taken too.
fn until_blank<'a>(lines: &mut impl Iterator<Item = (usize, &'a str)>) -> impl Iterator<Item = (usize, &'a str)> {
    lines.take_while(|(_, line)| !is_blank(line))
}

fn read_hashes(line: usize, names: &str, hashes: &mut Vec<HashAlgorithm>) -> Result<(), MessageError> {
    for name in names.split(',') {
        let name = name.trim_matches([' ', '\t']);
        let hash = match name {
            "MD5" => HashAlgorithm::MD5,
            "SHA1" => HashAlgorithm::SHA1,
            "RIPEMD160" => HashAlgorithm::RipeMD,
            "SHA224" => HashAlgorithm::SHA224,
            "SHA256" => HashAlgorithm::SHA256,
            "SHA384" => HashAlgorithm::SHA384,
            "SHA512" => HashAlgorithm::SHA512,
            "SHA3-256" => HashAlgorithm::SHA3_256,
            "SHA3-512" => HashAlgorithm::SHA3_512,
            _ => return Err(MessageError::UnknownHash { line, name: shortened(name) }),
        };
        if !hashes.contains(&hash) {
            hashes.push(hash);
        }
    }
    Ok(())
}

/// Reads an armored signature that stands alone, with white space around it at most.
pub(super) fn read_detached(bytes: &[u8], limits: &Limits) -> Result<Vec<Vec<u8>>, MessageError> {
    let mut lines = numbered(readable(bytes)?);
    match lines.find(|(_, line)| !is_blank(line)) {
        Some((_, line)) if trim_end(line) == BEGIN_SIGNATURE => read_block(&mut lines, limits),
        Some((line, _)) => Err(MessageError::TextBefore { line }),
        None => Err(MessageError::CutShort { expected: BEGIN_SIGNATURE }),
    }
}

/// Reads a signature block from the line behind its first one to the end of the file.
fn read_block<'a>(
    lines: &mut impl Iterator<Item = (usize, &'a str)>,
    limits: &Limits,
) -> Result<Vec<Vec<u8>>, MessageError> {
    for (line, header) in until_blank(lines) {
        // What `Hash` says is said above the text; nothing reads the others.
        if !matches!(header.split_once(':'), Some(("Version" | "Comment" | "Charset" | "MessageID", _))) {
            return Err(MessageError::Header { line, header: shortened(header) });
        }
    }
    let mut ended = false;
    let body = lines.by_ref().map(|(number, line)| (number, trim_end(line))).take_while(|(_, line)| {
        ended = *line == END_SIGNATURE;
        !ended
    });
    let packets = armor::decode(body)?;
    if !ended {
        return Err(MessageError::CutShort { expected: END_SIGNATURE });
    }
    if let Some((line, rest)) = lines.find(|(_, line)| !is_blank(line)) {
        return Err(match rest.starts_with("-----BEGIN ") {
            true => MessageError::SecondBlock { line },
            false => MessageError::TextAfter { line },
        });
    }
    read_signatures(&packets, limits)
}

/// Cuts a signature block into its packets: signatures alone, few enough and small enough.
fn read_signatures(bytes: &[u8], limits: &Limits) -> Result<Vec<Vec<u8>>, MessageError> {
    let mut signatures = Vec::new();
    for packet in packets::split(bytes) {
        let packet = packet?;
        if packet.tag != packets::tag::SIGNATURE {
            return Err(MessageError::NotASignature { tag: packet.tag });
        }
        if packet.body.len() > MAX_SIGNATURE {
            return Err(MessageError::SignatureTooLarge { size: packet.body.len() });
        }
        if signatures.len() == limits.signatures {
            return Err(MessageError::TooManySignatures { limit: limits.signatures });
        }
        signatures.push(packets::frame(packets::tag::SIGNATURE, &packets::mend_signature(packet.body)));
    }
    if signatures.is_empty() { Err(MessageError::NoSignature) } else { Ok(signatures) }
}

/// Without the white space that signatures do not cover (RFC 9580, section 7.1: spaces and tabs, nothing else).
fn trim_end(line: &str) -> &str {
    line.trim_end_matches([' ', '\t'])
}

fn is_blank(line: &str) -> bool {
    trim_end(line).is_empty()
}

/// The beginning of a text that goes into a message of ours.
fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A message whose signature block holds one packet that is no real signature.
    fn sample(text: &str) -> String {
        write(text, "SHA512", &packets::frame(2, b"\x06not a real one"))
    }

    fn read(text: &str) -> Result<Message, MessageError> {
        Message::read(text.as_bytes(), &Limits::default())
    }

    #[test]
    fn reads_what_it_writes() {
        let message = read(&sample("name: a  \n- b\n--- c\n\t\n...\nd: e\n")).unwrap();
        assert_eq!(message.text(), "name: a\n- b\n--- c\n\n...\nd: e");
        assert_eq!(message.signed_bytes(), b"name: a\r\n- b\r\n--- c\r\n\r\n...\r\nd: e");
        assert_eq!(message.hashes(), [HashAlgorithm::SHA512]);
        assert_eq!(message.signatures().len(), 1);
    }

    #[test]
    fn p15_trailing_white_space_and_p16_crlf_change_nothing() {
        let plain = sample("a: b\n- c");
        let expected = read(&plain).unwrap();
        for other in [
            plain.replace('\n', "\r\n"),
            plain.replace('\n', " \t\n"),
            plain.replace('\n', "\t\r\n"),
            format!("\n \t\r\n{plain}\n\n  \n"),
            plain.trim_end().to_owned(),
            plain.replace("Hash: SHA512", "Hash:SHA512,\tSHA512\nHash: SHA512"),
            plain.replace(BEGIN_SIGNATURE, &format!("{BEGIN_SIGNATURE}\nVersion: x\nComment: y")),
        ] {
            assert_eq!(read(&other), Ok(expected.clone()), "{other}");
        }
        assert_eq!(read(&plain.replace("Hash: SHA512\n", "")).unwrap().hashes(), []);
    }

    #[test]
    fn armor_is_read_without_its_checksum() {
        let plain = sample("a: b");
        let (before, after) = plain.split_once("\n=").unwrap();
        assert_eq!(read(&format!("{before}{}", &after[4..])), read(&plain));
    }

    #[test]
    fn whatever_could_be_read_in_two_ways_is_refused() {
        let good = sample("a: b\n- c\nd: e");
        let crc = good.split_once("\n=").unwrap().1[..4].to_owned();
        let other_crc = if crc == "AAAA" { "AAAB" } else { "AAAA" };
        let with = |from: &str, to: &str| good.replacen(from, to, 1);
        type Check = fn(&MessageError) -> bool;
        let cases: [(&str, String, Check); 22] = [
            ("p10 text before", format!("x\n{good}"), |e| matches!(e, MessageError::TextBefore { line: 1 })),
            ("p10 byte order mark", format!("\u{feff}{good}"), |e| matches!(e, MessageError::TextBefore { .. })),
            ("p11 text after", format!("{good}x\n"), |e| matches!(e, MessageError::TextAfter { .. })),
            ("p12 second block", format!("{good}{good}"), |e| matches!(e, MessageError::SecondBlock { .. })),
            ("p12 block within", with("a: b", BEGIN), |e| matches!(e, MessageError::SecondBlock { .. })),
            ("p13 header", with("Hash: ", "Comment: x\nHash: "), |e| matches!(e, MessageError::Header { line: 2, .. })),
            ("p13 header without a name", with("Hash: ", "x\nHash: "), |e| matches!(e, MessageError::Header { .. })),
            ("not dash-escaped", with("Hash: ", "NotDashEscaped: true\nHash: "), |e| {
                matches!(e, MessageError::NotDashEscaped { line: 2 })
            }),
            ("unknown hash", with("SHA512", "SHA5"), |e| matches!(e, MessageError::UnknownHash { .. })),
            ("empty hash", with(" SHA512", ""), |e| matches!(e, MessageError::UnknownHash { .. })),
            ("p17 junk armor", with("a: b", "-----BEGIN PGP JUNK-----"), |e| {
                matches!(e, MessageError::UnescapedDash { .. })
            }),
            ("dash not escaped", with("a: b", "-b"), |e| matches!(e, MessageError::UnescapedDash { line: 4 })),
            ("p18 form feed", with("a: b", "\u{c}a: b"), |e| {
                matches!(e, MessageError::ControlCharacter { line: 4, code: 12 })
            }),
            ("p19 nul", with("a: b", "a\0: b"), |e| matches!(e, MessageError::ControlCharacter { line: 4, code: 0 })),
            ("lone carriage return", with("a: b", "a\r: b"), |e| matches!(e, MessageError::ControlCharacter { .. })),
            ("c1 control", with("a: b", "a\u{85}: b"), |e| matches!(e, MessageError::ControlCharacter { code: 0x85, .. })),
            ("unknown signature header", with(BEGIN_SIGNATURE, &format!("{BEGIN_SIGNATURE}\nHash: SHA512")), |e| {
                matches!(e, MessageError::Header { .. })
            }),
            ("no end", with(END_SIGNATURE, ""), |e| matches!(e, MessageError::Armor(_) | MessageError::CutShort { .. })),
            ("no signature block", with(BEGIN_SIGNATURE, ""), |e| matches!(e, MessageError::UnescapedDash { .. })),
            ("wrong checksum", with(&crc, other_crc), |e| matches!(e, MessageError::Armor(ArmorError::Checksum))),
            ("nothing", String::new(), |e| matches!(e, MessageError::CutShort { .. })),
            ("not utf-8 comes as bytes", String::from("\u{0}"), |e| matches!(e, MessageError::ControlCharacter { .. })),
        ];
        for (name, text, expected) in cases {
            let error = read(&text).expect_err(name);
            assert!(expected(&error), "{name}: {error:?}");
        }
        assert_eq!(Message::read(b"a\n\xff", &Limits::default()), Err(MessageError::NotUtf8 { line: 2 }));
    }

    #[test]
    fn p27_signatures_are_bounded() {
        let one = packets::frame(2, b"\x06x");
        let limits = Limits { signatures: 3, ..Limits::default() };
        assert_eq!(read_signatures(&one.repeat(3), &limits).unwrap().len(), 3);
        assert_eq!(read_signatures(&one.repeat(100_000), &limits), Err(MessageError::TooManySignatures { limit: 3 }));
        assert_eq!(read_signatures(b"", &limits), Err(MessageError::NoSignature));
        assert_eq!(read_signatures(&packets::frame(6, b"x"), &limits), Err(MessageError::NotASignature { tag: 6 }));
        let large = packets::frame(2, &vec![6; MAX_SIGNATURE + 1]);
        assert!(matches!(read_signatures(&large, &limits), Err(MessageError::SignatureTooLarge { .. })));
    }

    proptest! {
        #[test]
        fn any_text_comes_back_in_its_canonical_form(text in "[ -~\t\n]{0,200}") {
            let message = read(&sample(&text)).unwrap();
            prop_assert_eq!(message.text(), canonical(&text));
        }

        #[test]
        fn nothing_panics(bytes: Vec<u8>, at: proptest::sample::Index, with: u8) {
            let _ = Message::read(&bytes, &Limits::default());
            let mut changed = sample("a: b\n- c\n...\nd: e").into_bytes();
            let at = at.index(changed.len());
            changed[at] = with;
            let _ = Message::read(&changed, &Limits::default());
        }
    }
}
