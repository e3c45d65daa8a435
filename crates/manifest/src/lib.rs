//! `plugin.yaml` to [`Metadata`]: reading both forms (legacy and v1), checking every rule, choosing the command for a platform.
//!
//! Nobody else sees the raw forms. Where the file came from and whether it can be trusted is for the engine, `plugsmith`, to decide. The modules
//! [`digest`], [`files`], [`text`] and [`yaml`] are small things that all crates of plugsmith use.

pub mod completion;
pub mod digest;
pub mod executable;
pub mod files;
mod hosts;
mod legacy;
pub mod limits;
pub mod lint;
mod name;
pub mod platform;
mod problem;
mod programs;
mod sarif;
pub mod text;
mod v1;
pub mod yaml;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::text::Sanitized;
use crate::yaml::{Node, YamlError};

pub use hosts::{HostPattern, HostPatternError};
pub use limits::Limits;
pub use name::{NameError, PluginName};
pub use problem::{Problem, Severity};

use problem::{Checker, shorten};

/// The name of the manifest's file in a plugin's directory.
pub const FILE_NAME: &str = "plugin.yaml";

/// The name of a WebAssembly plugin's module, beside its manifest.
pub const MODULE_NAME: &str = "plugin.wasm";

/// What a manifest says, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Metadata {
    /// Which form it was written in.
    pub api_version: ApiVersion,
    /// The plugin's name, fit for a path and a command line.
    pub name: PluginName,
    /// The plugin's version; only a legacy manifest may lack one.
    pub version: Option<semver::Version>,
    /// Where the plugin's source is said to be.
    pub source_url: Option<String>,
    /// What the plugin is for, and the settings of that type.
    pub config: Config,
    /// The command of a legacy plugin that has downloaders too: it is of type getter, and a command all the same.
    pub also_cli: Option<CliConfig>,
    /// How the plugin is started.
    pub runtime: RuntimeConfig,
}

impl Metadata {
    /// Its type as manifests write it, such as `cli/v1`.
    pub fn plugin_type(&self) -> &'static str {
        match self.config {
            Config::Cli(_) => "cli/v1",
            Config::Getter { .. } => "getter/v1",
            Config::PostRenderer => "postrenderer/v1",
            Config::Test => "test/v1",
        }
    }

    /// Its runtime as manifests write it, such as `subprocess`.
    pub fn runtime_name(&self) -> &'static str {
        match self.runtime {
            RuntimeConfig::Subprocess(_) => "subprocess",
            RuntimeConfig::Extism(_) => "extism/v1",
        }
    }

    /// Its version as text; empty where it has none.
    pub fn version_text(&self) -> String {
        self.version.as_ref().map(ToString::to_string).unwrap_or_default()
    }

    /// Its settings as a command of the host, where it is one: by type, or as a legacy getter that has a command too.
    pub fn cli(&self) -> Option<&CliConfig> {
        match &self.config {
            Config::Cli(cli) => Some(cli),
            _ => self.also_cli.as_ref(),
        }
    }

    /// The URL schemes that it downloads.
    pub fn protocols(&self) -> &[String] {
        match &self.config {
            Config::Getter { protocols } => protocols,
            _ => &[],
        }
    }

    /// The settings of the `subprocess` runtime, where it has that one.
    pub fn subprocess(&self) -> Option<&Subprocess> {
        match &self.runtime {
            RuntimeConfig::Subprocess(subprocess) => Some(subprocess),
            RuntimeConfig::Extism(_) => None,
        }
    }

    /// Whether `host`, which offers these functions, has every one that it asks for; `dir` is its directory, for messages.
    ///
    /// # Errors
    /// [`ManifestError::NoHostFunction`].
    pub fn check_functions(&self, host: &str, offered: &[&str], dir: &Path) -> Result<(), ManifestError> {
        let RuntimeConfig::Extism(extism) = &self.runtime else { return Ok(()) };
        match extism.host_functions.iter().find(|name| !offered.contains(&name.as_str())) {
            Some(name) => {
                let offered: Vec<String> = offered.iter().map(|name| format!("`{name}`")).collect();
                Err(ManifestError::NoHostFunction {
                    path: dir.join(FILE_NAME),
                    name: name.clone(),
                    host: host.to_owned(),
                    offered: offered.join(", "),
                })
            }
            None => Ok(()),
        }
    }

    /// Whether the files that its runtime cannot do without are in `dir`.
    ///
    /// # Errors
    /// [`ManifestError::MissingModule`].
    pub fn check_files(&self, dir: &Path) -> Result<(), ManifestError> {
        let path = dir.join(MODULE_NAME);
        match self.runtime {
            RuntimeConfig::Extism(_) if !path.is_file() => Err(ManifestError::MissingModule { path }),
            _ => Ok(()),
        }
    }
}

/// The form of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiVersion {
    /// No `apiVersion`.
    Legacy,
    /// `apiVersion: v1`.
    V1,
}

/// What a plugin is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Config {
    /// `cli/v1`: a command of the host.
    Cli(CliConfig),
    /// `getter/v1`: downloads URLs of these schemes.
    Getter {
        /// The schemes; at least one.
        protocols: Vec<String>,
    },
    /// `postrenderer/v1`: changes a document on its way.
    PostRenderer,
    /// `test/v1`: for tests of hosts.
    Test,
}

/// The settings of a `cli/v1` plugin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CliConfig {
    /// The usage line; empty for legacy plugins.
    pub usage: String,
    /// One line of help.
    pub short_help: String,
    /// The whole help.
    pub long_help: String,
    /// Whether the plugin gets none of the user's arguments.
    pub ignore_flags: bool,
}

/// How a plugin is started.
#[derive(Debug, Clone, PartialEq)]
pub enum RuntimeConfig {
    /// `subprocess`: programs.
    Subprocess(Subprocess),
    /// `extism/v1`: the WebAssembly module `plugin.wasm`.
    Extism(Extism),
}

/// The settings of the `subprocess` runtime.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subprocess {
    /// The program, by platform.
    pub platform_commands: Vec<PlatformCommand>,
    /// Programs by life-cycle event (`install`, `update`, `delete`; others are kept and never run).
    pub hooks: BTreeMap<String, Vec<PlatformCommand>>,
    /// Whether variables in hook arguments are expanded: only for a legacy `platformHooks`.
    pub expand_hooks: bool,
    /// Programs by URL scheme, for getters.
    pub protocol_commands: Vec<ProtocolCommand>,
}

/// A program for one platform, or for every.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlatformCommand {
    /// Go's name of the operating system, or empty.
    pub os: String,
    /// Go's name of the architecture, or empty.
    pub arch: String,
    /// The program and its first arguments, separated by single spaces.
    pub command: String,
    /// More arguments.
    pub args: Vec<String>,
}

/// Programs for some URL schemes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProtocolCommand {
    /// The schemes.
    pub protocols: Vec<String>,
    /// The program, by platform.
    pub platform_commands: Vec<PlatformCommand>,
}

/// The settings of the `extism/v1` runtime. `None` is a setting that the manifest leaves out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Extism {
    /// 64 KiB pages of memory.
    pub max_pages: Option<u32>,
    /// Bytes of one HTTP response.
    pub max_http_response_bytes: Option<i64>,
    /// Bytes of all variables.
    pub max_var_bytes: Option<i64>,
    /// Settings that the module can read.
    pub config: BTreeMap<String, String>,
    /// Hosts that the module may call; each is a [`HostPattern`].
    pub allowed_hosts: Vec<String>,
    /// Whether it gets a temporary directory at `/tmp`.
    pub create_temp_dir: bool,
    /// Milliseconds that one call may take.
    pub timeout: Option<u64>,
    /// Host functions that it imports.
    pub host_functions: Vec<String>,
    /// The exported function that is called.
    pub entry_func_name: Option<String>,
}

impl Extism {
    /// How many pages of memory a module may have. 0 pages are what Go writes for "unset".
    pub fn pages(&self) -> u32 {
        self.max_pages.filter(|&pages| pages > 0).unwrap_or(4).min(1 << 16)
    }

    /// How many milliseconds a call may take. No time at all is what Go writes for "unset".
    pub fn time_ms(&self) -> u64 {
        // Nobody has ever waited for weeks; and clocks can be added to this.
        const LONGEST: u64 = 1 << 31;
        self.timeout.filter(|&ms| ms > 0).unwrap_or(60_000).min(LONGEST)
    }
}

/// Why there is no [`Metadata`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// There is no such file.
    #[error("there is no {} in {}; a plugin's directory has one", FILE_NAME, shown(.path.parent().unwrap_or(.path)))]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("cannot read {}; check that it is a file and its permissions", shown(.path))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is larger than a manifest may be.
    #[error("{} has more than {limit} bytes; `limits.manifestBytes` in config.yaml allows no more", shown(.path))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// The file is no YAML.
    #[error("{}:{}:{}: {}", shown(.path), .error.at().line, .error.at().column, .error.reason())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        error: YamlError,
    },
    /// The manifest breaks rules.
    #[error("{}", invalid(.path, .problems))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// All that is wrong, in the order of the file; at least one.
        problems: Vec<Problem>,
    },
    /// The plugin is for a host that has more functions for modules.
    #[error("{} asks for the host function `{}`, which {host} does not have (it offers {}); the plugin is for another program, or for a newer one",
        shown(.path), Sanitized(.name), if .offered.is_empty() { "none" } else { .offered })]
    NoHostFunction {
        /// The manifest.
        path: PathBuf,
        /// The function.
        name: String,
        /// The host's name.
        host: String,
        /// The functions that it has.
        offered: String,
    },
    /// An extism plugin without its module.
    #[error("wasm binary missing for extism/v1 plugin: {}; build the module and put it there", shown(.path))]
    MissingModule {
        /// Where it was looked for.
        path: PathBuf,
    },
}

fn shown(path: &Path) -> String {
    Sanitized(&path.to_string_lossy()).to_string()
}

/// One problem on the line of its file; several on a line each.
fn invalid(path: &Path, problems: &[Problem]) -> String {
    let file = shown(path);
    let line = |problem: &Problem| format!("{file}:{problem}");
    match problems {
        [problem] => line(problem),
        _ => {
            let lines: String = problems.iter().map(|problem| format!("\n  {}", line(problem))).collect();
            format!("{file} has {} problems:{lines}", problems.len())
        }
    }
}

/// Reads the manifest of the plugin in `dir`.
///
/// # Errors
/// The file is missing, cannot be read or is too large, and what [`parse`] and [`Metadata::check_files`] say.
pub fn load(dir: &Path, limits: &Limits) -> Result<Metadata, ManifestError> {
    load_seen(dir, limits).map(|(metadata, _)| metadata)
}

/// As [`load`], and what the file was that was read, for the gate to compare.
pub fn load_seen(dir: &Path, limits: &Limits) -> Result<(Metadata, std::fs::Metadata), ManifestError> {
    let path = dir.join(FILE_NAME);
    let (bytes, seen) = match files::read_bounded_with_metadata(&path, limits.manifest_bytes) {
        Ok(Some(read)) => read,
        Ok(None) => return Err(ManifestError::TooLarge { path, limit: limits.manifest_bytes }),
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Err(ManifestError::Missing { path }),
        Err(source) => return Err(ManifestError::Read { path, source }),
    };
    let metadata = parse(&bytes, &path)?;
    metadata.check_files(dir)?;
    Ok((metadata, seen))
}

/// Reads a manifest from its bytes; `origin` is its file, for messages.
///
/// # Errors
/// It is no YAML, or breaks rules: all of these are reported together.
pub fn parse(bytes: &[u8], origin: &Path) -> Result<Metadata, ManifestError> {
    let root = yaml::parse(bytes).map_err(|error| ManifestError::Yaml { path: origin.to_owned(), error })?;
    let (metadata, mut problems) = read(&root);
    problems.retain(|problem| problem.severity == Severity::Error);
    match metadata {
        Some(metadata) if problems.is_empty() => Ok(metadata),
        _ => Err(ManifestError::Invalid { path: origin.to_owned(), problems }),
    }
}

/// What the document says, and everything wrong with it. No metadata without an error among the problems.
fn read(root: &Node) -> (Option<Metadata>, Vec<Problem>) {
    let mut checker = Checker::new(FILE_NAME);
    let Some(entries) = root.as_mapping() else {
        let help = "write `key: value` lines, at least `name` and `version`";
        if root.is_null() {
            checker.error(root.at, "empty", "the manifest is empty", help);
        } else {
            checker.error(root.at, "not-a-mapping", format!("the manifest is {}, not a mapping", root.kind()), help);
        }
        return (None, checker.finish());
    };
    let metadata = match entries.iter().find(|entry| entry.key == "apiVersion").map(|entry| &entry.value) {
        None => legacy::read(entries, &mut checker),
        Some(node) if node.is_null() || node.as_str() == Some("") => legacy::read(entries, &mut checker),
        Some(node) if node.as_str() == Some("v1") => v1::read(root, entries, &mut checker),
        Some(node) => {
            let found = node.as_str().map_or(node.kind().to_owned(), |text| format!("\"{}\"", Sanitized(shorten(text))));
            let help = "write `apiVersion: v1`, or leave it out for the legacy form";
            checker.error(node.at, "api-version", format!("invalid plugin apiVersion: {found}"), help);
            None
        }
    };
    (metadata, checker.finish())
}

/// The checked name, which both forms need.
fn name(node: Option<&Node>, checker: &mut Checker) -> Option<PluginName> {
    let Some(node) = node else {
        let message = "invalid plugin name \"\": the manifest has no `name`";
        checker.error(yaml::Position::START, "name-missing", message, "add `name: ` with letters, digits, `_` and `-`");
        return None;
    };
    let text = checker.text(node, "name");
    node.as_str()?;
    match PluginName::new(&text) {
        Ok(name) => Some(name),
        Err(error) => {
            checker.error(node.at, "name-invalid", error.to_string(), "choose another name, such as `my-plugin`");
            None
        }
    }
}

/// The checked version; only the legacy form can do without.
fn version(node: Option<&Node>, form: ApiVersion, checker: &mut Checker) -> Option<semver::Version> {
    let at = node.map_or(yaml::Position::START, |node| node.at);
    let text = node.map(|node| checker.text(node, "version")).unwrap_or_default();
    if node.is_some_and(|node| node.as_str().is_none()) {
        return None;
    }
    if text.is_empty() {
        if form == ApiVersion::V1 {
            checker.error(at, "version-missing", "plugin `version` is required", "add one, such as `version: 0.1.0`");
        }
        return None;
    }
    match semver::Version::parse(&text) {
        Ok(version) => Some(version),
        Err(error) => {
            let message = format!("invalid plugin version \"{}\": must be valid semver", Sanitized(shorten(&text)));
            let help = format!("write three numbers, such as 1.2.3, without a `v` ({})", Sanitized(&error.to_string()));
            checker.error(at, "version-invalid", message, help);
            None
        }
    }
}

#[cfg(test)]
mod tests;
