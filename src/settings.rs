//! What a user or an organisation can set: `config.yaml` and its defaults.
//!
//! Flags and environment variables win over what stands here; who has such a flag looks at it first. Unknown keys and odd values
//! are errors that name their line: a mistyped limit must not be no limit.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::files::{self, AllowedWriters, UntrustedFile};
use crate::host::SettingOrigin;
use crate::manifest::limits;
use crate::text::Sanitized;
use crate::yaml::{self, Node, Value, YamlError};

pub use crate::manifest::limits::{Limits, parse_size};

/// The name of the settings' file in the host's configuration directory.
pub const FILE_NAME: &str = "config.yaml";

/// Bytes of `config.yaml`: far more than anybody writes.
const MAX_BYTES: u64 = 1 << 20;

/// What `config.yaml` says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase", expecting = "a mapping")]
pub struct Settings {
    /// What a plugin that changed since its install leads to.
    pub gate: GateMode,
    /// Whether packages must be verified before they are installed.
    pub verify: bool,
    /// Bounds on archives and documents of others.
    pub limits: Limits,
    /// How packages are downloaded.
    pub http: HttpSettings,
    /// How hooks are run.
    pub hooks: HookSettings,
    /// What holds for single registries, by host (and port).
    pub registries: BTreeMap<String, RegistrySettings>,
    /// What is written down about changes.
    pub audit: AuditSettings,
    /// How the command line shows things.
    pub output: OutputSettings,
    /// The keys that the file sets, such as `http.timeout`, and their lines.
    #[serde(skip)]
    keys: BTreeMap<String, usize>,
    /// The file.
    #[serde(skip)]
    path: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            gate: GateMode::default(),
            verify: true,
            limits: Limits::default(),
            http: HttpSettings::default(),
            hooks: HookSettings::default(),
            registries: BTreeMap::new(),
            audit: AuditSettings::default(),
            output: OutputSettings::default(),
            keys: BTreeMap::new(),
            path: PathBuf::new(),
        }
    }
}

/// What happens where a plugin is not what was installed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GateMode {
    /// Nothing is checked.
    Off,
    /// It runs with a warning.
    Warn,
    /// It does not run.
    #[default]
    Require,
}

impl GateMode {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Warn => "warn",
            Self::Require => "require",
        }
    }
}

/// How packages are downloaded.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase", expecting = "a mapping")]
pub struct HttpSettings {
    /// For a whole download; unlimited where absent.
    #[serde(deserialize_with = "some_duration")]
    pub timeout: Option<Duration>,
    /// Until a connection stands.
    #[serde(deserialize_with = "duration")]
    pub connect_timeout: Duration,
    /// Without a byte.
    #[serde(deserialize_with = "duration")]
    pub idle_timeout: Duration,
    /// Attempts after the first.
    pub retries: u32,
    /// Bytes of one download.
    #[serde(deserialize_with = "limits::deserialize_size")]
    pub max_bytes: u64,
    /// Downloads at once.
    #[serde(deserialize_with = "at_least_one")]
    pub parallel: usize,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            timeout: None,
            connect_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            retries: 3,
            max_bytes: 4 << 30,
            parallel: 8,
        }
    }
}

/// How hooks are run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase", expecting = "a mapping")]
pub struct HookSettings {
    /// How long one may take.
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
    /// Whether they are confined.
    pub sandbox: Sandbox,
    /// What they see of the environment.
    pub environment: HookEnvironment,
}

impl Default for HookSettings {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(600), sandbox: Sandbox::default(), environment: HookEnvironment::default() }
    }
}

/// Whether hooks are confined to the files of their plugin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sandbox {
    /// Where the system can.
    Auto,
    /// Never. The default, since there are plugins for Helm whose hooks keep something in `/tmp` or in the user's home.
    #[default]
    Off,
    /// Always; where the system cannot, hooks do not run.
    Require,
}

/// What hooks see of the environment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HookEnvironment {
    /// All of it.
    #[default]
    Inherit,
    /// What a program needs to run at all, and the host's own variables.
    Clean,
}

/// What holds for one registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase", expecting = "a mapping")]
pub struct RegistrySettings {
    /// Other hosts that may be asked for its tokens, with its credentials.
    pub token_hosts: Vec<String>,
    /// Whether it is reached without TLS.
    pub plain_http: bool,
    /// Certificates of authorities for it.
    pub ca_file: Option<PathBuf>,
}

/// What is written down about changes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase", expecting = "a mapping")]
pub struct AuditSettings {
    /// The log, where it is not in the data directory.
    pub file: Option<PathBuf>,
    /// Whether runs of plugins are written down too.
    pub runs: bool,
    /// Bytes after which a new file is begun.
    #[serde(deserialize_with = "limits::deserialize_size")]
    pub max_bytes: u64,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self { file: None, runs: false, max_bytes: 10 << 20 }
    }
}

/// How the command line shows things.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase", expecting = "a mapping")]
pub struct OutputSettings {
    /// Whether there are colours.
    pub color: ShowWhen,
    /// Whether progress is shown.
    pub progress: ShowWhen,
}

/// When something is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShowWhen {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Why the settings cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The file is there and cannot be read.
    #[error("cannot read the settings {}; check that it is a file and its permissions", Sanitized(&.path.to_string_lossy()))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is far too large.
    #[error("the settings {} have more than {MAX_BYTES} bytes; is it the right file?", Sanitized(&.path.to_string_lossy()))]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Others may change it.
    #[error(transparent)]
    Changeable(#[from] UntrustedFile),
    /// The file says something that is none of the settings.
    #[error("{}:{}:{}: {}", Sanitized(&.path.to_string_lossy()), .error.at().line, .error.at().column, .error.reason())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What, and where.
        error: YamlError,
    },
}

impl Settings {
    /// Reads `config.yaml` in `config_home`; without one everything is as by default.
    ///
    /// # Errors
    /// The file cannot be read, is no YAML, or has a key or value that means nothing.
    pub fn load(config_home: &Path) -> Result<Self, SettingsError> {
        let path = config_home.join(FILE_NAME);
        let (bytes, metadata) = match files::read_bounded_with_metadata(&path, MAX_BYTES) {
            Ok(Some(read)) => read,
            Ok(None) => return Err(SettingsError::TooLarge { path }),
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(SettingsError::Read { path, source }),
        };
        files::refuse_untrusted(&path, &metadata, AllowedWriters::Group, 1)?;
        match Self::parse(&bytes) {
            Ok(mut settings) => {
                // A relative name must not depend on where the user is.
                for ca_file in settings.registries.values_mut().filter_map(|registry| registry.ca_file.as_mut()) {
                    *ca_file = config_home.join(&ca_file);
                }
                Ok(Self { path, ..settings })
            }
            Err(error) => Err(SettingsError::Invalid { path, error }),
        }
    }

    /// Reads settings from the bytes of a `config.yaml`.
    ///
    /// # Errors
    /// They are no YAML, or have a key or value that means nothing.
    pub fn parse(bytes: &[u8]) -> Result<Self, YamlError> {
        let mut root = yaml::parse(bytes)?;
        drop_nulls(&mut root);
        let mut settings: Self = yaml::from_node(&root)?;
        collect_keys(&root, "", &mut settings.keys);
        Ok(settings)
    }

    /// The settings that decide something, each with its key and its value as `config.yaml` would have it.
    pub fn rows(&self) -> Vec<(String, String)> {
        let duration = |duration: Duration| format!("{}s", duration.as_secs_f64());
        let rows = [
            ("gate", self.gate.as_str().to_owned()),
            ("verify", self.verify.to_string()),
            ("http.timeout", self.http.timeout.map_or_else(|| "none".to_owned(), duration)),
            ("http.connectTimeout", duration(self.http.connect_timeout)),
            ("http.idleTimeout", duration(self.http.idle_timeout)),
            ("http.retries", self.http.retries.to_string()),
            ("http.maxBytes", self.http.max_bytes.to_string()),
            ("http.parallel", self.http.parallel.to_string()),
            ("hooks.timeout", duration(self.hooks.timeout)),
            ("hooks.sandbox", format!("{:?}", self.hooks.sandbox).to_lowercase()),
            ("hooks.environment", format!("{:?}", self.hooks.environment).to_lowercase()),
            ("limits.entries", self.limits.entries.to_string()),
            ("limits.fileBytes", self.limits.file_bytes.to_string()),
            ("limits.totalBytes", self.limits.total_bytes.to_string()),
            ("limits.ratioFloor", self.limits.ratio_floor.to_string()),
            ("limits.ratio", self.limits.ratio.to_string()),
            ("limits.pathBytes", self.limits.path_bytes.to_string()),
            ("limits.pathLevels", self.limits.path_levels.to_string()),
            ("limits.partBytes", self.limits.part_bytes.to_string()),
            ("limits.manifestBytes", self.limits.manifest_bytes.to_string()),
            ("limits.provenanceBytes", self.limits.provenance_bytes.to_string()),
            ("limits.signatures", self.limits.signatures.to_string()),
            ("audit.file", self.audit.file.as_ref().map_or_else(|| "none".to_owned(), |file| file.display().to_string())),
            ("audit.runs", self.audit.runs.to_string()),
            ("audit.maxBytes", self.audit.max_bytes.to_string()),
            ("output.color", format!("{:?}", self.output.color).to_lowercase()),
            ("output.progress", format!("{:?}", self.output.progress).to_lowercase()),
        ];
        let mut rows: Vec<(String, String)> = rows.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        for (host, registry) in &self.registries {
            let mut row = |key: &str, value: String| rows.push((format!("registries.{host}.{key}"), value));
            row("tokenHosts", registry.token_hosts.join(", "));
            row("plainHttp", registry.plain_http.to_string());
            row("caFile", registry.ca_file.as_ref().map_or_else(|| "none".to_owned(), |file| file.display().to_string()));
        }
        rows
    }

    /// Who set `key`, such as `gate` or `http.timeout`: a line of the file, or nobody.
    pub fn origin(&self, key: &str) -> SettingOrigin {
        match self.keys.get(key) {
            Some(line) => SettingOrigin::File(self.path.clone(), *line),
            None => SettingOrigin::Default,
        }
    }
}

/// A key without a value leaves the default, and does not mean zero.
fn drop_nulls(node: &mut Node) {
    if let Value::Mapping(entries) = &mut node.value {
        entries.retain(|entry| !entry.value.is_null());
        entries.iter_mut().for_each(|entry| drop_nulls(&mut entry.value));
    }
}

fn collect_keys(node: &Node, prefix: &str, keys: &mut BTreeMap<String, usize>) {
    for entry in node.as_mapping().unwrap_or_default() {
        let key = if prefix.is_empty() { entry.key.clone() } else { format!("{prefix}.{}", entry.key) };
        collect_keys(&entry.value, &key, keys);
        keys.insert(key, entry.at.line as usize);
    }
}

/// Reads a duration such as `10m`, `1h30m` or `500ms`: numbers with units, more than nothing in all.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let seconds = |n: u64| number.checked_mul(n).map(Duration::from_secs);
        let part = match &rest[..unit] {
            "ms" => Some(Duration::from_millis(number)),
            "s" => seconds(1),
            "m" => seconds(60),
            "h" => seconds(60 * 60),
            "d" => seconds(24 * 60 * 60),
            _ => None,
        };
        total = total.checked_add(part?)?;
        rest = &rest[unit..];
    }
    (!total.is_zero()).then_some(total)
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text)
        .ok_or_else(|| D::Error::custom(format!("`{}` is no duration; write one like 10m, 30s or 500ms", Sanitized(&text))))
}

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    NonZeroUsize::deserialize(deserializer).map(NonZeroUsize::get)
}

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::Position;

    fn parse(text: &str) -> Settings {
        Settings::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn without_a_file_everything_is_as_by_default() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings::load(dir.path()).unwrap();
        assert_eq!(settings, Settings::default());
        assert_eq!((settings.gate, settings.verify), (GateMode::Require, true));
        assert_eq!(settings.hooks.timeout, Duration::from_secs(600));
        assert_eq!(settings.origin("gate"), SettingOrigin::Default);
        for empty in ["", "---\n", "# nothing\n", "gate:\nverify: ~\n"] {
            assert_eq!(parse(empty), Settings::default(), "{empty:?}");
        }
    }

    #[test]
    fn reads_every_key() {
        let settings = parse(
            "gate: off
verify: no
limits: {entries: 1, fileBytes: 2KiB, totalBytes: 3, ratioFloor: 1MiB, ratio: 5, pathBytes: 6, pathLevels: 7, partBytes: 8,
  manifestBytes: 9, provenanceBytes: 10, signatures: 11}
http: {timeout: 1h30m, connectTimeout: 500ms, idleTimeout: 2s, retries: 0, maxBytes: 4GiB, parallel: 2}
hooks: {timeout: 30s, sandbox: require, environment: clean}
registries:
  localhost:5000: {tokenHosts: [auth.example.com], plainHttp: true, caFile: /ca.pem}
audit: {file: /var/log/a.jsonl, runs: true, maxBytes: 1MB}
output: {color: never, progress: always}
",
        );
        assert_eq!((settings.gate, settings.verify), (GateMode::Off, false));
        let limits = Limits {
            entries: 1,
            file_bytes: 2048,
            total_bytes: 3,
            ratio_floor: 1 << 20,
            ratio: 5,
            path_bytes: 6,
            path_levels: 7,
            part_bytes: 8,
            manifest_bytes: 9,
            provenance_bytes: 10,
            signatures: 11,
        };
        assert_eq!(settings.limits, limits);
        assert_eq!(settings.http.timeout, Some(Duration::from_secs(5400)));
        assert_eq!(settings.http.connect_timeout, Duration::from_millis(500));
        assert_eq!((settings.http.retries, settings.http.max_bytes, settings.http.parallel), (0, 4 << 30, 2));
        assert_eq!((settings.hooks.sandbox, settings.hooks.environment), (Sandbox::Require, HookEnvironment::Clean));
        let registry = &settings.registries["localhost:5000"];
        assert_eq!(registry.token_hosts, ["auth.example.com"]);
        assert!(registry.plain_http);
        assert_eq!((settings.audit.runs, settings.audit.max_bytes), (true, 1_000_000));
        assert_eq!((settings.output.color, settings.output.progress), (ShowWhen::Never, ShowWhen::Always));
        assert_eq!(settings.origin("output.color"), SettingOrigin::File(PathBuf::new(), 10));
        assert_eq!(settings.origin("hooks"), SettingOrigin::File(PathBuf::new(), 6));
    }

    #[test]
    fn mistakes_name_their_line() {
        let cases = [
            ("gate: warn\nfoo: 1\n", Position { line: 2, column: 1 }, "unknown field `foo`"),
            ("limits:\n  entires: 1\n", Position { line: 2, column: 3 }, "unknown field `entires`"),
            ("http:\n  timeout: 10\n", Position { line: 2, column: 12 }, "`10` is no duration"),
            ("http:\n  timeout: 0s\n", Position { line: 2, column: 12 }, "`0s` is no duration"),
            ("limits: {fileBytes: 1XB}\n", Position { line: 1, column: 21 }, "`1XB` is no size"),
            (
                "http: {parallel: 0}\n",
                Position { line: 1, column: 18 },
                "invalid value: integer `0`, expected a nonzero usize",
            ),
            ("limits: {entries: -1}\n", Position { line: 1, column: 19 }, "invalid value: integer `-1`"),
            ("gate: maybe\n", Position { line: 1, column: 7 }, "unknown variant `maybe`"),
            ("verify: perhaps\n", Position { line: 1, column: 9 }, "invalid type: string \"perhaps\""),
            ("gate: warn\ngate: off\n", Position { line: 2, column: 1 }, "mapping key `gate` already defined at line 1"),
            ("- a\n", Position { line: 1, column: 1 }, "invalid type: sequence, expected a mapping"),
            ("registries: {a: {tokenHost: b}}\n", Position { line: 1, column: 18 }, "unknown field `tokenHost`"),
        ];
        for (text, at, reason) in cases {
            let error = Settings::parse(text.as_bytes()).unwrap_err();
            assert!(error.reason().starts_with(reason), "{text:?}: {error}");
            assert_eq!(error.at(), at, "{text:?}: {error}");
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE_NAME), "registries: {a: {caFile: ca.pem}, b: {caFile: /ca.pem}}").unwrap();
        let registries = Settings::load(dir.path()).unwrap().registries;
        let files = registries.values().map(|registry| registry.ca_file.clone().unwrap()).collect::<Vec<_>>();
        assert_eq!(files, [dir.path().join("ca.pem"), PathBuf::from("/ca.pem")]);
        std::fs::write(dir.path().join(FILE_NAME), "foo: 1\n").unwrap();
        let message = Settings::load(dir.path()).unwrap_err().to_string();
        assert!(message.contains("config.yaml:1:1: unknown field `foo`"), "{message}");
    }

    #[test]
    fn durations_and_sizes() {
        for bad in ["", "10", "m", "1x", "1m30", "-1s", "1.5s", "18446744073709551615d", "99999999999999999999s", "é"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
        assert_eq!(parse_duration("2d"), Some(Duration::from_secs(172_800)));
        for bad in ["", "GiB", "-1", "1.5GiB", "99999999999TiB", "1gib", "é"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
        assert_eq!(parse_size("1 MiB"), Some(1 << 20));
    }
}
