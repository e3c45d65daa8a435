//! What of a plugin's directory goes into its package.
//!
//! The list is made before anything is written, and everything that unpacking would refuse is refused here.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::fault::{PackageFault, ShownName};
use super::pack::PackError;
use super::path::{self, Tree};
use crate::files;
use crate::manifest::{self, PluginName};
use crate::report::Report;
use crate::settings::Limits;
use crate::text::sanitized;

/// Files at the plugin's root that say what stays out, in gitignore syntax; a later line wins over an earlier one.
const IGNORE_FILES: [&str; 2] = [".helmignore", ".pluginignore"];

/// The bytes that one of them may have.
const IGNORE_LIMIT: u64 = 1 << 20;

/// How the files begin that packing leaves behind when it is killed.
pub(super) const TEMPORARY: &str = ".plugsmith-pack-";

/// What nobody means to publish: private keys under their usual names. A line `!name` in an ignore file brings them back.
const KEYS: [&str; 9] =
    ["id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "secring.gpg", "private-keys-v1.d/", ".gnupg/", ".ssh/", "*.key"];

/// One entry of the package to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// The path in the package, which begins with the plugin's name.
    pub(super) path: String,
    /// Where it is on disk; for a symbolic link what it leads to.
    pub(super) source: PathBuf,
    /// What it is.
    pub(super) kind: ItemKind,
}

/// What an entry is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ItemKind {
    Directory,
    File { size: u64, executable: bool },
}

/// Lists what goes into the package of the plugin `name` in `root`, sorted by the bytes of the path. Packages are made in
/// `destination`. Both directories are in canonical form.
pub(super) fn walk(
    root: &Path,
    name: &PluginName,
    destination: &Path,
    limits: &Limits,
    report: &dyn Report,
) -> Result<Vec<Item>, PackError> {
    let ignored = read_ignore_files(root)?;
    let mut walk = Walk {
        root,
        name: name.as_str(),
        destination,
        limits,
        report,
        ignored,
        tree: Tree::new(limits),
        items: Vec::new(),
        total: 0,
        above: Vec::new(),
    };
    walk.add(name.to_string(), root.to_owned(), ItemKind::Directory)?;
    walk.directory(root, name.as_str())?;
    let manifest = format!("{name}/{}", manifest::FILE_NAME);
    if !walk.items.iter().any(|item| item.path == manifest) {
        return Err(PackError::ManifestIgnored { path: root.join(manifest::FILE_NAME) });
    }
    walk.items.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    Ok(walk.items)
}

struct Walk<'a> {
    root: &'a Path,
    name: &'a str,
    destination: &'a Path,
    limits: &'a Limits,
    report: &'a dyn Report,
    ignored: Gitignore,
    tree: Tree,
    items: Vec<Item>,
    total: u64,
    /// The directories that we are in, as they really are: one that comes again is a cycle.
    above: Vec<PathBuf>,
}

impl Walk<'_> {
    /// Adds what is in the directory `real`, which is `path` in the package. Tells whether there is nothing in it but what
    /// packing itself has made: then it is left out too, so that the package is the same whether it was made into it or not.
    fn directory(&mut self, real: &Path, path: &str) -> Result<bool, PackError> {
        if self.above.iter().any(|above| above == real) {
            return Err(PackError::LinkCycle { path: self.on_disk(path) });
        }
        self.above.push(real.to_owned());
        let read = |source| PackError::Read { path: real.to_owned(), source };
        let mut only_ours = real == self.destination;
        let mut others = false;
        for child in fs::read_dir(real).map_err(read)? {
            let child = child.map_err(read)?.file_name();
            if self.child(real, path, &child)? {
                only_ours = true;
            } else {
                others = true;
            }
        }
        self.above.pop();
        Ok(only_ours && !others)
    }

    /// Adds one entry of a directory, unless it stays out. Tells whether packing itself has made it.
    fn child(&mut self, parent: &Path, parent_path: &str, name: &OsStr) -> Result<bool, PackError> {
        if name.eq_ignore_ascii_case(".git") {
            return Ok(false);
        }
        let real = parent.join(name);
        let read = |source| PackError::Read { path: real.clone(), source };
        let at_root = parent_path == self.name;
        if at_root && IGNORE_FILES.iter().any(|file| name == *file) {
            return Ok(false);
        }
        let kind = fs::symlink_metadata(&real).map_err(read)?.file_type();
        // What a link leads to decides how it is stored, and so which patterns mean it. A dangling one may still be ignored.
        let is_dir = kind.is_dir() || kind.is_symlink() && real.is_dir();
        if !is_dir && is_output(&name.to_string_lossy(), self.name) {
            return Ok(true);
        }
        let path = self.check(parent_path, name)?;
        if self.is_excluded(&path, is_dir) {
            return Ok(false);
        }
        let real = if kind.is_symlink() { self.resolve(&real)? } else { real };
        let read = |source| PackError::Read { path: real.clone(), source };
        let metadata = fs::symlink_metadata(&real).map_err(read)?;
        if metadata.is_dir() {
            let mark = self.items.len();
            self.add(path.clone(), real.clone(), ItemKind::Directory)?;
            let only_ours = self.directory(&real, &path)?;
            if only_ours {
                self.items.truncate(mark);
            }
            return Ok(only_ours);
        }
        if !metadata.is_file() {
            return Err(PackError::NotStorable { path: self.on_disk(&path), kind: kind_of(&metadata) });
        }
        let file = ItemKind::File { size: metadata.len(), executable: is_executable(&metadata) };
        self.add(path, real, file)?;
        Ok(false)
    }

    /// The path in the package of the entry `name` of a directory.
    fn check(&self, parent: &str, name: &OsStr) -> Result<String, PackError> {
        let raw = [parent.as_bytes(), b"/", name.as_encoded_bytes()].concat();
        path::check(&raw, self.limits).map_err(|fault| self.refused(fault))
    }

    fn add(&mut self, path: String, source: PathBuf, kind: ItemKind) -> Result<(), PackError> {
        if self.items.len() as u64 >= self.limits.entries {
            return Err(self.refused(PackageFault::Entries { limit: self.limits.entries }));
        }
        if let ItemKind::File { size, .. } = kind {
            if size > self.limits.file_bytes {
                let limit = self.limits.file_bytes;
                return Err(self.refused(PackageFault::FileBytes { name: ShownName::new(path), size, limit }));
            }
            self.total = self.total.saturating_add(size);
            if self.total > self.limits.total_bytes {
                return Err(self.refused(PackageFault::TotalBytes { limit: self.limits.total_bytes }));
            }
        }
        self.tree.insert(&path, kind == ItemKind::Directory).map_err(|fault| self.refused(fault))?;
        self.items.push(Item { path, source, kind });
        Ok(())
    }

    fn refused(&self, fault: PackageFault) -> PackError {
        PackError::Refused { dir: self.root.to_owned(), source: Box::new(fault) }
    }

    /// Where the entry `path` of the package lies on disk, links not followed.
    fn on_disk(&self, path: &str) -> PathBuf {
        self.root.join(path.strip_prefix(self.name).unwrap_or(path).trim_start_matches('/'))
    }

    /// Whether an ignore file, or the list of private keys, keeps the entry out.
    fn is_excluded(&self, path: &str, is_dir: bool) -> bool {
        match self.ignored.matched(self.on_disk(path), is_dir) {
            Match::Ignore(glob) => {
                if glob.from().is_none() {
                    self.report.warning(&format!(
                        "`{}` looks like a private key and is left out; a line `!{}` in .pluginignore brings it in",
                        sanitized(path),
                        sanitized(path.rsplit('/').next().unwrap_or(path)),
                    ));
                }
                true
            }
            Match::None | Match::Whitelist(_) => false,
        }
    }

    /// What the link leads to, which must be inside the plugin.
    fn resolve(&self, link: &Path) -> Result<PathBuf, PackError> {
        let target = || fs::read_link(link).unwrap_or_default();
        let real = fs::canonicalize(link).map_err(|source| {
            // The system tells links that lead in a circle from those that lead nowhere.
            if source.kind() == std::io::ErrorKind::NotFound {
                PackError::LinkDangling { path: link.to_owned(), target: target() }
            } else {
                PackError::Read { path: link.to_owned(), source }
            }
        })?;
        let inside =
            real.strip_prefix(self.root).map_err(|_| PackError::LinkLeaves { path: link.to_owned(), target: target() })?;
        if inside.iter().any(|part| part.eq_ignore_ascii_case(".git")) {
            return Err(PackError::LinkIntoGit { path: link.to_owned(), target: target() });
        }
        Ok(real)
    }
}

fn read_ignore_files(root: &Path) -> Result<Gitignore, PackError> {
    let mut builder = GitignoreBuilder::new(root);
    for pattern in KEYS {
        // These are well-formed: a test holds that.
        let _ = builder.add_line(None, pattern);
    }
    for name in IGNORE_FILES {
        let path = root.join(name);
        let bytes = match files::read_bounded(&path, IGNORE_LIMIT) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                return Err(PackError::IgnoreFile { path, line: 0, why: format!("it has more than {IGNORE_LIMIT} bytes") });
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(source) => return Err(PackError::Read { path, source }),
        };
        let Ok(text) = String::from_utf8(bytes) else {
            return Err(PackError::IgnoreFile { path, line: 0, why: "it is not UTF-8".to_owned() });
        };
        for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            if let Err(error) = builder.add_line(Some(path.clone()), line) {
                return Err(PackError::IgnoreFile {
                    path,
                    line: number + 1,
                    why: sanitized(&error.to_string()).into_owned(),
                });
            }
        }
    }
    builder.build().map_err(|e| PackError::IgnoreFile { path: root.join(IGNORE_FILES[1]), line: 0, why: e.to_string() })
}

/// Whether a file is a package or provenance of this plugin, or what packing left behind: `<name>-<version>.tgz[.prov]`.
fn is_output(file: &str, name: &str) -> bool {
    let version = |file: &str| {
        let version = file.strip_prefix(name)?.strip_prefix('-')?;
        let version = version.strip_suffix(".prov").unwrap_or(version).strip_suffix(".tgz")?;
        semver::Version::parse(version).ok()
    };
    file.starts_with(TEMPORARY) || version(file).is_some()
}

#[cfg(unix)]
fn kind_of(metadata: &fs::Metadata) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    match metadata.file_type() {
        kind if kind.is_socket() => "a socket",
        kind if kind.is_fifo() => "a fifo",
        kind if kind.is_block_device() => "a block device",
        kind if kind.is_char_device() => "a character device",
        _ => "no file",
    }
}

#[cfg(not(unix))]
fn kind_of(_: &fs::Metadata) -> &'static str {
    "no file"
}

#[cfg(unix)]
fn is_executable(metadata: &fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k2_earlier_packages_are_those_of_this_plugin() {
        for (file, expected) in [
            ("foo-1.0.0.tgz", true),
            ("foo-1.0.0.tgz.prov", true),
            ("foo-1.0.0-rc.1+build.5.tgz", true),
            (".plugsmith-pack-x.tmp", true),
            ("foo-bar-1.0.0.tgz", false),
            ("foo-1.0.tgz", false),
            ("foo-v1.0.0.tgz", false),
            ("foo.tgz", false),
            ("foo-1.0.0.tar.gz", false),
            ("foo-1.0.0.tgz.prov.bak", false),
            ("foo-1.0.0.prov", false),
            ("afoo-1.0.0.tgz", false),
        ] {
            assert_eq!(is_output(file, "foo"), expected, "{file}");
        }
        assert!(is_output("foo-bar-1.0.0.tgz", "foo-bar"));
    }

    #[test]
    fn k3_the_key_patterns_are_well_formed() {
        let mut builder = GitignoreBuilder::new("/");
        for pattern in KEYS {
            builder.add_line(None, pattern).unwrap();
        }
    }
}
