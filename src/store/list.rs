//! What is installed, for lists and for names that no directory bears.
//!
//! An index of what the manifests and receipts said is kept in the cache, so that a list reads neither again as long as
//! size, times and inode of both are the same: one directory and two stamps a plugin. The index is a cache in every sense:
//! whatever looks wrong about it is as good as no index, a list that cannot write it works, and nothing is decided by it but
//! which directory to look into.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;
use crate::files::{self, UntrustedFile};
use crate::manifest::{FILE_NAME, Metadata};
use crate::policy::{PolicyRequest, Proof, SourceLocation};
use crate::text::Sanitized;

use super::error::StoreError;
use super::receipt::{
    Receipt, ReceiptError, ReceiptFile, VerificationMethod, VerifiedBy, now_ns, optional_time, refuse_untrusted_directory,
};
use super::retry::ReadRetry;
use super::snapshot::GateSnapshot;
use super::tree::{FileStamp, TreeId};
use super::{InstalledPlugin, Root, Store, disk, gate};

/// The version of the index, and of the rules by which a row is made: another one is no index.
const INDEX_VERSION: u32 = 2;

/// Bytes of an index: 100,000 plugins with long descriptions.
const MAX_INDEX_BYTES: u64 = 256 << 20;

/// Everything that is installed.
#[derive(Debug, Default)]
pub struct Listing {
    /// The plugins, sorted by name, then by the order in which directories are searched.
    pub plugins: Vec<ListedPlugin>,
    /// What is wrong with some of them, a line each.
    pub warnings: Vec<String>,
}

/// One installed plugin, as `plugin list -o json` shows it (`schema/list.schema.json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedPlugin {
    /// Its name; of a broken one, its directory's.
    pub name: String,
    /// Its version; none where a legacy manifest has none.
    pub version: Option<String>,
    /// Its type, such as `cli/v1`.
    #[serde(rename = "type")]
    pub plugin_type: Option<String>,
    /// Its runtime, such as `subprocess`.
    pub runtime: Option<String>,
    /// Its directory.
    #[serde(serialize_with = "lossy")]
    pub directory: PathBuf,
    /// Whether it can be used.
    pub status: Status,
    /// Why not.
    pub problem: Option<String>,
    /// Where it came from, as it may be shown; none without a receipt.
    pub source: Option<String>,
    /// Why it is trusted; without a receipt it is by nothing.
    pub verified: ListedVerification,
    /// Whether updates skip it.
    #[serde(rename = "pinned")]
    pub held: bool,
    /// When it was first installed.
    #[serde(with = "optional_time")]
    pub installed_at: Option<Timestamp>,
    /// When this version was put in place.
    #[serde(with = "optional_time")]
    pub updated_at: Option<Timestamp>,
    /// The files whose changes the user accepted.
    #[serde(skip)]
    pub accepted: Vec<String>,
    /// Whether it has a receipt: if not, it was copied in by hand or by another program.
    #[serde(skip)]
    pub has_receipt: bool,
    /// Whether its directory is a symbolic link.
    #[serde(skip)]
    pub link: bool,
    /// Whether it is a command of the host.
    #[serde(skip)]
    pub is_command: bool,
    /// One line of help of a command.
    #[serde(skip)]
    pub short_help: String,
    /// The URL schemes that it downloads.
    #[serde(skip)]
    pub protocols: Vec<String>,
}

/// Why a listed plugin is trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedVerification {
    /// The means; [`VerificationMethod::None`] also without a receipt.
    pub by: VerificationMethod,
    /// The signer's user id.
    pub signer: Option<String>,
    /// The fingerprint of the signer's certificate.
    pub fingerprint: Option<String>,
}

/// Whether a listed plugin can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    /// It can.
    Ok,
    /// The gate refuses it: files are not as they were installed, or everybody may write to them.
    Changed,
    /// It can, with changes that the user accepted.
    Accepted,
    /// A policy refuses it.
    Refused,
    /// It does not load.
    Broken,
    /// Another plugin, or a built-in command, of the same name is used in its place.
    Shadowed,
}

impl Status {
    /// The word that lists and `-o json` use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Changed => "changed",
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Broken => "broken",
            Self::Shadowed => "shadowed",
        }
    }

    /// Whether it is the plugin that its name means, be it refused when it is to run.
    pub fn is_in_use(self) -> bool {
        match self {
            Self::Ok | Self::Changed | Self::Accepted | Self::Refused => true,
            Self::Broken | Self::Shadowed => false,
        }
    }
}

/// A path as text: one that is not UTF-8 must not keep a list from being shown.
fn lossy<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// What the index says of one directory. Broken plugins are not in it: what they lack may come without a trace in a stamp.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct IndexRow {
    dir: String,
    /// Size and stamp of the manifest.
    manifest: (u64, FileStamp),
    /// Size and stamp of the receipt.
    receipt: Option<(u64, FileStamp)>,
    name: String,
    version: Option<String>,
    plugin_type: String,
    runtime: String,
    source: Option<String>,
    /// Where it came from, to a policy: as it may be shown.
    #[serde(rename = "places")]
    locations: Vec<String>,
    verified: Option<VerifiedBy>,
    /// What the gate looks at, so that its answer still is what follows.
    #[serde(rename = "watch")]
    snapshot: GateSnapshot,
    /// What the gate refuses it for.
    #[serde(rename = "trouble")]
    problem: Option<String>,
    /// The files whose changes the user accepted, and the command that brings back what was installed.
    accepted: Vec<String>,
    restore: Option<String>,
    #[serde(rename = "pinned")]
    held: bool,
    #[serde(with = "optional_time")]
    installed_at: Option<Timestamp>,
    #[serde(with = "optional_time")]
    updated_at: Option<Timestamp>,
    is_command: bool,
    short_help: String,
    protocols: Vec<String>,
}

/// What was found in one directory of a root.
pub(super) enum ScannedPlugin {
    Loaded { row: Box<IndexRow>, link: bool },
    Broken { dir: String, link: bool, problem: String, receipt: Option<Box<Receipt>> },
}

/// What is asked of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IndexUse {
    /// The names of the plugins: the manifest must be the one that was read.
    Names,
    /// What the gate says of them as well: nothing that it looks at may have changed.
    Status,
}

impl ScannedPlugin {
    /// Whether something is wrong that may come of a change that is under way.
    fn has_problem(&self) -> bool {
        match self {
            Self::Loaded { row, .. } => row.problem.is_some(),
            Self::Broken { .. } => true,
        }
    }

    /// The plugin's name, where it is known.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Loaded { row, .. } => Some(&row.name),
            Self::Broken { .. } => None,
        }
    }
}

impl Store {
    /// Everything that is installed in all plugin directories. A plugin that is broken is listed as such and does not hide
    /// the others; a directory that is not there holds nothing.
    ///
    /// # Errors
    /// [`StoreError::Io`] where a plugin directory cannot be read.
    pub fn list(&self) -> Result<Listing, StoreError> {
        let mut listing = Listing::default();
        for root in &self.roots {
            let trouble = root_trouble(root);
            for entry in self.entries(root, IndexUse::Status)? {
                listing.plugins.push(self.listed(root, entry, trouble.as_ref()));
            }
        }
        // Stable: of one name, the first in path order stays first.
        listing.plugins.sort_by(|a, b| a.name.cmp(&b.name));
        self.resolve_names(&mut listing);
        Ok(listing)
    }

    /// The directories whose manifests have the name `name`, the one that is used first. A root that cannot be read holds
    /// none.
    pub(super) fn directories_of(&self, name: &str) -> Vec<(&Root, String)> {
        let mut found = Vec::new();
        for root in &self.roots {
            for entry in self.entries(root, IndexUse::Names).unwrap_or_default() {
                match entry {
                    ScannedPlugin::Loaded { row, .. } if row.name == name => found.push((root, row.dir)),
                    _ => {}
                }
            }
        }
        // Stable, as above.
        found.sort_by_key(|(_, dir)| dir != name);
        found
    }

    /// Decides which of several plugins of one name is used, and says so once.
    fn resolve_names(&self, listing: &mut Listing) {
        let mut rest = listing.plugins.as_mut_slice();
        while let Some(name) = rest.first().map(|first| first.name.clone()) {
            let same = rest.iter().take_while(|plugin| plugin.name == name).count();
            let (plugins, others) = rest.split_at_mut(same);
            rest = others;
            for broken in plugins.iter().filter(|plugin| plugin.status == Status::Broken) {
                let problem = broken.problem.as_deref().unwrap_or_default();
                listing.warnings.push(format!("plugin `{}` is broken: {problem}", Sanitized(&name)));
            }
            // The one that is used comes first.
            plugins.sort_by_key(|plugin| plugin.directory.file_name().is_none_or(|dir| dir != name.as_str()));
            let mut good: Vec<_> = plugins.iter_mut().filter(|plugin| plugin.status.is_in_use()).collect();
            if good.iter().any(|plugin| plugin.is_command) && self.host.is_reserved(&name) {
                let problem = format!("`{name}` is a command of {} itself", self.host.name());
                listing.warnings.push(format!("plugin `{name}` is skipped: {problem}"));
                for plugin in good.iter_mut().filter(|plugin| plugin.is_command) {
                    plugin.status = Status::Shadowed;
                    plugin.problem = Some(problem.clone());
                }
                continue;
            }
            if good.len() < 2 {
                continue;
            }
            let winner = good.remove(0).directory.clone();
            let losers: Vec<_> = good.iter().map(|plugin| plugin.directory.display().to_string()).collect();
            listing.warnings.push(format!(
                "more than one plugin is called `{name}`: {} is used, {} is not",
                winner.display(),
                losers.join(", ")
            ));
            for loser in good {
                loser.status = Status::Shadowed;
                loser.problem = Some(format!("the plugin `{name}` in {} is used instead", winner.display()));
            }
        }
    }

    /// What is in `root`, sorted by directory. The index is brought up to date on the way.
    pub(super) fn entries(&self, root: &Root, need: IndexUse) -> Result<Vec<ScannedPlugin>, StoreError> {
        let dirs = match directories(&root.0) {
            Ok(dirs) => dirs,
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(Vec::new()),
            Err(source) => return Err(StoreError::io("read", &root.0, source)),
        };
        let index_path = self.index_path(root);
        let mut index = read_index(&index_path);
        let indexed = index.len();
        let mut entries = Vec::with_capacity(dirs.len());
        let mut reused = 0;
        for (dir, link) in dirs {
            let manifest = stamp(&root.0.join(&dir).join(FILE_NAME));
            match index.remove(&dir).filter(|row| Some(row.manifest) == manifest && row.serves(need, root)) {
                Some(row) => {
                    reused += 1;
                    entries.push(ScannedPlugin::Loaded { row, link });
                }
                None => entries.extend(self.entry_with_retries(root, &dir, link)?),
            }
        }
        if reused != entries.iter().filter(|entry| matches!(entry, ScannedPlugin::Loaded { .. })).count()
            || reused != indexed
        {
            write_index(&index_path, &entries);
        }
        Ok(entries)
    }

    /// [`Self::entry`], once more where what is wrong may come of a change that is under way.
    fn entry_with_retries(&self, root: &Root, dir: &str, link: bool) -> Result<Option<ScannedPlugin>, StoreError> {
        let mut retry = ReadRetry::new(self, dir);
        loop {
            match self.entry(root, dir.to_owned(), link)? {
                Some(entry) if entry.has_problem() && retry.should_retry() => {}
                entry => return Ok(entry),
            }
        }
    }

    /// Reads the manifest and the receipt in `dir`, and asks the gate; `None` where no plugin is there.
    fn entry(&self, root: &Root, dir: String, link: bool) -> Result<Option<ScannedPlugin>, StoreError> {
        let manifest = stamp(&root.plugin(&dir).join(FILE_NAME));
        let found = match self.load_installed(root, &dir) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(e) => return Ok(Some(ScannedPlugin::Broken { dir, link, problem: chain(&e), receipt: None })),
        };
        let tree = TreeId::of(&found.directory).ok().flatten();
        let receipt_path = found.receipt_path();
        let receipt_stamp = stamp(&receipt_path);
        let (file, unbelieved) = match ReceiptFile::read_head(&receipt_path) {
            // It may be good, and is not believed: the gate refuses the plugin for it.
            Err(ReceiptError::Changeable(why)) => (Ok(None), Some(why.to_string())),
            file => (file, None),
        };
        let InstalledPlugin { directory, metadata, manifest_seen, .. } = found;
        Ok(Some(match (metadata, file, manifest) {
            (Ok(metadata), Ok(file), Some(manifest)) => {
                let is_believed = unbelieved.is_none();
                let problem = unbelieved
                    .or_else(|| self.gate_problem(&directory, link, &metadata, file.as_ref(), manifest_seen.as_ref()));
                let receipt = file.and_then(|file| file.of_tree(tree));
                let snapshot = GateSnapshot::new(&directory, &metadata, receipt.as_ref());
                // Who may write to all of `.state` shows in no stamp of this plugin.
                let snapshot = if is_believed { snapshot } else { snapshot.invalidated() };
                let restore = receipt.as_ref().filter(|receipt| !receipt.accepted.is_empty());
                let restore = restore.map(|receipt| self.restore_command(&receipt.name));
                let row = IndexRow {
                    problem,
                    restore,
                    ..IndexRow::new(dir, manifest, receipt_stamp, snapshot, &metadata, receipt.as_ref())
                };
                ScannedPlugin::Loaded { row: Box::new(row), link }
            }
            (Err(e), file, _) => {
                let receipt = file.ok().flatten().and_then(|file| file.of_tree(tree));
                let dangling = link && !directory.exists();
                let problem = if dangling { "it is a link that leads nowhere".to_owned() } else { chain(&e) };
                ScannedPlugin::Broken { dir, link, problem, receipt: receipt.map(Box::new) }
            }
            (_, Err(e), _) => ScannedPlugin::Broken { dir, link, problem: chain(&e), receipt: None },
            // It came between the two looks: the next list knows better.
            (_, _, None) => {
                ScannedPlugin::Broken { dir, link, problem: "it is being changed right now".to_owned(), receipt: None }
            }
        }))
    }

    /// Whether a good plugin can be used, and why not.
    fn judge_row(&self, row: &IndexRow, trouble: Option<&UntrustedFile>) -> (Status, Option<String>) {
        let locations: Vec<SourceLocation> = row.locations.iter().map(|text| SourceLocation::of(text)).collect();
        let proof = row.verified.as_ref().map_or(Proof::Nothing, VerifiedBy::proof);
        let accepted = row.restore.as_deref();
        let request =
            PolicyRequest { name: Some(&row.name), locations: &locations, proof: Some(proof), accepted, installed: true };
        if let Err(refusal) = self.policy.judge(&request) {
            return (Status::Refused, Some(refusal.to_string()));
        }
        let trouble = trouble.map(ToString::to_string);
        if let Some(trouble) = trouble.or_else(|| row.problem.clone()) {
            return (Status::Changed, Some(trouble));
        }
        if row.accepted.is_empty() {
            return (Status::Ok, None);
        }
        let text = format!(
            "it runs with changes that you accepted: {}; `{} plugin untrust {}` takes that back",
            row.accepted.join(", "),
            self.host.name(),
            row.name
        );
        (Status::Accepted, Some(Sanitized(&text).to_string()))
    }

    /// The line of a list for `entry`; `trouble` is what is wrong with all plugins of `root`.
    fn listed(&self, root: &Root, entry: ScannedPlugin, trouble: Option<&UntrustedFile>) -> ListedPlugin {
        match entry {
            ScannedPlugin::Loaded { row, link } => {
                let (status, problem) = self.judge_row(&row, trouble);
                ListedPlugin { status, problem, ..listed_row(root, *row, link) }
            }
            ScannedPlugin::Broken { dir, link, problem, receipt } => {
                listed_broken(root, dir, link, problem, receipt.as_deref())
            }
        }
    }

    pub(super) fn index_path(&self, root: &Root) -> PathBuf {
        let key = Sha256Digest::of(root.0.as_os_str().as_encoded_bytes()).to_string();
        self.cache.join("plugin-index").join(format!("{}.json", &key[..16]))
    }
}

impl IndexRow {
    /// Whether what the row says still holds, as far as it is needed; its manifest is the one that was read.
    fn serves(&self, need: IndexUse, root: &Root) -> bool {
        match need {
            IndexUse::Names => true,
            IndexUse::Status => {
                self.receipt == stamp(&root.receipt_of(&self.dir, Some(&self.name)))
                    && self.snapshot.is_current(&root.plugin(&self.dir))
            }
        }
    }

    fn new(
        dir: String,
        manifest: (u64, FileStamp),
        receipt_stamp: Option<(u64, FileStamp)>,
        snapshot: GateSnapshot,
        metadata: &Metadata,
        receipt: Option<&Receipt>,
    ) -> Self {
        let cli = metadata.cli();
        Self {
            dir,
            manifest,
            receipt: receipt_stamp,
            name: metadata.name.to_string(),
            version: metadata.version.as_ref().map(ToString::to_string),
            plugin_type: metadata.plugin_type().to_owned(),
            runtime: metadata.runtime_name().to_owned(),
            source: receipt.map(Receipt::shown_source),
            locations: receipt.map(Receipt::shown_sources).unwrap_or_default(),
            verified: receipt.map(|receipt| receipt.verified.clone()),
            snapshot,
            problem: None,
            accepted: receipt.map(|receipt| receipt.accepted.clone()).unwrap_or_default(),
            restore: None,
            held: receipt.is_some_and(|receipt| receipt.held),
            installed_at: receipt.map(|receipt| receipt.installed_at),
            updated_at: receipt.map(|receipt| receipt.updated_at),
            is_command: cli.is_some(),
            short_help: cli.map(|cli| cli.short_help.clone()).unwrap_or_default(),
            protocols: metadata.protocols().to_vec(),
        }
    }
}

fn verification(verified: Option<&VerifiedBy>) -> ListedVerification {
    match verified {
        Some(verified) => ListedVerification {
            by: verified.by,
            signer: verified.signer.clone(),
            fingerprint: verified.fingerprint.clone(),
        },
        None => ListedVerification { by: VerificationMethod::None, signer: None, fingerprint: None },
    }
}

/// What is wrong with all plugins of `root`: everybody may write there, or to its receipts.
fn root_trouble(root: &Root) -> Option<UntrustedFile> {
    let everybody = |path: &Path| refuse_untrusted_directory(path).err();
    everybody(&root.0).filter(|_| gate::check_root(&root.0, "").is_err()).or_else(|| everybody(&root.state()))
}

/// The line of a list for a plugin that loads, as if nothing else were wrong with it.
fn listed_row(root: &Root, row: IndexRow, link: bool) -> ListedPlugin {
    ListedPlugin {
        name: row.name,
        version: row.version,
        plugin_type: Some(row.plugin_type),
        runtime: Some(row.runtime),
        directory: root.plugin(&row.dir),
        status: Status::Ok,
        problem: None,
        source: row.source,
        verified: verification(row.verified.as_ref()),
        held: row.held,
        installed_at: row.installed_at,
        updated_at: row.updated_at,
        accepted: row.accepted,
        has_receipt: row.receipt.is_some(),
        link,
        is_command: row.is_command,
        short_help: row.short_help,
        protocols: row.protocols,
    }
}

/// The line of a list for a plugin that does not load.
fn listed_broken(root: &Root, dir: String, link: bool, problem: String, receipt: Option<&Receipt>) -> ListedPlugin {
    ListedPlugin {
        directory: root.plugin(&dir),
        name: dir,
        version: receipt.and_then(|receipt| receipt.version.clone()),
        plugin_type: receipt.map(|receipt| receipt.plugin_type.clone()),
        runtime: receipt.map(|receipt| receipt.runtime.clone()),
        status: Status::Broken,
        problem: Some(problem),
        source: receipt.map(Receipt::shown_source),
        verified: verification(receipt.map(|receipt| &receipt.verified)),
        held: receipt.is_some_and(|receipt| receipt.held),
        installed_at: receipt.map(|receipt| receipt.installed_at),
        updated_at: receipt.map(|receipt| receipt.updated_at),
        accepted: receipt.map(|receipt| receipt.accepted.clone()).unwrap_or_default(),
        has_receipt: receipt.is_some(),
        link,
        is_command: false,
        short_help: String::new(),
        protocols: Vec::new(),
    }
}

/// The directories, and the links that may be directories, in `root`, sorted; hidden ones are not plugins. A name that is not
/// UTF-8 is no plugin's either.
fn directories(root: &Path) -> io::Result<Vec<(String, bool)>> {
    let mut dirs = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let Ok(kind) = entry.file_type() else { continue };
        let Ok(name) = entry.file_name().into_string() else { continue };
        if (kind.is_dir() || kind.is_symlink()) && !name.starts_with('.') {
            dirs.push((name, kind.is_symlink()));
        }
    }
    dirs.sort_unstable();
    Ok(dirs)
}

/// Size and stamp of the file at `path`; `None` where there is none that can be looked at.
fn stamp(path: &Path) -> Option<(u64, FileStamp)> {
    fs::metadata(path).ok().map(|metadata| (metadata.len(), FileStamp::of(&metadata)))
}

/// An error with its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    Sanitized(&text).to_string()
}

/// The rows of the index at `path` by directory; empty where there is no index that can be used.
///
/// Its first line is the digest of the second: a torn or damaged file is no index.
fn read_index(path: &Path) -> HashMap<String, Box<IndexRow>> {
    try_index(path).unwrap_or_default()
}

/// Whether what is at `path` can be used as an index.
pub(super) fn is_index(path: &Path) -> bool {
    try_index(path).is_some()
}

fn try_index(path: &Path) -> Option<HashMap<String, Box<IndexRow>>> {
    if !is_ours(path)? {
        return None;
    }
    let bytes = files::read_bounded(path, MAX_INDEX_BYTES).ok()??;
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (head, body) = bytes.split_at_checked(end)?;
    let body = body.get(1..)?;
    if std::str::from_utf8(head).ok()? != Sha256Digest::of(body).to_string() {
        return None;
    }
    let (version, rows): (u32, Vec<Box<IndexRow>>) = serde_json::from_slice(body).ok()?;
    (version == INDEX_VERSION).then(|| rows.into_iter().map(|row| (row.dir.clone(), row)).collect())
}

/// Whether the file at `path` belongs to this user (or the administrator) and nobody else may write it: an index in a cache
/// that others share is not to be believed.
fn is_ours(path: &Path) -> Option<bool> {
    let metadata = fs::metadata(path).ok()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let user = rustix::process::geteuid().as_raw();
        Some((metadata.uid() == user || metadata.uid() == 0) && metadata.mode() & 0o022 == 0)
    }
    #[cfg(not(unix))]
    {
        Some(metadata.is_file())
    }
}

/// Writes the index, or does not: where the cache cannot be written, lists work without.
fn write_index(path: &Path, entries: &[ScannedPlugin]) {
    let now = now_ns();
    // What changed only just now could change again without its stamp showing it: it is read again the next time.
    let settled = |row: &&IndexRow| {
        row.manifest.1.shows_changes_after(now)
            && row.snapshot.shows_changes_after(now)
            && row.receipt.is_none_or(|(_, stamp)| stamp.shows_changes_after(now))
    };
    let rows: Vec<&IndexRow> = entries
        .iter()
        .filter_map(|entry| match entry {
            ScannedPlugin::Loaded { row, .. } => Some(&**row),
            ScannedPlugin::Broken { .. } => None,
        })
        .filter(settled)
        .collect();
    let write = || -> io::Result<()> {
        if rows.is_empty() && !disk::exists(path) {
            return Ok(());
        }
        let body = serde_json::to_vec(&(INDEX_VERSION, rows))?;
        let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        files::create_private_dir(parent)?;
        let mut file = tempfile::Builder::new().prefix(disk::TEMPORARY).tempfile_in(parent)?;
        io::Write::write_all(&mut file, format!("{}\n", Sha256Digest::of(&body)).as_bytes())?;
        io::Write::write_all(&mut file, &body)?;
        // Not synced: it can be made again at any time, and its digest tells whether it is whole.
        file.persist(path).map_err(|e| e.error)?;
        Ok(())
    };
    let _ = write();
}
