//! `plugin create`.

use std::path::{MAIN_SEPARATOR, PathBuf};

use clap::{Args, ValueEnum};

use crate::Context;
use crate::error::{CommandFailure, Result, code};
use crate::verb::{Action, OutputArguments, VerbRow, run_one, shown};
use plugsmith::manager::{CreateRequest, Readiness};
use plugsmith::manifest::PluginName;
use plugsmith::scaffold::{self, Toolchain};
use plugsmith::text::Sanitized;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The new plugin's name, and its directory's
    #[arg(value_name = "NAME", value_parser = PluginName::new)]
    name: PluginName,
    /// What the plugin is for
    #[arg(long = "type", value_name = "TYPE", default_value = "cli")]
    kind: TypeChoice,
    /// What runs it
    #[arg(long, value_name = "RUNTIME", default_value = "subprocess")]
    runtime: RuntimeChoice,
    /// What it is written in; without this, what is simplest for its runtime
    #[arg(long, value_name = "LANGUAGE")]
    lang: Option<LanguageChoice>,
    /// Where to make the plugin's directory
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    destination: PathBuf,
    /// Do not build a program in Rust, but leave that to you
    #[arg(long)]
    no_build: bool,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TypeChoice {
    /// A command of the host
    #[value(alias = "cli/v1")]
    Cli,
    /// Downloads URLs of a scheme of its own
    #[value(alias = "getter/v1")]
    Getter,
    /// Changes documents on their way
    #[value(alias = "postrenderer/v1")]
    Postrenderer,
    /// For tests of hosts
    #[value(alias = "test/v1")]
    Test,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RuntimeChoice {
    /// Programs
    Subprocess,
    /// A module of WebAssembly
    #[cfg(feature = "wasm")]
    #[value(alias = "extism/v1")]
    Extism,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LanguageChoice {
    /// POSIX sh
    Sh,
    /// Rust
    Rust,
}

impl From<TypeChoice> for scaffold::PluginType {
    fn from(kind: TypeChoice) -> Self {
        match kind {
            TypeChoice::Cli => Self::Cli,
            TypeChoice::Getter => Self::Getter,
            TypeChoice::Postrenderer => Self::PostRenderer,
            TypeChoice::Test => Self::Test,
        }
    }
}

impl Arguments {
    fn flavour(&self) -> std::result::Result<Toolchain, scaffold::ChoiceError> {
        let runtime = match self.runtime {
            RuntimeChoice::Subprocess => scaffold::Runtime::Subprocess,
            #[cfg(feature = "wasm")]
            RuntimeChoice::Extism => scaffold::Runtime::Extism,
        };
        let language = self.lang.map(|language| match language {
            LanguageChoice::Sh => scaffold::Language::Sh,
            LanguageChoice::Rust => scaffold::Language::Rust,
        });
        Toolchain::choose(runtime, language)
    }
}

pub(crate) fn run(arguments: &Arguments, context: &Context<'_>) -> Result {
    let mut next = String::new();
    run_one(arguments.output.output, context, VerbRow::of_name(arguments.name.as_str()), |_| {
        let (row, steps) = create(arguments, context)?;
        next = steps;
        Ok(row)
    })?;
    context.output.notice(&next);
    Ok(())
}

/// Makes the plugin, and says what to do next.
fn create(arguments: &Arguments, context: &Context<'_>) -> Result<(VerbRow, String)> {
    let flavour = arguments.flavour().map_err(|error| CommandFailure::new(code::USAGE, error))?;
    let kind = scaffold::PluginType::from(arguments.kind);
    let name = &arguments.name;
    let request = CreateRequest {
        name: name.clone(),
        kind,
        flavour,
        destination: arguments.destination.clone(),
        build: !arguments.no_build,
    };
    let created = context.manager().create(&request)?;
    if created.program == Readiness::NoCargo {
        context
            .output
            .warning("there is no `cargo` on PATH, so the plugin's program is not built: https://rustup.rs brings it");
    }
    let directory = shown(&created.directory);
    let next = next_steps(&directory, created.program, name, kind, context);
    let (kind, runtime, language) = (kind.type_name(), flavour.runtime_name(), flavour.language_name());
    let place = Sanitized(&directory).to_string();
    let text = format!("Created {name} {} in {place} ({kind}, {runtime}, {language})", scaffold::VERSION);
    let row = VerbRow {
        name: Some(name.to_string()),
        version: Some(scaffold::VERSION.to_owned()),
        path: Some(directory),
        ..VerbRow::new(Action::Packaged).with_result(text)
    };
    Ok((row, next))
}

/// What an author does next, as lines to type.
fn next_steps(
    directory: &str,
    program: Readiness,
    name: &PluginName,
    kind: scaffold::PluginType,
    context: &Context<'_>,
) -> String {
    let host = context.host.name();
    let mut place = quoted(directory);
    // A word alone would be taken for the name of something else.
    if !place.contains(MAIN_SEPARATOR) {
        place = format!(".{MAIN_SEPARATOR}{place}");
    }
    let mut lines = vec!["Next:".to_owned()];
    if program != Readiness::Ready {
        lines.push(format!("  {place}/build.sh"));
    }
    lines.push(format!("  {host} plugin install {place}"));
    lines.push(format!("  {}", scaffold::trial(name, kind, context.host)));
    lines.push(format!("{directory}/README.md tells how to change, test, sign and publish it."));
    lines.join("\n")
}

/// `path` as one word for a shell.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%\\".contains(c);
    if path.chars().all(plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', "'\\''")) }
}
