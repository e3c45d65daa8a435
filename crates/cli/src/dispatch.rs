//! Who a command line is for: the host's own commands, or a plugin.
//!
//! [`route`] reads no more of the arguments than it takes to find the first word, builds no clap command and touches no file, so
//! that starting a plugin costs little more than starting its program. Finding the plugin is the store's affair, starting it
//! [`plugsmith::runtime`]'s.

use std::ffi::{OsStr, OsString};

use crate::commands;
use crate::globals::{self, Globals, HostFlag};
use plugsmith::host::Host;
use plugsmith::manifest::Metadata;
use plugsmith::spelling::{did_you_mean, nearest};
use plugsmith::text::{Sanitized, masked_source, quoted, sanitized_block};

/// Commands that every host has: no plugin can take their place.
const ALWAYS_OWN: [&str; 4] = ["plugin", "help", "completion", "__complete"];

/// The host's own flag that plugins share, and that is therefore taken out of their arguments, as Helm does.
const DEBUG: &str = "--debug";

/// Whom a command line is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// The host itself: clap reads the whole line, and reports what is wrong with it.
    Builtin,
    /// The plugin of this name, if there is one.
    Plugin(PluginCall),
    /// Help about the plugin of this name (`help NAME`), if there is one; the arguments end with `--help`.
    Help(PluginCall),
}

/// A plugin's command line, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PluginCall {
    /// The first word of the line. Nobody has checked yet that it is a plugin's name.
    pub name: String,
    /// What the plugin gets.
    pub args: Vec<OsString>,
    /// The flags that were the host's.
    pub globals: Globals,
    /// The flags that the host declared, in order.
    pub flags: Vec<HostFlag>,
}

/// Why a command line is for nobody.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DispatchError {
    /// Neither a built-in command nor a plugin.
    #[error("unknown command `{}` for `{host}`{}", Sanitized(name), advice(host, nearest, plugins_off.as_deref()))]
    UnknownCommand {
        /// The host's name.
        host: String,
        /// What was asked for.
        name: String,
        /// Commands and plugins whose names are near, the nearest first.
        nearest: Vec<String>,
        /// The variable that switches plugins off, where one does.
        plugins_off: Option<String>,
    },
}

/// The last part of the message about an unknown command: what to do next.
fn advice(host: &str, nearest: &[String], plugins_off: Option<&str>) -> String {
    let off = plugins_off.map(|variable| format!(" (plugins are switched off by {variable})")).unwrap_or_default();
    let next = did_you_mean(nearest)
        .unwrap_or_else(|| format!("`{host} help` lists the commands, `{host} plugin list` the plugins"));
    format!("{off}: {next}")
}

/// Decides whom a command line is for; `args` does not hold the program's own name.
///
/// Flags before the first word are the host's. Those after it are the plugin's, but for `--debug` and the flags that the host
/// declared, up to `--`. A line that begins with an unknown flag is the host's, whose parser reports it.
///
/// # Errors
/// [`DispatchError::UnknownCommand`] where `<HOST>_NO_PLUGINS` leaves nobody but the host and the command is not its own.
pub fn route(host: &Host, args: &[OsString]) -> Result<Route, DispatchError> {
    let mut call = PluginCall::default();
    let mut rest = args;
    let word = loop {
        let Some(first) = rest.first() else { return Ok(Route::Builtin) };
        let taken = if !is_flag(first) {
            break first;
        } else if let Some(taken) = call.globals.take(rest) {
            taken
        } else if let Some((flag, taken)) = globals::take_declared(host, rest) {
            call.flags.push(flag);
            taken
        } else {
            return Ok(Route::Builtin);
        };
        rest = &rest[taken..];
    };
    rest = &rest[1..];

    let help = word == "help";
    let word = match (help, rest.first()) {
        (true, Some(about)) if !is_flag(about) => {
            rest = &rest[1..];
            about
        }
        (true, _) => return Ok(Route::Builtin),
        (false, _) => word,
    };
    if word.to_str().is_some_and(|word| is_own(host, word)) {
        return Ok(Route::Builtin);
    }
    call.name = word.to_string_lossy().into_owned();
    if word.to_str().is_none() || host.plugins_off().is_some() {
        return Err(unknown_command(host, &call.name, rest, &[]));
    }
    take_out_of_the_middle(host, rest, &mut call);
    if help {
        call.args.push("--help".into());
        return Ok(Route::Help(call));
    }
    Ok(Route::Plugin(call))
}

/// Whether `word` is a command of the host's own, which no plugin can be.
pub fn is_own(host: &Host, word: &str) -> bool {
    ALWAYS_OWN.contains(&word) || host.is_reserved(word)
}

/// Reserves every command of `command`, aliases and hidden ones too: for embedding programs, whose clap tree knows them.
#[must_use]
pub fn reserve_commands(mut host: Host, command: &clap::Command) -> Host {
    for own in command.get_subcommands() {
        for name in std::iter::once(own.get_name()).chain(own.get_all_aliases()) {
            host = host.reserve(name);
        }
    }
    host
}

/// The error for the first word of a line that is neither a built-in command nor one of the `installed` plugins; `args` follow it.
/// A command of the group `plugin` is only meant where nothing else is.
pub fn unknown_command(host: &Host, name: &str, args: &[OsString], installed: &[String]) -> DispatchError {
    let own = ALWAYS_OWN.iter().copied().chain(host.reserved().iter().map(String::as_str));
    let own = own.filter(|name| !name.starts_with('_'));
    let mut meant = nearest(name, own.chain(installed.iter().map(String::as_str)));
    let verbs = commands::names();
    if verbs.iter().any(|verb| verb == name) {
        meant = vec![in_group(host, name, args)];
    } else if meant.is_empty() {
        let verbs = nearest(name, verbs.iter().map(String::as_str));
        meant = verbs.iter().map(|verb| in_group(host, verb, args)).collect();
    }
    DispatchError::UnknownCommand {
        host: host.name().to_owned(),
        name: name.to_owned(),
        nearest: meant,
        plugins_off: host.plugins_off(),
    }
}

/// The line as a command of the group `plugin`, with what followed.
fn in_group(host: &Host, verb: &str, args: &[OsString]) -> String {
    let args = args.iter().map(|arg| quoted(&masked_source(&arg.to_string_lossy())));
    let words = [host.name(), "plugin", verb].map(str::to_owned).into_iter().chain(args);
    words.collect::<Vec<_>>().join(" ")
}

/// What a plugin gets of `args`, which follow its name: all but the host's own flags.
pub(crate) fn plugin_arguments(host: &Host, args: &[OsString]) -> Vec<OsString> {
    let mut call = PluginCall::default();
    take_out_of_the_middle(host, args, &mut call);
    call.args
}

/// What a manifest says about its plugin's command: the help of one that could not say it itself, because it gets no arguments.
pub fn manifest_help(host: &Host, metadata: &Metadata) -> Option<String> {
    let cli = metadata.cli().filter(|cli| cli.ignore_flags)?;
    let usage = if cli.usage.is_empty() { metadata.name.as_str() } else { &cli.usage };
    let about = [&cli.short_help, &cli.long_help].into_iter().filter(|text| !text.is_empty());
    let mut parts: Vec<String> = about.map(|text| sanitized_block(text.trim_end())).collect();
    parts.dedup();
    parts.push(format!("Usage: {} {}", host.name(), Sanitized(usage)));
    Some(parts.join("\n\n"))
}

/// Splits what follows a plugin's name into the plugin's arguments and the host's flags.
fn take_out_of_the_middle(host: &Host, mut rest: &[OsString], call: &mut PluginCall) {
    while let Some(first) = rest.first() {
        if first == "--" {
            break;
        }
        if first == DEBUG {
            call.globals.debug = true;
            rest = &rest[1..];
        } else if let Some((flag, taken)) = globals::take_declared(host, rest) {
            call.flags.push(flag);
            rest = &rest[taken..];
        } else {
            call.args.push(first.clone());
            rest = &rest[1..];
        }
    }
    call.args.extend_from_slice(rest);
}

/// Whether `arg` cannot be a command's name because it begins with a dash.
fn is_flag(arg: &OsStr) -> bool {
    arg.as_encoded_bytes().first() == Some(&b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use semver::Version;

    fn host() -> Host {
        Host::new("unset-in-tests", Version::new(1, 0, 0))
            .reserve("version")
            .reserve("env")
            .global_flag("namespace", true)
            .global_flag("force", false)
    }

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    fn plugin(line: &str) -> PluginCall {
        match route(&host(), &words(line)).unwrap() {
            Route::Plugin(call) | Route::Help(call) => call,
            Route::Builtin => panic!("`{line}` is the host's"),
        }
    }

    #[test]
    fn the_host_keeps_its_own_lines() {
        for line in [
            "",
            "--help",
            "-h",
            "--version",
            "version",
            "env x",
            "plugin list",
            "help",
            "help version",
            "help --all",
            "--quiet version",
            "--bogus hello",
            "--color",
            "--color maybe hello",
            "-- hello",
            "completion bash",
            "__complete hello",
            "--namespace n version",
            "-",
        ] {
            assert_eq!(route(&host(), &words(line)), Ok(Route::Builtin), "{line}");
        }
    }

    #[test]
    fn flags_before_the_name_are_the_hosts_and_after_it_the_plugins() {
        for (line, args, debug, flags) in [
            ("hello", "", false, 0),
            ("hello -q --verbose --color never", "-q --verbose --color never", false, 0),
            ("--debug hello", "", true, 0),
            ("--color always -qv hello a", "a", false, 0),
            ("hello a --debug b", "a b", true, 0),
            ("hello --debug=true", "--debug=true", false, 0),
            ("hello --debugger", "--debugger", false, 0),
            ("hello a --namespace x b", "a b", false, 1),
            ("hello a --namespace=x b --force c", "a b c", false, 2),
            ("hello --force=1 --namespaces x", "--force=1 --namespaces x", false, 0),
            ("--namespace x hello y", "y", false, 1),
            ("hello a -- --debug --namespace x --", "a -- --debug --namespace x --", false, 0),
            ("hello --namespace", "", false, 1),
            ("hello --namespace -- --debug", "-- --debug", false, 1),
            ("hello --help", "--help", false, 0),
            ("hello help version", "help version", false, 0),
        ] {
            let call = plugin(line);
            assert_eq!(
                (call.name.as_str(), &call.args, call.globals.debug, call.flags.len()),
                ("hello", &words(args), debug, flags),
                "{line}"
            );
        }
        let namespace = |value: &str| HostFlag { name: "namespace".to_owned(), value: Some(value.into()) };
        assert_eq!(plugin("--namespace=a hello --namespace b").flags, [namespace("a"), namespace("b")]);
    }

    #[test]
    fn help_about_a_plugin_is_the_plugins() {
        let Ok(Route::Help(call)) = route(&host(), &words("help hello sub")) else { panic!() };
        assert_eq!((call.name.as_str(), call.args), ("hello", words("sub --help")));
    }

    #[cfg(unix)]
    #[test]
    fn arguments_need_not_be_utf8_but_names_must() {
        use std::os::unix::ffi::OsStringExt;
        let odd = OsString::from_vec(vec![b'-', 0xff]);
        let namespace = OsString::from_vec(b"--namespace=\xff".to_vec());
        let Ok(Route::Plugin(call)) = route(&host(), &["hello".into(), odd.clone(), namespace]) else { panic!() };
        assert_eq!(call.args, [odd]);
        assert_eq!(call.flags[0].value, Some(OsString::from_vec(vec![0xff])));
        let name = OsString::from_vec(vec![b'a', 0xff]);
        assert!(matches!(route(&host(), &[name]), Err(DispatchError::UnknownCommand { .. })));
    }

    #[test]
    fn an_unknown_command_names_its_neighbours() {
        let installed = ["hello".to_owned(), "help-desk".to_owned(), "secrets".to_owned()];
        for (word, expected) in [
            ("helo", "did you mean `hello` or `help`?"),
            ("secrest", "did you mean `secrets`?"),
            ("versoin", "did you mean `version`?"),
            ("HELLO", "did you mean `hello`?"),
            ("install", "did you mean `unset-in-tests plugin install ./a ''\\''b'`?"),
            ("isntall", "did you mean `unset-in-tests plugin install ./a ''\\''b'`?"),
            ("qqqqq", "`unset-in-tests help` lists the commands, `unset-in-tests plugin list` the plugins"),
        ] {
            let message = unknown_command(&host(), word, &words("./a 'b"), &installed).to_string();
            assert_eq!(message, format!("unknown command `{word}` for `unset-in-tests`: {expected}"));
        }
        assert!(unknown_command(&host(), "x\x1b[1m", &[], &[]).to_string().contains("`x\\u{1b}[1m`"));
    }

    proptest! {
        #[test]
        fn nothing_behind_two_dashes_is_touched(before in proptest::collection::vec("[a-z]{0,3}|--debug|--force", 0..4), after in proptest::collection::vec(".*|--debug|--force|--", 0..6)) {
            let line: Vec<OsString> = std::iter::once("hello").chain(before.iter().map(String::as_str)).chain(["--"]).chain(after.iter().map(String::as_str)).map(OsString::from).collect();
            let Ok(Route::Plugin(call)) = route(&host(), &line) else { panic!() };
            let from = call.args.iter().position(|arg| arg == "--").unwrap();
            prop_assert_eq!(&call.args[from + 1..], &after.iter().map(OsString::from).collect::<Vec<_>>()[..]);
        }
    }
}
