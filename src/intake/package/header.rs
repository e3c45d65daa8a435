//! One block of tar: reading a header of any dialect, and writing ours.
//!
//! Numbers and names are read as Go's `archive/tar` reads them, or not at all: where readers are known to differ, the
//! archive is refused, since what one program checks must be what another one unpacks.

use super::fault::{PackageFault, ShownName};

/// Everything in a tar archive is a multiple of this.
pub(super) const BLOCK: usize = 512;

/// The largest number that eleven octal digits hold.
pub(super) const OCTAL_MAX: u64 = 0o777_7777_7777;

/// What matters of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// The path, the ustar prefix included, as its bytes stand there.
    pub(super) name: Vec<u8>,
    /// The type flag.
    pub(super) flag: u8,
    /// The size of what follows.
    pub(super) size: u64,
    /// Whether somebody may execute it.
    pub(super) executable: bool,
}

/// Reads a header, which lies at `offset` of the archive.
pub(super) fn parse(block: &[u8; BLOCK], offset: u64) -> Result<Header, PackageFault> {
    let malformed = |what| PackageFault::Header { offset, what };
    let checksum = octal(field::<148, 8>(block)).ok_or_else(|| malformed("its checksum is not a number"))?;
    if !checksums(block).contains(&checksum) {
        return Err(malformed("its checksum is wrong"));
    }
    let mode = number(field::<100, 8>(block)).ok_or_else(|| malformed("its mode is not a number"))?;
    let size = number(field::<124, 12>(block)).ok_or_else(|| malformed("its size is not a number from 0"))?;
    for (number_field, what) in [
        (&block[108..116], "its user id is not a number from 0"),
        (&block[116..124], "its group id is not a number from 0"),
        (&block[136..148], "its time is not a number from 0"),
    ] {
        number(number_field).ok_or_else(|| malformed(what))?;
    }
    let mut name = text(&block[..100]).ok_or_else(|| malformed("there is something behind the end of its name"))?.to_vec();
    let prefix = match dialect(block) {
        Dialect::V7 => &[][..],
        Dialect::Ustar => {
            text(&block[345..500]).ok_or_else(|| malformed("there is something behind the end of its prefix"))?
        }
        Dialect::Star => {
            text(&block[345..476]).ok_or_else(|| malformed("there is something behind the end of its prefix"))?
        }
        // GNU keeps two times there. Go takes them for a prefix when they are no numbers, others do not.
        Dialect::Gnu => match (gnu_time(&block[345..357]), gnu_time(&block[357..369])) {
            (true, true) => &[][..],
            _ => return Err(malformed("its times are not numbers from 0")),
        },
    };
    if !matches!(dialect(block), Dialect::V7) {
        for device in [&block[329..337], &block[337..345]] {
            number(device).ok_or_else(|| malformed("its device is not a number from 0"))?;
        }
    }
    if !prefix.is_empty() {
        name = [prefix, b"/", &name].concat();
    }
    Ok(Header { name, flag: block[156], size, executable: mode & 0o111 != 0 })
}

enum Dialect {
    V7,
    Ustar,
    Star,
    Gnu,
}

fn dialect(block: &[u8; BLOCK]) -> Dialect {
    match &block[257..265] {
        [b'u', b's', b't', b'a', b'r', 0, ..] if &block[508..] == b"tar\0" => Dialect::Star,
        [b'u', b's', b't', b'a', b'r', 0, ..] => Dialect::Ustar,
        b"ustar  \0" => Dialect::Gnu,
        _ => Dialect::V7,
    }
}

fn field<const AT: usize, const LENGTH: usize>(block: &[u8; BLOCK]) -> &[u8] {
    &block[AT..AT + LENGTH]
}

/// The sum of all bytes, with the checksum's own field taken as spaces; old programs summed signed bytes.
fn checksums(block: &[u8; BLOCK]) -> [u64; 2] {
    let bytes = || block.iter().enumerate().map(|(i, &b)| if (148..156).contains(&i) { b' ' } else { b });
    let unsigned = bytes().map(u64::from).sum();
    let signed: i64 = bytes().map(|b| i64::from(b.cast_signed())).sum();
    [unsigned, u64::try_from(signed).unwrap_or(unsigned)]
}

/// The bytes before the first NUL; `None` where something else follows it, which readers would not agree about.
fn text(field: &[u8]) -> Option<&[u8]> {
    let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
    let (text, rest) = field.split_at(end);
    rest.iter().all(|&b| b == 0).then_some(text)
}

/// A number in octal digits, or in base 256 where the first bit is set; `None` where it is malformed or negative.
fn number(field: &[u8]) -> Option<u64> {
    match field.split_first() {
        Some((&first, _)) if first & 0xc0 == 0xc0 => None,
        Some((&first, rest)) if first & 0x80 != 0 => {
            let value = rest.iter().try_fold(u64::from(first & 0x3f), |value, &byte| {
                (value >> 56 == 0).then_some(value << 8 | u64::from(byte))
            })?;
            i64::try_from(value).is_ok().then_some(value)
        }
        _ => octal(field),
    }
}

/// A number in octal digits, with spaces and NULs around it; nothing at all is 0.
fn octal(field: &[u8]) -> Option<u64> {
    let blank = |b: &u8| matches!(b, b' ' | 0);
    let start = field.iter().position(|b| !blank(b)).unwrap_or(field.len());
    let digits = &field[start..];
    let end = digits.iter().position(|b| *b == 0).unwrap_or(digits.len());
    let digits = &digits[..end];
    let end = digits.iter().rposition(|b| !blank(b)).map_or(0, |last| last + 1);
    digits[..end].iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

fn gnu_time(field: &[u8]) -> bool {
    field.first() == Some(&0) || number(field).is_some()
}

/// The records of a PAX extension that decide about an entry.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Pax {
    /// The path.
    pub(super) path: Option<Vec<u8>>,
    /// The size.
    pub(super) size: Option<u64>,
}

/// Reads the records of a PAX extension (`<length> <key>=<value>\n`) whose header lies at `offset`.
pub(super) fn parse_pax(mut data: &[u8], offset: u64) -> Result<Pax, PackageFault> {
    let malformed = |what| PackageFault::Extension { offset, what };
    let mut pax = Pax::default();
    while !data.is_empty() {
        let (key, value, rest) =
            pax_record(data).ok_or_else(|| malformed("a record is not of the form `length key=value`"))?;
        data = rest;
        if let Some(kind) = decides(key) {
            let name = if key == b"linkpath" { value } else { key };
            return Err(PackageFault::Kind { name: ShownName::new(name), kind });
        }
        match key {
            b"path" => {
                if value.is_empty() || value.contains(&0) {
                    return Err(malformed("the path is empty or has a NUL in it"));
                }
                if pax.path.replace(value.to_vec()).is_some() {
                    return Err(malformed("there are two paths"));
                }
            }
            b"size" => {
                let size = decimal(value).ok_or_else(|| malformed("the size is not a number from 0"))?;
                if pax.size.replace(size).is_some() {
                    return Err(malformed("there are two sizes"));
                }
            }
            b"uid" | b"gid" if !value.is_empty() && decimal(value).is_none() => {
                return Err(malformed("a user or group id is not a number from 0"));
            }
            b"mtime" | b"atime" | b"ctime" if !is_time(value) => return Err(malformed("a time is not a number")),
            _ => {}
        }
    }
    Ok(pax)
}

/// Reads over the records of a global PAX extension, which would be the default for all that follows. What it says of owners, times and the
/// like concerns nobody here. What decides which file is made of an entry, or what is in it, is applied by GNU tar and Python, by others
/// not, and so refused.
pub(super) fn parse_pax_global(mut data: &[u8], offset: u64) -> Result<(), PackageFault> {
    while !data.is_empty() {
        let what = "a record is not of the form `length key=value`";
        let (key, _, rest) = pax_record(data).ok_or(PackageFault::Extension { offset, what })?;
        if key == b"path" || key == b"size" || decides(key).is_some() || key.starts_with(b"GNU.") {
            return Err(PackageFault::Global { key: ShownName::new(key) });
        }
        data = rest;
    }
    Ok(())
}

/// What a record makes of an entry, where that is another thing than its header says: a link, or a file with holes or in parts.
fn decides(key: &[u8]) -> Option<&'static str> {
    const PARTS: [&[u8]; 3] = [b"GNU.volume.filename", b"GNU.volume.size", b"GNU.volume.offset"];
    const STAR: [&[u8]; 2] = [b"SCHILY.realsize", b"SCHILY.offset"];
    const TYPES: [&[u8]; 3] = [b"SCHILY.filetype", b"SCHILY.tarfiletype", b"LIBARCHIVE.symlinktype"];
    match key {
        b"linkpath" => Some("the target of a link"),
        b"GNU.dumpdir" => Some("the list of a directory"),
        key if key.starts_with(b"GNU.sparse.") || STAR.contains(&key) => Some("a sparse file's record"),
        key if PARTS.contains(&key) => Some("part of a file"),
        key if TYPES.contains(&key) => Some("another kind of entry"),
        _ => None,
    }
}

/// The first record's key and value, and what follows it.
fn pax_record(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = data.iter().take(20).position(|&b| b == b' ')?;
    let length = usize::try_from(decimal(&data[..space])?).ok()?;
    let record = data.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&b| b == b'=')?;
    let (key, value) = (&record[..equals], &record[equals + 1..]);
    (!key.is_empty() && !key.contains(&0)).then_some((key, value, data.get(length..)?))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let value = digits.iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })?;
    i64::try_from(value).is_ok().then_some(value)
}

/// Whether it is seconds with or without a sign and a fraction; nothing at all keeps the header's.
fn is_time(value: &[u8]) -> bool {
    let value = value.strip_prefix(b"-").unwrap_or(value);
    let mut parts = value.splitn(2, |&b| b == b'.');
    let seconds = parts.next().unwrap_or_default();
    let fraction = parts.next().unwrap_or_default();
    value.is_empty() || decimal(seconds).is_some() && fraction.iter().all(u8::is_ascii_digit)
}

/// What is written for one entry.
pub(super) struct NewEntry<'a> {
    /// The path, without a slash at its end.
    pub(super) path: &'a str,
    /// The size; 0 for a directory.
    pub(super) size: u64,
    /// A directory, a program or a plain file.
    pub(super) kind: NewEntryKind,
    /// Seconds since 1970.
    pub(super) mtime: u64,
}

/// What an entry of ours is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NewEntryKind {
    Directory,
    Program,
    Plain,
}

impl NewEntry<'_> {
    /// The blocks before the entry's content: ustar, with a PAX extension before it where the path or the size is too
    /// long for that.
    ///
    /// A directory's name has no slash at its end, as in Helm's packages: so the names of a listing are in the order of
    /// their bytes as they stand there.
    pub(super) fn encode(&self) -> Vec<u8> {
        let (flag, mode) = match self.kind {
            NewEntryKind::Directory => (b'5', 0o755),
            NewEntryKind::Program => (b'0', 0o755),
            NewEntryKind::Plain => (b'0', 0o644),
        };
        let mut records = Vec::new();
        let (prefix, name) = split(self.path).unwrap_or_else(|| {
            records.extend(pax_line("path", self.path));
            ("", self.path[..self.path.floor_char_boundary(100)].trim_end_matches('/'))
        });
        let size = if self.size <= OCTAL_MAX {
            self.size
        } else {
            records.extend(pax_line("size", &self.size.to_string()));
            0
        };
        let mut blocks = Vec::new();
        if !records.is_empty() {
            blocks.extend(block("", "././@PaxHeader", b'x', 0o644, records.len() as u64, self.mtime));
            blocks.extend(&records);
            blocks.resize(blocks.len().next_multiple_of(BLOCK), 0);
        }
        blocks.extend(block(prefix, name, flag, mode, size, self.mtime));
        blocks
    }
}

/// The path as a ustar prefix and name, where it fits.
fn split(path: &str) -> Option<(&str, &str)> {
    if path.len() <= 100 {
        return Some(("", path));
    }
    // The first slash that leaves a short enough name is the one with the shortest prefix.
    let slash = path.match_indices('/').map(|(at, _)| at).find(|at| path.len() - at - 1 <= 100)?;
    (slash <= 155).then(|| (&path[..slash], &path[slash + 1..]))
}

/// One PAX record, whose length counts its own digits too.
fn pax_line(key: &str, value: &str) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    format!("{length} {key}={value}\n").into_bytes()
}

fn block(prefix: &str, name: &str, flag: u8, mode: u32, size: u64, mtime: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, format!("{mode:07o}").as_bytes());
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{size:011o}").as_bytes());
    put(136, format!("{:011o}", mtime.min(OCTAL_MAX)).as_bytes());
    put(156, &[flag]);
    put(257, b"ustar\x0000");
    put(329, b"0000000");
    put(337, b"0000000");
    put(345, prefix.as_bytes());
    let [checksum, _] = checksums(&block);
    block[148..156].copy_from_slice(format!("{checksum:06o}\0 ").as_bytes());
    block
}
