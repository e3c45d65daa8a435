//! Plugins on disk: layout, lock, staging, receipts, and the gate before every run.
//!
//! ```text
//! <plugins>/<name>/plugin.yaml ...          a plugin; a symbolic link for a local development install
//! <plugins>/<name>-<version>.tgz[.prov]     its package, kept for later verification
//! <plugins>/.state/<name>.json              its receipt
//! <plugins>/.state/private/<name>.json      the query of its source's URL, for its owner alone
//! <plugins>/.state/previous/<name>[.json|.tgz|.tgz.prov]    the version before, for rollback
//! <plugins>/.state/renewed/                what replaces a tree that cannot be renamed, while it does
//! <plugins>/.state/staging/<random>/        what is being fetched and unpacked
//! <plugins>/.state/lock                     held by whoever changes the store
//! <cache>/plugin-index/<root>.json          what the manifests said, to list without reading them
//! ```
//!
//! What is outside `.state` is Helm's layout, so that both programs can share it. Readers never lock and never wait: every
//! change is one rename or exchange (see `commit.rs`). Nothing is created before the first write.
//!
//! Deciding whether a package may come in is [`crate::intake::provenance`]'s; starting what the gate hands out is
//! [`crate::runtime`]'s.

mod accept;
mod allowlist;
mod commit;
mod copy_up;
mod difference;
mod disk;
mod error;
mod gate;
pub mod interrupt;
mod list;
mod lock;
mod missing;
mod private;
mod receipt;
mod recover;
mod restore;
mod retry;
mod snapshot;
mod staging;
mod survey;
mod tree;

#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::host::{Homes, Host, SettingOrigin};
use crate::manifest::{self, FILE_NAME, ManifestError, Metadata};
use crate::policy::Policy;
use crate::settings::Limits;

pub use accept::{ChangedFile, TrustChanges, WithdrawnChanges};
pub use allowlist::FileStanding;
pub(crate) use allowlist::NotListed;
pub use allowlist::StartAllowlist;
pub use commit::{InstallDetails, RemovedPlugin, StoreTransaction};
pub use difference::{Comparison, Difference, DifferenceKind, compare_with_package};
pub use error::StoreError;
pub use gate::{GateError, Plugin};
pub use list::{ListedPlugin, ListedVerification, Listing, Status};
pub use lock::{Spool, StoreLock};
pub use missing::NotInstalled;
#[doc(hidden)]
pub use receipt::read_foreign;
pub use receipt::{
    Archive, HookState, HostVersion, InstallKind, NetworkSettings, Receipt, ReceiptError, RecordedSource,
    VerificationMethod, VerifiedBy,
};
pub use restore::{Damage, PreviousDamage};
pub use staging::StagedPlugin;
pub use survey::{StoreProblem, Survey};
pub use tree::{FileAuthor, FileRecord, FileStamp, TreeError, TreeId};

use receipt::ReceiptFile;

/// How long a writer waits for another one.
const LOCK_WAIT: Duration = Duration::from_secs(10 * 60);

/// The plugin directories of a host. Reads search all of them, writes go to the first.
#[derive(Debug, Clone)]
pub struct Store {
    host: Host,
    roots: Vec<Root>,
    cache: PathBuf,
    limits: Limits,
    policy: Policy,
    lock_wait: Duration,
    /// Whether the user says where the plugins are.
    is_chosen: bool,
}

impl Store {
    /// The store of `host` in `homes`. Nothing is read or created.
    pub fn open(host: &Host, homes: &Homes, limits: Limits) -> Self {
        Self {
            host: host.clone(),
            roots: homes.plugins.iter().cloned().map(Root).collect(),
            cache: homes.cache.path.clone(),
            limits,
            policy: Policy::none(),
            lock_wait: LOCK_WAIT,
            is_chosen: homes.plugins_origin != SettingOrigin::Default,
        }
    }

    /// The same store, whose gate keeps the rules of `policy`.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets how long [`Self::lock`] waits for another writer.
    #[must_use]
    pub fn lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// The directory that is written to.
    pub fn directory(&self) -> &Path {
        &self.root().0
    }

    /// The directories that are searched, in this order.
    pub fn directories(&self) -> impl Iterator<Item = &Path> {
        self.roots.iter().map(|root| root.0.as_path())
    }

    /// The bounds that hold for what is staged and loaded.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The root that is written to.
    fn root(&self) -> &Root {
        // `Homes` never has an empty list.
        self.roots.first().unwrap_or_else(|| unreachable!("no plugin directory"))
    }

    /// The installed plugin `name`, where it must be there. It changes nothing, not even a store that does not exist yet.
    ///
    /// # Errors
    /// As [`Store::find`], and [`StoreError::NotInstalled`].
    pub fn installed(&self, name: &str) -> Result<InstalledPlugin, StoreError> {
        self.find(name)?.ok_or_else(|| self.not_installed(name).into())
    }

    /// Finds the installed plugin `name` (`docs/spec/store.md`, section 2): by the directory of that name, with one look; only where
    /// none has it, or it holds another name, by the manifests of all.
    ///
    /// # Errors
    /// [`StoreError::Io`] where a directory cannot be read.
    pub fn find(&self, name: &str) -> Result<Option<InstalledPlugin>, StoreError> {
        if !is_one_part(name) {
            return Ok(None);
        }
        for root in &self.roots {
            if let Some(found) = self.load_installed(root, name)?
                && found.metadata.as_ref().map_or(true, |metadata| metadata.name.as_str() == name)
            {
                return Ok(Some(found));
            }
        }
        for (root, dir) in self.directories_of(name) {
            if let Some(found) = self.load_installed(root, &dir)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// What is installed in the directory `dir` of `root`; `None` where no plugin is.
    fn load_installed(&self, root: &Root, dir: &str) -> Result<Option<InstalledPlugin>, StoreError> {
        let directory = root.plugin(dir);
        let entry = match fs::symlink_metadata(&directory) {
            Ok(entry) => entry,
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
            Err(source) => return Err(StoreError::io("look at", &directory, source)),
        };
        let link = entry.is_symlink();
        if !link && !entry.is_dir() {
            return Ok(None);
        }
        let (metadata, manifest_seen) = match manifest::load_seen(&directory, &self.limits) {
            Ok((metadata, seen)) => (self.host.check_functions(&metadata, &directory).map(|()| metadata), Some(seen)),
            Err(error) => (Err(error), None),
        };
        // A directory without a manifest is somebody's directory, unless we put it there. A link may point nowhere.
        let bare = metadata.is_err() && !disk::exists(&directory.join(FILE_NAME));
        let dangling = link && !directory.exists();
        if bare && !dangling && !root.receipt(dir).exists() {
            return Ok(None);
        }
        Ok(Some(InstalledPlugin { root: root.clone(), dir: dir.to_owned(), directory, link, metadata, manifest_seen }))
    }

    /// The receipt of the plugin in `found`, of the tree that is there now.
    ///
    /// # Errors
    /// [`StoreError::Receipt`].
    pub fn receipt(&self, found: &InstalledPlugin) -> Result<Option<Receipt>, StoreError> {
        let Some(file) = ReceiptFile::read(&found.receipt_path())? else { return Ok(None) };
        Ok(file.of_tree(TreeId::of(&found.directory).ok().flatten()))
    }

    /// The receipt of the version before, to which a rollback of the plugin in `found` would go.
    ///
    /// # Errors
    /// [`StoreError::Receipt`].
    pub fn previous_receipt(&self, found: &InstalledPlugin) -> Result<Option<Receipt>, StoreError> {
        Ok(ReceiptFile::read(&found.root.previous_receipt(&found.dir))?.and_then(|file| file.current))
    }
}

/// An installed plugin, found by its name and not yet fit to be run: that is [`Store::open_plugin`]'s to say.
#[derive(Debug)]
pub struct InstalledPlugin {
    root: Root,
    /// The name of its directory.
    pub dir: String,
    /// Its directory.
    pub directory: PathBuf,
    /// Whether the directory is a symbolic link.
    pub link: bool,
    /// What its manifest says, or why that cannot be used: a broken plugin.
    pub metadata: Result<Metadata, ManifestError>,
    /// What the file was that this was read from.
    manifest_seen: Option<fs::Metadata>,
}

impl InstalledPlugin {
    fn receipt_path(&self) -> PathBuf {
        let name = self.metadata.as_ref().ok().map(|metadata| metadata.name.as_str());
        self.root.receipt_of(&self.dir, name)
    }

    /// Its version as text; empty where it has none or is broken.
    pub fn version_text(&self) -> String {
        self.metadata.as_ref().map(Metadata::version_text).unwrap_or_default()
    }
}

impl ReceiptFile {
    /// The receipt that speaks of `tree`; at rest the only one.
    fn of_tree(self, tree: Option<TreeId>) -> Option<Receipt> {
        match self.next {
            Some(next) if Some(next.tree) == tree => Some(next),
            _ => self.current,
        }
    }
}

/// One plugin directory, and where things are in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Root(PathBuf);

impl Root {
    fn plugin(&self, dir: &str) -> PathBuf {
        self.0.join(dir)
    }

    fn state(&self) -> PathBuf {
        self.0.join(".state")
    }

    fn lock(&self) -> PathBuf {
        self.0.join(".state/lock")
    }

    fn staging(&self) -> PathBuf {
        self.0.join(".state/staging")
    }

    fn renewed(&self) -> PathBuf {
        self.0.join(".state/renewed")
    }

    fn receipt(&self, dir: &str) -> PathBuf {
        self.state().join(format!("{dir}.json"))
    }

    /// The receipt of what is in the directory `dir` and calls itself `name`. A receipt bears the plugin's name, and is found by it
    /// also where somebody renamed the directory since. Only where that name has none, the directory's may have one: then the
    /// manifest is what somebody changed.
    fn receipt_of(&self, dir: &str, name: Option<&str>) -> PathBuf {
        let by_name = name.filter(|name| *name != dir).map(|name| self.receipt(name));
        by_name.filter(|path| disk::exists(path)).unwrap_or_else(|| self.receipt(dir))
    }

    fn private(&self) -> PathBuf {
        self.0.join(".state/private")
    }

    fn previous_dir(&self) -> PathBuf {
        self.0.join(".state/previous")
    }

    fn previous(&self, dir: &str) -> PathBuf {
        self.previous_dir().join(dir)
    }

    fn previous_receipt(&self, dir: &str) -> PathBuf {
        self.previous_dir().join(format!("{dir}.json"))
    }

    fn previous_package(&self, dir: &str) -> PathBuf {
        self.previous_dir().join(format!("{dir}.tgz"))
    }
}

/// `path` with the suffix of a provenance.
fn prov(path: &Path) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(".prov");
    path.into()
}

/// Whether `name` can name an entry of a plugin directory that is not ours: one part of a path, not hidden. A broken
/// plugin's directory may have a name that no plugin may have.
fn is_one_part(name: &str) -> bool {
    let hidden = name.is_empty() || name.starts_with('.');
    let several = name.contains(['/', '\\', '\0']) || (cfg!(windows) && name.contains(':'));
    !hidden && !several
}

/// Whether `file` is the package, or the provenance of a package, of exactly the plugin `name`.
fn is_package_of(file: &str, name: &str) -> bool {
    let stem = file.strip_suffix(".prov").unwrap_or(file);
    stem.strip_prefix(name)
        .and_then(|rest| rest.strip_prefix('-'))
        .and_then(|rest| rest.strip_suffix(".tgz"))
        .is_some_and(|version| semver::Version::parse(version).is_ok())
}
