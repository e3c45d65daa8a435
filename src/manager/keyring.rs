//! `plugin keyring`: the host's own keyring, a directory with one certificate a file, named by its fingerprint.
//!
//! It holds public parts alone. Adding a certificate that is there already merges the two, so that nothing known of it, a
//! revocation above all, is lost. Files that others put there are read, but never changed.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::Manager;
use super::audit::AuditNote;
use crate::audit::{AuditError, AuditEvent, AuditSubject};
use crate::error::{Classified, ErrorKind};
use crate::files;
use crate::intake::provenance::{FullFingerprint, Keyring, KeyringError, Signer, SignerState};
use crate::intake::source::{self, FetchOptions, SourceError};
use crate::spelling::did_you_mean;
use crate::text::{Sanitized, quoted, sanitized};

/// Bytes that a server may send. The `KEYS` files of large projects have less than a tenth.
const MAX_DOWNLOAD: u64 = 16 << 20;

/// Where keys to add come from.
#[derive(Debug)]
pub enum KeySource<'a> {
    /// A keyring in any form: a file, a pipe or a directory.
    Path(&'a Path),
    /// Bytes that were read already, and what messages call them.
    Bytes(&'a [u8], &'a str),
    /// An https URL. It says nothing about whose keys it has, so the fingerprint must be known from elsewhere.
    Url {
        /// The URL.
        url: &'a str,
        /// How to reach the server.
        fetch: &'a FetchOptions,
        /// The key to take.
        fingerprint: &'a FullFingerprint,
    },
}

/// A certificate that was given to [`Manager::add_keys`].
#[derive(Debug, Clone)]
pub struct AddedKey {
    /// Whose it is, with all that is now known.
    pub signer: Signer,
    /// What became of it.
    pub change: KeyChange,
}

/// What adding did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyChange {
    /// It is new.
    Added,
    /// It was there, and more is known of it now.
    Updated,
    /// It was there as it is.
    Unchanged,
}

/// Why the keyring was not read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OwnKeyringError {
    /// A policy wants it written down, and that cannot be.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The path to add does not exist.
    #[error("{path} is not there; {}", did_you_mean(nearest).unwrap_or_else(|| "check the path".to_owned()))]
    NotThere {
        /// The path, safe to show.
        path: String,
        /// Files whose names are near, safe to show.
        nearest: Vec<String>,
    },
    /// What is to be added cannot be read.
    #[error("cannot read {path}")]
    Input {
        /// The path, safe to show.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The URL cannot be fetched.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A keyring cannot be read.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// There is no certificate in what is to be added.
    #[error("{from} holds no OpenPGP key{}; give the signer's public key, as `gpg --export --armor KEY` writes it", list(.skipped))]
    NoKey {
        /// Where it came from, safe to show.
        from: String,
        /// What was there and cannot be used.
        skipped: Vec<String>,
    },
    /// None of the certificates could ever verify anything.
    #[error("no key in {from} can be used to verify{}", list(.reasons))]
    Useless {
        /// Where it came from, safe to show.
        from: String,
        /// Why not, one for each.
        reasons: Vec<String>,
    },
    /// The key with the fingerprint is not there.
    #[error(
        "{from} does not hold the key {wanted}: it holds {}; nothing was added. Ask the signer which fingerprint is right",
        .found.join(", ")
    )]
    OtherKey {
        /// Where it came from, safe to show.
        from: String,
        /// The fingerprint that was asked for.
        wanted: String,
        /// The fingerprints that are there.
        found: Vec<String>,
    },
    /// The keyring is a plain file, which these commands do not change.
    #[error(
        "the keyring {path} is a plain file, and this command keeps a directory there: move the file away (`mv {path} {path}.old`), \
         then add what it holds with `{host} plugin keyring add {path}.old`"
    )]
    PlainFile {
        /// The file, safe to show.
        path: String,
        /// The host's name.
        host: String,
    },
    /// The keyring is a home directory of GnuPG.
    #[error("the keyring {path} is a home directory of GnuPG: change it with `gpg --import` and `gpg --delete-keys`")]
    GnuPgHome {
        /// The directory, safe to show.
        path: String,
    },
    /// No certificate of the keyring is meant.
    #[error("no key in the keyring {path} is called `{selector}`; `{host} plugin keyring list` shows what there is")]
    Unknown {
        /// What was asked for, safe to show.
        selector: String,
        /// The keyring, safe to show.
        path: String,
        /// The host's name.
        host: String,
    },
    /// Several certificates are meant.
    #[error("`{selector}` means several keys: {}; give the fingerprint of one", .candidates.join(", "))]
    Ambiguous {
        /// What was asked for, safe to show.
        selector: String,
        /// The keys, safe to show.
        candidates: Vec<String>,
    },
    /// The certificate shares its file with others.
    #[error(
        "the key {fingerprint} is in {file} together with other keys: take it out of that file by hand; nothing was removed"
    )]
    SharedFile {
        /// The fingerprint.
        fingerprint: String,
        /// The file, safe to show.
        file: String,
    },
    /// The file holds a secret key, of which there may be no other copy.
    #[error("{file} holds the secret part of the key {fingerprint}: move it away by hand; nothing was removed")]
    SecretFile {
        /// The fingerprint.
        fingerprint: String,
        /// The file, safe to show.
        file: String,
    },
    /// The keyring cannot be changed.
    #[error("cannot change the keyring: {path}")]
    Write {
        /// The file or directory, safe to show.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The OpenPGP library cannot write a certificate.
    #[error("the key {fingerprint} cannot be written; export others by their fingerprints")]
    Export {
        /// The fingerprint.
        fingerprint: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Classified for OwnKeyringError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Audit(error) => error.kind(),
            Self::Source(error) => error.kind(),
            Self::NotThere { .. } | Self::Unknown { .. } => ErrorKind::NotFound,
            Self::OtherKey { .. } => ErrorKind::Mismatch,
            Self::Input { .. }
            | Self::Keyring(_)
            | Self::NoKey { .. }
            | Self::Useless { .. }
            | Self::PlainFile { .. }
            | Self::GnuPgHome { .. }
            | Self::Ambiguous { .. }
            | Self::SharedFile { .. }
            | Self::SecretFile { .. }
            | Self::Write { .. }
            | Self::Export { .. } => ErrorKind::Failed,
        }
    }
}

impl Manager<'_> {
    /// Where the host's own keyring is.
    pub fn keyring_path(&self) -> PathBuf {
        self.homes.config.path.join("keyring")
    }

    /// Adds the public parts of the certificates that `from` holds to the host's own keyring; of all, or of the one with
    /// `fingerprint`. A certificate that could never verify anything is left out with a warning.
    ///
    /// # Errors
    /// See [`OwnKeyringError`]; nothing was changed then, unless writing failed.
    pub fn add_keys(
        &self,
        from: &KeySource<'_>,
        fingerprint: Option<&FullFingerprint>,
    ) -> Result<Vec<AddedKey>, OwnKeyringError> {
        let name = match from {
            KeySource::Path(path) => show(path),
            KeySource::Bytes(_, name) => sanitized(name).into_owned(),
            KeySource::Url { url, .. } => crate::text::masked_source(url),
        };
        self.with_audit(AuditNote::of_source(Some(AuditEvent::Keyring), &name), |note| {
            let keys = self.read_and_add_keys(from, &name, fingerprint)?;
            let changed = keys.iter().filter(|key| key.change != KeyChange::Unchanged);
            let mut abouts = changed.map(|key| AuditSubject { signer: Some(describe(&key.signer)), ..note.about.clone() });
            match abouts.next() {
                Some(first) => (note.about, note.others) = (first, abouts.collect()),
                None => note.event = None,
            }
            Ok(keys)
        })
    }

    fn read_and_add_keys(
        &self,
        from: &KeySource<'_>,
        name: &str,
        fingerprint: Option<&FullFingerprint>,
    ) -> Result<Vec<AddedKey>, OwnKeyringError> {
        let path = self.changeable_keyring()?;
        let mut incoming = self.read_keys(from, name)?;
        let fingerprint = match from {
            KeySource::Url { fingerprint, .. } => Some(*fingerprint),
            _ => fingerprint,
        };
        if let Some(wanted) = fingerprint {
            let found: Vec<_> = incoming.signers().into_iter().map(|signer| signer.fingerprint).collect();
            if found.is_empty() {
                return Err(OwnKeyringError::NoKey { from: name.to_owned(), skipped: incoming.skipped().to_vec() });
            }
            if !found.iter().any(|found| found == wanted.as_str()) {
                return Err(OwnKeyringError::OtherKey { from: name.to_owned(), wanted: wanted.to_string(), found });
            }
            incoming.retain(wanted.as_str());
        }
        // An empty keyring would count from now on: it is not made for nothing.
        if !path.is_dir() {
            KeyringPlan::make(Keyring::from_bytes(&[], &path)?, &incoming, fingerprint.is_some(), name)?;
        }
        let displaced = self.gnupg_keyring_in_use().filter(|gnupg| !is_from(from, gnupg));
        let _lock = self.lock_keyring(&path)?;
        if let Some(gnupg) = displaced {
            self.report.warning(&self.displaced_warning(&gnupg));
        }
        let plan = KeyringPlan::make(self.read_own_keyring(&path)?, &incoming, fingerprint.is_some(), name)?;
        if incoming.has_secrets() {
            self.report.warning(&format!(
                "{name} holds a secret key: only public parts are kept, and the secret stays where it is"
            ));
        }
        for skipped in incoming.skipped() {
            self.report.warning(skipped);
        }
        for reason in plan.useless {
            self.report.warning(&format!("a key in {name} was not added: {reason}"));
        }
        for (key, bytes) in &plan.keys {
            if key.change != KeyChange::Unchanged {
                let file = path.join(format!("{}.asc", key.signer.fingerprint));
                files::write_private(&file, bytes).map_err(|source| OwnKeyringError::Write { path: show(&file), source })?;
            }
        }
        Ok(plan.keys.into_iter().map(|(key, _)| key).collect())
    }

    /// GnuPG's keyring, where it counts until the host has a keyring of its own.
    pub fn gnupg_keyring_in_use(&self) -> Option<PathBuf> {
        if self.keyring_path().exists() { None } else { Keyring::of_gnupg() }
    }

    fn displaced_warning(&self, gnupg: &Path) -> String {
        format!(
            "from now on {} is the keyring where none is named: signatures of keys that only GnuPG has ({}) no longer count; \
             `{} plugin keyring add {}` takes them along",
            show(&self.keyring_path()),
            show(gnupg),
            self.host.name(),
            quoted(&gnupg.to_string_lossy())
        )
    }

    /// Whose keys are in the host's own keyring, sorted by fingerprint. None are where there is no keyring.
    ///
    /// # Errors
    /// [`OwnKeyringError::Keyring`].
    pub fn list_keys(&self) -> Result<Vec<Signer>, OwnKeyringError> {
        let keyring = self.read_own_keyring(&self.keyring_path())?;
        for skipped in keyring.skipped() {
            self.report.warning(skipped);
        }
        let mut signers = keyring.signers();
        signers.sort_by(|a, b| a.fingerprint.cmp(&b.fingerprint));
        Ok(signers)
    }

    /// Removes the certificate that `selector` means from the host's own keyring: a fingerprint, a key id, a user id or an
    /// e-mail address.
    ///
    /// # Errors
    /// See [`OwnKeyringError`].
    pub fn remove_key(&self, selector: &str) -> Result<Signer, OwnKeyringError> {
        let note = AuditNote { event: Some(AuditEvent::Keyring), ..AuditNote::default() };
        self.with_audit(note, |note| {
            note.about.signer = Some(sanitized(selector).into_owned());
            let signer = self.find_and_remove_key(selector)?;
            note.about.signer = Some(describe(&signer));
            Ok(signer)
        })
    }

    fn find_and_remove_key(&self, selector: &str) -> Result<Signer, OwnKeyringError> {
        let path = self.changeable_keyring()?;
        if !path.is_dir() {
            return Err(self.unknown_key(selector, &path));
        }
        let _lock = self.lock_keyring(&path)?;
        let signer = self.select_key(selector)?;
        // Others may have put it there under another name, and then it must not stay.
        let mut holding = Vec::new();
        for entry in fs::read_dir(&path).map_err(|source| OwnKeyringError::Write { path: show(&path), source })? {
            let file = entry.map_err(|source| OwnKeyringError::Write { path: show(&path), source })?.path();
            // What cannot be read was skipped, so the key is not there.
            let Ok(keyring) = Keyring::load_any(&file) else { continue };
            let held = keyring.signers();
            if held.iter().any(|held| held.fingerprint == signer.fingerprint) {
                if held.len() > 1 {
                    return Err(OwnKeyringError::SharedFile { fingerprint: signer.fingerprint, file: show(&file) });
                }
                if keyring.has_secrets() {
                    return Err(OwnKeyringError::SecretFile { fingerprint: signer.fingerprint, file: show(&file) });
                }
                holding.push(file);
            }
        }
        for file in holding {
            fs::remove_file(&file).map_err(|source| OwnKeyringError::Write { path: show(&file), source })?;
        }
        if self.read_own_keyring(&path)?.is_empty() {
            self.report.notice(&format!(
                "the keyring {} is empty now: no signature is valid until a key is added, or until the directory is removed, which \
                 lets GnuPG's keyring count",
                show(&path)
            ));
        }
        Ok(signer)
    }

    /// The certificates of the host's own keyring in armor, one after the other: all, or those that `selector` means.
    ///
    /// # Errors
    /// See [`OwnKeyringError`].
    pub fn export_keys(&self, selector: Option<&str>) -> Result<Vec<u8>, OwnKeyringError> {
        let path = self.keyring_path();
        let keyring = self.read_own_keyring(&path)?;
        let mut exports = keyring.export();
        if let Some(selector) = selector {
            let wanted = keyring.select(selector);
            exports.retain(|(fingerprint, _)| wanted.iter().any(|wanted| wanted.fingerprint == *fingerprint));
            if exports.is_empty() {
                return Err(self.unknown_key(selector, &path));
            }
        }
        exports.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut all = Vec::new();
        for (fingerprint, bytes) in exports {
            all.extend(bytes.map_err(|source| OwnKeyringError::Export { fingerprint, source })?);
        }
        Ok(all)
    }

    /// The certificate of the host's own keyring that `selector` means.
    pub(super) fn select_key(&self, selector: &str) -> Result<Signer, OwnKeyringError> {
        let path = self.keyring_path();
        let mut candidates = self.read_own_keyring(&path)?.select(selector);
        match (candidates.pop(), candidates.is_empty()) {
            (None, _) => Err(self.unknown_key(selector, &path)),
            (Some(signer), true) => Ok(signer),
            (Some(last), false) => {
                candidates.push(last);
                let candidates = candidates.iter().map(describe).collect();
                Err(OwnKeyringError::Ambiguous { selector: sanitized(selector).into_owned(), candidates })
            }
        }
    }

    fn unknown_key(&self, selector: &str, path: &Path) -> OwnKeyringError {
        let selector = sanitized(selector).into_owned();
        OwnKeyringError::Unknown { selector, path: show(path), host: self.host.name().to_owned() }
    }

    /// The path of the keyring, where it is a directory or may become one.
    fn changeable_keyring(&self) -> Result<PathBuf, OwnKeyringError> {
        let path = self.keyring_path();
        match fs::metadata(&path) {
            Ok(metadata) if !metadata.is_dir() => {
                Err(OwnKeyringError::PlainFile { path: show(&path), host: self.host.name().to_owned() })
            }
            Ok(_) if Keyring::is_gnupg_home(&path) => Err(OwnKeyringError::GnuPgHome { path: show(&path) }),
            _ => Ok(path),
        }
    }

    /// Makes the keyring where it is missing, and keeps other writers out as long as the file lives: two that merge into the
    /// same certificate at once would lose what one of them knows. Nobody holds it for longer than a few writes take.
    fn lock_keyring(&self, path: &Path) -> Result<Option<File>, OwnKeyringError> {
        let failed = |source| OwnKeyringError::Write { path: show(path), source };
        if !path.is_dir() {
            files::create_private_dir(path).map_err(failed)?;
        }
        // The directory itself is locked, so that it holds nothing but certificates. Elsewhere it cannot be opened.
        if cfg!(not(unix)) {
            return Ok(None);
        }
        let directory = File::open(path).map_err(failed)?;
        match directory.lock() {
            Err(e) if e.kind() != io::ErrorKind::Unsupported => Err(failed(e)),
            _ => Ok(Some(directory)),
        }
    }

    /// The host's own keyring, which may hold nothing.
    fn read_own_keyring(&self, path: &Path) -> Result<Keyring, OwnKeyringError> {
        match fs::symlink_metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Keyring::from_bytes(&[], path)?),
            _ => Ok(Keyring::load_any(path)?),
        }
    }

    /// What `from`, which messages call `name`, holds.
    fn read_keys(&self, from: &KeySource<'_>, name: &str) -> Result<Keyring, OwnKeyringError> {
        let label = Path::new(name);
        match from {
            KeySource::Bytes(bytes, _) => Ok(Keyring::from_bytes(bytes, label)?),
            KeySource::Url { url, fetch, .. } => {
                let bytes = source::download(url, fetch, MAX_DOWNLOAD, self.report)?;
                Ok(Keyring::from_bytes(&bytes, label)?)
            }
            KeySource::Path(path) => {
                let failed = |source: io::Error| match source.kind() {
                    io::ErrorKind::NotFound => {
                        let nearest = source::similar_paths(&path.to_string_lossy(), |_| true);
                        OwnKeyringError::NotThere { path: name.to_owned(), nearest }
                    }
                    _ => OwnKeyringError::Input { path: name.to_owned(), source },
                };
                if fs::metadata(path).map_err(failed)?.is_dir() {
                    return Ok(Keyring::load_any(path)?);
                }
                // A pipe is fine here (`keyring add <(gpg --export KEY)`), and bounded all the same.
                let mut bytes = Vec::new();
                let limit = Keyring::MAX_BYTES + 1;
                File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(failed)?;
                Ok(Keyring::from_bytes(&bytes, label)?)
            }
        }
    }
}

/// What adding will do.
struct KeyringPlan {
    /// The certificates that it is about, each as its file will be.
    keys: Vec<(AddedKey, Vec<u8>)>,
    /// Why others are left out.
    useless: Vec<String>,
}

impl KeyringPlan {
    /// What becomes of `own` when `incoming`, which messages call `name`, is added. `only` its certificates may change then, and
    /// not others that it holds revocations of.
    fn make(mut own: Keyring, incoming: &Keyring, only: bool, name: &str) -> Result<Self, OwnKeyringError> {
        let given = incoming.signers();
        let before = own.armored();
        own.merge(incoming.clone());
        let (mut keys, mut useless) = (Vec::new(), Vec::new());
        for (signer, (fingerprint, bytes)) in own.signers().into_iter().zip(own.armored()) {
            let is_given = given.iter().any(|given| given.fingerprint == fingerprint);
            let bytes = match bytes {
                Ok(bytes) => bytes,
                Err(e) => {
                    if is_given {
                        useless.push(format!("the key {fingerprint} cannot be written: {e}"));
                    }
                    continue;
                }
            };
            let change = match before.iter().find(|(before, _)| *before == fingerprint) {
                None => KeyChange::Added,
                Some((_, Ok(before))) if *before == bytes => KeyChange::Unchanged,
                Some(_) => KeyChange::Updated,
            };
            if !is_given && (only || change == KeyChange::Unchanged) {
                continue;
            }
            if change == KeyChange::Added && signer.state == SignerState::Unusable {
                useless.push(signer.problem.unwrap_or_default());
            } else {
                keys.push((AddedKey { signer, change }, bytes));
            }
        }
        match (keys.is_empty(), useless.is_empty()) {
            (false, _) => Ok(Self { keys, useless }),
            (true, true) => Err(OwnKeyringError::NoKey { from: name.to_owned(), skipped: incoming.skipped().to_vec() }),
            (true, false) => Err(OwnKeyringError::Useless { from: name.to_owned(), reasons: useless }),
        }
    }
}

/// Whether `from` is GnuPG's keyring `gnupg`, or the directory that it is in.
fn is_from(from: &KeySource<'_>, gnupg: &Path) -> bool {
    let KeySource::Path(path) = from else { return false };
    let real = |path: &Path| path.canonicalize().ok();
    real(path).is_some_and(|path| real(gnupg).is_some_and(|gnupg| path == gnupg || Some(path.as_path()) == gnupg.parent()))
}

/// A key for a message: its fingerprint and its first user id.
fn describe(signer: &Signer) -> String {
    match signer.user_ids.first() {
        Some(user_id) => format!("{} ({})", Sanitized(user_id), signer.fingerprint),
        None => signer.fingerprint.clone(),
    }
}

fn show(path: &Path) -> String {
    sanitized(&path.to_string_lossy()).into_owned()
}

/// Reasons for a message, where there are any.
fn list(reasons: &[String]) -> String {
    if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join("; ")) }
}
