//! The rules for paths in a package, and the tree that finds paths which collide.
//!
//! Both directions use them: what would be refused when it is unpacked is refused when it is packed.

use std::borrow::Cow;
use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization as _;

use super::fault::{PackageFault, PathRule, ShownName};
use crate::settings::Limits;

/// A path's normal form: no `./`, no doubled slashes, no slash at its end. It is empty for the archive's root itself.
///
/// What is refused rather than mended is anything that another reader, or another file system, could take for something
/// else (CVE-2020-4053 and many since).
pub(super) fn check(raw: &[u8], limits: &Limits) -> Result<String, PackageFault> {
    let fault = |rule| PackageFault::Path { name: ShownName::new(raw), rule };
    if raw.is_empty() {
        return Err(fault(PathRule::Empty));
    }
    let text = str::from_utf8(raw).map_err(|_| fault(PathRule::NotUtf8))?;
    if let Some(rule) = text.chars().find_map(|c| match c {
        '\\' => Some(PathRule::Backslash),
        ':' => Some(PathRule::Colon),
        c if c.is_control() => Some(PathRule::Control),
        _ => None,
    }) {
        return Err(fault(rule));
    }
    if text.starts_with('/') {
        return Err(fault(PathRule::Absolute));
    }
    let mut path = String::with_capacity(text.len().min(limits.path_bytes));
    let mut levels = 0;
    for part in text.split('/').filter(|part| !matches!(*part, "" | ".")) {
        check_part(part, limits).map_err(fault)?;
        levels += 1;
        if levels > limits.path_levels {
            return Err(fault(PathRule::Levels(limits.path_levels)));
        }
        if path.len() + usize::from(levels > 1) + part.len() > limits.path_bytes {
            return Err(fault(PathRule::Bytes(limits.path_bytes)));
        }
        if levels > 1 {
            path.push('/');
        }
        path.push_str(part);
    }
    Ok(path)
}

fn check_part(part: &str, limits: &Limits) -> Result<(), PathRule> {
    if part == ".." {
        Err(PathRule::Parent)
    } else if part.ends_with(['.', ' ']) {
        Err(PathRule::DotOrSpace)
    } else if part.len() > limits.part_bytes {
        Err(PathRule::Part(limits.part_bytes))
    } else if is_reserved(part) {
        Err(PathRule::Reserved)
    } else {
        Ok(())
    }
}

/// Whether Windows takes `part` for a device: it looks at what stands before the first dot, without case and final spaces.
fn is_reserved(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or_default().trim_end_matches(' ');
    let is = |name: &str| stem.eq_ignore_ascii_case(name);
    if ["con", "prn", "aux", "nul", "conin$", "conout$"].into_iter().any(is) {
        return true;
    }
    let mut chars = stem.chars();
    let number = chars.next_back();
    let device = chars.as_str();
    (device.eq_ignore_ascii_case("com") || device.eq_ignore_ascii_case("lpt"))
        && number.is_some_and(|c| matches!(c, '0'..='9' | '\u{b9}' | '\u{b2}' | '\u{b3}'))
}

/// The paths of a package so far, as a tree.
pub(super) struct Tree {
    /// The root is the first. Nothing is ever taken out, so that an index of it stays good.
    nodes: Vec<Node>,
    implied: u64,
    limit: u64,
}

struct Node {
    kind: NodeKind,
    /// How the archive spells it, where that is not the key under which its parent knows it.
    spelling: Option<Box<str>>,
    /// By folded name.
    children: HashMap<Box<str>, usize>,
}

#[derive(Clone, Copy, PartialEq)]
enum NodeKind {
    /// A directory that has no entry of its own so far.
    Implied,
    Directory,
    File,
}

impl Tree {
    /// An empty tree that takes as many directories without an entry of their own as an archive may have entries: without
    /// a bound, 64 levels of each of 100,000 paths could be directories that nobody counted.
    pub(super) fn new(limits: &Limits) -> Self {
        let root = Node { kind: NodeKind::Implied, spelling: None, children: HashMap::new() };
        Self { nodes: vec![root], implied: 0, limit: limits.entries }
    }

    /// Adds a path in its normal form.
    pub(super) fn insert(&mut self, path: &str, directory: bool) -> Result<(), PackageFault> {
        let mut at = 0;
        let mut end = 0;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            end += usize::from(end > 0) + part.len();
            at = self.descend(at, part, &path[..end], path)?;
            if end < path.len() && self.nodes[at].kind == NodeKind::File {
                return Err(PackageFault::FileAndDirectory {
                    name: ShownName::new(path),
                    part: ShownName::new(&path[..end]),
                });
            }
        }
        let node = &mut self.nodes[at];
        match (node.kind, directory) {
            (NodeKind::Implied, true) => {
                node.kind = NodeKind::Directory;
                Ok(())
            }
            // A node that was made just now for this file, and is nobody's parent.
            (NodeKind::Implied, false) if at != 0 && node.children.is_empty() => {
                node.kind = NodeKind::File;
                Ok(())
            }
            (NodeKind::Directory, true) | (NodeKind::File, false) => {
                Err(PackageFault::Duplicate { name: ShownName::new(path) })
            }
            _ => Err(PackageFault::FileAndDirectory { name: ShownName::new(path), part: ShownName::new(path) }),
        }?;
        // Its own entry counts it from now on.
        self.implied = self.implied.saturating_sub(u64::from(at != 0));
        Ok(())
    }

    /// The node for `part` under `parent`, made where there is none.
    fn descend(&mut self, parent: usize, part: &str, so_far: &str, path: &str) -> Result<usize, PackageFault> {
        let key = fold(part);
        if let Some(&at) = self.nodes[parent].children.get(&*key) {
            let spelling = self.nodes[at].spelling.as_deref().unwrap_or(&key);
            if spelling != part {
                let other = format!("{}{spelling}", &so_far[..so_far.len() - part.len()]);
                return Err(PackageFault::Collision { name: ShownName::new(path), other: ShownName::new(other) });
            }
            return Ok(at);
        }
        // The last part of the path is counted here too, and taken off again by the caller.
        self.implied += 1;
        if self.implied > self.limit.saturating_add(1) {
            return Err(PackageFault::Entries { limit: self.limit });
        }
        let at = self.nodes.len();
        let spelling = (*key != *part).then(|| part.into());
        self.nodes.push(Node { kind: NodeKind::Implied, spelling, children: HashMap::new() });
        self.nodes[parent].children.insert(key.into(), at);
        Ok(at)
    }
}

/// A key that is the same for all names that some file system takes for one: APFS and NTFS ignore case, APFS the Unicode form.
fn fold(part: &str) -> Cow<'_, str> {
    if part.is_ascii() {
        return if part.bytes().any(|b| b.is_ascii_uppercase()) {
            Cow::Owned(part.to_ascii_lowercase())
        } else {
            Cow::Borrowed(part)
        };
    }
    // Upper and then lower case is full case folding for all but a few letters: `ß` meets `SS`, the long `s` meets `s`.
    let folded: String = part.nfd().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect();
    Cow::Owned(folded.nfc().collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(raw: &[u8]) -> Option<PathRule> {
        match check(raw, &Limits::default()) {
            Ok(_) => None,
            Err(PackageFault::Path { rule, .. }) => Some(rule),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a1_paths_that_are_accepted() {
        for (raw, expected) in [
            ("foo/bar.txt", "foo/bar.txt"),
            ("./foo/bar.txt", "foo/bar.txt"),
            ("./././././foo/bar.txt", "foo/bar.txt"),
            ("foo//bar/", "foo/bar"),
            ("foo/./bar", "foo/bar"),
            ("./", ""),
            (".", ""),
            ("..foo/...bar", "..foo/...bar"),
            (".hidden/-rf/~x/$y", ".hidden/-rf/~x/$y"),
            ("übung/日本 語", "übung/日本 語"),
            ("console.txt/com/lpt.1/com10", "console.txt/com/lpt.1/com10"),
        ] {
            assert_eq!(check(raw.as_bytes(), &Limits::default()).unwrap(), expected, "{raw}");
        }
    }

    #[test]
    fn a1_a4_paths_that_are_refused() {
        for (raw, expected) in [
            (&b""[..], PathRule::Empty),
            (b"/abs", PathRule::Absolute),
            (b"//x", PathRule::Absolute),
            (b"../x", PathRule::Parent),
            (b"../../../../foo/bar.txt", PathRule::Parent),
            (b"a/../../x", PathRule::Parent),
            (b"a/..", PathRule::Parent),
            (b"c:/foo/bar.txt", PathRule::Colon),
            (b"C:\\x", PathRule::Colon),
            (b"x:stream", PathRule::Colon),
            (b"foo\\bar.txt", PathRule::Backslash),
            (b"a\\..\\..\\x", PathRule::Backslash),
            (b"\\\\server\\share", PathRule::Backslash),
            (b"a\nb", PathRule::Control),
            (b"a\0b", PathRule::Control),
            (b"a\x1b[2J", PathRule::Control),
            (b"a\x7f", PathRule::Control),
            ("a\u{85}".as_bytes(), PathRule::Control),
            (b"\xff\xfe", PathRule::NotUtf8),
            (b"\xc0\xae\xc0\xae/x", PathRule::NotUtf8),
            (b"a./b", PathRule::DotOrSpace),
            (b"a /b", PathRule::DotOrSpace),
            (b".../b", PathRule::DotOrSpace),
            (b".. /b", PathRule::DotOrSpace),
            (b"CON", PathRule::Reserved),
            (b"a/nul.txt", PathRule::Reserved),
            (b"Aux.tar.gz/x", PathRule::Reserved),
            (b"com1", PathRule::Reserved),
            (b"LPT9 .x", PathRule::Reserved),
            ("com\u{b2}.c".as_bytes(), PathRule::Reserved),
            (b"conout$", PathRule::Reserved),
        ] {
            assert_eq!(rule(raw), Some(expected), "{}", raw.escape_ascii());
        }
    }

    #[test]
    fn a6_paths_have_limits() {
        let limits = Limits::default();
        let deep = |n: usize| vec!["a"; n].join("/");
        assert_eq!(rule(deep(64).as_bytes()), None);
        assert_eq!(rule(deep(65).as_bytes()), Some(PathRule::Levels(64)));
        assert_eq!(rule(deep(10_000).as_bytes()), Some(PathRule::Levels(64)));
        assert_eq!(rule("a".repeat(255).as_bytes()), None);
        assert_eq!(rule("a".repeat(256).as_bytes()), Some(PathRule::Part(255)));
        let long = |last: usize| format!("{}/{}", [&*"a".repeat(255); 3].join("/"), "b".repeat(last));
        assert_eq!(long(255).len() + 1, 1024);
        assert_eq!(rule(format!("{}/c", long(254)).as_bytes()), None);
        assert_eq!(rule(format!("{}/c", long(255)).as_bytes()), Some(PathRule::Bytes(limits.path_bytes)));
    }

    fn insert_all(paths: &[(&str, bool)]) -> Result<(), PackageFault> {
        let mut tree = Tree::new(&Limits::default());
        paths.iter().try_for_each(|(path, directory)| tree.insert(path, *directory))
    }

    #[test]
    fn a4_paths_that_go_together() {
        insert_all(&[("", true), ("a", true), ("a/b", false), ("a/c/d", false), ("a/c", true), ("e/f", false)]).unwrap();
        insert_all(&[("a-b", false), ("a.b", false), ("a b", false), ("ä", false), ("a", false)]).unwrap();
    }

    #[test]
    fn a4_duplicates_and_kinds() {
        for paths in [
            &[("a", false), ("a", false)][..],
            &[("a", true), ("a", true)],
            &[("", true), ("", true)],
            &[("a/b", false), ("a/b", false)],
        ] {
            assert!(matches!(insert_all(paths), Err(PackageFault::Duplicate { .. })), "{paths:?}");
        }
        for paths in [
            &[("a", false), ("a", true)][..],
            &[("a", true), ("a", false)],
            &[("a", false), ("a/b", false)],
            &[("a/b", false), ("a", false)],
            &[("a/b/c", false), ("a/b", false)],
            &[("", false)],
        ] {
            assert!(matches!(insert_all(paths), Err(PackageFault::FileAndDirectory { .. })), "{paths:?}");
        }
    }

    #[test]
    fn a4_case_fold_and_normalisation_collisions() {
        for (one, other) in [
            ("plugin.yaml", "PLUGIN.yaml"),
            ("a/README", "a/readme"),
            ("dir/x", "Dir/y"),
            ("caf\u{e9}", "cafe\u{301}"),
            ("CAF\u{c9}", "cafe\u{301}"),
            ("stra\u{df}e", "STRASSE"),
            ("\u{212a}elvin", "kelvin"),
            ("\u{17f}", "S"),
            ("\u{3a3}x\u{3c2}", "\u{3c3}X\u{3c3}"),
            ("\u{212b}", "\u{e5}"),
        ] {
            for paths in [[(one, false), (other, false)], [(other, false), (one, false)]] {
                assert!(matches!(insert_all(&paths), Err(PackageFault::Collision { .. })), "{paths:?}");
            }
        }
    }

    #[test]
    fn a6_directories_without_entries_are_bounded() {
        let mut tree = Tree::new(&Limits { entries: 10, ..Limits::default() });
        tree.insert("a/b/c/d/e/f/g/h/i/j/file", false).unwrap();
        tree.insert("a/file", false).unwrap();
        tree.insert("a", true).unwrap();
        tree.insert("x/file", false).unwrap();
        assert!(matches!(tree.insert("y/file", false), Err(PackageFault::Entries { limit: 10 })));
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_relative_and_plain(raw in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(path) = check(&raw, &Limits::default()) {
                prop_assert!(path.split('/').all(|part| !matches!(part, "." | "..")));
                prop_assert!(path.is_empty() || check(path.as_bytes(), &Limits::default()).unwrap() == path);
                prop_assert!(!path.contains(['\\', ':', '\0']) && !path.starts_with('/') && !path.ends_with('/'));
            }
        }

        #[test]
        fn folding_is_stable(text in "\\PC{0,12}") {
            let once = fold(&text).into_owned();
            prop_assert_eq!(fold(&once).into_owned(), once);
            // Decomposed, since upper case makes a letter of U+0345, over which later marks do not move any more.
            let lower: String = text.to_lowercase().nfd().collect();
            prop_assert_eq!(fold(&lower).into_owned(), fold(&lower.to_uppercase()).into_owned());
        }
    }
}
