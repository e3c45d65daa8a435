//! The flags that every command of a host has, read in two ways: by clap for built-in commands, and by hand before a plugin's
//! name, because building the whole clap tree costs more than starting the plugin does.

use std::ffi::{OsStr, OsString};

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use plugsmith::host::Host;
pub use plugsmith::settings::ShowWhen;

// No doc comment: clap would take it for what the program is about.
#[expect(missing_docs, reason = "see above: they are the flags that every command has")]
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Global options")]
pub struct Globals {
    /// Say nothing if a change succeeds; of everything else print only results and errors
    #[arg(long, short, global = true, overrides_with = "quiet")]
    pub quiet: bool,
    /// Say more about what is done
    #[arg(long, short, global = true, overrides_with = "verbose")]
    pub verbose: bool,
    /// Say everything; secrets are never printed
    #[arg(long, global = true, overrides_with = "debug")]
    pub debug: bool,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", overrides_with = "color", value_parser = color_parser())]
    pub color: Option<ShowWhen>,
    /// Answer yes to every question
    #[arg(long, short, global = true, overrides_with = "yes")]
    pub yes: bool,
    /// Ask no questions: what would need an answer fails
    #[arg(long, global = true, overrides_with = "no_input")]
    pub no_input: bool,
}

/// A global flag that the host declared ([`Host::global_flag`]), as found on a plugin's command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFlag {
    /// The long name, without dashes.
    pub name: String,
    /// Its value, where it takes one and one was there.
    pub value: Option<OsString>,
}

/// Each choice of `--color`, with what help says of it.
const COLOR: [(&str, ShowWhen, Option<&str>); 3] = [
    ("auto", ShowWhen::Auto, Some("Where the stream is a terminal")),
    ("always", ShowWhen::Always, None),
    ("never", ShowWhen::Never, None),
];

fn color(text: &str) -> Option<ShowWhen> {
    COLOR.iter().find(|(name, ..)| *name == text).map(|&(_, when, _)| when)
}

fn color_parser() -> impl TypedValueParser<Value = ShowWhen> {
    let values = COLOR.iter().map(|&(name, _, help)| match help {
        Some(help) => PossibleValue::new(name).help(help),
        None => PossibleValue::new(name),
    });
    PossibleValuesParser::new(values).map(|text| color(&text).unwrap_or_default())
}

impl Globals {
    /// Takes the flag that `args` begin with, if it is one of these: how many arguments it is, else `None`.
    pub(crate) fn take(&mut self, args: &[OsString]) -> Option<usize> {
        let arg = args.first()?.to_str()?;
        match arg {
            "--quiet" => self.quiet = true,
            "--verbose" => self.verbose = true,
            "--debug" => self.debug = true,
            "--yes" => self.yes = true,
            "--no-input" => self.no_input = true,
            "--color" => {
                self.color = Some(color(args.get(1)?.to_str()?)?);
                return Some(2);
            }
            _ => match arg.strip_prefix("--color=") {
                Some(when) => self.color = Some(color(when)?),
                None => self.take_cluster(arg)?,
            },
        }
        Some(1)
    }

    /// Takes short flags, several of which may share a dash.
    fn take_cluster(&mut self, arg: &str) -> Option<()> {
        let letters = arg.strip_prefix('-').filter(|letters| !letters.is_empty())?;
        if !letters.chars().all(|c| matches!(c, 'q' | 'v' | 'y')) {
            return None;
        }
        self.quiet |= letters.contains('q');
        self.verbose |= letters.contains('v');
        self.yes |= letters.contains('y');
        Some(())
    }

    /// With what the environment asks for: `<HOST>_DEBUG`.
    #[must_use]
    pub fn with_environment(mut self, host: &Host) -> Self {
        self.debug |= host.switch("DEBUG");
        self
    }
}

/// Takes the flag that `args` begin with, if `host` declared it: the flag and how many arguments it is.
///
/// A switch with a value (`--debug=x`) is none of ours, as in Helm: it is the plugin's.
pub(crate) fn take_declared(host: &Host, args: &[OsString]) -> Option<(HostFlag, usize)> {
    let (flag, rest) = host.global_flags().iter().find_map(|flag| {
        let rest = strip_name(args.first()?, &flag.name)?;
        (rest.is_none() || flag.takes_value).then_some((flag, rest))
    })?;
    let name = flag.name.clone();
    Some(match rest {
        Some(value) => (HostFlag { name, value: Some(value) }, 1),
        None => match args.get(1).filter(|value| flag.takes_value && *value != "--") {
            Some(value) => (HostFlag { name, value: Some(value.clone()) }, 2),
            None => (HostFlag { name, value: None }, 1),
        },
    })
}

/// Whether `arg` is `--name` (`Some(None)`) or `--name=value` (`Some(Some(value))`).
fn strip_name(arg: &OsStr, name: &str) -> Option<Option<OsString>> {
    let rest = strip_prefix(arg, "--").and_then(|arg| strip_prefix(&arg, name))?;
    if rest.is_empty() { Some(None) } else { strip_prefix(&rest, "=").map(Some) }
}

/// `arg` without `prefix`; what follows need not be UTF-8.
fn strip_prefix(arg: &OsStr, prefix: &str) -> Option<OsString> {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        arg.as_bytes().strip_prefix(prefix.as_bytes()).map(|rest| OsStr::from_bytes(rest).to_owned())
    }
    #[cfg(not(unix))]
    arg.to_str()?.strip_prefix(prefix).map(OsString::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, FromArgMatches, Parser};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        globals: Globals,
    }

    fn by_hand(args: &[&str]) -> Option<Globals> {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        let (mut globals, mut rest) = (Globals::default(), &args[..]);
        while !rest.is_empty() {
            rest = &rest[globals.take(rest)?..];
        }
        Some(globals)
    }

    #[test]
    fn clap_and_the_short_way_read_the_same_flags() {
        for args in [
            &["--quiet"][..],
            &["-q"],
            &["-qv"],
            &["-y", "--verbose"],
            &["--debug", "--debug"],
            &["--color", "never"],
            &["--color=always"],
            &["--color=sometimes"],
            &["--color"],
            &["--no-input", "--yes"],
            &["--other"],
            &["-x"],
            &["-"],
            &["-qx"],
            &["--quiet=true"],
            &["word"],
        ] {
            let by_clap = Line::command()
                .disable_help_flag(true)
                .try_get_matches_from(std::iter::once(&"tool").chain(args))
                .ok()
                .and_then(|matches| Line::from_arg_matches(&matches).ok())
                .map(|line| line.globals);
            assert_eq!(by_hand(args), by_clap, "{args:?}");
        }
    }

    #[test]
    fn every_flag_of_clap_is_known_to_the_short_way() {
        for arg in Line::command().get_arguments().filter(|arg| arg.get_id() != "help") {
            let long = format!("--{}", arg.get_long().unwrap());
            let args = if arg.get_action().takes_values() { vec![long.as_str(), "auto"] } else { vec![long.as_str()] };
            assert!(by_hand(&args).is_some(), "{long}");
            if let Some(short) = arg.get_short() {
                assert!(by_hand(&[&format!("-{short}")]).is_some(), "-{short}");
            }
        }
    }
}
