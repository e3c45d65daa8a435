//! Which file of a release is the package for this machine: authors name them as they like, so the words of a name decide.

use crate::intake::package::is_archive_name;
use crate::intake::source::version::tag_version;
use crate::manifest::platform::Platform;

/// Words that say that an archive holds something else than a plugin.
const OTHER: [&str; 8] = ["src", "source", "sources", "vendor", "docs", "sbom", "debug", "symbols"];

/// Why no file of a release is taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoAsset {
    /// None fits.
    None,
    /// Several fit equally well: their names.
    Several(Vec<String>),
}

/// How well a file fits, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// `<name>-<version>.tgz`, as `plugin package` names it: for every platform.
    Package,
    /// It names this system and this processor.
    Platform,
    /// It names this system and no processor, or all of them.
    System,
    /// It names no platform.
    Neutral,
}

/// Chooses the package among the names of a release's files: `<name>-<version>.tgz`, else an archive for `platform`, else one that
/// names no platform. Of equals one with a provenance wins, then one named after the repository, then `.tgz`, then one that
/// is linked statically.
pub(super) fn choose<'a>(names: &[&'a str], repository: &str, tag: &str, platform: &Platform) -> Result<&'a str, NoAsset> {
    let mut fitting: Vec<_> = names
        .iter()
        .filter(|name| is_archive_name(name))
        .filter_map(|name| {
            let stem = stem(name);
            let fit = fit(stem, tag, platform)?;
            let provenance = format!("{name}.prov");
            let own = is_named_after(stem, repository);
            let words = words(stem);
            let order = (
                fit,
                !names.contains(&provenance.as_str()),
                !own,
                !name.to_ascii_lowercase().ends_with(".tgz"),
                !words.iter().any(|word| word == "musl"),
            );
            Some((order, *name))
        })
        .collect();
    fitting.sort_unstable();
    match fitting.as_slice() {
        [] => Err(NoAsset::None),
        [(best, _), (next, _), ..] if best == next => {
            let several = fitting.iter().take_while(|(order, _)| order == best);
            Err(NoAsset::Several(several.map(|(_, name)| (*name).to_owned()).collect()))
        }
        [(_, name), ..] => Ok(name),
    }
}

/// Whether a file of this name is for every platform, as far as its name says.
pub(super) fn is_for_any_platform(name: &str) -> bool {
    let words = words(stem(name));
    !words.iter().any(|word| system(word).is_some() || processor(word).is_some())
}

/// How well the archive `stem` fits; `None` where it is for another platform, or no plugin.
fn fit(stem: &str, tag: &str, platform: &Platform) -> Option<Fit> {
    let words = words(stem);
    if words.iter().any(|word| OTHER.contains(&word.as_str())) {
        return None;
    }
    let mut systems = words.iter().filter_map(|word| system(word)).peekable();
    let mut processors = words.iter().filter_map(|word| processor(word)).peekable();
    let any_processor = processors.peek().is_none() || words.iter().any(|word| is_every_processor(word));
    let named = processors.any(|processor| processor == platform.arch);
    match (systems.peek().is_some(), any_processor, named) {
        (false, true, _) => {
            let version = tag_version(tag).map(|version| version.to_string());
            let packaged = version.is_some_and(|version| {
                let ends = |end: &str| stem.strip_suffix(end).is_some_and(|name| !name.is_empty());
                ends(&format!("-{version}")) || ends(&format!("-v{version}"))
            });
            Some(if packaged { Fit::Package } else { Fit::Neutral })
        }
        // A processor alone: nearly always Linux, and never known to be anything else.
        (false, false, named) => (named && platform.os == "linux").then_some(Fit::System),
        (true, any, named) => {
            let this = systems.any(|system| system == platform.os);
            match (this, named, any) {
                (false, _, _) | (true, false, false) => None,
                (true, true, _) => Some(Fit::Platform),
                (true, false, true) => Some(Fit::System),
            }
        }
    }
}

/// A file's name without `.tgz` or `.tar.gz`.
fn stem(name: &str) -> &str {
    let suffix = if name.to_ascii_lowercase().ends_with(".tgz") { 4 } else { 7 };
    name.len().checked_sub(suffix).and_then(|end| name.get(..end)).unwrap_or(name)
}

/// The words of a name, in lower case.
fn words(stem: &str) -> Vec<String> {
    // The one processor whose usual name holds what else divides words.
    let stem = stem.to_ascii_lowercase().replace("x86_64", "amd64").replace("x86-64", "amd64");
    stem.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Whether the name begins with the repository's, with or without what stands before its first dash (`helm-diff`, `diff`).
fn is_named_after(stem: &str, repository: &str) -> bool {
    let begins = |name: &str| {
        let rest = stem.get(..name.len()).filter(|begin| begin.eq_ignore_ascii_case(name)).map(|_| &stem[name.len()..]);
        !name.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_', '.']))
    };
    begins(repository) || repository.split_once('-').is_some_and(|(_, short)| begins(short))
}

/// The system that a word names, as Go calls it.
fn system(word: &str) -> Option<&str> {
    match word {
        "linux" | "windows" | "darwin" | "freebsd" | "openbsd" | "netbsd" | "android" | "illumos" | "solaris" | "aix"
        | "plan9" => Some(word),
        "macos" | "mac" | "osx" | "apple" => Some("darwin"),
        "win" | "win32" | "win64" => Some("windows"),
        _ => None,
    }
}

/// The processor that a word names, as Go calls it.
fn processor(word: &str) -> Option<&str> {
    match word {
        "amd64" | "arm64" | "386" | "arm" | "ppc64le" | "ppc64" | "s390x" | "riscv64" | "mips" | "mipsle" | "mips64"
        | "mips64le" | "loong64" => Some(word),
        "x64" | "64bit" => Some("amd64"),
        "aarch64" => Some("arm64"),
        "x86" | "i386" | "i686" | "32bit" => Some("386"),
        "armv5" | "armv6" | "armv6l" | "armv7" | "armv7l" | "armhf" => Some("arm"),
        word if is_every_processor(word) => Some("all"),
        _ => None,
    }
}

fn is_every_processor(word: &str) -> bool {
    matches!(word, "universal" | "universal2" | "all")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen<'a>(names: &[&'a str], os: &str, arch: &str) -> Result<&'a str, NoAsset> {
        choose(names, "helm-diff", "v3.9.1", &Platform { os: os.to_owned(), arch: arch.to_owned() })
    }

    #[test]
    fn releases_as_authors_make_them() {
        let names = |text: &'static str| text.split(' ').collect::<Vec<&'static str>>();
        for (files, os, arch, want) in [
            ("diff-3.9.1.tgz diff-3.9.1.tgz.prov helm-diff-linux-amd64.tgz", "linux", "amd64", "diff-3.9.1.tgz"),
            ("helm-diff-linux-amd64.tgz helm-diff-linux-arm64.tgz", "linux", "arm64", "helm-diff-linux-arm64.tgz"),
            ("helm-diff-macos-arm64.tgz helm-diff-macos-amd64.tgz", "darwin", "arm64", "helm-diff-macos-arm64.tgz"),
            ("helm-diff-windows-amd64.tgz helm-diff-linux-386.tgz", "windows", "amd64", "helm-diff-windows-amd64.tgz"),
            ("gcs_0.4.2_Linux_x86_64.tar.gz gcs_0.4.2_Linux_i386.tar.gz", "linux", "amd64", "gcs_0.4.2_Linux_x86_64.tar.gz"),
            ("gcs_0.4.2_Linux_x86_64.tar.gz gcs_0.4.2_Linux_i386.tar.gz", "linux", "386", "gcs_0.4.2_Linux_i386.tar.gz"),
            ("x-darwin-universal.tgz x-linux-amd64.tgz", "darwin", "arm64", "x-darwin-universal.tgz"),
            (
                "x-aarch64-apple-darwin.tar.gz x-x86_64-unknown-linux-gnu.tar.gz",
                "linux",
                "amd64",
                "x-x86_64-unknown-linux-gnu.tar.gz",
            ),
            (
                "x-x86_64-unknown-linux-gnu.tgz x-x86_64-unknown-linux-musl.tgz",
                "linux",
                "amd64",
                "x-x86_64-unknown-linux-musl.tgz",
            ),
            ("helm-secrets.tar.gz helm-secrets-src.tar.gz", "linux", "amd64", "helm-secrets.tar.gz"),
            ("helm-diff-linux-amd64.tar.gz helm-diff-linux-amd64.tgz", "linux", "amd64", "helm-diff-linux-amd64.tgz"),
            ("a-linux-amd64.tgz b-linux-amd64.tgz b-linux-amd64.tgz.prov", "linux", "amd64", "b-linux-amd64.tgz"),
            ("diff-linux-amd64.tgz helper-linux-amd64.tgz", "linux", "amd64", "diff-linux-amd64.tgz"),
            ("x-linux.tgz x-darwin.tgz", "linux", "riscv64", "x-linux.tgz"),
            ("x-armv7.tgz x-arm64.tgz", "linux", "arm", "x-armv7.tgz"),
            ("diff-v3.9.1.tgz", "linux", "amd64", "diff-v3.9.1.tgz"),
        ] {
            assert_eq!(chosen(&names(files), os, arch), Ok(want), "{files} on {os}/{arch}");
        }
    }

    #[test]
    fn nothing_is_guessed() {
        for (files, os) in [
            (vec!["helm-diff-windows-amd64.tgz", "helm-diff-linux-arm64.tgz"], "linux"),
            (vec!["notes.txt", "helm-diff.zip", "helm-diff-linux-amd64.tgz.prov", ".tgz.sig"], "linux"),
            (vec!["x-amd64.tgz"], "darwin"),
            (vec!["helm-diff-3.9.1-src.tgz"], "linux"),
            (vec![], "linux"),
        ] {
            assert_eq!(chosen(&files, os, "amd64"), Err(NoAsset::None), "{files:?}");
        }
        let several = ["a-linux-amd64.tgz", "b-linux-amd64.tgz"].map(str::to_owned).to_vec();
        assert_eq!(chosen(&["b-linux-amd64.tgz", "a-linux-amd64.tgz"], "linux", "amd64"), Err(NoAsset::Several(several)));
    }

    #[test]
    fn names_say_whether_a_package_is_for_every_platform() {
        for (name, any) in [
            ("diff-3.9.1.tgz", true),
            ("helm-diff-linux-amd64.tgz", false),
            ("diff-3.9.1-darwin-all.tar.gz", false),
            ("x_Linux.tgz", false),
            ("linuxer-1.0.0.tgz", true),
        ] {
            assert_eq!(is_for_any_platform(name), any, "{name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_name_panics(names in proptest::collection::vec("\\PC{0,24}(\\.tgz|\\.tar\\.gz)?", 0..6), repo in "\\PC{0,8}", tag in "\\PC{0,8}") {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let _ = choose(&names, &repo, &tag, &Platform::current());
        }
    }
}
