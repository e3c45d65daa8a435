//! `plugin list` and `plugin info`: what is known of installed plugins.

use serde::Serialize;

use crate::error::{Classified, ErrorKind};
use crate::manifest::{Extism, Metadata, PlatformCommand, RuntimeConfig};
use crate::store::{ListedPlugin, Listing, StoreError};

use super::Manager;

/// Everything that is known of one installed plugin: what a list says, and more.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginDetails {
    /// What a list says of it.
    #[serde(flatten)]
    pub listed: ListedPlugin,
    /// The help that its manifest has.
    pub description: String,
    /// Where its manifest says that its source is.
    pub source_url: Option<String>,
    /// The version or range that it follows, as it was asked for when it was installed.
    pub constraint: Option<String>,
    /// The commit, or the digest in the registry, that it was made from.
    pub revision: Option<String>,
    /// The digest of the package that it was unpacked from, with `sha256:` before it.
    pub digest: Option<String>,
    /// Its files, sorted by path; empty without a receipt, and for a link.
    pub files: Vec<DetailedFile>,
    /// Its hooks: the event, and the command for each platform.
    pub hooks: Vec<DetailedCommand>,
    /// Its commands for each platform, and a getter's for each scheme.
    pub commands: Vec<DetailedCommand>,
    /// What a module of WebAssembly may reach; nothing for a program, which may do what its user may.
    pub reach: Option<ModuleAccess>,
}

/// What a module of WebAssembly may reach and use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModuleAccess {
    /// The hosts that it may call over HTTP, as its manifest has them.
    pub hosts: Vec<String>,
    /// How many bytes of memory it may have.
    pub memory_bytes: u64,
    /// How many milliseconds a call may take.
    pub time_ms: u64,
    /// Whether it gets a directory for temporary files; it reaches no other file.
    pub temporary_files: bool,
    /// The functions of the host that it may call.
    pub host_functions: Vec<String>,
}

/// A file as it was installed.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DetailedFile {
    /// Its path in the plugin's directory.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its digest.
    pub sha256: crate::digest::Sha256Digest,
    /// Whether it may be executed.
    pub executable: bool,
}

/// A command of a plugin, as its manifest has it: nothing is expanded.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DetailedCommand {
    /// The event, of a hook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// The schemes, of a getter's command.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub protocols: Vec<String>,
    /// The operating system; empty: any.
    pub os: String,
    /// The architecture; empty: any.
    pub arch: String,
    /// The program and its first arguments.
    pub command: String,
    /// More arguments.
    pub args: Vec<String>,
}

/// Why there are no details.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InfoError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Classified for InfoError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(error) => error.kind(),
        }
    }
}

impl Manager<'_> {
    /// Everything that is installed, sorted by name.
    ///
    /// # Errors
    /// The plugin directory cannot be read.
    pub fn list(&self) -> Result<Listing, StoreError> {
        self.store().list()
    }

    /// The names of installed plugins that the key `fingerprint` signed; a store that cannot be read holds none.
    pub fn signed_by(&self, fingerprint: &str) -> Vec<String> {
        let mut plugins = self.list().unwrap_or_default().plugins;
        let is_signer = |key: &String| key.eq_ignore_ascii_case(fingerprint);
        plugins.retain(|listed| listed.verified.fingerprint.as_ref().is_some_and(is_signer));
        plugins.into_iter().map(|listed| listed.name).collect()
    }

    /// Everything that is known of the plugin `name`.
    ///
    /// # Errors
    /// See [`InfoError`].
    pub fn details(&self, name: &str) -> Result<PluginDetails, InfoError> {
        let store = self.store();
        let found = store.find(name)?;
        let listed = store.list()?.plugins.into_iter();
        let listed = found.as_ref().and_then(|found| listed.into_iter().find(|one| one.directory == found.directory));
        let (Some(found), Some(listed)) = (found, listed) else {
            return Err(StoreError::from(store.not_installed(name)).into());
        };
        // What is wrong with a receipt is its status.
        let receipt = match store.receipt(&found) {
            Err(StoreError::Receipt(_)) => None,
            receipt => receipt?,
        };
        let files = receipt.iter().flat_map(|receipt| receipt.all_files()).map(|file| DetailedFile {
            path: file.path.clone(),
            size: file.size,
            sha256: file.sha256,
            executable: file.is_executable(),
        });
        let mut details = PluginDetails {
            listed,
            description: String::new(),
            source_url: None,
            constraint: receipt.as_ref().and_then(|receipt| receipt.constraint.clone()),
            revision: receipt.as_ref().and_then(|receipt| receipt.source.revision.clone()),
            digest: receipt.as_ref().and_then(|receipt| Some(format!("sha256:{}", receipt.archive.as_ref()?.sha256))),
            files: files.collect(),
            hooks: Vec::new(),
            commands: Vec::new(),
            reach: None,
        };
        if let Ok(metadata) = &found.metadata {
            details.describe(metadata);
        }
        Ok(details)
    }
}

impl PluginDetails {
    fn describe(&mut self, metadata: &Metadata) {
        self.source_url.clone_from(&metadata.source_url);
        if let Some(cli) = metadata.cli() {
            self.description = if cli.long_help.is_empty() { cli.short_help.clone() } else { cli.long_help.clone() };
        }
        if let RuntimeConfig::Extism(extism) = &metadata.runtime {
            self.reach = Some(ModuleAccess::of(extism));
        }
        let Some(subprocess) = metadata.subprocess() else { return };
        self.commands.extend(subprocess.platform_commands.iter().map(DetailedCommand::new));
        for one in &subprocess.protocol_commands {
            let commands = one.platform_commands.iter().map(DetailedCommand::new);
            self.commands.extend(commands.map(|command| DetailedCommand { protocols: one.protocols.clone(), ..command }));
        }
        for (event, commands) in &subprocess.hooks {
            let commands = commands.iter().map(DetailedCommand::new);
            self.hooks.extend(commands.map(|command| DetailedCommand { event: Some(event.clone()), ..command }));
        }
    }
}

impl ModuleAccess {
    fn of(extism: &Extism) -> Self {
        Self {
            hosts: extism.allowed_hosts.clone(),
            memory_bytes: u64::from(extism.pages()) << 16,
            time_ms: extism.time_ms(),
            temporary_files: extism.create_temp_dir,
            host_functions: extism.host_functions.clone(),
        }
    }
}

impl DetailedCommand {
    fn new(command: &PlatformCommand) -> Self {
        Self {
            os: command.os.clone(),
            arch: command.arch.clone(),
            command: command.command.clone(),
            args: command.args.clone(),
            ..Self::default()
        }
    }
}
