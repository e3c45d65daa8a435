//! The environment of a plugin: the host's own, over it the host's settings, over those what concerns the plugin alone.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::host::{Homes, Host};
use crate::manifest::PluginName;

/// What a plugin's programs find in their environment beyond what this process has in its own.
#[derive(Debug, Clone)]
pub struct Environment<'h> {
    host: &'h Host,
    /// In the order in which they were set; of two with one name the later holds.
    variables: Vec<(String, OsString)>,
    /// Whether of this process's own variables only the plain ones are handed on.
    clean: bool,
    cache: PathBuf,
    debug: bool,
}

/// What a program needs to find its files, its user and its language, and no secret is kept in.
const PLAIN: [&str; 19] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TERM",
    "TZ",
    "TMPDIR",
    "TMP",
    "TEMP",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_CTYPE",
    "SystemRoot",
    "ComSpec",
    "PATHEXT",
    "APPDATA",
    "USERPROFILE",
];

impl<'h> Environment<'h> {
    /// The settings of `host`: where its program and its directories are, and whether it was asked to say everything.
    ///
    /// Plugins for Helm rely on `HELM_BIN`, `HELM_PLUGINS`, `HELM_DEBUG` and the homes; each has both names.
    pub fn new(host: &'h Host, homes: &Homes, debug: bool) -> Self {
        let mut new = Self { host, variables: Vec::with_capacity(20), clean: false, cache: homes.cache.path.clone(), debug };
        let program = env::current_exe().ok().or_else(|| env::args_os().next().map(Into::into));
        new.set("BIN", program.unwrap_or_default());
        // Directories with a separator in their name cannot be on a list, nor have come from one; then the first must do.
        new.set("PLUGINS", env::join_paths(&homes.plugins).unwrap_or_else(|_| homes.plugins[0].clone().into()));
        new.set("CACHE_HOME", &homes.cache.path);
        new.set("CONFIG_HOME", &homes.config.path);
        new.set("DATA_HOME", &homes.data.path);
        new.set("DEBUG", if debug { "true" } else { "false" });
        new
    }

    /// This environment for the plugin called `name` whose files lie in `dir`.
    #[must_use]
    pub fn for_plugin(&self, name: &PluginName, dir: &Path) -> Self {
        let mut new = self.clone();
        new.set("PLUGIN_NAME", name.as_str());
        new.set("PLUGIN_DIR", dir);
        new
    }

    /// This environment without what this process has beyond a few plain variables such as `PATH`: for programs that should not see secrets.
    #[must_use]
    pub fn clean(&self) -> Self {
        Self { clean: true, ..self.clone() }
    }

    /// The host.
    pub fn host(&self) -> &'h Host {
        self.host
    }

    /// The host's `<cache>`.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// Whether everything is to be said.
    pub fn debug(&self) -> bool {
        self.debug
    }

    /// Sets `key` under every name by which plugins know it (`DEBUG`: `TOOL_DEBUG` and `HELM_DEBUG`).
    pub fn set(&mut self, key: &str, value: impl AsRef<OsStr>) {
        for name in self.host.names_for_plugins(key) {
            self.variables.push((name, value.as_ref().to_owned()));
        }
    }

    /// Makes `dir` the place for temporary files, under every name that programs know it by.
    pub(super) fn set_temporary(&mut self, dir: &Path) {
        for name in ["TMPDIR", "TMP", "TEMP"] {
            self.variables.push((name.to_owned(), dir.into()));
        }
    }

    /// The value of the variable of this full name, as a plugin will find it.
    pub fn get(&self, name: &str) -> Option<OsString> {
        match self.variables.iter().rev().find(|(own, _)| own == name) {
            Some((_, value)) => Some(value.clone()),
            // The standard library panics for names that no variable can have; a manifest can ask for any.
            None if name.is_empty() || name.contains(['=', '\0']) => None,
            None if self.clean && !PLAIN.contains(&name) => None,
            None => env::var_os(name),
        }
    }

    /// Gives `command` this environment, and nothing else.
    pub(crate) fn apply(&self, command: &mut Command) {
        command.env_clear();
        if self.clean {
            command.envs(PLAIN.iter().filter_map(|name| Some((name, env::var_os(name)?))));
        } else {
            command.envs(env::vars_os());
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
    }

    /// The variables beyond this process's own, the later value of each, sorted by name.
    pub fn variables(&self) -> Vec<(&str, &OsStr)> {
        let last: std::collections::BTreeMap<_, _> =
            self.variables.iter().map(|(name, value)| (name.as_str(), value.as_os_str())).collect();
        last.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{ChosenDirectory, SettingOrigin};

    fn homes() -> Homes {
        let home = |path: &str| ChosenDirectory { path: path.into(), origin: SettingOrigin::Default };
        Homes {
            data: home("/d"),
            cache: home("/c"),
            config: home("/k"),
            plugins: vec![PathBuf::from("/p one"), PathBuf::from("/p2")],
            plugins_origin: SettingOrigin::Default,
        }
    }

    #[test]
    fn every_setting_has_both_names() {
        let host = Host::tool();
        let environment =
            Environment::new(&host, &homes(), true).for_plugin(&PluginName::new("x").unwrap(), Path::new("/p one/x"));
        for (key, value) in [
            ("PLUGINS", "/p one:/p2"),
            ("CACHE_HOME", "/c"),
            ("CONFIG_HOME", "/k"),
            ("DATA_HOME", "/d"),
            ("DEBUG", "true"),
            ("PLUGIN_NAME", "x"),
            ("PLUGIN_DIR", "/p one/x"),
        ] {
            for prefix in ["TOOL", "HELM"] {
                let name = format!("{prefix}_{key}");
                assert_eq!(environment.get(&name).as_deref(), Some(OsStr::new(value)), "{name}");
            }
        }
        assert_eq!(environment.get("TOOL_BIN"), Some(env::current_exe().unwrap().into()));
        assert_eq!(Environment::new(&host, &homes(), false).get("HELM_DEBUG"), Some("false".into()));
    }

    #[test]
    fn later_values_win_and_odd_names_are_unset() {
        let host = Host::tool();
        let mut environment = Environment::new(&host, &homes(), false);
        environment.set("DEBUG", "again");
        assert_eq!(environment.get("TOOL_DEBUG"), Some("again".into()));
        assert_eq!(environment.variables().iter().filter(|(name, _)| *name == "TOOL_DEBUG").count(), 1);
        assert_eq!(environment.get("PATH"), env::var_os("PATH"));
        for odd in ["", "=", "A=B", "\0", "X:-d"] {
            assert_eq!(environment.get(odd), None, "{odd:?}");
        }
    }
}
