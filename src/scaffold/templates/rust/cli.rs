//! The command: gets the user's arguments, standard streams and working directory as they are. Under every host the variables
//! HELM_PLUGIN_NAME and HELM_PLUGIN_DIR say what the plugin is called and where its files are.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

/// Why the command ends badly.
#[derive(Debug)]
enum Failure {
    /// A command line that means nothing.
    Usage(String),
    /// Something that the system refused.
    System(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

fn main() -> ExitCode {
    let name = env::var("HELM_PLUGIN_NAME").unwrap_or_else(|_| env!("CARGO_PKG_NAME").replacen("plugin-", "", 1));
    let args: Vec<String> = env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    match run(&name, &args, &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(what)) => {
            eprintln!("{name}: {what}; see \"{name} --help\"");
            ExitCode::from(2)
        }
        // The reader has what it wanted.
        Err(Failure::System(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Failure::System(error)) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, args: &[String], out: &mut dyn Write) -> Result<(), Failure> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] | ["-h" | "--help" | "help"] => usage(name, out),
        ["-V" | "--version"] => Ok(writeln!(out, "{}", env!("CARGO_PKG_VERSION"))?),
        ["hello", rest @ ..] => hello(rest, out),
        ["info"] => info(name, out),
        ["info", ..] => Err(Failure::Usage("info takes no arguments".to_owned())),
        [unknown, ..] => Err(Failure::Usage(format!("unknown command {unknown}"))),
    }
}

fn usage(name: &str, out: &mut dyn Write) -> Result<(), Failure> {
    write!(
        out,
        "Usage: {name} COMMAND

Commands:
  hello [--loud] [WHO]   Greet somebody
  info                   Show what this plugin knows of itself

Flags:
  -h, --help      Show this help
  -V, --version   Show the version
"
    )?;
    Ok(())
}

fn hello(args: &[&str], out: &mut dyn Write) -> Result<(), Failure> {
    let mut loud = false;
    let mut who = None;
    for &arg in args {
        match arg {
            "--loud" => loud = true,
            flag if flag.starts_with('-') => return Err(Failure::Usage(format!("unknown flag {flag}"))),
            _ if who.is_some() => return Err(Failure::Usage("hello greets one at a time".to_owned())),
            name => who = Some(name),
        }
    }
    let greeting = format!("Hello, {}!", who.unwrap_or("world"));
    writeln!(out, "{}", if loud { greeting.to_uppercase() } else { greeting })?;
    Ok(())
}

fn info(name: &str, out: &mut dyn Write) -> Result<(), Failure> {
    writeln!(out, "name: {name}\nversion: {}", env!("CARGO_PKG_VERSION"))?;
    if let Some(directory) = env::var_os("HELM_PLUGIN_DIR") {
        writeln!(out, "directory: {}", directory.display())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(words: &str) -> Result<String, Failure> {
        let mut out = Vec::new();
        run("p", &words.split_whitespace().map(str::to_owned).collect::<Vec<_>>(), &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn greets() {
        assert_eq!(ran("hello").unwrap(), "Hello, world!\n");
        assert_eq!(ran("hello --loud Ann").unwrap(), "HELLO, ANN!\n");
        assert!(ran("").unwrap().starts_with("Usage: p COMMAND"));
    }

    #[test]
    fn says_what_is_wrong() {
        assert!(matches!(ran("hallo"), Err(Failure::Usage(what)) if what == "unknown command hallo"));
        assert!(matches!(ran("hello --quiet"), Err(Failure::Usage(what)) if what == "unknown flag --quiet"));
    }

    #[test]
    fn has_the_manifests_version() {
        let manifest = include_str!("../plugin.yaml");
        assert!(manifest.lines().any(|line| line == concat!("version: ", env!("CARGO_PKG_VERSION"))));
    }
}
