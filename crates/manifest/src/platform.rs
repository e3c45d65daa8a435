//! Which of a plugin's commands serves this machine, and what its words mean once variables are filled in.
//!
//! The rules are Helm's, to the letter: `command` is split at single spaces, no shell is involved, and variables expand as in
//! Go's `os.Expand`. Starting the command is `plugsmith::runtime`'s affair.

use std::env::consts;
use std::ffi::OsString;

use super::PlatformCommand;

/// An operating system and an architecture, in Go's words for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// Such as `linux`, `darwin`, `windows`.
    pub os: String,
    /// Such as `amd64`, `arm64`, `386`.
    pub arch: String,
}

impl Platform {
    /// That of this program.
    pub fn current() -> Self {
        let os = match consts::OS {
            "macos" => "darwin",
            other => other,
        };
        let little = cfg!(target_endian = "little");
        let arch = match consts::ARCH {
            "x86_64" => "amd64",
            "x86" => "386",
            "aarch64" => "arm64",
            "loongarch64" => "loong64",
            "powerpc64" if little => "ppc64le",
            "powerpc64" => "ppc64",
            "mips" if little => "mipsle",
            "mips64" if little => "mips64le",
            other => other,
        };
        Self::new(os, arch)
    }

    /// The platform of these names.
    pub fn new(os: &str, arch: &str) -> Self {
        Self { os: os.to_owned(), arch: arch.to_owned() }
    }
}

/// A program and its arguments, ready to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// The program, as the manifest gives it: relative to what, is for the runtime to say.
    pub program: OsString,
    /// The arguments: the manifest's, then the caller's.
    pub args: Vec<OsString>,
    /// How many of them are the manifest's.
    pub own_args: usize,
}

/// Why there is nothing to start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlatformError {
    /// No entry serves the platform.
    #[error("no plugin command is applicable for {}/{}; the plugin needs an entry for it in `platformCommand`", .platform.os, .platform.arch)]
    NoneApplicable {
        /// The platform.
        platform: Platform,
    },
    /// The entry for the platform names no program.
    #[error("no plugin command is applicable: the entry for {}/{} begins with an empty word; name a program in `command`", .platform.os, .platform.arch)]
    EmptyCommand {
        /// The platform.
        platform: Platform,
    },
    /// The program's name is nothing but variables that are not set.
    #[error("no plugin command is applicable: `{}` is empty, since no such variable is set", crate::text::Sanitized(.word))]
    EmptyProgram {
        /// The first word, before variables were filled in.
        word: String,
    },
}

/// The entry of `commands` that serves `platform`: the first for its very os and architecture, else the first for its os and
/// any architecture, else the first for any.
pub fn select<'a>(commands: &'a [PlatformCommand], platform: &Platform) -> Option<&'a PlatformCommand> {
    let mut for_os = None;
    let mut for_any = None;
    for command in commands {
        let os = command.os.eq_ignore_ascii_case(&platform.os);
        if os && command.arch.eq_ignore_ascii_case(&platform.arch) {
            return Some(command);
        }
        if !command.arch.is_empty() {
            continue;
        }
        if os {
            for_os = for_os.or(Some(command));
        } else if command.os.is_empty() {
            for_any = for_any.or(Some(command));
        }
    }
    for_os.or(for_any)
}

/// The command line of the entry of `commands` that serves `platform`, followed by `extra`.
///
/// Variables in the program are always filled in with what `lookup` says, those in its arguments where `expand`; `extra` stays
/// as it is.
///
/// # Errors
/// No entry serves the platform, or the one that does names no program.
pub fn prepare(
    commands: &[PlatformCommand],
    platform: &Platform,
    expand: bool,
    lookup: &dyn Fn(&str) -> Option<OsString>,
    extra: &[OsString],
) -> Result<CommandLine, PlatformError> {
    let Some(command) = select(commands, platform) else {
        return Err(PlatformError::NoneApplicable { platform: platform.clone() });
    };
    let mut words = command.command.split(' ');
    let word = words.next().unwrap_or_default();
    if word.is_empty() {
        return Err(PlatformError::EmptyCommand { platform: platform.clone() });
    }
    let program = expand_variables(word, lookup);
    if program.is_empty() {
        return Err(PlatformError::EmptyProgram { word: word.to_owned() });
    }
    let mut args = Vec::with_capacity(command.args.len() + extra.len());
    for word in words.chain(command.args.iter().map(String::as_str)) {
        args.push(if expand { expand_variables(word, lookup) } else { word.into() });
    }
    let own_args = args.len();
    args.extend_from_slice(extra);
    Ok(CommandLine { program, args, own_args })
}

/// Fills in `$name` and `${name}` as Go's `os.Expand` does: an unknown variable is empty, so are the shell's special ones
/// (`$1`, `$$`, `$@`...), `${X:-d}` is the variable of that odd name, `${` without an end and `${}` vanish, and a `$` before
/// anything else is just that.
pub fn expand_variables(text: &str, lookup: &dyn Fn(&str) -> Option<OsString>) -> OsString {
    let mut out = OsString::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        let after = &rest[dollar + 1..];
        if after.is_empty() {
            break;
        }
        out.push(&rest[..dollar]);
        let (reference, width) = reference(after);
        match reference {
            Reference::Variable(name) => out.push(lookup(name).unwrap_or_default()),
            Reference::Empty => {}
            Reference::Dollar => out.push("$"),
        }
        rest = &after[width..];
    }
    out.push(rest);
    out
}

/// What a `$` means.
enum Reference<'a> {
    Variable(&'a str),
    /// A special variable of shells, or bad syntax.
    Empty,
    /// Itself.
    Dollar,
}

/// What stands after a `$`, and how many bytes of it belong to the reference. `text` is not empty.
fn reference(text: &str) -> (Reference<'_>, usize) {
    let bytes = text.as_bytes();
    if let Some(braced) = text.strip_prefix('{') {
        return match braced.find('}') {
            None => (Reference::Empty, 1),
            Some(0) => (Reference::Empty, 2),
            Some(1) if is_special(bytes[1]) => (Reference::Empty, 3),
            Some(end) => (Reference::Variable(&braced[..end]), end + 2),
        };
    }
    if is_special(bytes[0]) {
        return (Reference::Empty, 1);
    }
    let end = bytes.iter().position(|b| !b.is_ascii_alphanumeric() && *b != b'_').unwrap_or(bytes.len());
    match end {
        0 => (Reference::Dollar, 0),
        _ => (Reference::Variable(&text[..end]), end),
    }
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'*' | b'#' | b'$' | b'@' | b'!' | b'?' | b'-' | b'0'..=b'9')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(os: &str, arch: &str, command: &str) -> PlatformCommand {
        PlatformCommand { os: os.to_owned(), arch: arch.to_owned(), command: command.to_owned(), args: Vec::new() }
    }

    fn variable(name: &str) -> Option<OsString> {
        match name {
            "x" => Some("X".into()),
            "dir" => Some("/a b".into()),
            "X:-d" => Some("odd".into()),
            "1" | "$" | "@" => Some("never".into()),
            "dollar" => Some("$x".into()),
            _ => None,
        }
    }

    fn line(command: &str, args: &[&str], expand: bool) -> Vec<String> {
        let mut entry = entry("", "", command);
        entry.args = args.iter().map(|&a| a.to_owned()).collect();
        let extra = ["$x".into(), "".into()];
        let line = prepare(&[entry], &Platform::new("linux", "amd64"), expand, &variable, &extra).unwrap();
        [line.program].into_iter().chain(line.args).map(|w| w.into_string().unwrap()).collect()
    }

    #[test]
    fn s_expansion_is_that_of_go() {
        let cases = [
            ("", ""),
            ("plain", "plain"),
            ("$x", "X"),
            ("${x}", "X"),
            ("a$x-b", "aX-b"),
            ("$xy", ""),
            ("${x}y$x", "XyX"),
            ("$dir/bin", "/a b/bin"),
            ("$dollar", "$x"),
            ("$1", ""),
            ("$10", "0"),
            ("${1}", ""),
            ("${10}", ""),
            ("$$", ""),
            ("$$x", "x"),
            ("$@a$*b$#c$?d$!e$-", "abcde"),
            ("${X:-d}", "odd"),
            ("${HOME:-d}", ""),
            ("$", "$"),
            ("a$", "a$"),
            ("$ x", "$ x"),
            ("$.", "$."),
            ("$é", "$é"),
            ("${é}", ""),
            ("$xé", "Xé"),
            ("${", ""),
            ("${x", "x"),
            ("a${}b", "ab"),
            ("${@}", ""),
            ("${$x}", ""),
            ("$(x)", "$(x)"),
            ("%x%", "%x%"),
        ];
        for (text, expected) in cases {
            assert_eq!(expand_variables(text, &variable), expected, "{text}");
        }
    }

    #[test]
    fn s_a_command_is_split_at_single_spaces() {
        assert_eq!(line("p", &[], true), ["p", "$x", ""]);
        assert_eq!(line("p  a ", &["b c"], true), ["p", "", "a", "", "b c", "$x", ""]);
        assert_eq!(line("p\ta", &[], true), ["p\ta", "$x", ""]);
        assert_eq!(line("'p q'", &[], true), ["'p", "q'", "$x", ""]);
    }

    #[test]
    fn s_only_the_program_is_expanded_where_expansion_is_off() {
        assert_eq!(line("$dir/p $x", &["${x}"], true), ["/a b/p", "X", "X", "$x", ""]);
        assert_eq!(line("$dir/p $x", &["${x}"], false), ["/a b/p", "$x", "${x}", "$x", ""]);
    }

    #[test]
    fn s_the_best_entry_for_the_platform_wins() {
        let exact = entry("linux", "amd64", "exact");
        let other = entry("linux", "arm64", "other");
        let os = entry("LINUX", "", "os");
        let any = entry("", "", "any");
        let arch = entry("", "amd64", "arch");
        let mac = entry("darwin", "", "mac");
        let cases: &[(&[&PlatformCommand], Option<&str>)] = &[
            (&[], None),
            (&[&exact], Some("exact")),
            (&[&any, &os, &exact], Some("exact")),
            (&[&entry("Linux", "AMD64", "cased"), &exact], Some("cased")),
            (&[&any, &os], Some("os")),
            (&[&os, &entry("linux", "", "second")], Some("os")),
            (&[&any, &entry("", "", "second")], Some("any")),
            (&[&other, &any], Some("any")),
            (&[&other, &mac, &arch], None),
            (&[&arch, &any], Some("any")),
            (&[&mac], None),
        ];
        for (commands, expected) in cases {
            let commands: Vec<_> = commands.iter().map(|&c| c.clone()).collect();
            let found = select(&commands, &Platform::new("linux", "amd64")).map(|c| &*c.command);
            assert_eq!(found, *expected, "{commands:?}");
        }
    }

    #[test]
    fn s_nothing_to_start_is_an_error() {
        for command in ["", " p", "$unset", "${HELM_BIN:-helm} list"] {
            let commands = [entry("", "", command)];
            let error = prepare(&commands, &Platform::new("linux", "amd64"), true, &variable, &[]).unwrap_err();
            assert!(error.to_string().contains("no plugin command is applicable"), "{error}");
        }
        let error = prepare(&[], &Platform::new("plan9", "mips"), true, &variable, &[]).unwrap_err();
        assert!(error.to_string().starts_with("no plugin command is applicable for plan9/mips"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn s_a_value_that_is_not_utf_8_survives() {
        use std::os::unix::ffi::{OsStrExt, OsStringExt};
        let lookup = |_: &str| Some(OsString::from_vec(vec![0xff]));
        assert_eq!(expand_variables("a$b.c", &lookup).as_bytes(), b"a\xff.c");
    }
}
