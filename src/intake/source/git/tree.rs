//! A commit's files as a package, read out of the commit itself.
//!
//! A symbolic link that stays inside becomes what it points to; any other is refused. What else a package may not hold is
//! [`crate::intake::package`]'s to say when it is unpacked, by the one set of rules for all packages.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::GitError;
use super::program::Git;
use crate::intake::source::error::SourceError;
use crate::intake::source::spool::{Block, SpoolFile};
use crate::report::Report;
use crate::settings::Limits;
use crate::text;

/// Symbolic links that may lead to one another.
const LINKS: usize = 32;

/// No path that a link can hold is longer.
const TARGET: u64 = 4096;

/// The first line of a git-lfs pointer; pointers are shorter than a kilobyte.
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/";

/// A file of the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Blob {
    id: String,
    size: u64,
    executable: bool,
}

/// An entry of the commit's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    File(Blob),
    /// A symbolic link and where it points.
    Link(Vec<u8>),
}

/// Writes the files of `commit` as a package into `file`.
pub(super) fn pack(
    git: &Git,
    commit: &str,
    file: SpoolFile,
    limits: &Limits,
    report: &dyn Report,
) -> Result<SpoolFile, SourceError> {
    let listing = git.output(&["ls-tree", "-r", "-l", "-z", "--full-tree", "--end-of-options", commit])?;
    let mut blobs = BlobReader::open(git)?;
    let mut entries = BTreeMap::new();
    for line in listing.split(|b| *b == 0).filter(|line| !line.is_empty()) {
        if entries.len() as u64 >= limits.entries {
            return Err(too_large(git, "the number of files", limits.entries).into());
        }
        let (path, mode, blob) = read_line(line).ok_or(GitError::Answer { what: "ls-tree" })?;
        let shown = || shown(path);
        if path.split(|b| *b == b'/').any(|part| part.eq_ignore_ascii_case(b".git")) {
            return Err(GitError::Path { path: shown(), reason: "no file may lie in a `.git`" }.into());
        }
        let entry = match (mode, blob) {
            (b"100644" | b"100664" | b"100755", Some(blob)) => Entry::File(blob),
            (b"120000", Some(blob)) if blob.size <= TARGET => Entry::Link(blobs.read(&blob)?),
            (b"120000", _) => {
                return Err(GitError::Path { path: shown(), reason: "no symbolic link has such a long target" }.into());
            }
            (b"160000", _) => {
                report.warning(&format!("`{}` is a git submodule: submodules are not fetched", shown()));
                continue;
            }
            _ => return Err(GitError::Path { path: shown(), reason: "it is neither a file nor a symbolic link" }.into()),
        };
        entries.insert(path.to_vec(), entry);
    }
    let files = Tree { entries: &entries, limit: limits.entries }.files().map_err(|error| match error {
        TreeProblem::Link { path, target, reason } => GitError::Link { path: shown(&path), target: shown(&target), reason },
        TreeProblem::TooMany => too_large(git, "the number of files", limits.entries),
    })?;
    let total = files.values().fold(0_u64, |total, blob| total.saturating_add(blob.size));
    if total > limits.total_bytes {
        return Err(too_large(git, "the size of all files", limits.total_bytes).into());
    }

    let mut out = tar::Builder::new(GzEncoder::new(SpoolWriter::new(file), Compression::fast()));
    for (path, blob) in &files {
        append(&mut out, &mut blobs, path, blob)?;
    }
    let failed = |source| SourceError::from(GitError::Pipe { what: "writing the package", source });
    out.into_inner().and_then(GzEncoder::finish).map_err(failed)?.finish()
}

/// Appends one file.
fn append<W: Write>(out: &mut tar::Builder<W>, blobs: &mut BlobReader, path: &[u8], blob: &Blob) -> Result<(), SourceError> {
    let content = blobs.ask(blob)?;
    let mut content = content.take(blob.size);
    let mut start = Vec::new();
    let pipe = |source| SourceError::from(GitError::Pipe { what: "reading a file", source });
    if blob.size < 1024 {
        content.read_to_end(&mut start).map_err(pipe)?;
        if start.starts_with(LFS) {
            return Err(GitError::LargeFile { path: shown(path) }.into());
        }
    }
    let mut header = tar::Header::new_gnu();
    header.set_size(blob.size);
    header.set_mode(if blob.executable { 0o755 } else { 0o644 });
    header.set_mtime(0);
    // Names that are no text are refused here, since no package may have them.
    let name =
        std::str::from_utf8(path).map_err(|_| GitError::Path { path: shown(path), reason: "its name is not UTF-8" })?;
    out.append_data(&mut header, name, start.chain(&mut content)).map_err(|source| {
        if source.kind() == io::ErrorKind::Other {
            SourceError::from(GitError::Path { path: shown(path), reason: "no package can hold a file of this name" })
        } else {
            pipe(source)
        }
    })?;
    blobs.end_of_blob()
}

fn too_large(git: &Git, what: &'static str, limit: u64) -> GitError {
    GitError::TooLarge { url: git.shown().to_owned(), what, limit }
}

fn shown(path: &[u8]) -> String {
    text::sanitized(&String::from_utf8_lossy(path)).into_owned()
}

/// Reads `<mode> <type> <id> <size>\t<path>`; a submodule has no blob.
fn read_line(line: &[u8]) -> Option<(&[u8], &[u8], Option<Blob>)> {
    let tab = line.iter().position(|b| *b == b'\t')?;
    let (head, path) = (line.get(..tab)?, line.get(tab + 1..)?);
    let mut words = head.split(|b| *b == b' ').filter(|word| !word.is_empty());
    let (mode, kind, id, size) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let text = |bytes| std::str::from_utf8(bytes).ok();
    let blob = match kind {
        b"blob" => Some(Blob { id: text(id)?.to_owned(), size: text(size)?.parse().ok()?, executable: mode == b"100755" }),
        _ => None,
    };
    Some((path, mode, blob))
}

/// Why a tree cannot be made into plain files.
#[derive(Debug, PartialEq, Eq)]
enum TreeProblem {
    Link { path: Vec<u8>, target: Vec<u8>, reason: &'static str },
    TooMany,
}

/// A commit's entries by path.
struct Tree<'a> {
    entries: &'a BTreeMap<Vec<u8>, Entry>,
    limit: u64,
}

impl Tree<'_> {
    /// All files, with links replaced by what they point to.
    fn files(&self) -> Result<BTreeMap<Vec<u8>, Blob>, TreeProblem> {
        let mut files = BTreeMap::new();
        for path in self.entries.keys() {
            self.place(path.clone(), path, &mut Vec::new(), &mut files)?;
        }
        Ok(files)
    }

    /// Puts what lies at `path` of the commit at `at` of the package. `under` holds the directories that links are just being
    /// replaced by.
    fn place(
        &self,
        at: Vec<u8>,
        path: &[u8],
        under: &mut Vec<Vec<u8>>,
        files: &mut BTreeMap<Vec<u8>, Blob>,
    ) -> Result<(), TreeProblem> {
        if files.len() as u64 >= self.limit {
            return Err(TreeProblem::TooMany);
        }
        match self.entries.get(path) {
            Some(Entry::File(blob)) => {
                files.insert(at, blob.clone());
                Ok(())
            }
            Some(Entry::Link(target)) => {
                let refuse = |reason| TreeProblem::Link { path: path.to_vec(), target: target.clone(), reason };
                let end = self.follow(path, target).map_err(refuse)?;
                if let Some(Entry::File(blob)) = self.entries.get(&end) {
                    files.insert(at, blob.clone());
                    return Ok(());
                }
                let prefix: Vec<u8> = if end.is_empty() { Vec::new() } else { [end.as_slice(), b"/"].concat() };
                if path.starts_with(&prefix)
                    || under.iter().any(|open| prefix.starts_with(open) || open.starts_with(&prefix))
                {
                    return Err(refuse("it leads into itself"));
                }
                under.push(prefix.clone());
                for inner in self
                    .entries
                    .range(prefix.clone()..)
                    .map(|(inner, _)| inner)
                    .take_while(|inner| inner.starts_with(&prefix))
                {
                    let rest = inner.get(prefix.len()..).unwrap_or_default();
                    self.place([at.as_slice(), b"/", rest].concat(), inner, under, files)?;
                }
                under.pop();
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Where a link ends: the path of a file or of a directory of the commit.
    fn follow(&self, link: &[u8], target: &[u8]) -> Result<Vec<u8>, &'static str> {
        let split = |path: &[u8]| path.split(|b| *b == b'/').map(<[u8]>::to_vec).collect::<Vec<_>>();
        if target.starts_with(b"/") || target.contains(&b'\\') || target.contains(&b':') {
            return Err("it does not point to a place inside the plugin");
        }
        let mut done = split(link);
        done.pop();
        // What is still to be walked, last part first.
        let mut ahead: Vec<Vec<u8>> = split(target).into_iter().rev().collect();
        let mut links = 1;
        while let Some(part) = ahead.pop() {
            match part.as_slice() {
                b"" | b"." => {}
                b".." => {
                    done.pop().ok_or("it points to a place outside the plugin")?;
                }
                _ => {
                    done.push(part);
                    if let Some(Entry::Link(target)) = self.entries.get(&done.join(&b'/')) {
                        links += 1;
                        if links > LINKS {
                            return Err("it leads into itself");
                        }
                        if target.starts_with(b"/") {
                            return Err("it does not point to a place inside the plugin");
                        }
                        done.pop();
                        ahead.extend(split(target).into_iter().rev());
                    }
                }
            }
        }
        let end = done.join(&b'/');
        let prefix: Vec<u8> = if end.is_empty() { Vec::new() } else { [end.as_slice(), b"/"].concat() };
        let directory = self.entries.range(prefix.clone()..).next().is_some_and(|(inner, _)| inner.starts_with(&prefix));
        if self.entries.contains_key(&end) || directory { Ok(end) } else { Err("it points to nothing in the commit") }
    }
}

/// A conversation with `git cat-file --batch`: an id goes in, a header and the bytes come out.
struct BlobReader {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl BlobReader {
    fn open(git: &Git) -> Result<Self, GitError> {
        let mut child = git.converse(&["cat-file", "--batch"])?;
        let questions = child.stdin.take();
        let answers = child.stdout.take().ok_or(GitError::Answer { what: "cat-file" })?;
        Ok(Self { child, questions, answers: BufReader::with_capacity(64 * 1024, answers) })
    }

    /// Asks for `blob`: its bytes can be read then, and [`BlobReader::end_of_blob`] must follow.
    fn ask(&mut self, blob: &Blob) -> Result<&mut BufReader<ChildStdout>, GitError> {
        let pipe = |source| GitError::Pipe { what: "asking for a file", source };
        let questions = self.questions.as_mut().ok_or(GitError::Answer { what: "cat-file" })?;
        questions.write_all(format!("{}\n", blob.id).as_bytes()).and_then(|()| questions.flush()).map_err(pipe)?;
        let mut header = Vec::new();
        self.answers.by_ref().take(256).read_until(b'\n', &mut header).map_err(pipe)?;
        if header != format!("{} blob {}\n", blob.id, blob.size).as_bytes() {
            return Err(GitError::Answer { what: "cat-file" });
        }
        Ok(&mut self.answers)
    }

    /// Reads the line break behind the bytes.
    fn end_of_blob(&mut self) -> Result<(), SourceError> {
        let mut end = [0];
        self.answers.read_exact(&mut end).map_err(|source| GitError::Pipe { what: "reading a file", source })?;
        if end == *b"\n" { Ok(()) } else { Err(GitError::Answer { what: "cat-file" }.into()) }
    }

    /// All bytes of a small blob.
    fn read(&mut self, blob: &Blob) -> Result<Vec<u8>, SourceError> {
        let mut bytes = Vec::new();
        let content = self.ask(blob)?;
        content
            .take(blob.size)
            .read_to_end(&mut bytes)
            .map_err(|source| GitError::Pipe { what: "reading a link", source })?;
        self.end_of_blob()?;
        Ok(bytes)
    }
}

impl Drop for BlobReader {
    fn drop(&mut self) {
        // The end of its input is the end of the program.
        self.questions.take();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A [`SpoolFile`] as a [`Write`].
struct SpoolWriter {
    file: SpoolFile,
    block: Option<Block>,
}

impl SpoolWriter {
    fn new(file: SpoolFile) -> Self {
        Self { file, block: None }
    }

    fn finish(mut self) -> Result<SpoolFile, SourceError> {
        if let Some(block) = self.block.take() {
            self.file.write(block)?;
        }
        Ok(self.file)
    }
}

impl Write for SpoolWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut block = self.block.take().unwrap_or_else(|| self.file.block());
        let n = block.free().write(bytes)?;
        block.advance(n);
        if block.free().is_empty() {
            self.file.write(block).map_err(io::Error::other)?;
        } else {
            self.block = Some(block);
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Part of [`crate::intake::source::read_foreign`].
pub(super) fn read_foreign(data: &[u8]) {
    data.split(|b| *b == 0).for_each(|line| drop(read_line(line)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(entries: &[(&str, Option<&str>)]) -> BTreeMap<Vec<u8>, Entry> {
        entries
            .iter()
            .map(|(path, target)| {
                let entry = match target {
                    Some(target) => Entry::Link(target.as_bytes().to_vec()),
                    None => Entry::File(Blob { id: (*path).to_owned(), size: 1, executable: false }),
                };
                (path.as_bytes().to_vec(), entry)
            })
            .collect()
    }

    /// Each path of the package with the file whose bytes it gets.
    fn flat(entries: &[(&str, Option<&str>)]) -> Result<Vec<String>, &'static str> {
        match (Tree { entries: &tree(entries), limit: 100 }).files() {
            Ok(files) => Ok(files.iter().map(|(path, blob)| format!("{}={}", shown(path), blob.id)).collect()),
            Err(TreeProblem::Link { reason, .. }) => Err(reason),
            Err(TreeProblem::TooMany) => Err("too many"),
        }
    }

    #[test]
    fn v_links_that_stay_inside_become_what_they_point_to() {
        let entries = [
            ("bin/run", None),
            ("bin/tool", Some("run")),
            ("lib/a", None),
            ("lib/d/b", None),
            ("x/lib", Some("../lib")),
            ("y", Some("x/lib/d")),
        ];
        assert_eq!(
            flat(&entries).unwrap(),
            [
                "bin/run=bin/run",
                "bin/tool=bin/run",
                "lib/a=lib/a",
                "lib/d/b=lib/d/b",
                "x/lib/a=lib/a",
                "x/lib/d/b=lib/d/b",
                "y/b=lib/d/b"
            ]
        );
    }

    #[test]
    fn v_links_that_leave_or_never_end_are_refused() {
        let inside = "it does not point to a place inside the plugin";
        let table = [
            ("/etc/passwd", inside),
            ("C:/x", inside),
            ("..\\x", inside),
            ("../../x", "it points to a place outside the plugin"),
            (".git/config", "it points to nothing in the commit"),
            ("gone", "it points to nothing in the commit"),
            ("l", "it leads into itself"),
            (".", "it leads into itself"),
            ("..", "it leads into itself"),
            ("../a", "it leads into itself"),
        ];
        for (target, reason) in table {
            assert_eq!(flat(&[("a/l", Some(target)), ("a/f", None)]), Err(reason), "{target}");
        }
        assert_eq!(flat(&[("a/l", Some("../b")), ("b/l", Some("../a")), ("a/f", None)]), Err("it leads into itself"));
        assert_eq!(flat(&[("a", Some("b")), ("b", Some("a"))]), Err("it leads into itself"));
    }

    #[test]
    fn v_links_cannot_multiply_a_tree_without_end() {
        // Every directory links to the one before it twice: the number of files doubles each time.
        let names: Vec<(String, Option<String>)> = (0..20)
            .flat_map(|n: u32| match n {
                0 => vec![("d0/f".to_owned(), None)],
                n => vec![
                    (format!("d{n}/a"), Some(format!("../d{}", n - 1))),
                    (format!("d{n}/b"), Some(format!("../d{}", n - 1))),
                ],
            })
            .collect();
        let entries: Vec<(&str, Option<&str>)> =
            names.iter().map(|(name, target)| (name.as_str(), target.as_deref())).collect();
        assert_eq!(flat(&entries), Err("too many"));
    }
}
