//! Who the host is: the program that has plugins, as data. The reference host `tool` is one [`Host`], Helm another
//! ([`Host::helm`]), and an embedding program makes its own with [`Host::new`].
//!
//! This module also finds the host's directories and reads its environment variables. What `config.yaml` sets is in
//! [`crate::settings`].

mod functions;
mod runner;

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use semver::Version;

pub use functions::HostFunctions;
pub use runner::{
    CallLimits, CallResult, LogLevel, ModuleCall, ModuleEvent, ModuleFile, ModuleStreams, PAGE, Runner, WasmError,
};

/// How Helm's variables begin.
const HELM: &str = "HELM";

/// A program with plugins.
#[derive(Clone)]
pub struct Host {
    name: String,
    version: Version,
    prefix: String,
    folder: String,
    reserved: Vec<String>,
    global_flags: Vec<GlobalFlag>,
    functions: HostFunctions,
    runner: Option<Arc<dyn Runner>>,
}

/// A flag of the host that is also the host's when it stands between a plugin's arguments, as Helm has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlobalFlag {
    /// The long name, without dashes.
    pub name: String,
    /// Whether a value follows it.
    pub takes_value: bool,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("name", &self.name).field("version", &self.version).finish_non_exhaustive()
    }
}

impl Host {
    /// A host called `name` at `version`. It reads environment variables that begin with its name in capitals (`my-app`: `MY_APP_`),
    /// and no others: a plugin of one host may call another host, which must not take the first one's keyring for its own.
    pub fn new(name: &str, version: Version) -> Self {
        let prefix = name.to_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        Self {
            name: name.to_owned(),
            version,
            prefix,
            folder: name.to_owned(),
            reserved: Vec::new(),
            global_flags: Vec::new(),
            functions: HostFunctions::default(),
            runner: None,
        }
    }

    /// The reference host, `tool`.
    pub fn tool() -> Self {
        Self::new("tool", this_version())
    }

    /// Helm's own plugin directory under Helm's own names, so that it can be managed by this library. The version is that
    /// of this library.
    pub fn helm() -> Self {
        let mut host = Self::new("helm", this_version());
        for name in [
            "completion",
            "create",
            "dependency",
            "env",
            "get",
            "help",
            "history",
            "install",
            "lint",
            "list",
            "package",
            "plugin",
            "pull",
            "push",
            "registry",
            "repo",
            "rollback",
            "search",
            "show",
            "status",
            "template",
            "test",
            "uninstall",
            "upgrade",
            "verify",
            "version",
        ] {
            host = host.reserve(name);
        }
        host
    }

    /// Names a command of the host, so that no plugin can take its place.
    #[must_use]
    pub fn reserve(mut self, command: &str) -> Self {
        if !self.is_reserved(command) {
            self.reserved.push(command.to_owned());
        }
        self
    }

    /// Declares a global flag of the host; it is taken out of a plugin's arguments.
    #[must_use]
    pub fn global_flag(mut self, name: &str, takes_value: bool) -> Self {
        self.global_flags.push(GlobalFlag { name: name.to_owned(), takes_value });
        self
    }

    /// Offers WebAssembly plugins a function: one that lists `name` under `hostFunctions` may import it from `extism:host/user`, and
    /// calls it with bytes for bytes (JSON, say). An error ends the plugin's call with that reason.
    #[must_use]
    pub fn host_function(
        mut self,
        name: &str,
        function: impl Fn(&[u8]) -> Result<Vec<u8>, String> + Send + Sync + 'static,
    ) -> Self {
        self.functions.insert(name, Arc::new(function));
        self
    }

    /// The functions that WebAssembly plugins are offered.
    pub fn functions(&self) -> &HostFunctions {
        &self.functions
    }

    /// Lets plugins that are WebAssembly modules run. Without a runner they load, list and install, and running one is an error.
    #[must_use]
    pub fn runner(mut self, runner: impl Runner + 'static) -> Self {
        self.runner = Some(Arc::new(runner));
        self
    }

    /// What runs WebAssembly modules.
    pub(crate) fn wasm(&self) -> Option<&dyn Runner> {
        self.runner.as_deref()
    }

    /// Whether plugins that are WebAssembly modules can run.
    pub fn runs_wasm(&self) -> bool {
        self.runner.is_some()
    }

    /// The program's name, as users type it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The host's own version.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// Whether `command` is one of the host's own.
    pub fn is_reserved(&self, command: &str) -> bool {
        self.reserved.iter().any(|own| own == command)
    }

    /// The host's own commands.
    pub fn reserved(&self) -> &[String] {
        &self.reserved
    }

    /// The host's global flags.
    pub fn global_flags(&self) -> &[GlobalFlag] {
        &self.global_flags
    }

    /// The full name of the variable `key` (`PLUGINS`: `TOOL_PLUGINS`), the only one under which it is read.
    pub fn variable_name(&self, key: &str) -> String {
        format!("{}_{key}", self.prefix)
    }

    /// The names under which plugins are told of `key` (`PLUGINS`: `TOOL_PLUGINS`, `HELM_PLUGINS`): those written for Helm read Helm's.
    pub fn names_for_plugins(&self, key: &str) -> impl Iterator<Item = String> {
        let helm = (self.prefix != HELM).then(|| format!("{HELM}_{key}"));
        std::iter::once(self.variable_name(key)).chain(helm)
    }

    /// The value of the variable `key` with its full name. An empty value counts as unset.
    pub fn variable(&self, key: &str) -> Option<(String, OsString)> {
        let name = self.variable_name(key);
        let value = env::var_os(&name).filter(|value| !value.is_empty())?;
        Some((name, value))
    }

    /// Whether the variable `key` is set to something that means yes: anything but `0`, `false`, `no` and `off`.
    pub fn switch(&self, key: &str) -> bool {
        self.variable(key).is_some_and(|(_, value)| {
            !matches!(value.to_string_lossy().to_ascii_lowercase().as_str(), "0" | "false" | "no" | "off" | "f")
        })
    }
}

impl Host {
    /// The full name of the variable that says that no plugin may be started, where one is set to that.
    pub fn plugins_off(&self) -> Option<String> {
        self.variable("NO_PLUGINS").map(|(name, _)| name).filter(|_| self.switch("NO_PLUGINS"))
    }
}

/// This library's version, which is also the reference host's.
fn this_version() -> Version {
    Version::parse(env!("CARGO_PKG_VERSION")).unwrap_or(Version::new(0, 0, 0))
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingOrigin {
    /// A flag of the command line.
    Flag(&'static str),
    /// An environment variable, by its full name.
    Environment(String),
    /// A line of a file.
    File(PathBuf, usize),
    /// Nobody set it.
    Default,
}

/// A directory and who chose it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChosenDirectory {
    /// The directory, absolute.
    pub path: PathBuf,
    /// Who chose it.
    pub origin: SettingOrigin,
}

/// The host's directories (`docs/spec/store.md`, section 1). None of them need exist.
#[derive(Debug, Clone)]
pub struct Homes {
    /// `<data>`: plugins and the audit log.
    pub data: ChosenDirectory,
    /// `<cache>`: whatever can be fetched or made again.
    pub cache: ChosenDirectory,
    /// `<config>`: settings, keyring, trust, policy.
    pub config: ChosenDirectory,
    /// Plugin directories, in the order of search; never empty. The first is the one that is written to.
    pub plugins: Vec<PathBuf>,
    /// Who chose the plugin directories.
    pub plugins_origin: SettingOrigin,
}

impl Homes {
    /// Finds the directories of `host` from its variables, then the platform's conventions.
    pub fn find(host: &Host) -> Self {
        let home = |key, xdg, platform: fn(&Path) -> PathBuf| match host.variable(key) {
            Some((name, value)) => {
                ChosenDirectory { path: absolute(value.into()), origin: SettingOrigin::Environment(name) }
            }
            None => match absolute_variable(xdg) {
                Some(base) => {
                    ChosenDirectory { path: base.join(&host.folder), origin: SettingOrigin::Environment(xdg.to_owned()) }
                }
                None => ChosenDirectory { path: platform(&user_home()).join(&host.folder), origin: SettingOrigin::Default },
            },
        };
        let data = home("DATA_HOME", "XDG_DATA_HOME", platform_data);
        let (plugins, plugins_origin) = match host.variable("PLUGINS") {
            Some((name, list)) => (path_list(&list), SettingOrigin::Environment(name)),
            None => (Vec::new(), SettingOrigin::Default),
        };
        let plugins_origin = if plugins.is_empty() { SettingOrigin::Default } else { plugins_origin };
        let plugins = if plugins.is_empty() { vec![data.path.join("plugins")] } else { plugins };
        Self {
            cache: home("CACHE_HOME", "XDG_CACHE_HOME", platform_cache),
            config: home("CONFIG_HOME", "XDG_CONFIG_HOME", platform_config),
            data,
            plugins,
            plugins_origin,
        }
    }
}

/// The entries of a path list: empty ones skipped, relative ones made absolute, each once.
fn path_list(list: &OsString) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for path in env::split_paths(list).filter(|path| !path.as_os_str().is_empty()).map(absolute) {
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
}

/// `path` under the working directory where it is relative; `..` stays, since a symbolic link may stand before it.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// A variable that holds an absolute path: the XDG specification says that others are to be ignored.
fn absolute_variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// The user's home directory; without one the root, where nothing of ours can be written by accident.
pub fn user_home() -> PathBuf {
    env::home_dir().filter(|home| home.is_absolute()).unwrap_or_else(|| PathBuf::from("/"))
}

#[cfg(all(unix, not(target_os = "macos")))]
fn platform_data(home: &Path) -> PathBuf {
    home.join(".local/share")
}
#[cfg(all(unix, not(target_os = "macos")))]
fn platform_cache(home: &Path) -> PathBuf {
    home.join(".cache")
}
#[cfg(all(unix, not(target_os = "macos")))]
fn platform_config(home: &Path) -> PathBuf {
    home.join(".config")
}
#[cfg(target_os = "macos")]
fn platform_data(home: &Path) -> PathBuf {
    home.join("Library")
}
#[cfg(target_os = "macos")]
fn platform_cache(home: &Path) -> PathBuf {
    home.join("Library/Caches")
}
#[cfg(target_os = "macos")]
fn platform_config(home: &Path) -> PathBuf {
    home.join("Library/Preferences")
}
#[cfg(windows)]
fn platform_data(home: &Path) -> PathBuf {
    absolute_variable("APPDATA").unwrap_or_else(|| home.join("AppData/Roaming"))
}
#[cfg(windows)]
fn platform_cache(home: &Path) -> PathBuf {
    absolute_variable("TEMP").unwrap_or_else(|| home.join("AppData/Local/Temp"))
}
#[cfg(windows)]
fn platform_config(home: &Path) -> PathBuf {
    absolute_variable("APPDATA").unwrap_or_else(|| home.join("AppData/Roaming"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_list_skips_empty_entries_and_makes_relative_ones_absolute() {
        let list = env::join_paths(["/a b", "", "c", "/a b"]).unwrap();
        let here = env::current_dir().unwrap();
        assert_eq!(path_list(&list), [PathBuf::from("/a b"), here.join("c")]);
    }

    #[test]
    fn names_variables_after_the_host() {
        let my_app = Host::new("my-app", Version::new(1, 0, 0));
        let table: [(Host, &[&str]); 3] = [
            (Host::tool(), &["TOOL_PLUGINS", "HELM_PLUGINS"]),
            (Host::helm(), &["HELM_PLUGINS"]),
            (my_app, &["MY_APP_PLUGINS", "HELM_PLUGINS"]),
        ];
        for (host, told) in table {
            assert_eq!(host.names_for_plugins("PLUGINS").collect::<Vec<_>>(), told);
            assert_eq!(host.variable_name("PLUGINS"), told[0]);
        }
    }
}
