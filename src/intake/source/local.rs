//! A package from a local file: opened once, copied into the spool while it is hashed, so that what is verified is what is
//! installed even where somebody swaps the file in between (case I1). Links, pipes and devices are looked at by the opened
//! handle, never by the path.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::error::SourceError;
use super::options::FetchOptions;
use super::spool::SpoolFile;
use crate::digest::Sha256Digest;
use crate::intake::package::{FetchedPackage, PackageOrigin};
use crate::report::{Report, ReportEvent};
use crate::text;

/// Copies the package at `path`, and reads the provenance beside it where one is wanted.
pub(super) fn fetch(
    path: &Path,
    options: &FetchOptions,
    spool: &Path,
    report: &dyn Report,
) -> Result<FetchedPackage, SourceError> {
    let file_name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let failed = |source| SourceError::Read { path: path.to_path_buf(), source };
    let (mut file, length) = match open_regular(path) {
        Ok(Some(opened)) => opened,
        Ok(None) => return Err(SourceError::NotRegular { path: path.to_path_buf() }),
        Err(source) => return Err(failed(source)),
    };
    let limit = options.http.max_bytes;
    let too_large = || SourceError::TooLarge { path: path.to_path_buf(), limit };
    if length > limit {
        return Err(too_large());
    }
    let what = format!("reading {}", text::sanitized(&file_name));
    report.event(ReportEvent::Started { what: &what, total: Some(length) });
    let mut copy = SpoolFile::create(spool)?;
    loop {
        let mut block = copy.block();
        let n = match file.read(block.free()) {
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(failed(source)),
        };
        if n == 0 {
            break;
        }
        block.advance(n);
        copy.write(block)?;
        if copy.size() > limit {
            return Err(too_large());
        }
        report.event(ReportEvent::Advanced { done: copy.size() });
    }
    report.event(ReportEvent::Finished);
    let (copied, digest, size) = copy.finish()?;

    let mut fetched = FetchedPackage::new(copied, file_name, digest, size);
    let provenance = beside(path);
    if options.wanted.provenance() {
        fetched.provenance = read_provenance(&provenance, options.limits.provenance_bytes)?;
    }
    fetched.provenance_at = provenance.to_string_lossy().into_owned();
    let asked = path.to_string_lossy().into_owned();
    fetched.origin = PackageOrigin { resolved: asked.clone(), asked, ..PackageOrigin::default() };
    Ok(fetched)
}

/// Hashes the package at `path` where it lies, and reads the provenance beside it: for those who only want to know. What is
/// to be installed is copied first, see [`fetch`].
pub(super) fn examine(path: &Path, options: &FetchOptions, report: &dyn Report) -> Result<FetchedPackage, SourceError> {
    let file_name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => SourceError::not_found(&path.to_string_lossy()),
        _ => SourceError::Read { path: path.to_path_buf(), source },
    };
    let (file, length) = match open_regular(path) {
        Ok(Some(opened)) => opened,
        Ok(None) => return Err(SourceError::NotRegular { path: path.to_path_buf() }),
        Err(source) => return Err(failed(source)),
    };
    report.event(ReportEvent::Started { what: &format!("hashing {}", text::sanitized(&file_name)), total: Some(length) });
    let (digest, size) = Sha256Digest::of_reader(file).map_err(failed)?;
    report.event(ReportEvent::Finished);
    let mut fetched = FetchedPackage::new(path.to_path_buf(), file_name, digest, size);
    let provenance = beside(path);
    if options.wanted.provenance() {
        fetched.provenance = read_provenance(&provenance, options.limits.provenance_bytes)?;
    }
    fetched.provenance_at = provenance.to_string_lossy().into_owned();
    Ok(fetched)
}

/// `<file>.prov`.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".prov");
    name.into()
}

/// The provenance at `path`; `None` where nothing is there. Anything else that stands in the way is an error: a provenance
/// that cannot be read is not a missing one.
fn read_provenance(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, SourceError> {
    let unreadable = |source| SourceError::ProvenanceUnreadable { path: path.to_path_buf(), source };
    let (file, _) = match open_regular(path) {
        Ok(Some(opened)) => opened,
        Ok(None) => return Err(unreadable(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(unreadable(source)),
    };
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(SourceError::ProvenanceTooLarge { at: text::sanitized(&path.to_string_lossy()).into_owned(), limit });
    }
    Ok(Some(bytes))
}

/// Opens `path` and gives its length; `None` where it is not a regular file. Opening does not wait for a pipe's other end.
fn open_regular(path: &Path) -> io::Result<Option<(File, u64)>> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, rustix::fs::OFlags::NONBLOCK.bits() as i32);
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    Ok(metadata.is_file().then_some((file, metadata.len())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256Digest;
    use crate::intake::source::Wanted;
    use crate::report::NoReport;

    fn options() -> FetchOptions {
        FetchOptions::default()
    }

    #[test]
    fn i1_what_is_hashed_is_a_copy_and_the_provenance_comes_along() {
        let dir = tempfile::tempdir().unwrap();
        let spool = tempfile::tempdir().unwrap();
        let path = dir.path().join("foo-1.0.0.tgz");
        std::fs::write(&path, b"archive").unwrap();
        std::fs::write(dir.path().join("foo-1.0.0.tgz.prov"), b"signed").unwrap();
        let fetched = fetch(&path, &options(), spool.path(), &NoReport).unwrap();
        std::fs::write(&path, b"swapped").unwrap();
        assert_eq!(std::fs::read(&fetched.path).unwrap(), b"archive");
        assert_eq!((fetched.digest, fetched.size), (Sha256Digest::of(b"archive"), 7));
        assert_eq!(fetched.file_name, "foo-1.0.0.tgz");
        assert_eq!(fetched.provenance.as_deref(), Some(&b"signed"[..]));
        assert!(fetched.provenance_at.ends_with("foo-1.0.0.tgz.prov"));
        assert_eq!(fetched.origin.asked, path.to_str().unwrap());
    }

    #[test]
    fn p25_missing_unreadable_and_too_large_provenances_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("foo.tgz");
        let prov = dir.path().join("foo.tgz.prov");
        std::fs::write(&path, b"archive").unwrap();
        let fetch = |options: &FetchOptions| fetch(&path, options, tempfile::tempdir().unwrap().path(), &NoReport);
        assert_eq!(fetch(&options()).unwrap().provenance, None);
        std::fs::create_dir(&prov).unwrap();
        assert!(matches!(fetch(&options()), Err(SourceError::ProvenanceUnreadable { .. })));
        let alone = FetchOptions { wanted: Wanted::package(), ..FetchOptions::default() };
        assert!(fetch(&alone).is_ok(), "a provenance that nobody asked for is not read");
        std::fs::remove_dir(&prov).unwrap();
        std::fs::write(&prov, b"").unwrap();
        assert_eq!(fetch(&options()).unwrap().provenance.as_deref(), Some(&b""[..]));
        std::fs::write(&prov, [b'x'; 100]).unwrap();
        let mut small = options();
        small.limits.provenance_bytes = 99;
        assert!(matches!(fetch(&small), Err(SourceError::ProvenanceTooLarge { .. })));
        small.limits.provenance_bytes = 100;
        assert!(fetch(&small).is_ok());
        small.http.max_bytes = 6;
        assert!(matches!(fetch(&small), Err(SourceError::TooLarge { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn i1_a_pipe_or_a_device_is_refused_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("foo.tgz");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        for path in [fifo.as_path(), Path::new("/dev/zero"), dir.path()] {
            assert!(
                matches!(fetch(path, &options(), dir.path(), &NoReport), Err(SourceError::NotRegular { .. })),
                "{}",
                path.display()
            );
        }
    }
}
