//! What a file that is to be started is, by its first bytes: a script and its interpreter, a program and its machine, or something that
//! no system starts.
//!
//! Who starts it tells users with this why it cannot be started; who lints a plugin, why it never will be.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use crate::text::Sanitized;

/// How much of a file is looked at: no system reads a longer `#!` line, and headers of programs are shorter.
const HEAD: usize = 4096;

/// How long the path of a loader may be.
const LOADER_BYTES: u64 = 4096;

/// How many program headers are looked at, for the loader.
const PROGRAM_HEADERS: u64 = 64;

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// No bytes at all.
    Empty,
    /// A text that names its interpreter.
    Script(Script),
    /// A text that names none.
    Text,
    /// A text behind a byte order mark of UTF-8.
    Marked,
    /// A text in UTF-16.
    Utf16,
    /// A program for one machine.
    Program(Machine),
    /// Programs for several machines of Apple, in one file.
    Universal,
    /// Code that is part of a program.
    Object,
    /// A Java archive, or another zip archive.
    Zip,
    /// A compiled Java class.
    JavaClass,
    /// A core module of WebAssembly.
    Module,
    /// A component of WebAssembly.
    Component,
    /// Something else.
    Unknown,
}

/// The first line of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The program that it names; empty where it names none.
    pub interpreter: String,
    /// What stands behind that.
    pub argument: String,
}

/// The machine that a program is for, in Go's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Such as `linux`.
    pub os: &'static str,
    /// Such as `amd64`; empty where it is not known here.
    pub arch: &'static str,
}

impl Format {
    /// What `file` is. The position in it is moved.
    pub fn of(file: &mut File) -> io::Result<Self> {
        file.rewind()?;
        let mut head = Vec::with_capacity(HEAD);
        file.take(HEAD as u64).read_to_end(&mut head)?;
        Ok(Self::of_head(&head))
    }

    /// What a file is that begins with `head`.
    pub fn of_head(head: &[u8]) -> Self {
        match head {
            [] => Self::Empty,
            [b'#', b'!', line @ ..] => Self::Script(Script::of(line)),
            [0xef, 0xbb, 0xbf, ..] => Self::Marked,
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [b'#', 0, b'!', 0, ..] | [0, b'#', 0, b'!', ..] => Self::Utf16,
            [0x7f, b'E', b'L', b'F', ..] => elf(head),
            [b'M', b'Z', ..] => Self::Program(Machine { os: "windows", arch: pe_arch(head) }),
            [0xfe, 0xed, 0xfa, 0xce | 0xcf, kind @ ..] => mach_o(kind, u32::from_be_bytes),
            [0xce | 0xcf, 0xfa, 0xed, 0xfe, kind @ ..] => mach_o(kind, u32::from_le_bytes),
            // The number of machines in one, the version of a class file (45 and more) in the other.
            [0xca, 0xfe, 0xba, 0xbe, rest @ ..] => match number(rest, 0, u32::from_be_bytes) {
                Some(1..=30) => Self::Universal,
                _ => Self::JavaClass,
            },
            [0xca, 0xfe, 0xba, 0xbf, ..] => Self::Universal,
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Self::Zip,
            [0, b'a', b's', b'm', _, _, 0, 0, ..] => Self::Module,
            [0, b'a', b's', b'm', ..] => Self::Component,
            _ if head.contains(&0) => Self::Unknown,
            _ => Self::Text,
        }
    }

    /// What it is, as the end of a sentence that begins with the file's name and `is`.
    pub fn what(&self) -> String {
        let fixed = match self {
            Self::Empty => "empty",
            Self::Script(_) => "a script",
            Self::Text => "a text without a `#!` line",
            Self::Marked => "a text that begins with a byte order mark",
            Self::Utf16 => "a text in UTF-16",
            Self::Program(machine) => return format!("a program for {machine}"),
            Self::Universal => "a program for macOS",
            Self::Object => "an object file, which is only a part of a program",
            Self::Zip => "a Java archive, or another zip archive",
            Self::JavaClass => "a Java class",
            Self::Module => "a module of WebAssembly",
            Self::Component => "a component of WebAssembly",
            Self::Unknown => "in no format that is known here",
        };
        fixed.to_owned()
    }

    /// The operating system and architecture that it is for, where it is for any; an empty one is any.
    pub fn machine(&self) -> Option<Machine> {
        match self {
            Self::Program(machine) => Some(*machine),
            Self::Universal => Some(Machine { os: "darwin", arch: "" }),
            Self::Empty
            | Self::Script(_)
            | Self::Text
            | Self::Marked
            | Self::Utf16
            | Self::Object
            | Self::Zip
            | Self::JavaClass
            | Self::Module
            | Self::Component
            | Self::Unknown => None,
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.os {
            "darwin" => "macOS",
            "windows" => "Windows",
            "linux" => "Linux",
            "freebsd" => "FreeBSD",
            "netbsd" => "NetBSD",
            "openbsd" => "OpenBSD",
            "solaris" => "Solaris",
            other => other,
        })?;
        if self.arch.is_empty() { Ok(()) } else { write!(f, " on {}", self.arch) }
    }
}

impl Script {
    /// The first line of a file, from behind its `#!`.
    fn of(line: &[u8]) -> Self {
        let line = line.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let blank = [' ', '\t'];
        let line = line.trim_matches(blank);
        let (interpreter, argument) = line.split_once(blank).unwrap_or((line, ""));
        Self { interpreter: interpreter.to_owned(), argument: argument.trim_start_matches(blank).to_owned() }
    }

    /// Whether a carriage return belongs to the line, as where it was saved with the line ends of Windows.
    pub fn has_carriage_return(&self) -> bool {
        self.interpreter.contains('\r') || self.argument.contains('\r')
    }

    /// The program that `env` looks for on `PATH`, where the line is for `env` and that can be told.
    pub fn searched(&self) -> Option<&str> {
        if !self.is_for_env() {
            return None;
        }
        let word = match self.argument.strip_prefix("-S").map(|split| split.trim_start_matches([' ', '\t'])) {
            Some(split) => split.split([' ', '\t']).next()?,
            None => &self.argument,
        };
        // Options, variables, quotes and paths are for `env` to understand, and several words are one to some systems.
        let plain =
            !word.is_empty() && !word.starts_with('-') && !word.contains([' ', '\t', '=', '/', '"', '\'', '\\', '$']);
        plain.then_some(word)
    }

    /// Whether `env` gets several words and is not told to split them: to Linux they are one.
    pub fn several_words_for_env(&self) -> bool {
        self.is_for_env() && !self.argument.starts_with('-') && self.argument.contains([' ', '\t'])
    }

    fn is_for_env(&self) -> bool {
        self.interpreter.rsplit('/').next() == Some("env")
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Sanitized(&self.interpreter))?;
        if self.argument.is_empty() { Ok(()) } else { write!(f, " {}", Sanitized(&self.argument)) }
    }
}

/// What loads the program `file` into memory, where it is one of ELF that needs something to; the path as the program has it.
pub fn loader(file: &mut File) -> Option<String> {
    file.rewind().ok()?;
    let mut head = Vec::with_capacity(64);
    file.take(64).read_to_end(&mut head).ok()?;
    let elf = Elf::of(&head)?;
    let (offset, size, count) = match elf.wide {
        true => (elf.word(&head, 32)?, elf.half(&head, 54)?, elf.half(&head, 56)?),
        false => (u64::from(elf.int(&head, 28)?), elf.half(&head, 42)?, elf.half(&head, 44)?),
    };
    for index in 0..u64::from(count).min(PROGRAM_HEADERS) {
        let at = offset.checked_add(index * u64::from(size))?;
        let header = read_at(file, at, 56)?;
        const INTERPRETER: u32 = 3;
        if elf.int(&header, 0)? != INTERPRETER {
            continue;
        }
        let (start, length) = match elf.wide {
            true => (elf.word(&header, 8)?, elf.word(&header, 32)?),
            false => (u64::from(elf.int(&header, 4)?), u64::from(elf.int(&header, 16)?)),
        };
        let path = read_at(file, start, length.min(LOADER_BYTES))?;
        let path = path.split(|&byte| byte == 0).next().unwrap_or_default();
        return Some(String::from_utf8_lossy(path).into_owned());
    }
    None
}

fn read_at(file: &mut File, at: u64, length: u64) -> Option<Vec<u8>> {
    file.seek(SeekFrom::Start(at)).ok()?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// How an ELF file writes its numbers.
#[derive(Clone, Copy)]
struct Elf {
    /// Whether addresses have 64 bits.
    wide: bool,
    little: bool,
}

impl Elf {
    fn of(head: &[u8]) -> Option<Self> {
        match head {
            [0x7f, b'E', b'L', b'F', class @ 1..=2, order @ 1..=2, ..] => {
                Some(Self { wide: *class == 2, little: *order == 1 })
            }
            _ => None,
        }
    }

    fn half(self, bytes: &[u8], at: usize) -> Option<u16> {
        number(bytes, at, if self.little { u16::from_le_bytes } else { u16::from_be_bytes })
    }

    fn int(self, bytes: &[u8], at: usize) -> Option<u32> {
        number(bytes, at, if self.little { u32::from_le_bytes } else { u32::from_be_bytes })
    }

    fn word(self, bytes: &[u8], at: usize) -> Option<u64> {
        number(bytes, at, if self.little { u64::from_le_bytes } else { u64::from_be_bytes })
    }
}

/// The number at `at` of `bytes`.
fn number<const LENGTH: usize, N>(bytes: &[u8], at: usize, read: impl Fn([u8; LENGTH]) -> N) -> Option<N> {
    Some(read(bytes.get(at..at.checked_add(LENGTH)?)?.try_into().ok()?))
}

fn elf(head: &[u8]) -> Format {
    const RELOCATABLE: u16 = 1;
    let Some(elf) = Elf::of(head) else { return Format::Unknown };
    if elf.half(head, 16) == Some(RELOCATABLE) {
        return Format::Object;
    }
    let arch = match (elf.half(head, 18).unwrap_or_default(), elf.wide, elf.little) {
        (3, false, _) => "386",
        (8, false, false) => "mips",
        (8, false, true) => "mipsle",
        (8, true, false) => "mips64",
        (8, true, true) => "mips64le",
        (20, ..) => "ppc",
        (21, _, false) => "ppc64",
        (21, _, true) => "ppc64le",
        (22, true, _) => "s390x",
        (40, ..) => "arm",
        (43, ..) => "sparc64",
        (62, true, _) => "amd64",
        (183, true, _) => "arm64",
        (243, true, _) => "riscv64",
        (243, false, _) => "riscv",
        (258, true, _) => "loong64",
        _ => "",
    };
    let os = match head.get(7) {
        Some(2) => "netbsd",
        Some(6) => "solaris",
        Some(9) => "freebsd",
        Some(12) => "openbsd",
        _ => "linux",
    };
    Format::Program(Machine { os, arch })
}

fn pe_arch(head: &[u8]) -> &'static str {
    let header = number(head, 0x3c, u32::from_le_bytes).and_then(|at| usize::try_from(at).ok());
    let machine = header
        .filter(|&at| head.get(at..).is_some_and(|header| header.starts_with(b"PE\0\0")))
        .and_then(|at| number(head, at + 4, u16::from_le_bytes));
    match machine {
        Some(0x014c) => "386",
        Some(0x01c0 | 0x01c4) => "arm",
        Some(0x8664) => "amd64",
        Some(0xaa64) => "arm64",
        _ => "",
    }
}

/// A program of Apple's, from behind its first number.
fn mach_o(header: &[u8], read: impl Fn([u8; 4]) -> u32) -> Format {
    const OBJECT: u32 = 1;
    if number(header, 8, &read) == Some(OBJECT) {
        return Format::Object;
    }
    let arch = match number(header, 0, &read) {
        Some(7) => "386",
        Some(12) => "arm",
        Some(18) => "ppc",
        Some(0x0100_0007) => "amd64",
        Some(0x0100_000c) => "arm64",
        _ => "",
    };
    Format::Program(Machine { os: "darwin", arch })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn files_are_told_apart_by_their_first_bytes() {
        let mut elf = vec![0; 64];
        elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        (elf[16], elf[18]) = (2, 243);
        let mut object = elf.clone();
        object[16] = 1;
        let mut pe = vec![0; 256];
        pe[..2].copy_from_slice(b"MZ");
        pe[0x3c] = 0x80;
        pe[0x80..0x86].copy_from_slice(b"PE\0\0\x64\xaa");
        let table: [(&[u8], &str); 20] = [
            (b"", "empty"),
            (b"#!/bin/sh\n", "a script"),
            (b"echo\n", "a text without a `#!` line"),
            (b"\xef\xbb\xbf#!/bin/sh\n", "a text that begins with a byte order mark"),
            (b"\xff\xfe#\0!\0", "a text in UTF-16"),
            (b"\xfe\xff\0#\0!", "a text in UTF-16"),
            (b"#\0!\0/\0", "a text in UTF-16"),
            (&elf, "a program for Linux on riscv64"),
            (&object, "an object file, which is only a part of a program"),
            (b"\x7fELF", "in no format that is known here"),
            (&pe, "a program for Windows on arm64"),
            (b"MZ and more", "a program for Windows"),
            (b"\xcf\xfa\xed\xfe\x0c\0\0\x01\0\0\0\0\x02\0\0\0", "a program for macOS on arm64"),
            (b"\xca\xfe\xba\xbe\0\0\0\x02", "a program for macOS"),
            (b"\xca\xfe\xba\xbe\0\0\0\x41", "a Java class"),
            (b"PK\x03\x04rest", "a Java archive, or another zip archive"),
            (b"\0asm\x01\0\0\0", "a module of WebAssembly"),
            (b"\0asm\x0d\0\x01\0", "a component of WebAssembly"),
            (b"\0\0\0", "in no format that is known here"),
            (b"\x1f\x8b\x08\0\0", "in no format that is known here"),
        ];
        for (head, what) in table {
            assert_eq!(Format::of_head(head).what(), what, "{head:?}");
        }
    }

    #[test]
    fn a_script_says_what_interprets_it() {
        let table: [(&str, &str, &str, bool, Option<&str>); 9] = [
            ("/bin/sh", "/bin/sh", "", false, None),
            (" \t/bin/sh -e ", "/bin/sh", "-e", false, None),
            ("/bin/sh\r", "/bin/sh\r", "", true, None),
            ("", "", "", false, None),
            ("/usr/bin/env python3", "/usr/bin/env", "python3", false, Some("python3")),
            ("/usr/bin/env python3\r", "/usr/bin/env", "python3\r", true, Some("python3\r")),
            ("/usr/bin/env -S deno run -A", "/usr/bin/env", "-S deno run -A", false, Some("deno")),
            ("/usr/bin/env A=b python3", "/usr/bin/env", "A=b python3", false, None),
            ("/usr/bin/env -i python3", "/usr/bin/env", "-i python3", false, None),
        ];
        for (line, interpreter, argument, carriage_return, searched) in table {
            let script = Script::of(format!("{line}\nmore\r\n").as_bytes());
            assert_eq!((script.interpreter.as_str(), script.argument.as_str()), (interpreter, argument), "{line:?}");
            assert_eq!(script.has_carriage_return(), carriage_return, "{line:?}");
            assert_eq!(script.searched(), searched, "{line:?}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_loader_of_a_program_is_found() {
        let found = loader(&mut File::open("/bin/true").unwrap());
        assert!(found.is_none_or(|loader| std::path::Path::new(&loader).exists()));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(magic in 0_usize..6, rest in proptest::collection::vec(any::<u8>(), 0..200)) {
            let magic: &[u8] = [&b""[..], b"\x7fELF\x02\x01", b"\x7fELF\x01\x02", b"MZ", b"\xfe\xed\xfa\xcf", b"#!"][magic];
            let bytes = [magic, &rest].concat();
            let mut file = tempfile::tempfile().unwrap();
            std::io::Write::write_all(&mut file, &bytes).unwrap();
            prop_assert_eq!(Format::of(&mut file).unwrap(), Format::of_head(&bytes));
            let _ = loader(&mut file);
        }
    }
}
