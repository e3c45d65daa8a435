//! What a user or an organisation can set: `config.yaml` and its defaults.

use std::time::Duration;

/// Bounds on archives and documents of others (plugin format, section 2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Entries of an archive.
    pub entries: u64,
    /// Bytes of one file of an archive.
    pub file_bytes: u64,
    /// Bytes of all files of an archive together.
    pub total_bytes: u64,
    /// Unpacked bytes that are fine whatever the ratio.
    pub ratio_floor: u64,
    /// Unpacked bytes for each packed byte read so far, beyond the floor.
    pub ratio: u64,
    /// Bytes of a path.
    pub path_bytes: usize,
    /// Parts of a path.
    pub path_levels: usize,
    /// Bytes of one part of a path.
    pub part_bytes: usize,
    /// Bytes of `plugin.yaml`.
    pub manifest_bytes: u64,
    /// Bytes of a provenance.
    pub provenance_bytes: u64,
    /// Signatures of a provenance.
    pub signatures: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 100_000,
            file_bytes: 1 << 30,
            total_bytes: 4 << 30,
            ratio_floor: 64 << 20,
            ratio: 200,
            path_bytes: 1024,
            path_levels: 64,
            part_bytes: 255,
            manifest_bytes: 256 << 10,
            provenance_bytes: 1 << 20,
            signatures: 64,
        }
    }
}

/// How packages are downloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// For a whole download; unlimited where absent.
    pub timeout: Option<Duration>,
    /// Until a connection stands.
    pub connect_timeout: Duration,
    /// Without a byte.
    pub idle_timeout: Duration,
    /// Attempts after the first.
    pub retries: u32,
    /// Bytes of one download.
    pub max_bytes: u64,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            timeout: None,
            connect_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            retries: 3,
            max_bytes: 4 << 30,
        }
    }
}
