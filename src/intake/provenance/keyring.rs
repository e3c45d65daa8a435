//! The keys that may sign: read from every form in which people keep them.
//!
//! A keyring is cut into certificates and indexed by the fingerprints of their keys; only those that a signature names are
//! parsed, since a keyring of a thousand keys would cost more than everything else that verifying does. One certificate that
//! this program cannot use never spoils the others. Whether a key may sign is for [`super::checker`] to say.

use std::collections::HashSet;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sequoia_openpgp as openpgp;

use openpgp::parse::Parse;
use openpgp::serialize::SerializeInto;
use openpgp::types::HashAlgorithm;
use openpgp::{Cert, Fingerprint, KeyHandle, Packet, PacketPile};

use super::armor;
use super::keybox::{self, KeyboxError};
use super::packets::{self, FramingError, tag};
use crate::error::{Classified, ErrorKind};
use crate::files::{self, AllowedWriters, UntrustedFile};
use crate::host::{self, Homes, Host, SettingOrigin};
use crate::text::Sanitized;

/// Bytes of one keyring. Debian's whole keyring has 30 MiB.
const MAX_BYTES: u64 = 128 << 20;

/// Files of a directory of certificates.
const MAX_FILES: usize = 10_000;

/// Some certificates and where they came from.
#[derive(Debug, Clone)]
pub struct Keyring {
    places: Vec<PathBuf>,
    origin: SettingOrigin,
    certificates: Vec<Certificate>,
    /// Revocations of certificates: those too that stand alone, as `gpg --gen-revoke` writes them.
    revocations: Vec<Vec<u8>>,
    skipped: Vec<String>,
    /// Where it was looked for and how to get one, where there is none.
    absent: Option<String>,
    /// The file that says whose SSH keys may sign.
    allowed_signers: Option<PathBuf>,
    /// The command that adds a key, where a host looked for the keyring.
    add: Option<String>,
}

/// The packets of one certificate, not parsed yet.
#[derive(Debug, Clone)]
struct Certificate {
    packets: Vec<u8>,
    /// The fingerprints of its keys; the primary key's is the first.
    keys: Vec<Fingerprint>,
}

/// Why there is no keyring.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// A keyring that somebody named does not exist.
    #[error("keyring {} does not exist (named by {named_by})", .path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
        /// Who named it: a flag or a variable.
        named_by: String,
    },
    /// The file of SSH keys that somebody named does not exist.
    #[error("the allowed signers {} do not exist (named by `--allowed-signers`)", .path.display())]
    MissingSigners {
        /// Where they should be.
        path: PathBuf,
    },
    /// Nobody named a keyring to sign with, and none of the usual ones exists.
    #[error(
        "there is no keyring to sign with: looked for {}; make a key with `gpg --quick-gen-key USER-ID`, or name a file with one with `--keyring FILE`; `{host} plugin package --sign=false DIR` does without",
        list(.looked)
    )]
    NoneFound {
        /// Where it was looked for.
        looked: Vec<PathBuf>,
        /// The host's name.
        host: String,
    },
    /// A file or directory cannot be read.
    #[error("cannot read keyring {}", .path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// What reading gave.
        #[source]
        source: io::Error,
    },
    /// Others may change it.
    #[error(transparent)]
    Changeable(#[from] UntrustedFile),
    /// A file that is larger than any keyring.
    #[error("keyring {} is larger than {} MiB", .path.display(), MAX_BYTES >> 20)]
    TooLarge {
        /// The file or directory.
        path: PathBuf,
    },
    /// A directory with more files than any keyring.
    #[error("keyring directory {} holds more than {MAX_FILES} files", .path.display())]
    TooManyFiles {
        /// The directory.
        path: PathBuf,
    },
    /// A keyring without a certificate that can be used.
    #[error("keyring {} holds no OpenPGP key that can be used{}; put the signer's public key there", .path.display(), reasons(.skipped))]
    Empty {
        /// The file or directory.
        path: PathBuf,
        /// What was there and cannot be used.
        skipped: Vec<String>,
    },
    /// Binary packets that are damaged.
    #[error("keyring {} is damaged", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How.
        #[source]
        source: FramingError,
    },
    /// A keybox that is damaged.
    #[error("keyring {} is damaged", .path.display())]
    Keybox {
        /// The file.
        path: PathBuf,
        /// How.
        #[source]
        source: KeyboxError,
    },
    /// A home directory of GnuPG whose keys only its own daemon reads.
    #[error(
        "the keys in {} are in the database of GnuPG's keyboxd, which only GnuPG can read: export them with `gpg --export > keys.pgp` and name that file with `--keyring keys.pgp`",
        .path.display()
    )]
    KeyboxDaemon {
        /// The home directory.
        path: PathBuf,
    },
}

impl Classified for KeyringError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Missing { .. } | Self::MissingSigners { .. } => ErrorKind::KeyringNotFound,
            Self::NoneFound { .. }
            | Self::Read { .. }
            | Self::Changeable(_)
            | Self::TooLarge { .. }
            | Self::TooManyFiles { .. }
            | Self::Empty { .. }
            | Self::Damaged { .. }
            | Self::Keybox { .. }
            | Self::KeyboxDaemon { .. } => ErrorKind::Unverified,
        }
    }
}

/// The keyrings that a variable names: those of them that are there, if any is.
fn listed(host: &Host) -> Option<(Vec<PathBuf>, SettingOrigin)> {
    let (name, value) = host.variable("KEYRING")?;
    let mut listed: Vec<_> = env::split_paths(&value).filter(|path| !path.as_os_str().is_empty()).collect();
    if listed.iter().any(|path| exists(path)) {
        listed.retain(|path| exists(path));
    }
    (!listed.is_empty()).then_some((listed, SettingOrigin::Environment(name)))
}

impl Keyring {
    /// Reads one keyring: a file in any form, or a directory of files.
    ///
    /// # Errors
    /// See [`KeyringError`].
    pub fn load(path: &Path) -> Result<Self, KeyringError> {
        Self::open(std::slice::from_ref(&path.to_path_buf()))
    }

    /// Reads one keyring that may hold nothing, or revocations alone: one to add to another, or to add others to.
    ///
    /// # Errors
    /// See [`KeyringError`].
    pub fn load_any(path: &Path) -> Result<Self, KeyringError> {
        let mut keyring = Self::nothing(SettingOrigin::Default);
        keyring.add(path)?;
        Ok(keyring)
    }

    /// Reads the bytes of one keyring, which may hold nothing, or revocations alone; `path` is what messages call them.
    ///
    /// # Errors
    /// See [`KeyringError`].
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self, KeyringError> {
        if bytes.len() as u64 > MAX_BYTES {
            return Err(KeyringError::TooLarge { path: path.to_owned() });
        }
        let mut keyring = Self::nothing(SettingOrigin::Default);
        keyring.add_bytes(bytes, path)?;
        keyring.places.push(path.to_owned());
        Ok(keyring)
    }

    /// Reads several keyrings as one. All of them must exist and hold something.
    ///
    /// # Errors
    /// See [`KeyringError`].
    pub fn open(paths: &[PathBuf]) -> Result<Self, KeyringError> {
        Self::read(paths, SettingOrigin::Flag("--keyring"))
    }

    /// Finds the keyring to verify with: `explicit` (from `--keyring`), else the host's `KEYRING` variable (a path list), else
    /// `<config>/keyring`, else GnuPG's `pubring.gpg`, then its `pubring.kbx`.
    ///
    /// A keyring that was named and is not there is an error, not a reason to go on to the next: whoever names a keyring
    /// wants its keys and no others. Where nobody named one and there is none, the keyring is empty: nothing verifies with it.
    ///
    /// # Errors
    /// See [`KeyringError`].
    pub fn locate(explicit: &[PathBuf], host: &Host, homes: &Homes) -> Result<Self, KeyringError> {
        let keyring = match Self::named(explicit, host)? {
            Some(keyring) => keyring,
            None => Self::read_defaults(host, homes, false)?,
        };
        Ok(Self { add: Some(format!("{} plugin keyring add FILE", host.name())), ..keyring })
    }

    /// Finds the keyring to sign with. That is the one to verify with, except where nobody named one: then GnuPG's keys count as
    /// well as the host's own, which are mostly other people's, and before them the secret keys of its versions before 2.1
    /// (`secring.gpg`).
    ///
    /// # Errors
    /// See [`KeyringError`].
    pub fn locate_for_signing(explicit: &[PathBuf], host: &Host, homes: &Homes) -> Result<Self, KeyringError> {
        match Self::named(explicit, host)? {
            Some(keyring) => Ok(keyring),
            None => Self::read_defaults(host, homes, true),
        }
    }

    /// The keyring that a flag or a variable names.
    fn named(explicit: &[PathBuf], host: &Host) -> Result<Option<Self>, KeyringError> {
        if !explicit.is_empty() {
            return Self::open(explicit).map(Some);
        }
        listed(host).map(|(paths, origin)| Self::read(&paths, origin)).transpose()
    }

    /// The files and directories that are verified with if no flag names others, and what names them.
    pub fn default_locations(host: &Host, homes: &Homes) -> (Vec<PathBuf>, SettingOrigin) {
        listed(host).unwrap_or_else(|| {
            let own = homes.config.path.join("keyring");
            let used = if exists(&own) { None } else { Self::of_gnupg() };
            (vec![used.unwrap_or(own)], SettingOrigin::Default)
        })
    }

    /// The keyring that is used where nobody names one.
    fn read_defaults(host: &Host, homes: &Homes, to_sign: bool) -> Result<Self, KeyringError> {
        let own = homes.config.path.join("keyring");
        let gnupg = gnupg_home();
        let mut paths = Vec::new();
        if exists(&own) {
            paths.push(own.clone());
        }
        if to_sign && holds_something(&gnupg.join("secring.gpg")) {
            paths.push(gnupg.join("secring.gpg"));
        }
        if to_sign || paths.is_empty() {
            match gnupg_keyring(&gnupg) {
                Ok(path) => paths.extend(path),
                // What only GnuPG can read is no reason to give up where there is something else.
                Err(_) if !paths.is_empty() => {}
                Err(e) => return Err(e),
            }
        }
        if paths.is_empty() {
            let looked = vec![own, gnupg.join("pubring.gpg"), gnupg.join("pubring.kbx")];
            if to_sign {
                return Err(KeyringError::NoneFound { looked, host: host.name().to_owned() });
            }
            // To know no key is enough to verify with: a package without a provenance is to be told so, and one with a signature
            // which key it needs.
            let absent = format!("none, looked for {}; `{} plugin keyring add FILE` makes one", list(&looked), host.name());
            return Ok(Self { absent: Some(absent), ..Self::nothing(SettingOrigin::Default) });
        }
        Self::read(&paths, SettingOrigin::Default)
    }

    fn read(paths: &[PathBuf], origin: SettingOrigin) -> Result<Self, KeyringError> {
        let mut keyring = Self::nothing(origin);
        for path in paths {
            let before = (keyring.certificates.len(), keyring.skipped.len());
            keyring.add(path)?;
            // Of several that nobody named one may be empty.
            let optional = keyring.origin == SettingOrigin::Default && paths.len() > 1;
            if keyring.certificates.len() == before.0 && !optional {
                let skipped = keyring.skipped.split_off(before.1);
                return Err(KeyringError::Empty { path: path.clone(), skipped });
            }
        }
        match paths.first() {
            Some(path) if keyring.certificates.is_empty() => {
                Err(KeyringError::Empty { path: path.clone(), skipped: keyring.skipped })
            }
            _ => Ok(keyring),
        }
    }

    /// A keyring of these certificates, to verify what their owner has just signed.
    pub(super) fn of(certs: &[Cert]) -> Self {
        let certificates = certs.iter().filter_map(|cert| {
            let keys = cert.keys().map(|ka| ka.key().fingerprint()).collect();
            Some(Certificate { packets: cert.to_vec().ok()?, keys })
        });
        Self { certificates: certificates.collect(), ..Self::nothing(SettingOrigin::Default) }
    }

    /// The same keyring, and the SSH keys that `file` names, in `ssh-keygen`'s format.
    #[must_use]
    pub fn with_allowed_signers(self, file: Option<PathBuf>) -> Self {
        Self { allowed_signers: file, ..self }
    }

    /// The file that says whose SSH keys may sign.
    pub fn allowed_signers(&self) -> Option<&Path> {
        self.allowed_signers.as_deref()
    }

    fn nothing(origin: SettingOrigin) -> Self {
        Self {
            places: Vec::new(),
            origin,
            certificates: Vec::new(),
            revocations: Vec::new(),
            skipped: Vec::new(),
            absent: None,
            allowed_signers: None,
            add: None,
        }
    }

    /// How the owner of a key that is not in it comes to be trusted, in words.
    pub(super) fn how_to_trust(&self) -> String {
        match &self.add {
            Some(add) => format!("add the key with `{add}` or name a keyring with `--keyring FILE`"),
            None => "add the key to it".to_owned(),
        }
    }

    /// Adds what `other` holds. A certificate that both have is then one, with what either knows of it.
    pub fn merge(&mut self, other: Self) {
        self.places.extend(other.places);
        self.certificates.extend(other.certificates);
        self.revocations.extend(other.revocations);
        self.skipped.extend(other.skipped);
    }

    /// Keeps the certificate with this fingerprint, and what is known of its revocation.
    pub fn retain(&mut self, fingerprint: &str) {
        let fits = |certificate: &Certificate| certificate.keys.first().is_some_and(|key| key.to_hex() == fingerprint);
        self.certificates.retain(fits);
    }

    /// GnuPG's own keyring, where it has one.
    pub fn of_gnupg() -> Option<PathBuf> {
        gnupg_keyring(&gnupg_home()).ok().flatten()
    }

    /// Whether a directory is a home directory of GnuPG, of which nothing but GnuPG's own files is read.
    pub fn is_gnupg_home(directory: &Path) -> bool {
        !matches!(gnupg_keyring(directory), Ok(None))
    }

    /// The most bytes that a keyring may have.
    pub const MAX_BYTES: u64 = MAX_BYTES;

    /// Which keyring this is, for messages.
    pub fn describe(&self) -> String {
        if let Some(absent) = &self.absent {
            return absent.clone();
        }
        let places = list(&self.places);
        match &self.origin {
            SettingOrigin::Environment(name) => format!("{places} (from {name})"),
            _ => places,
        }
    }

    /// How many certificates there are.
    pub fn len(&self) -> usize {
        self.certificates.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }

    /// Whether there is the secret part of a key.
    pub fn has_secrets(&self) -> bool {
        self.certs().iter().any(Cert::is_tsk)
    }

    /// What was found and cannot be used, a line each, safe to show.
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// The certificates that hold a key with this fingerprint or key id. Several copies of one certificate come as one: what
    /// any of them knows counts, a revocation above all.
    pub(super) fn find(&self, handle: &KeyHandle) -> Vec<Cert> {
        let primaries: HashSet<_> = self
            .certificates
            .iter()
            .filter(|certificate| certificate.keys.iter().any(|key| KeyHandle::from(key.clone()).aliases(handle)))
            .filter_map(|certificate| certificate.keys.first())
            .collect();
        let mut certs: Vec<_> = primaries.into_iter().filter_map(|primary| self.merged(primary)).collect();
        certs.sort_by_key(Cert::fingerprint);
        certs
    }

    /// The public part of each certificate with its fingerprint, in armor, as a keyring's directory holds it: whole, with what
    /// its owner or others marked as local. Some that can be read cannot be written, and that spoils no other.
    pub fn armored(&self) -> Vec<(String, io::Result<Vec<u8>>)> {
        self.write_each(|cert| cert.armored().to_vec())
    }

    /// The same for others to read, without what is marked as local; but where nothing would be left of a certificate, it is
    /// whole.
    pub fn export(&self) -> Vec<(String, io::Result<Vec<u8>>)> {
        self.write_each(|cert| {
            let exported = cert.armored().export_to_vec()?;
            if exported.is_empty() { cert.armored().to_vec() } else { Ok(exported) }
        })
    }

    fn write_each(&self, write: impl Fn(&Cert) -> openpgp::Result<Vec<u8>>) -> Vec<(String, io::Result<Vec<u8>>)> {
        let written = |cert: &Cert| (cert.fingerprint().to_hex(), write(cert).map_err(io::Error::other));
        self.certs().iter().map(written).collect()
    }

    /// All certificates, each once, in the order of the keyring.
    pub(super) fn certs(&self) -> Vec<Cert> {
        let mut seen = HashSet::new();
        let primaries = self.certificates.iter().filter_map(|certificate| certificate.keys.first());
        primaries.filter(|primary| seen.insert(*primary)).filter_map(|primary| self.merged(primary)).collect()
    }

    /// The certificate with this primary key, from all its copies and from revocations that stand alone.
    fn merged(&self, primary: &Fingerprint) -> Option<Cert> {
        let copies = self.certificates.iter().filter(|certificate| certificate.keys.first() == Some(primary));
        let mut merged: Option<Cert> = None;
        for cert in copies.filter_map(|certificate| Cert::from_bytes(&certificate.packets).ok()) {
            merged = match merged.take() {
                None => Some(cert),
                Some(earlier) => match earlier.clone().merge_public_and_secret(cert) {
                    Ok(cert) => Some(cert),
                    Err(_) => Some(earlier),
                },
            };
        }
        let mut cert = merged?;
        for revocation in &self.revocations {
            let Ok(pile) = PacketPile::from_bytes(revocation) else { continue };
            for packet in pile.into_children() {
                let Packet::Signature(signature) = &packet else { continue };
                if signature.get_issuers().iter().any(|issuer| issuer.aliases(cert.key_handle())) {
                    cert = match cert.clone().insert_packets(packet) {
                        Ok((cert, _)) => cert,
                        Err(_) => cert,
                    };
                }
            }
        }
        Some(cert)
    }

    /// Adds what the file or directory at `path` holds.
    fn add(&mut self, path: &Path) -> Result<(), KeyringError> {
        let error = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => {
                let named_by = match &self.origin {
                    SettingOrigin::Flag(flag) => format!("`{flag}`"),
                    SettingOrigin::Environment(name) => name.clone(),
                    _ => "default".to_owned(),
                };
                KeyringError::Missing { path: path.to_owned(), named_by }
            }
            _ => KeyringError::Read { path: path.to_owned(), source },
        };
        if !fs::metadata(path).map_err(error)?.is_dir() {
            return self.add_file(path);
        }
        if let Some(keyring) = gnupg_keyring(path)? {
            return self.add_file(&keyring);
        }
        let mut files = Vec::new();
        for entry in fs::read_dir(path).map_err(error)? {
            let file = entry.map_err(error)?.path();
            let hidden = file.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
            // A link that leads nowhere and a folder are no certificates; a device is refused when it is read.
            if !hidden && fs::metadata(&file).is_ok_and(|metadata| !metadata.is_dir()) {
                files.push(file);
            }
            if files.len() > MAX_FILES {
                return Err(KeyringError::TooManyFiles { path: path.to_owned() });
            }
        }
        files.sort();
        let mut left = MAX_BYTES;
        for file in files {
            let before = self.certificates.len();
            // Who may put another directory in the place of this one decides as well.
            match self.add_bounded(&file, left, 2) {
                Ok(size) => left -= size,
                // Each file of a directory is a keyring of its own: a bad one does not spoil the rest.
                Err(e @ (KeyringError::Damaged { .. } | KeyringError::Keybox { .. })) => self.skipped.push(e.to_string()),
                Err(KeyringError::TooLarge { .. }) => return Err(KeyringError::TooLarge { path: path.to_owned() }),
                Err(e) => return Err(e),
            }
            if self.certificates.len() == before {
                self.skipped.push(format!("{} holds no key", Sanitized(&file.to_string_lossy())));
            }
        }
        self.places.push(path.to_owned());
        Ok(())
    }

    fn add_file(&mut self, path: &Path) -> Result<(), KeyringError> {
        self.add_bounded(path, MAX_BYTES, 1)?;
        self.places.push(path.to_owned());
        Ok(())
    }

    /// Adds what the file at `path` holds, unless others may change it or one of the first `directories` above it.
    fn add_bounded(&mut self, path: &Path, limit: u64, directories: usize) -> Result<u64, KeyringError> {
        let read = files::read_bounded_with_metadata(path, limit)
            .map_err(|source| KeyringError::Read { path: path.to_owned(), source })?;
        let (bytes, metadata) = read.ok_or_else(|| KeyringError::TooLarge { path: path.to_owned() })?;
        files::refuse_untrusted(path, &metadata, AllowedWriters::Group, directories)?;
        self.add_bytes(&bytes, path)?;
        Ok(bytes.len() as u64)
    }

    /// Adds what `bytes` hold, whatever their form; `path` is for messages.
    fn add_bytes(&mut self, bytes: &[u8], path: &Path) -> Result<(), KeyringError> {
        if keybox::is_keybox(bytes) {
            let certificates =
                keybox::certificates(bytes).map_err(|source| KeyringError::Keybox { path: path.to_owned(), source })?;
            for certificate in certificates {
                if let Err(e) = self.add_packets(certificate) {
                    self.skip(path, &e.to_string());
                }
            }
            return Ok(());
        }
        let text = String::from_utf8_lossy(bytes);
        // Every packet begins with a byte whose highest bit is set; so may a text that is not English.
        if bytes.first().is_some_and(|byte| byte & 0x80 != 0) {
            match self.add_packets(bytes) {
                Ok(()) => return Ok(()),
                Err(_) if text.contains(PUBLIC.0) || text.contains(PRIVATE.0) => {}
                Err(source) => return Err(KeyringError::Damaged { path: path.to_owned(), source }),
            }
        }
        self.add_armored(&text, path);
        Ok(())
    }

    /// Adds the armored blocks of a text. What stands between them is skipped: files called `KEYS` list the keys there.
    fn add_armored(&mut self, text: &str, path: &Path) {
        let mut lines = text.lines().map(str::trim).enumerate().map(|(i, line)| (i + 1, line));
        while let Some((start, line)) = lines.next() {
            let Some(end) = [PUBLIC, PRIVATE].iter().find(|(begin, _)| *begin == line).map(|(_, end)| *end) else {
                continue;
            };
            let mut block: Vec<(usize, &str)> = lines.by_ref().take_while(|(_, line)| *line != end).collect();
            // Headers end with a blank line; a block that begins with its data at once has none.
            if let Some(blank) = block.iter().position(|(_, line)| line.is_empty()) {
                block.drain(..=blank);
            }
            let added = armor::decode(block).map_err(|e| e.to_string());
            let added = added.and_then(|packets| self.add_packets(&packets).map_err(|e| e.to_string()));
            if let Err(reason) = added {
                self.skip(path, &format!("the block that begins in line {start} is damaged: {reason}"));
            }
        }
    }

    /// Cuts packets into certificates.
    fn add_packets(&mut self, bytes: &[u8]) -> Result<(), FramingError> {
        // All or nothing: a stream that is cut short may have lost the revocation of its last key.
        let packets: Vec<_> = packets::split(bytes).collect::<Result<_, _>>()?;
        let mut current: Option<Certificate> = None;
        for packet in packets {
            match packet.tag {
                tag::PUBLIC_KEY | tag::SECRET_KEY => {
                    self.certificates.extend(current.take());
                    match fingerprint(packet) {
                        Some(key) => current = Some(Certificate { packets: packet.whole.to_vec(), keys: vec![key] }),
                        None => {
                            let version = packet.body.first().copied().unwrap_or_default();
                            self.skipped.push(format!("an OpenPGP key of version {version} is not supported"));
                        }
                    }
                }
                tag::SIGNATURE | tag::USER_ID | tag::USER_ATTRIBUTE | tag::PUBLIC_SUBKEY | tag::SECRET_SUBKEY => {
                    if packet.tag == tag::SIGNATURE && packet.body.get(1) == Some(&KEY_REVOCATION) {
                        // It may be about another key than the one before it, as where files were put one after the other.
                        self.revocations.push(packet.whole.to_vec());
                    }
                    // Without a key before it, it belongs to one that is not supported, or is a revocation that stands alone.
                    if let Some(certificate) = &mut current {
                        certificate.packets.extend_from_slice(packet.whole);
                        if matches!(packet.tag, tag::PUBLIC_SUBKEY | tag::SECRET_SUBKEY) {
                            certificate.keys.extend(fingerprint(packet));
                        }
                    }
                }
                // Trust packets are GnuPG's own notes, which anybody can write; of the rest nothing is known here.
                _ => {}
            }
        }
        self.certificates.extend(current);
        Ok(())
    }

    fn skip(&mut self, path: &Path, reason: &str) {
        self.skipped.push(format!("{}: {reason}", Sanitized(&path.to_string_lossy())));
    }
}

/// The type of a signature that revokes a whole certificate.
const KEY_REVOCATION: u8 = 0x20;

const PUBLIC: (&str, &str) = ("-----BEGIN PGP PUBLIC KEY BLOCK-----", "-----END PGP PUBLIC KEY BLOCK-----");
const PRIVATE: (&str, &str) = ("-----BEGIN PGP PRIVATE KEY BLOCK-----", "-----END PGP PRIVATE KEY BLOCK-----");

/// The home directory of GnuPG.
fn gnupg_home() -> PathBuf {
    match env::var_os("GNUPGHOME").filter(|home| !home.is_empty()) {
        Some(home) => PathBuf::from(home),
        None => host::user_home().join(".gnupg"),
    }
}

/// The keyring in a home directory of GnuPG, where it is one. GnuPG leaves an empty `pubring.gpg` behind when it moves on to
/// the keybox, so an empty one counts as absent.
fn gnupg_keyring(home: &Path) -> Result<Option<PathBuf>, KeyringError> {
    let found = ["pubring.gpg", "pubring.kbx"].map(|name| home.join(name)).into_iter().find(|path| holds_something(path));
    if found.is_none() && exists(&home.join("public-keys.d/pubring.db")) {
        return Err(KeyringError::KeyboxDaemon { path: home.to_owned() });
    }
    Ok(found)
}

/// Whether there is a file that is not empty.
fn holds_something(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.len() > 0)
}

/// Whether something is there, if only a link that leads nowhere: that is then an error of its own.
fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// The fingerprint of a key packet, where its version is supported.
fn fingerprint(packet: packets::Packet<'_>) -> Option<Fingerprint> {
    let version = *packet.body.first()?;
    if matches!(packet.tag, tag::SECRET_KEY | tag::SECRET_SUBKEY) {
        // The fingerprint covers the public half alone, whose length depends on the algorithm.
        let pile = PacketPile::from_bytes(packet.whole).ok()?;
        return match pile.into_children().next()? {
            Packet::SecretKey(key) => Some(key.fingerprint()),
            Packet::SecretSubkey(key) => Some(key.fingerprint()),
            _ => None,
        };
    }
    let (hash, prefix) = match version {
        4 => (HashAlgorithm::SHA1, [&[0x99][..], &u16::try_from(packet.body.len()).ok()?.to_be_bytes()].concat()),
        6 => (HashAlgorithm::SHA256, [&[0x9b][..], &u32::try_from(packet.body.len()).ok()?.to_be_bytes()].concat()),
        _ => return None,
    };
    let mut context = hash.context().ok()?.for_digest();
    context.update(&prefix);
    context.update(packet.body);
    Fingerprint::from_bytes(version, &context.into_digest().ok()?).ok()
}

/// Paths for a message.
fn list(paths: &[PathBuf]) -> String {
    let mut out = String::new();
    for (i, path) in paths.iter().enumerate() {
        let comma = if i == 0 { "" } else { ", " };
        let _ = write!(out, "{comma}{}", Sanitized(&path.to_string_lossy()));
    }
    out
}

/// Reasons for a message, where there are any.
fn reasons(reasons: &[String]) -> String {
    if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join("; ")) }
}
