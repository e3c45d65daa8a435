//! The few ways in which plugsmith touches files of its own: private directories, and writes that are seen whole or not at all.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Makes `path` and its missing parents; those that it makes are private to the user (0700).
///
/// # Errors
/// What making the directories gives.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Makes `path` and its missing parents; others may read those that it makes as far as the user's umask lets them.
///
/// # Errors
/// What making the directories gives.
pub fn create_public_dir(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o755);
    builder.create(path)
}

/// Gives what lies at `path` and was private `mode`, as far as the user's umask allows it.
///
/// # Errors
/// What making a file beside or in it, or changing its mode, gives.
pub fn publish(path: &Path, mode: u32) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new(".")) };
        // The umask shows in what a new file gets; asking for it outright would change it for other threads.
        let mut builder = tempfile::Builder::new();
        builder.prefix(".new-").permissions(fs::Permissions::from_mode(0o777));
        let allowed = builder.tempfile_in(directory)?.as_file().metadata()?.permissions().mode();
        fs::set_permissions(path, fs::Permissions::from_mode(mode & allowed & 0o777))?;
    }
    #[cfg(not(unix))]
    let _ = (path, mode);
    Ok(())
}

/// Puts `bytes` at `path` in one rename, as a file that only the user can read (0600), on disk before this returns.
///
/// # Errors
/// What writing, syncing or renaming gives; the file at `path` is then as it was.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(parent)?;
    file.write_all(bytes)?;
    file.as_file().sync_data()?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

/// Writes `bytes` into a new file at `path` that only the user can read (0600), whatever the umask: for private directories in
/// which nobody looks before all is done.
///
/// # Errors
/// What writing gives; also where something lies at `path` already.
pub fn write_new_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(bytes)
}

/// Puts `bytes` at `path` in one rename, as a file that others may read as far as the user's umask lets them.
///
/// # Errors
/// What writing or renaming gives; the file at `path` is then as it was.
pub fn write_public(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = public_file(path)?;
    file.write_all(bytes)?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

/// Copies the file at `from` to `to` as [`write_public`] writes one, without holding it in memory.
///
/// # Errors
/// What reading, writing or renaming gives; the file at `to` is then as it was.
pub fn copy_public(from: &Path, to: &Path) -> io::Result<()> {
    let mut file = public_file(to)?;
    io::copy(&mut File::open(from)?, &mut file)?;
    file.persist(to).map_err(|e| e.error)?;
    Ok(())
}

/// A temporary file beside `path` that others may read as far as the user's umask lets them.
fn public_file(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".new-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    builder.tempfile_in(parent)
}

/// Reads the file at `path`, or nothing past `limit` bytes: `Ok(None)` is a file that is larger.
///
/// # Errors
/// What opening or reading gives; something that is not a regular file is `InvalidInput`, so that a fifo cannot hang us.
pub fn read_bounded(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    Ok(read_bounded_with_metadata(path, limit)?.map(|(bytes, _)| bytes))
}

/// Opens the file at `path` for reading, and says what it is.
///
/// # Errors
/// What opening gives; something that is not a regular file is `InvalidInput`, so that a fifo cannot hang us.
pub fn open_regular(path: &Path) -> io::Result<(File, fs::Metadata)> {
    let mut options = fs::OpenOptions::new();
    options.read(true);
    // A fifo without a writer would keep us waiting for one; to a file this means nothing.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        let what = if metadata.is_dir() { io::ErrorKind::IsADirectory } else { io::ErrorKind::InvalidInput };
        return Err(what.into());
    }
    Ok((file, metadata))
}

/// As [`read_bounded`], and what the file was that was read: another may lie at `path` a moment later.
///
/// # Errors
/// As [`read_bounded`].
pub fn read_bounded_with_metadata(path: &Path, limit: u64) -> io::Result<Option<(Vec<u8>, fs::Metadata)>> {
    let (file, metadata) = open_regular(path)?;
    let mut bytes = Vec::with_capacity(metadata.len().min(limit) as usize + 1);
    file.take(limit + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some((bytes, metadata)))
}

/// Who may write to a file, where that is somebody else than its reader and the administrator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherWriters {
    /// It belongs to another user.
    Owner,
    /// Its mode lets its group or everybody write.
    Mode,
}

impl OtherWriters {
    /// Looks at the owner and the mode in `metadata`; `None` where nobody else may write, or the system has no such thing.
    pub fn of(metadata: &fs::Metadata) -> Option<Self> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            let user = rustix::process::geteuid().as_raw();
            match metadata.uid() {
                owner if owner != user && owner != 0 => Some(Self::Owner),
                _ if metadata.mode() & 0o022 != 0 => Some(Self::Mode),
                _ => None,
            }
        }
        #[cfg(not(unix))]
        {
            let _ = metadata;
            None
        }
    }

    /// Who, in words.
    pub fn why(self) -> &'static str {
        match self {
            Self::Owner => "it belongs to another user",
            Self::Mode => "its mode lets a group or everybody write",
        }
    }

    /// The command that mends it for `path`, safe to show.
    pub fn mend(self, path: &Path) -> String {
        let path = crate::text::sanitized(&path.to_string_lossy()).replace('\'', "'\\''");
        match self {
            Self::Owner => format!("chown $(id -u) '{path}'"),
            Self::Mode => format!("chmod go-w '{path}'"),
        }
    }
}

/// Who besides its reader and the administrator may change a file that decides about trust, so that it is believed all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllowedWriters {
    /// Nobody: it is written by this program, or by an administrator.
    Nobody,
    /// A group, and the owner whoever that is: people write it with their own umask, or share it.
    Group,
}

/// A file that decides about trust, or a directory that it lies in, may be changed by others: it is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} may be changed by others ({why}), so what it says is not believed; look through it, then mend it with `{mend}`",
    crate::text::Sanitized(&path.to_string_lossy()))]
pub struct UntrustedFile {
    /// The file or directory.
    pub path: PathBuf,
    /// Who may change it.
    pub why: &'static str,
    /// The command that mends it, safe to show.
    pub mend: String,
}

/// Refuses a file that decides about trust where others may change it: the rule for settings, keyrings, `trust.yaml`, policies, allowed
/// signers and receipts. `metadata` is of the opened file at `path`. The first `directories` above it count as well, since who may write to
/// one can put another file in the place of this; in one that is sticky, as /tmp is, only the owner can.
///
/// # Errors
/// [`UntrustedFile`].
pub fn refuse_untrusted(
    path: &Path,
    metadata: &fs::Metadata,
    keepers: AllowedWriters,
    directories: usize,
) -> Result<(), UntrustedFile> {
    match keepers {
        AllowedWriters::Nobody => {
            if let Some(writers) = OtherWriters::of(metadata) {
                return Err(UntrustedFile { path: path.to_owned(), why: writers.why(), mend: writers.mend(path) });
            }
        }
        AllowedWriters::Group => refuse_everybody(path, metadata, "its mode lets everybody write")?,
    }
    let mut above = path.parent();
    for _ in 0..directories {
        let Some(directory) = above else { break };
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        let Ok(metadata_above) = directory.metadata() else { break };
        match is_sticky(&metadata_above) {
            true if OtherWriters::of(metadata) == Some(OtherWriters::Owner) => {
                let (why, mend) = (OtherWriters::Owner.why(), OtherWriters::Owner.mend(path));
                return Err(UntrustedFile { path: path.to_owned(), why, mend });
            }
            true => {}
            false => refuse_everybody(directory, &metadata_above, "everybody may replace files there")?,
        }
        above = directory.parent();
    }
    Ok(())
}

/// Refuses what another user put at `path`: into a sticky directory, in which everybody may put things.
pub fn refuse_foreign_owner(path: &Path) -> Result<(), UntrustedFile> {
    let is_shared = path.parent().and_then(|above| above.metadata().ok()).is_some_and(|above| is_sticky(&above));
    let is_others = |metadata: fs::Metadata| OtherWriters::of(&metadata) == Some(OtherWriters::Owner);
    if !is_shared || !fs::symlink_metadata(path).is_ok_and(is_others) {
        return Ok(());
    }
    let mend = format!("chown -hR \"$(id -u)\" {}", crate::text::quoted(&path.to_string_lossy()));
    Err(UntrustedFile { path: path.to_owned(), why: "another user put it where everybody may put things", mend })
}

/// Refuses what everybody may write to.
fn refuse_everybody(path: &Path, metadata: &fs::Metadata, why: &'static str) -> Result<(), UntrustedFile> {
    if !everybody_may_write(metadata) {
        return Ok(());
    }
    let mend = format!("chmod o-w {}", crate::text::quoted(&path.to_string_lossy()));
    Err(UntrustedFile { path: path.to_owned(), why, mend })
}

/// Whether everybody may write to a file or directory with `metadata`; a link has no mode that would mean anything.
pub fn everybody_may_write(metadata: &fs::Metadata) -> bool {
    !metadata.is_symlink() && mode_bits(metadata) & 0o002 != 0
}

/// Whether it is a directory in which everybody may write, and nobody touch what is another's.
pub fn is_sticky(metadata: &fs::Metadata) -> bool {
    metadata.is_dir() && mode_bits(metadata) & 0o1002 == 0o1002
}

#[cfg(unix)]
fn mode_bits(metadata: &fs::Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::mode(metadata)
}

#[cfg(not(unix))]
fn mode_bits(_: &fs::Metadata) -> u32 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn what_decides_about_trust_is_not_believed_where_others_may_change_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a b/c");
        fs::create_dir(dir.path().join("a b")).unwrap();
        fs::write(&path, "x").unwrap();
        let chmod = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        // The modes of the file, its directory and the one above that; and what is mended, where it is for nobody and for a group.
        for (modes, nobody, group) in [
            ([0o600, 0o700, 0o700], None, None),
            ([0o644, 0o755, 0o777], None, None),
            ([0o664, 0o775, 0o777], Some("c"), None),
            ([0o602, 0o700, 0o777], Some("c"), Some("c")),
            ([0o600, 0o707, 0o777], Some("a b"), Some("a b")),
            ([0o600, 0o1777, 0o777], None, None),
        ] {
            for (at, mode) in [&path, &dir.path().join("a b"), dir.path()].into_iter().zip(modes) {
                chmod(at, mode);
            }
            for (keepers, refused) in [(AllowedWriters::Nobody, nobody), (AllowedWriters::Group, group)] {
                let found = refuse_untrusted(&path, &fs::metadata(&path).unwrap(), keepers, 1).err();
                let found = found.as_ref().map(|found| (found.path.file_name().unwrap().to_str().unwrap(), &found.mend));
                assert_eq!(found.map(|(name, _)| name), refused, "{modes:?} {keepers:?}");
                if let Some((_, mend)) = found {
                    assert!(std::process::Command::new("sh").args(["-c", mend]).status().unwrap().success(), "{mend}");
                    assert!(refuse_untrusted(&path, &fs::metadata(&path).unwrap(), keepers, 1).is_ok(), "{mend}");
                }
                for (at, mode) in [&path, &dir.path().join("a b")].into_iter().zip(modes) {
                    chmod(at, mode);
                }
            }
            let above = refuse_untrusted(&path, &fs::metadata(&path).unwrap(), AllowedWriters::Group, 2);
            assert_eq!(above.is_ok(), group.is_none() && modes[2] == 0o700, "{modes:?}");
        }
    }

    #[test]
    fn reads_up_to_the_limit_and_writes_privately() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write_private(&path, b"12345").unwrap();
        assert_eq!(read_bounded(&path, 5).unwrap().as_deref(), Some(&b"12345"[..]));
        assert_eq!(read_bounded(&path, 4).unwrap(), None);
        assert!(read_bounded(dir.path(), 4).is_err());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            create_private_dir(&dir.path().join("x/y")).unwrap();
            assert_eq!(fs::metadata(dir.path().join("x")).unwrap().permissions().mode() & 0o777, 0o700);
        }
    }
}
