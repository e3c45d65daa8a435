//! `plugin.yaml` to [`Metadata`]: reading both forms (legacy and v1), checking every rule, choosing the command for a platform.
//!
//! Nothing behind this module sees the raw forms. Where the file came from and whether it can be trusted is the affair of
//! [`crate::package`], [`crate::provenance`] and [`crate::store`].

use std::collections::BTreeMap;
use std::fmt;

/// The name of the manifest's file in a plugin's directory.
pub const FILE_NAME: &str = "plugin.yaml";

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

/// The form of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiVersion {
    /// No `apiVersion`.
    Legacy,
    /// `apiVersion: v1`.
    V1,
}

/// A plugin's name: letters, digits, `_` and `-`, at most 100 of them, no leading `-`, no Windows device name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PluginName(String);

impl fmt::Display for PluginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
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
    /// Hosts (globs) that the module may call.
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
