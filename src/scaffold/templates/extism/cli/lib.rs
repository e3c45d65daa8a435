//! A command of the host as a WebAssembly module.
//!
//! What the command does is in [`run`], which needs no host and is tested with `cargo test`; the last module speaks to the host.

use serde::{Deserialize, Serialize};

/// What the host says: the user's arguments.
#[derive(Deserialize)]
pub struct Input {
    #[serde(rename = "extraArgs", default)]
    pub extra_args: Option<Vec<String>>,
}

/// What the host gets back; what the user sees has been printed by then.
#[derive(Serialize)]
pub struct Output {}

/// What the manifest says of this plugin, in `runtimeConfig.config`.
pub struct Plugin {
    pub name: String,
    pub version: String,
}

/// A command line that means nothing, and what is wrong with it.
#[derive(Debug, PartialEq)]
pub struct Wrong(pub String);

/// What the command prints for `args`.
pub fn run(plugin: &Plugin, args: &[String]) -> Result<String, Wrong> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] | ["-h" | "--help" | "help"] => Ok(usage(&plugin.name)),
        ["-V" | "--version"] => Ok(format!("{}\n", plugin.version)),
        ["hello", rest @ ..] => hello(rest),
        ["info"] => Ok(format!("name: {}\nversion: {}\n", plugin.name, plugin.version)),
        ["info", ..] => Err(Wrong("info takes no arguments".to_owned())),
        [unknown, ..] => Err(Wrong(format!("unknown command {unknown}"))),
    }
}

fn usage(name: &str) -> String {
    format!(
        "Usage: {name} COMMAND

Commands:
  hello [--loud] [WHO]   Greet somebody
  info                   Show what this plugin knows of itself

Flags:
  -h, --help      Show this help
  -V, --version   Show the version
"
    )
}

fn hello(args: &[&str]) -> Result<String, Wrong> {
    let mut loud = false;
    let mut who = None;
    for &arg in args {
        match arg {
            "--loud" => loud = true,
            flag if flag.starts_with('-') => return Err(Wrong(format!("unknown flag {flag}"))),
            _ if who.is_some() => return Err(Wrong("hello greets one at a time".to_owned())),
            name => who = Some(name),
        }
    }
    let greeting = format!("Hello, {}!\n", who.unwrap_or("world"));
    Ok(if loud { greeting.to_uppercase() } else { greeting })
}

#[cfg(target_arch = "wasm32")]
mod host {
    use extism_pdk::{Error, FnResult, Json, WithReturnCode, config, plugin_fn};

    use super::{Input, Output, Plugin, Wrong, run};

    /// The exit code of a wrong command line.
    const USAGE: i32 = 2;

    #[plugin_fn]
    pub fn helm_plugin_main(Json(input): Json<Input>) -> FnResult<Json<Output>> {
        let setting = |key| config::get(key).map(Option::unwrap_or_default);
        let plugin = Plugin { name: setting("name")?, version: setting("version")? };
        match run(&plugin, &input.extra_args.unwrap_or_default()) {
            Ok(text) => {
                print!("{text}");
                Ok(Json(Output {}))
            }
            Err(Wrong(what)) => {
                let message = format!("{what}; see `{} --help`", plugin.name);
                Err(WithReturnCode::new(Error::msg(message), USAGE))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(words: &str) -> Result<String, Wrong> {
        let plugin = Plugin { name: "p".to_owned(), version: "1.2.3".to_owned() };
        run(&plugin, &words.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn greets() {
        assert_eq!(ran("hello").unwrap(), "Hello, world!\n");
        assert_eq!(ran("hello --loud Ann").unwrap(), "HELLO, ANN!\n");
        assert_eq!(ran("info").unwrap(), "name: p\nversion: 1.2.3\n");
        assert!(ran("").unwrap().starts_with("Usage: p COMMAND"));
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(ran("hallo").unwrap_err(), Wrong("unknown command hallo".to_owned()));
        assert_eq!(ran("hello --quiet").unwrap_err(), Wrong("unknown flag --quiet".to_owned()));
    }
}
