//! What the tests of this module share: archives with any header whatever, and directories to pack.

mod archives;
mod packages;
mod properties;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::report::NoReport;
use crate::settings::Limits;

/// A manifest of the plugin `name`.
fn manifest(name: &str) -> String {
    format!(
        "apiVersion: v1\nname: {name}\nversion: 1.0.0\ntype: cli/v1\nruntime: subprocess\nconfig: {{shortHelp: x}}\n\
         runtimeConfig: {{platformCommand: [{{command: run.sh}}]}}\n"
    )
}

/// A header that says what it is told, right or wrong.
#[derive(Clone, Debug)]
struct Raw {
    block: [u8; 512],
    content: Vec<u8>,
}

impl Raw {
    fn new(name: impl AsRef<[u8]>, flag: u8, content: impl Into<Vec<u8>>) -> Self {
        let content = content.into();
        let mut raw = Self { block: [0; 512], content: Vec::new() };
        raw = raw.put(0, name).put(100, "0000644\0").put(108, "0000000\0").put(116, "0000000\0");
        raw = raw.put(124, format!("{:011o}\0", content.len())).put(136, "00000000000\0").put(156, [flag]);
        raw = raw.put(257, b"ustar\x0000");
        Self { content, ..raw }
    }

    fn file(name: impl AsRef<[u8]>, content: impl Into<Vec<u8>>) -> Self {
        Self::new(name, b'0', content)
    }

    fn dir(name: impl AsRef<[u8]>) -> Self {
        Self::new(name, b'5', "")
    }

    /// A PAX extension with these records.
    fn pax(records: &[(&str, &str)]) -> Self {
        let mut content = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (rest..).find(|n| n.to_string().len() + rest == *n).unwrap();
            content.extend(format!("{length} {key}={value}\n").bytes());
        }
        Self::new("PaxHeaders/x", b'x', content)
    }

    fn put(mut self, at: usize, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.block[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    fn mode(self, mode: u32) -> Self {
        self.put(100, format!("{mode:07o}\0"))
    }

    fn size(self, size: u64) -> Self {
        self.put(124, format!("{size:011o}\0"))
    }

    /// The blocks, with the right checksum unless one is there already.
    fn encode(mut self) -> Vec<u8> {
        if self.block[148..156] == [0; 8] {
            let sum: u32 = self.block.iter().map(|b| u32::from(*b)).sum::<u32>() + 8 * 32;
            self = self.put(148, format!("{sum:06o}\0 "));
        }
        let mut out = self.block.to_vec();
        out.extend(&self.content);
        out.resize(out.len().next_multiple_of(512), 0);
        out
    }
}

fn tar(entries: impl IntoIterator<Item = Raw>) -> Vec<u8> {
    let mut out: Vec<u8> = entries.into_iter().flat_map(Raw::encode).collect();
    out.extend([0; 1024]);
    out
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An archive of a sound plugin `foo` with these entries besides.
fn plugin_with(entries: impl IntoIterator<Item = Raw>) -> Vec<u8> {
    gz(&tar([Raw::file("foo/plugin.yaml", manifest("foo"))].into_iter().chain(entries)))
}

/// A place with an archive in it and room to unpack it into.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("into")).unwrap();
        Self { dir }
    }

    fn archive(&self) -> PathBuf {
        self.dir.path().join("foo-1.0.0.tgz")
    }

    fn staging(&self) -> PathBuf {
        self.dir.path().join("into")
    }

    fn unpack(&self, archive: &[u8], limits: &Limits) -> Result<Unpacked, UnpackError> {
        fs::write(self.archive(), archive).unwrap();
        let unpacked = unpack(&self.archive(), &self.archive(), &self.staging(), limits, &NoReport);
        // Looking and unpacking agree; an archive of ours may be looked at without being read, but none is made here.
        let inspected = inspect(&self.archive(), limits);
        match (&unpacked, &inspected) {
            (Ok(unpacked), Ok(metadata)) => assert_eq!(unpacked.metadata, *metadata),
            (Err(UnpackError::Write { .. }), _) => {}
            (Err(one), Err(other)) => assert_eq!(format!("{one:?}"), format!("{other:?}")),
            (one, other) => panic!("{one:?} and {other:?}"),
        }
        unpacked
    }
}

/// Unpacks with the default limits and throws the files away.
fn unpack_bytes(archive: &[u8]) -> Result<Unpacked, UnpackError> {
    Place::new().unpack(archive, &Limits::default())
}

/// Why the archive is refused.
fn refusal(archive: &[u8]) -> PackageFault {
    refusal_with(archive, &Limits::default())
}

fn refusal_with(archive: &[u8], limits: &Limits) -> PackageFault {
    match Place::new().unpack(archive, limits) {
        Err(UnpackError::Refused { source, .. }) => *source,
        other => panic!("expected a refusal, not {other:?}"),
    }
}

/// A plugin's directory with these files.
fn plugin_dir(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write_all(dir.path(), &[("plugin.yaml", manifest("foo").as_bytes()), ("run.sh", b"#!/bin/sh\n")]);
    write_all(dir.path(), files);
    set_mode(&dir.path().join("run.sh"), 0o755);
    dir
}

fn write_all(dir: &Path, files: &[(&str, &[u8])]) {
    for (path, content) in files {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Everything under a directory: paths, and the content of files.
fn tree(dir: &Path) -> Vec<(String, Option<Vec<u8>>)> {
    walkdir::WalkDir::new(dir)
        .min_depth(1)
        .sort_by_file_name()
        .into_iter()
        .map(|entry| {
            let entry = entry.unwrap();
            let path = entry.path().strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
            (path, entry.file_type().is_file().then(|| fs::read(entry.path()).unwrap()))
        })
        .collect()
}

/// The names in a package, in its order, as they stand in its headers.
fn names(package: &Path) -> Vec<String> {
    let mut archive = ::tar::Archive::new(flate2::read::MultiGzDecoder::new(fs::File::open(package).unwrap()));
    let entries = archive.entries().unwrap();
    entries.map(|entry| String::from_utf8(entry.unwrap().path_bytes().into_owned()).unwrap()).collect()
}
