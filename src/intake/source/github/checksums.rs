//! The checksums file of a release: which digest it gives a file. `sha256sum` writes such files, with and without `--tag`.

use std::fmt;

use crate::digest::Sha256Digest;

/// Checksums files of a release that are looked into.
pub(super) const FILES: usize = 4;

/// Why a checksums file says nothing that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ConflictingDigests;

impl fmt::Display for ConflictingDigests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it gives one file two digests")
    }
}

/// Those of `names` that can hold the digest of `file`, the likeliest first.
pub(super) fn candidates<'a>(names: &[&'a str], file: &str) -> Vec<&'a str> {
    let own = [format!("{file}.sha256"), format!("{file}.sha256sum")];
    let mut found: Vec<&str> = names.iter().copied().filter(|name| own.iter().any(|own| own == name)).collect();
    found.extend(names.iter().copied().filter(|name| is_checksums(name)));
    found.truncate(FILES);
    found
}

/// Whether a file's name says that it lists the digests of others.
fn is_checksums(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let about = ["checksum", "sha256sum", "sha256-sum"].iter().any(|word| name.contains(word));
    let bare = name.rsplit_once('.').is_none_or(|(_, ending)| matches!(ending, "txt" | "sha256" | "sha256sum" | "sha"));
    about && bare
}

/// The SHA-256 digest that `text`, the checksums file `called`, gives `file`; digests of other kinds and other files are left
/// alone.
pub(super) fn digest_of(text: &str, called: &str, file: &str) -> Result<Option<Sha256Digest>, ConflictingDigests> {
    let alone = called.strip_suffix(".sha256").or_else(|| called.strip_suffix(".sha256sum")) == Some(file);
    let mut found = None;
    for line in text.lines() {
        let Some((digest, name)) = read_line(line.trim()) else { continue };
        let about = match name {
            // Authors run the tool in their build directory.
            Some(name) => name.rsplit(['/', '\\']).next() == Some(file),
            None => alone,
        };
        if !about {
            continue;
        }
        if found.is_some_and(|other| other != digest) {
            return Err(ConflictingDigests);
        }
        found = Some(digest);
    }
    Ok(found)
}

/// `<hex>`, `<hex>  <file>`, `<hex> *<file>` or `SHA256 (<file>) = <hex>`.
fn read_line(line: &str) -> Option<(Sha256Digest, Option<&str>)> {
    if let Some((name, digest)) = line.strip_prefix("SHA256 (").and_then(|rest| rest.rsplit_once(") = ")) {
        return Some((hex(digest)?, Some(name)));
    }
    match line.split_once(char::is_whitespace) {
        Some((digest, name)) => {
            let name = name.trim_start();
            Some((hex(digest)?, Some(name.strip_prefix('*').unwrap_or(name))))
        }
        None => Some((hex(line)?, None)),
    }
}

fn hex(text: &str) -> Option<Sha256Digest> {
    let all = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    text.to_ascii_lowercase().parse().ok().filter(|_| all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_all_the_usual_forms() {
        let (a, b) = (Sha256Digest::of(b"a"), Sha256Digest::of(b"b"));
        let upper = a.to_string().to_uppercase();
        for text in [
            format!("{b}  other.tgz\n{a}  p.tgz\n"),
            format!("{a} *p.tgz\r\n{b} *other.tgz\r\n"),
            format!("{a} p.tgz"),
            format!("{upper}\tdist/p.tgz"),
            format!("# checksums\n\nSHA256 (p.tgz) = {a}\nSHA512 (p.tgz) = {a}{a}\n"),
            format!("{a}{a}  p.tgz\n{a}  p.tgz\n{a}  p.tgz\n"),
        ] {
            assert_eq!(digest_of(&text, "checksums.txt", "p.tgz"), Ok(Some(a)), "{text}");
        }
        assert_eq!(digest_of(&format!("{a}\n"), "p.tgz.sha256", "p.tgz"), Ok(Some(a)));
        for text in [
            format!("{a}\n"),
            format!("{a}  p.tgz.prov\n"),
            format!("{a}  xp.tgz\n"),
            "deadbeef  p.tgz\n".to_owned(),
            format!("{a}{a}  p.tgz\n"),
            "p.tgz\n".to_owned(),
        ] {
            assert_eq!(digest_of(&text, "checksums.txt", "p.tgz"), Ok(None), "{text}");
        }
        assert_eq!(digest_of(&format!("{a}  p.tgz\n{b}  p.tgz\n"), "x", "p.tgz"), Err(ConflictingDigests));
    }

    #[test]
    fn files_that_list_digests() {
        let names = [
            "p.tgz",
            "notes.txt",
            "checksums.txt",
            "checksums.txt.sig",
            "SHA256SUMS",
            "p_1.0.0_checksums.txt",
            "p.tgz.sha256",
        ];
        assert_eq!(candidates(&names, "p.tgz"), ["p.tgz.sha256", "checksums.txt", "SHA256SUMS", "p_1.0.0_checksums.txt"]);
        assert_eq!(candidates(&["helm-unittest-checksum.sha", "SHA256SUMS.asc"], "p.tgz"), ["helm-unittest-checksum.sha"]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "(\\PC|\n){0,200}", file in "\\PC{0,8}") {
            let _ = digest_of(&text, "checksums.txt", &file);
        }
    }
}
