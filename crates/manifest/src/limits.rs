//! Bounds on what others write: how large a manifest, a package and their parts may be.

use serde::{Deserialize, Deserializer};

use crate::text::Sanitized;

/// Bounds on archives and documents of others (`docs/spec/package.md`, section 4.5).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase", expecting = "a mapping")]
pub struct Limits {
    /// Entries of an archive.
    pub entries: u64,
    /// Bytes of one file of an archive.
    #[serde(deserialize_with = "deserialize_size")]
    pub file_bytes: u64,
    /// Bytes of all files of an archive together.
    #[serde(deserialize_with = "deserialize_size")]
    pub total_bytes: u64,
    /// Unpacked bytes that are fine whatever the ratio.
    #[serde(deserialize_with = "deserialize_size")]
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
    #[serde(deserialize_with = "deserialize_size")]
    pub manifest_bytes: u64,
    /// Bytes of a provenance.
    #[serde(deserialize_with = "deserialize_size")]
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

/// Reads a number of bytes: `1048576`, `4GiB` (powers of 1024) or `4GB` (of 1000).
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let factor: u64 = match text[digits..].trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "kB" | "KB" => 1000,
        "MB" => 1000 * 1000,
        "GB" => 1000 * 1000 * 1000,
        "TB" => 1000 * 1000 * 1000 * 1000,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// Reads a field that is a number of bytes, as [`parse_size`] does.
///
/// # Errors
/// The text is not a size.
pub fn deserialize_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_size(&text).ok_or_else(|| {
        serde::de::Error::custom(format!("`{}` is no size; write one like 1048576 or 4GiB", Sanitized(&text)))
    })
}
