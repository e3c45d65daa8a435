//! Archives as an attacker makes them: every header field can be wrong.

use std::io::Write as _;

/// One 512-byte ustar header, correct until told otherwise.
#[derive(Clone)]
pub(crate) struct Header([u8; 512]);

impl Header {
    /// A regular file of `size` bytes with mode 0644.
    pub(crate) fn file(name: &str, size: u64) -> Self {
        let mut header = Self([0; 512]);
        header.0[257..265].copy_from_slice(b"ustar\x0000");
        header.0[156] = b'0';
        header.name(name.as_bytes()).field(100, 8, "0000644").field(108, 8, "0000000").field(116, 8, "0000000");
        header.field(124, 12, &format!("{size:011o}")).field(136, 12, "00000000000");
        header
    }

    /// The raw name field.
    pub(crate) fn name(&mut self, name: &[u8]) -> &mut Self {
        self.0[..100].fill(0);
        self.0[..name.len().min(100)].copy_from_slice(&name[..name.len().min(100)]);
        self
    }

    /// Bytes at an offset, the rest of the field zeroed.
    pub(crate) fn field(&mut self, offset: usize, length: usize, text: &str) -> &mut Self {
        self.0[offset..offset + length].fill(0);
        self.0[offset..offset + text.len()].copy_from_slice(text.as_bytes());
        self
    }

    /// The raw bytes of a field.
    pub(crate) fn raw(&mut self, offset: usize, bytes: &[u8]) -> &mut Self {
        self.0[offset..offset + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// The kind of entry.
    pub(crate) fn kind(&mut self, kind: u8) -> &mut Self {
        self.0[156] = kind;
        self
    }

    /// The target of a link.
    pub(crate) fn link(&mut self, target: &str) -> &mut Self {
        self.field(157, 100, target)
    }

    /// The permission bits.
    pub(crate) fn mode(&mut self, mode: u32) -> &mut Self {
        self.field(100, 8, &format!("{mode:07o}"))
    }

    fn sealed(mut self) -> [u8; 512] {
        self.0[148..156].fill(b' ');
        let sum: u32 = self.0.iter().map(|b| u32::from(*b)).sum();
        self.0[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0
    }
}

/// A tar file in the making.
#[derive(Default, Clone)]
pub(crate) struct Tar(pub(crate) Vec<u8>);

impl Tar {
    /// A well-formed plugin `name` in version 1.0.0, without the end of the archive.
    pub(crate) fn plugin(name: &str) -> Self {
        let manifest = format!("name: {name}\nversion: 1.0.0\ncommand: $TOOL_PLUGIN_DIR/run.sh\n");
        Self::default().directory(&format!("{name}/")).file(&format!("{name}/plugin.yaml"), manifest.as_bytes()).entry(
            Header::file(&format!("{name}/run.sh"), 23).mode(0o755),
            b"#!/bin/sh\necho run \"$@\"\n".get(..23).unwrap(),
        )
    }

    pub(crate) fn file(self, name: &str, data: &[u8]) -> Self {
        self.entry(&mut Header::file(name, data.len() as u64), data)
    }

    pub(crate) fn directory(self, name: &str) -> Self {
        self.entry(Header::file(name, 0).kind(b'5').mode(0o755), b"")
    }

    /// A header and data, padded to a block.
    pub(crate) fn entry(mut self, header: &mut Header, data: &[u8]) -> Self {
        self.0.extend_from_slice(&header.clone().sealed());
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// A PAX header (`x`, or `g` for a global one) with these records.
    pub(crate) fn pax(self, kind: u8, records: &[(&str, &str)]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length = rest + length.to_string().len();
            }
            data.extend_from_slice(format!("{length} {key}={value}\n").as_bytes());
        }
        self.pax_raw(kind, &data)
    }

    /// A PAX header with these bytes.
    pub(crate) fn pax_raw(self, kind: u8, data: &[u8]) -> Self {
        self.entry(Header::file("PaxHeaders/x", data.len() as u64).kind(kind), data)
    }

    /// A GNU long name (`L`) or long link (`K`).
    pub(crate) fn gnu_long(self, kind: u8, data: &[u8]) -> Self {
        self.entry(Header::file("././@LongLink", data.len() as u64).kind(kind), data)
    }

    /// The whole archive with its two blocks of zeros.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }

    /// The archive, compressed.
    pub(crate) fn gz(self) -> Vec<u8> {
        gzip(&self.end())
    }
}

/// One gzip member.
pub(crate) fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}
