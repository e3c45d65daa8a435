//! Documents that hold: what they refer to is there, what they list is all that there is, and what they show is what is printed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use regex::Regex;
use snapbox::assert_data_eq;

use crate::support::{World, finish, repository};

/// What holds no text of ours: built files, and what the fuzzers found.
const FOREIGN: [&str; 4] = [".git", "target", "corpus", "artifacts"];

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap()
}

/// Every text file of the repository that ends in one of `endings`, by its path from the root.
fn texts(endings: &[&str]) -> BTreeMap<String, String> {
    let root = repository("");
    let walk = walkdir::WalkDir::new(&root).into_iter();
    let ours = walk.filter_entry(|entry| !FOREIGN.iter().any(|name| entry.file_name() == *name)).map(Result::unwrap);
    let paths = ours.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path);
    let named = paths.filter(|path| endings.iter().any(|ending| path.to_str().is_some_and(|path| path.ends_with(ending))));
    let read = |path: PathBuf| {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap())
    };
    named.map(read).collect()
}

/// The lines of a document that are not in a block of code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// The headings of a document.
fn headings(text: &str) -> impl Iterator<Item = &str> {
    prose(text).filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim())
}

/// The anchors that a document has: its headings as GitHub writes them, a number behind those that come again.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for heading in headings(text) {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let anchor = kept.collect::<String>().to_lowercase().replace(' ', "-");
        let again = (1..).map(|number| format!("{anchor}-{number}"));
        let free = std::iter::once(anchor.clone()).chain(again).find(|anchor| !found.contains(anchor));
        found.extend(free);
    }
    found
}

/// Whether the chapter has a section of this number.
fn has_section(text: &str, number: &str) -> bool {
    headings(text).any(|heading| heading.split(' ').next().is_some_and(|first| first.trim_end_matches('.') == number))
}

/// `path` without `.` and `..`.
fn straightened(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(out.pop()),
            part => out.push(part),
        }
    }
    out
}

#[test]
fn every_link_leads_to_a_file_and_to_a_heading_that_is_there() {
    let documents = texts(&[".md"]);
    let link = regex(r"\]\(([^()\s]+)\)");
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (name, text) in &documents {
        for target in prose(text).flat_map(|line| link.captures_iter(line)).map(|found| found.extract::<1>().1[0]) {
            if target.contains("://") {
                continue;
            }
            seen += 1;
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let to = match path {
                "" => PathBuf::from(name),
                path => straightened(&Path::new(name).parent().unwrap().join(path)),
            };
            let is_there = repository(to.to_str().unwrap()).exists();
            let has_anchor = || anchors(&documents[to.to_str().unwrap()]).contains(anchor);
            if !is_there || !(anchor.is_empty() || has_anchor()) {
                wrong.push(format!("{name}: {target}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(seen > 50, "{seen}");
}

#[test]
fn every_path_that_a_document_names_is_there() {
    let path = regex(r"`((?:\.ci|crates|docs|examples|fuzz|schema|scripts|src|testdata|tests)/[\w./-]*)`");
    let mut wrong = Vec::new();
    let mut seen = 0;
    // What was, stands in the list of changes.
    for (name, text) in texts(&[".md"]).iter().filter(|(name, _)| *name != "CHANGELOG.md" && !name.contains("templates")) {
        for found in prose(text).flat_map(|line| path.captures_iter(line)).map(|found| found.extract::<1>().1[0]) {
            seen += 1;
            if !repository(found).exists() {
                wrong.push(format!("{name}: {found}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(seen > 20, "{seen}");
}

/// What a source says about itself in one line: the comments of code, and all of anything else.
fn said(name: &str, text: &str) -> String {
    let comment = |line: &str| match name.ends_with(".rs") {
        true => line.match_indices("//").map(|(at, _)| at).find(|at| line[..*at].trim_end().len() < *at || *at == 0),
        false => Some(0),
    };
    let lines = text.lines().filter_map(|line| line.get(comment(line)?..));
    lines.map(|line| line.trim().trim_start_matches(['/', '!', '#']).trim()).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_section_that_is_referred_to_is_there() {
    let documents = texts(&[".md"]);
    let sources = texts(&[".rs", ".toml", ".schema.json"]);
    let reference = regex(r"\b((?:docs|schema)/[\w/.-]+\.(?:md|json))(?:#([\w-]+))?");
    let section = regex(r"\bsections?\s+(\d+(?:\.\d+)*(?:(?:, | and | to )\d+(?:\.\d+)*)*)");
    let of_what = regex(r"(?:\b(docs/[\w/-]+\.md)`?|\bRFC \d+)(?:,| \()? ?$");
    let number = regex(r"\d+(?:\.\d+)*");
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (name, text) in sources.iter().map(|(name, text)| (name, said(name, text))) {
        for found in reference.captures_iter(&text) {
            let anchor = found.get(2).map(|anchor| anchor.as_str());
            let has_anchor = |anchor| documents.get(&found[1]).is_some_and(|to| anchors(to).contains(anchor));
            let leads = repository(&found[1]).is_file() && anchor.is_none_or(has_anchor);
            if !leads {
                wrong.push(format!("{name}: {}", &found[0]));
            }
        }
        // The number of a section means nothing unless it says of what.
        for found in section.captures_iter(&text) {
            let whole = found.get(0).unwrap();
            let Some(of) = of_what.captures(&text[..whole.start()]) else {
                wrong.push(format!("{name}: {}", &text[whole.start().saturating_sub(40)..whole.end()]));
                continue;
            };
            let Some(chapter) = of.get(1) else { continue };
            seen += 1;
            for number in number.find_iter(&found[1]) {
                if !documents.get(chapter.as_str()).is_some_and(|to| has_section(to, number.as_str())) {
                    wrong.push(format!("{name}: {} has no section {}", chapter.as_str(), number.as_str()));
                }
            }
        }
    }
    // In a document a section is a link, whose anchor begins with the number.
    let linked = regex(r"\[section (\d+)\]\((?:[\w./-]*)#(\d+)-");
    for (name, text) in documents.iter().filter(|(name, _)| name.starts_with("docs/spec/")) {
        let text = text.replace('\n', " ");
        let links: Vec<_> = linked.captures_iter(&text).collect();
        let said = section.captures_iter(&text).filter(|found| !text[..found.get(0).unwrap().start()].ends_with('"'));
        let of_others = said.filter(|found| of_what.is_match(&text[..found.get(0).unwrap().start()])).count();
        let all = section.find_iter(&text).count();
        if links.len() + of_others != all || links.iter().any(|link| link[1] != link[2]) {
            wrong.push(format!("{name}: {} of {all} sections are links", links.len()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(seen > 10, "{seen}");
}

/// The codes of the table, each once.
fn codes() -> BTreeSet<String> {
    let text = fs::read_to_string(repository("docs/spec/cases.md")).unwrap();
    let row = regex(r"(?m)^\| ([A-Z][0-9]*) \|");
    let mut codes = BTreeSet::new();
    for code in row.captures_iter(&text).map(|row| row[1].to_owned()) {
        assert!(codes.insert(code.clone()), "{code} is there twice");
    }
    codes
}

#[test]
fn every_code_of_a_case_is_in_the_table_and_has_a_test() {
    let codes = codes();
    let test = regex(r"#\[test\](?:\s*#\[[^\]]*\])*\s*fn (\w+)");
    let another = regex(r"_and_([a-z][0-9]+)_");
    let spoken = regex(r"\b[Cc]ases? ([A-Z][0-9]*(?:(?:, | and | to )[A-Z][0-9]*)*)\b");
    let code = regex(r"[A-Z][0-9]*");
    // `a` at the beginning of a name is a word.
    let is_code = |word: &str| {
        let number = word.strip_prefix(|c: char| c.is_ascii_lowercase());
        number.is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit())) && word != "a"
    };
    let mut used = BTreeSet::new();
    for (name, text) in texts(&[".rs"]) {
        for test in test.captures_iter(&text).map(|found| found.extract::<1>().1[0]) {
            let more = another.captures_iter(test).map(|found| found.extract::<1>().1[0]);
            for code in test.split('_').take_while(|word| is_code(word)).chain(more).map(str::to_uppercase) {
                assert!(codes.contains(&code), "{name}: {test}: docs/spec/cases.md does not explain {code}");
                used.insert(code);
            }
        }
        for spoken in spoken.captures_iter(&text).map(|found| found.extract::<1>().1[0]) {
            for code in code.find_iter(spoken).map(|code| code.as_str()) {
                // A letter alone may mean the group.
                let is_known = codes.iter().any(|known| known == code || code.len() == 1 && known.starts_with(code));
                assert!(is_known, "{name}: case {code}");
            }
        }
    }
    assert_eq!(codes.difference(&used).collect::<Vec<_>>(), [""; 0], "no test has these codes");
}

/// The tables of dependencies in `manifest`.
fn tables_of_dependencies(manifest: &toml::Table) -> Vec<&toml::Table> {
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    let targets = manifest.get("target").and_then(toml::Value::as_table).into_iter().flat_map(|targets| targets.values());
    let places = std::iter::once(manifest).chain(targets.filter_map(toml::Value::as_table));
    places.flat_map(|place| kinds.iter().filter_map(|kind| place.get(*kind)?.as_table())).collect()
}

/// Packages by the names that manifests give them: those that every crate of the workspace asks for, and that are not in it.
fn direct_dependencies() -> BTreeMap<String, String> {
    let manifests = texts(&["Cargo.toml"]);
    let manifests: Vec<toml::Table> = manifests
        .iter()
        .filter(|(name, _)| *name == "Cargo.toml" || name.starts_with("crates/"))
        .map(|(_, text)| text.parse().unwrap())
        .collect();
    let shared = manifests.iter().filter_map(|manifest| manifest.get("workspace")?.get("dependencies")?.as_table());
    let shared: Vec<(&String, &toml::Value)> = shared.flatten().collect();
    let mut found = BTreeMap::new();
    for (name, value) in manifests.iter().flat_map(tables_of_dependencies).flatten() {
        let inherited = value.get("workspace").is_some_and(|inherits| inherits.as_bool() == Some(true));
        let value = match shared.iter().find(|(shared, _)| inherited && *shared == name) {
            Some((_, value)) => value,
            None => value,
        };
        if value.get("path").is_none() {
            let package = value.get("package").and_then(toml::Value::as_str).unwrap_or(name);
            found.insert(name.clone(), package.to_owned());
        }
    }
    found
}

#[test]
fn every_dependency_is_explained_and_every_explained_crate_is_one() {
    let text = fs::read_to_string(repository("docs/dependencies.md")).unwrap();
    let lock: toml::Table = fs::read_to_string(repository("Cargo.lock")).unwrap().parse().unwrap();
    let locked: BTreeSet<&str> =
        lock["package"].as_array().unwrap().iter().map(|package| package["name"].as_str().unwrap()).collect();
    let direct = direct_dependencies();
    assert!(direct.len() > 30, "{direct:?}");
    let crates = regex(r"`([a-z][a-z0-9_-]*)`");
    // The first column: what stands in brackets there are features and other names.
    let brackets = regex(r"\([^)]*\)|with `[^`]*`");
    let tabled = text.lines().filter(|line| line.starts_with("| `")).filter_map(|line| line.split('|').nth(1));
    let cells: Vec<String> = tabled.map(|cell| brackets.replace_all(cell, "").into_owned()).collect();
    let named: BTreeSet<&str> =
        cells.iter().flat_map(|cell| crates.captures_iter(cell)).map(|found| found.extract::<1>().1[0]).collect();
    let package = |name: &str| direct.get(name).cloned().unwrap_or_else(|| name.to_owned());
    let unknown: Vec<_> = named.iter().filter(|name| !locked.contains(&*package(name))).collect();
    assert!(unknown.is_empty(), "docs/dependencies.md names what is not in Cargo.lock: {unknown:?}");
    let is_said = |name: &str| text.contains(&format!("`{name}`"));
    let unsaid: Vec<_> = direct.iter().filter(|(name, package)| !is_said(name) && !is_said(package)).collect();
    assert!(unsaid.is_empty(), "docs/dependencies.md does not say why these are there: {unsaid:?}");
}

#[test]
fn the_picture_of_the_flow_names_types_that_there_are() {
    let text = fs::read_to_string(repository("docs/flow.md")).unwrap();
    let row = regex(r"(?m)^\| `(?:\w+::)*(\w+)::(\w+)` \|");
    let code = texts(&[".rs"]);
    let mut seen = 0;
    for (module, noun) in row.captures_iter(&text).map(|row| (row[1].to_owned(), row[2].to_owned())) {
        seen += 1;
        let defined = regex(&format!(r"\bpub (?:struct|enum) {noun}\b"));
        let is_there = code.iter().any(|(path, text)| path.contains(&module) && defined.is_match(text));
        assert!(is_there, "{module}::{noun}");
        assert!(text.contains(&format!(" {noun}")), "the picture does not show {noun}");
    }
    assert!(seen > 8, "{seen}");
}

#[test]
fn the_session_of_the_readme_is_what_the_program_prints() {
    let readme = fs::read_to_string(repository("README.md")).unwrap();
    let shown = readme.split_once("## Two minutes").unwrap().1;
    let shown = shown.split_once("```console\n").unwrap().1.split_once("```").unwrap().0;

    let mut world = World::new();
    let home = world.root().join("home");
    let bin = world.root().join("bin");
    fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_tool"), bin.join("tool")).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    world.set("PATH", path).set("GNUPGHOME", home.join("none").display().to_string());
    let plugin = repository("testdata/plugins/greet");
    for entry in walkdir::WalkDir::new(&plugin).into_iter().map(Result::unwrap) {
        let to = home.join("greet").join(entry.path().strip_prefix(&plugin).unwrap());
        match entry.file_type().is_dir() {
            true => fs::create_dir(to).unwrap(),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
    for (key, name) in [("tour.sec.asc", "signing-key.asc"), ("tour.asc", "author.asc"), ("stranger.asc", "stranger.asc")] {
        fs::copy(repository(&format!("testdata/keys/{key}")), home.join(name)).unwrap();
    }

    let mut session = Vec::new();
    for command in shown.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let ran = finish(world.shell(&format!("exec 2>&1\n{command}")).current_dir(&home));
        session.push(format!("$ {command}\n{}", ran.stdout));
    }
    let time = regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ");
    let session = session.join("\n").replace(home.to_str().unwrap(), "~");
    assert_data_eq!(time.replace_all(&session, "[TIME]").into_owned(), time.replace_all(shown, "[TIME]").into_owned());
}
