//! Whole changes of a store, and what lists, the gate and receipts make of them.

mod gate;
mod kills;
mod receipts;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::*;
use crate::digest::Sha256Digest;
use crate::host::{ChosenDirectory, SettingOrigin};
use crate::intake::package::FetchedPackage;
use crate::intake::provenance::{Requirement, VerifiedPackage, verify};
use crate::report::{NoReport, Report, ReportEvent};
use crate::settings::GateMode;
use crate::text::{masked_source, without_credentials};

/// A store in a temporary directory.
struct Fixture {
    dir: tempfile::TempDir,
    store: Store,
}

/// A store with `n` roots below `dir`.
fn store_in(dir: &Path, n: usize) -> Store {
    let chosen = |name: &str| ChosenDirectory { path: dir.join(name), origin: SettingOrigin::Default };
    let root = |i| dir.join(if i == 0 { "plugins".to_owned() } else { format!("plugins{i}") });
    let homes = Homes {
        data: chosen("data"),
        cache: chosen("cache"),
        config: chosen("config"),
        plugins: (0..n).map(root).collect(),
        plugins_origin: SettingOrigin::Default,
    };
    Store::open(&Host::tool().reserve("get"), &homes, Limits::default())
}

impl Fixture {
    fn new() -> Self {
        Self::with_roots(1)
    }

    fn with_roots(n: usize) -> Self {
        // In memory where there is such a place: hundreds of stores are made here.
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let store = store_in(dir.path(), n);
        Self { dir, store }
    }

    fn plugins(&self) -> &Path {
        self.store.directory()
    }

    fn plugin(&self, name: &str) -> PathBuf {
        self.plugins().join(name)
    }

    /// A package of plugin `name`, whose script says `text`.
    fn verified(&self, name: &str, version: &str, text: &str) -> VerifiedPackage {
        let path = self.dir.path().join(format!("{name}-{version}-{}.tgz", fastrand()));
        let gz = flate2::write::GzEncoder::new(fs::File::create(&path).unwrap(), flate2::Compression::fast());
        let mut tar = tar::Builder::new(gz);
        for (file, content, mode) in [
            ("plugin.yaml", manifest_text(name, version), 0o644),
            ("run.sh", format!("#!/bin/sh\necho {text}\n"), 0o755),
            ("lib/helper.sh", format!("# helper {text}\n"), 0o644),
            ("README.md", format!("about {text}\n"), 0o644),
        ] {
            let mut header = tar::Header::new_ustar();
            header.set_mode(mode);
            header.set_size(content.len() as u64);
            header.set_cksum();
            tar.append_data(&mut header, format!("{name}/{file}"), content.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap();
        let asked = format!("https://ann:secret@example.com/{name}-{version}.tgz?token=abc");
        let provenance = format!("provenance of {name} {version}").into_bytes();
        let fetched = FetchedPackage::made_up(path, format!("{name}-{version}.tgz"), asked, provenance);
        let digest = fetched.digest();
        verify(fetched, &Requirement::Digest(digest), &Limits::default()).unwrap()
    }

    fn install(&self, name: &str, version: &str, text: &str, replace: bool) -> Result<(), StoreError> {
        let lock = self.store.lock(&NoReport)?;
        let staged = lock.stage(self.verified(name, version, text), &NoReport)?;
        lock.commit(staged, InstallDetails::default(), replace, false)?.finish()
    }

    fn by_hand(&self, root: &Path, dir: &str, name: &str, version: &str) {
        let dir = root.join(dir);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("plugin.yaml"), manifest_text(name, version)).unwrap();
        fs::write(dir.join("run.sh"), "#!/bin/sh\necho by hand\n").unwrap();
    }

    fn open(&self, name: &str) -> Result<Plugin, GateError> {
        self.store.open_plugin(name, GateMode::Require)
    }

    /// Everything in the plugin directory but the lock: path to content, receipts without what differs between runs.
    fn snapshot(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for entry in walkdir::WalkDir::new(self.plugins()).min_depth(1) {
            let entry = entry.unwrap();
            let path = entry.path().strip_prefix(self.plugins()).unwrap().to_str().unwrap().to_owned();
            if path == ".state/lock" {
                continue;
            }
            let content = if entry.path_is_symlink() {
                format!("-> {}", fs::read_link(entry.path()).unwrap().display())
            } else if entry.file_type().is_dir() {
                "directory".to_owned()
            } else if path.ends_with(".json") {
                let mut value = serde_json::from_slice(&fs::read(entry.path()).unwrap()).unwrap();
                strip(&mut value);
                value.to_string()
            } else {
                // Packages are compressed: their digest is shorter to compare.
                let mode = tree::mode(&fs::metadata(entry.path()).unwrap());
                format!("{:?} {mode:o}", Sha256Digest::of_file(entry.path()).unwrap())
            };
            found.insert(path, content);
        }
        found
    }
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for key in ["tree", "stampedAt", "stamp", "installedAt", "updatedAt"] {
                map.remove(key);
            }
            map.values_mut().for_each(strip);
        }
        Value::Array(values) => values.iter_mut().for_each(strip),
        _ => {}
    }
}

fn fastrand() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn manifest_text(name: &str, version: &str) -> String {
    format!(
        "apiVersion: v1\ntype: cli/v1\nname: {name}\nversion: {version}\nruntime: subprocess\nconfig:\n  shortHelp: says \
         hello\n  usage: ''\n  longHelp: ''\nruntimeConfig:\n  platformCommand:\n    - command: sh\n      args: \
         [\"-c\", \"$TOOL_PLUGIN_DIR/run.sh\", \"${{HELM_PLUGIN_DIR}}/lib/helper.sh\"]\n"
    )
}

fn hooked(fixture: &Fixture, name: &str, version: &str, fails: bool) -> Result<(), StoreError> {
    let lock = fixture.store.lock(&NoReport)?;
    let staged = lock.stage(fixture.verified(name, version, version), &NoReport)?;
    let transaction = lock.commit(staged, InstallDetails::default(), true, true)?;
    // The hook.
    let dir = transaction.directory();
    let _ = fs::write(dir.join("made"), "by the hook");
    let _ = fs::write(dir.join("README.md"), "changed by the hook");
    if fails { transaction.undo() } else { transaction.finish() }
}

/// Collects notices and warnings.
#[derive(Default)]
struct Told(std::sync::Mutex<Vec<String>>);

impl Report for Told {
    fn event(&self, event: ReportEvent<'_>) {
        if let ReportEvent::Notice(text) | ReportEvent::Warning(text) = event {
            self.0.lock().unwrap().push(text.to_owned());
        }
    }
}

#[test]
fn installs_updates_rolls_back_and_removes() {
    let f = Fixture::new();
    assert!(f.store.list().unwrap().plugins.is_empty());
    assert!(!f.plugins().exists(), "reading made the directory");

    f.install("foo", "1.0.0", "one", false).unwrap();
    let plugin = f.open("foo").unwrap();
    assert_eq!(plugin.metadata.version_text(), "1.0.0");
    let receipt = f.store.receipt(&f.store.find("foo").unwrap().unwrap()).unwrap().unwrap();
    let names = |files: &[FileRecord]| files.iter().map(|file| file.path.clone()).collect::<Vec<_>>();
    assert_eq!(names(&receipt.executables), ["lib/helper.sh", "plugin.yaml", "run.sh"]);
    assert_eq!(names(&receipt.files), ["README.md"]);
    assert_eq!(receipt.verified.by, VerificationMethod::Digest);
    assert!(f.plugin("foo-1.0.0.tgz").is_file() && f.plugin("foo-1.0.0.tgz.prov").is_file());

    let error = f.install("foo", "2.0.0", "two", false).unwrap_err();
    assert!(matches!(error, StoreError::AlreadyInstalled { ref version, .. } if version == "1.0.0"), "{error}");
    f.install("foo", "2.0.0", "two", true).unwrap();
    assert!(f.plugin("foo-2.0.0.tgz").is_file() && !f.plugin("foo-1.0.0.tgz").exists());
    assert!(f.plugin(".state/previous/foo/plugin.yaml").is_file());
    assert!(f.plugin(".state/previous/foo.json").is_file() && f.plugin(".state/previous/foo.tgz.prov").is_file());
    let again = f.store.receipt(&f.store.find("foo").unwrap().unwrap()).unwrap().unwrap();
    assert_eq!(again.installed_at.as_second(), receipt.installed_at.as_second());

    f.store.lock(&NoReport).unwrap().rollback("foo").unwrap().finish().unwrap();
    assert_eq!(f.open("foo").unwrap().metadata.version_text(), "1.0.0");
    assert!(f.plugin("foo-1.0.0.tgz").is_file() && !f.plugin("foo-2.0.0.tgz").exists());
    f.store.lock(&NoReport).unwrap().rollback("foo").unwrap().finish().unwrap();
    assert_eq!(f.open("foo").unwrap().metadata.version_text(), "2.0.0");

    let removed = f.store.lock(&NoReport).unwrap().remove("foo").unwrap();
    assert_eq!((removed.name.as_str(), removed.version.as_str(), removed.link), ("foo", "2.0.0", false));
    let left: Vec<_> = f.snapshot().into_keys().collect();
    assert_eq!(left, [".state", ".state/previous", ".state/staging"]);
    assert!(matches!(f.open("foo"), Err(GateError::NotInstalled { .. })));
}

#[test]
fn i6_only_the_packages_of_exactly_this_plugin_go() {
    let f = Fixture::new();
    f.install("foo", "1.0.0", "one", false).unwrap();
    for file in ["foo-bar-1.0.0.tgz", "foo-bar-1.0.0.tgz.prov", "foo-1.0.tgz", "foobar-1.0.0.tgz", "foo-1.0.0.txt"] {
        fs::write(f.plugin(file), "").unwrap();
    }
    fs::write(f.plugin("foo-0.9.0-rc.1+b.tgz"), "").unwrap();
    f.store.lock(&NoReport).unwrap().remove("foo").unwrap();
    let left: Vec<_> = f.snapshot().into_keys().filter(|path| !path.starts_with('.')).collect();
    assert_eq!(left, ["foo-1.0.0.txt", "foo-1.0.tgz", "foo-bar-1.0.0.tgz", "foo-bar-1.0.0.tgz.prov", "foobar-1.0.0.tgz"]);
}

#[cfg(unix)]
#[test]
fn i6_a_link_is_unlinked_and_broken_plugins_go_by_their_directory() {
    let f = Fixture::new();
    let source = f.dir.path().join("source");
    f.by_hand(&source, "anything", "dev", "1.0.0");
    let lock = f.store.lock(&NoReport).unwrap();
    let staged = lock.stage_link(&source.join("anything")).unwrap();
    lock.commit(staged, InstallDetails::default(), false, false).unwrap().finish().unwrap();
    assert_eq!(fs::read_link(f.plugin("dev")).unwrap(), source.join("anything"));
    // Its files are nobody's business.
    fs::write(source.join("anything/run.sh"), "changed").unwrap();
    assert!(f.open("dev").unwrap().link);
    assert!(f.store.check_all_files("dev").unwrap().is_empty());
    assert!(lock.remove("dev").unwrap().link);
    assert!(source.join("anything/run.sh").exists() && !f.plugin("dev").is_symlink());

    fs::create_dir_all(f.plugin("bro.ken")).unwrap();
    fs::write(f.plugin("bro.ken/plugin.yaml"), "name: [").unwrap();
    std::os::unix::fs::symlink("/nowhere", f.plugin("dangling")).unwrap();
    fs::create_dir_all(f.plugin("no-plugin")).unwrap();
    let listing = f.store.list().unwrap();
    let rows: Vec<_> = listing.plugins.iter().map(|row| (row.name.as_str(), row.status)).collect();
    assert_eq!(rows, [("bro.ken", Status::Broken), ("dangling", Status::Broken)]);
    assert_eq!(listing.warnings.len(), 2);
    lock.remove("bro.ken").unwrap();
    lock.remove("dangling").unwrap();
    assert!(matches!(lock.remove("no-plugin"), Err(StoreError::NotInstalled { .. })));
    assert!(matches!(lock.remove("../source"), Err(StoreError::NotInstalled { .. })));
    assert!(matches!(lock.remove(".state"), Err(StoreError::NotInstalled { .. })));
}

#[cfg(unix)]
#[test]
fn i4_what_is_in_the_way_is_named() {
    let f = Fixture::new();
    fs::create_dir_all(f.plugins()).unwrap();
    std::os::unix::fs::symlink("/nowhere", f.plugin("foo")).unwrap();
    let error = f.install("foo", "1.0.0", "one", false).unwrap_err().to_string();
    assert!(error.contains("--force") && error.contains("points nowhere"), "{error}");
    f.install("foo", "1.0.0", "one", true).unwrap();
    assert!(f.open("foo").is_ok());
    assert!(!f.plugin(".state/previous/foo").is_symlink());

    fs::write(f.plugin("bar"), "").unwrap();
    let error = f.install("bar", "1.0.0", "one", false).unwrap_err().to_string();
    assert!(error.contains("--force") && error.contains("a file"), "{error}");
    fs::create_dir(f.plugin("baz")).unwrap();
    let error = f.install("baz", "1.0.0", "one", false).unwrap_err().to_string();
    assert!(error.contains("a directory without a plugin"), "{error}");

    let error = f.install("Foo", "1.0.0", "one", true).unwrap_err();
    assert!(matches!(error, StoreError::CaseTwin { .. }), "{error}");
    f.by_hand(f.plugins(), "elsewhere", "tool-x", "1.0.0");
    let error = f.install("tool-x", "2.0.0", "one", true).unwrap_err();
    assert!(matches!(error, StoreError::Elsewhere { .. }), "{error}");
    let error = f.install("get", "2.0.0", "one", true).unwrap_err();
    assert!(matches!(error, StoreError::Reserved { .. }), "{error}");
    f.by_hand(f.plugins(), "hand", "hand", "1.0.0");
    let error = f.install("hand", "2.0.0", "one", false).unwrap_err();
    assert!(matches!(error, StoreError::AlreadyInstalled { ref version, .. } if version == "1.0.0"), "{error}");
}

#[test]
fn i3_a_failing_hook_rolls_back_and_a_good_one_is_noted() {
    let f = Fixture::new();
    hooked(&f, "foo", "1.0.0", true).unwrap();
    assert_eq!(f.snapshot().into_keys().collect::<Vec<_>>(), [".state", ".state/previous", ".state/staging"]);
    f.install("foo", "1.0.0", "one", false).unwrap();
    let before = f.snapshot();
    hooked(&f, "foo", "2.0.0", true).unwrap();
    assert_eq!(f.snapshot(), before);
    hooked(&f, "foo", "2.0.0", false).unwrap();
    let receipt = f.store.receipt(&f.store.find("foo").unwrap().unwrap()).unwrap().unwrap();
    assert_eq!(receipt.file("made").unwrap().made_by, Some(FileAuthor::Hook));
    assert_eq!(receipt.file("README.md").unwrap().made_by, Some(FileAuthor::Hook));
    assert_eq!(receipt.file("run.sh").unwrap().made_by, None);
    assert_eq!(receipt.hook, Some(HookState::Done));
    assert!(f.store.check_all_files("foo").unwrap().is_empty());
    // A plugin that its own hook modified still updates.
    f.install("foo", "3.0.0", "three", true).unwrap();
}

#[test]
fn a10_a_second_install_leaves_nothing_of_the_first() {
    let f = Fixture::new();
    f.install("foo", "1.0.0", "a long text that leaves a long tail", false).unwrap();
    fs::write(f.plugin("foo/extra"), "").unwrap();
    f.install("foo", "1.0.0", "x", true).unwrap();
    assert_eq!(fs::read_to_string(f.plugin("foo/run.sh")).unwrap(), "#!/bin/sh\necho x\n");
    assert!(!f.plugin("foo/extra").exists());
}

#[test]
fn i10_twenty_installs_at_once_never_mix() {
    let f = Fixture::new();
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..20)
            .map(|i| {
                let f = &f;
                scope.spawn(move || {
                    let version = format!("1.0.{}", i % 5);
                    f.install("foo", &version, &version, i % 2 == 0).is_ok()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(results.iter().filter(|ok| **ok).count() >= 10);
    let plugin = f.open("foo").unwrap();
    let version = plugin.metadata.version_text();
    assert_eq!(fs::read_to_string(f.plugin("foo/run.sh")).unwrap(), format!("#!/bin/sh\necho {version}\n"));
    assert!(f.store.check_all_files("foo").unwrap().is_empty());
    let packages: Vec<_> =
        f.snapshot().into_keys().filter(|path| path.ends_with(".tgz") && !path.starts_with('.')).collect();
    assert_eq!(packages, [format!("foo-{version}.tgz")]);
    assert!(fs::read_dir(f.plugin(".state/staging")).unwrap().next().is_none());
}

#[test]
fn a_busy_store_is_named_and_readers_do_not_wait() {
    let f = Fixture::new();
    f.install("foo", "1.0.0", "one", false).unwrap();
    let lock = f.store.lock(&NoReport).unwrap();
    let told = Told::default();
    let impatient = f.store.clone().lock_wait(Duration::from_millis(30));
    let error = impatient.lock(&told).unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }) && error.to_string().contains(".state/lock"), "{error}");
    assert!(told.0.lock().unwrap()[0].contains(".state/lock"));
    assert!(f.open("foo").is_ok() && f.store.list().unwrap().plugins.len() == 1);
    drop(lock);
    assert!(impatient.lock(&NoReport).is_ok());
}

#[test]
fn i9_of_two_with_one_name_the_one_whose_directory_bears_it_wins() {
    let f = Fixture::with_roots(2);
    let second = f.dir.path().join("plugins1");
    f.by_hand(f.plugins(), "a-copy", "foo", "1.0.0");
    f.by_hand(&second, "foo", "foo", "2.0.0");
    f.by_hand(&second, "z", "bar", "1.0.0");
    f.by_hand(f.plugins(), "y", "bar", "1.0.0");
    f.by_hand(f.plugins(), "get", "get", "1.0.0");
    assert_eq!(f.open("foo").unwrap().dir, second.join("foo"));
    assert_eq!(f.open("bar").unwrap().dir, f.plugin("y"));
    let listing = f.store.list().unwrap();
    let rows: Vec<_> = listing.plugins.iter().map(|row| (row.name.as_str(), row.status, row.directory.clone())).collect();
    assert_eq!(
        rows,
        [
            ("bar", Status::Ok, f.plugin("y")),
            ("bar", Status::Shadowed, second.join("z")),
            ("foo", Status::Ok, second.join("foo")),
            ("foo", Status::Shadowed, f.plugin("a-copy")),
            ("get", Status::Shadowed, f.plugin("get")),
        ]
    );
    assert_eq!(listing.warnings.len(), 3, "{:?}", listing.warnings);
    assert!(matches!(f.store.lock(&NoReport).unwrap().remove("foo"), Err(StoreError::ReadOnlyRoot { .. })));
    // A directory that holds another name does not stand for its own.
    f.by_hand(f.plugins(), "qux", "quux", "1.0.0");
    assert!(matches!(f.open("qux"), Err(GateError::NotInstalled { .. })));
    assert_eq!(f.open("quux").unwrap().dir, f.plugin("qux"));
}

#[test]
fn the_index_serves_again_and_never_lies() {
    let f = Fixture::new();
    for i in 0..5 {
        f.by_hand(f.plugins(), &format!("p{i}"), &format!("p{i}"), "1.0.0");
    }
    std::thread::sleep(Duration::from_millis(50));
    let first = f.store.list().unwrap();
    let index = walkdir::WalkDir::new(f.dir.path().join("cache")).into_iter().flatten().find(|e| e.file_type().is_file());
    let index = index.unwrap().into_path();
    let bytes = fs::read(&index).unwrap();
    assert_eq!(f.store.list().unwrap().plugins, first.plugins);
    assert_eq!(fs::read(&index).unwrap(), bytes);
    // Any damage makes it no index.
    for at in [0, 70, bytes.len() / 2, bytes.len() - 3] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        fs::write(&index, &damaged).unwrap();
        assert_eq!(f.store.list().unwrap().plugins, first.plugins);
        assert_eq!(fs::read(&index).unwrap(), bytes);
    }
    // What changes shows at once, however soon after the list.
    for round in 0..20 {
        fs::write(f.plugin("p3/plugin.yaml"), manifest_text("p3", &format!("1.0.{}", round % 10))).unwrap();
        let row = f.store.list().unwrap().plugins.remove(3);
        assert_eq!(row.version, Some(format!("1.0.{}", round % 10)));
    }
    fs::remove_dir_all(f.plugin("p1")).unwrap();
    fs::write(f.plugin("p2/plugin.yaml"), "name: [").unwrap();
    let listing = f.store.list().unwrap();
    assert_eq!(listing.plugins.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["p0", "p2", "p3", "p4"]);
    assert_eq!(listing.plugins[1].status, Status::Broken);
}

#[cfg(unix)]
#[test]
fn i8_a_read_only_store_and_cache_list_and_open() {
    use std::os::unix::fs::PermissionsExt;
    let f = Fixture::new();
    f.install("foo", "1.0.0", "one", false).unwrap();
    fs::create_dir_all(f.dir.path().join("cache")).unwrap();
    // The administrator may write everywhere: there only the paths that cannot be are tried.
    let closed = [f.plugins().join(".state"), f.plugins().to_owned(), f.dir.path().join("cache")];
    for dir in &closed {
        fs::set_permissions(dir, PermissionsExt::from_mode(0o555)).unwrap();
    }
    assert!(f.open("foo").is_ok());
    assert_eq!(f.store.list().unwrap().plugins.len(), 1);
    if !rustix::process::geteuid().is_root() {
        let error = f.store.lock(&NoReport).unwrap_err();
        assert!(matches!(error, StoreError::Io { .. }), "{error}");
    }
    for dir in &closed {
        fs::set_permissions(dir, PermissionsExt::from_mode(0o755)).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn a_copy_follows_the_rules_of_packages() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let f = Fixture::new();
    let source = f.dir.path().join("source");
    f.by_hand(&source, "foo", "foo", "1.0.0");
    let dir = source.join("foo");
    fs::create_dir_all(dir.join(".git/x")).unwrap();
    fs::create_dir_all(dir.join("lib")).unwrap();
    fs::write(dir.join("lib/a"), "a").unwrap();
    fs::set_permissions(dir.join("run.sh"), PermissionsExt::from_mode(0o6777)).unwrap();
    symlink("run.sh", dir.join("link")).unwrap();
    symlink("lib", dir.join("folder")).unwrap();
    let lock = f.store.lock(&NoReport).unwrap();
    let staged = lock.stage_directory_copy(&dir, &NoReport).unwrap();
    let found: Vec<_> = staged.files().iter().map(|file| (file.path.as_str(), file.mode)).collect();
    assert_eq!(found, [("folder/a", 0o644), ("lib/a", 0o644), ("link", 0o755), ("plugin.yaml", 0o644), ("run.sh", 0o755)]);
    lock.commit(staged, InstallDetails::default(), false, false).unwrap().finish().unwrap();
    assert!(f.open("foo").is_ok() && f.store.check_all_files("foo").unwrap().is_empty());
    assert!(!f.plugin("foo/link").is_symlink() && !f.plugin("foo/.git").exists());

    for (target, link) in
        [("/etc/passwd", "out"), ("nowhere", "dangling"), (".", "circle"), ("../..", "up"), (".git", "git")]
    {
        symlink(target, dir.join(link)).unwrap();
        let error = lock.stage_directory_copy(&dir, &NoReport).unwrap_err();
        assert!(matches!(error, StoreError::LinkLeaves { .. }), "{link}: {error}");
        fs::remove_file(dir.join(link)).unwrap();
    }
    fs::write(dir.join("a\nb"), "").unwrap();
    assert!(matches!(lock.stage_directory_copy(&dir, &NoReport), Err(StoreError::BadName { .. })));
    fs::remove_file(dir.join("a\nb")).unwrap();
    let status = std::process::Command::new("mkfifo").arg(dir.join("fifo")).status();
    if status.is_ok_and(|status| status.success()) {
        assert!(matches!(lock.stage_directory_copy(&dir, &NoReport), Err(StoreError::Tree(TreeError::Special { .. }))));
    }
    assert!(matches!(
        lock.stage_directory_copy(&f.dir.path().join("none"), &NoReport),
        Err(StoreError::NotADirectory { .. })
    ));
    f.by_hand(f.dir.path(), "", "around", "1.0.0");
    assert!(matches!(lock.stage_directory_copy(f.dir.path(), &NoReport), Err(StoreError::IntoItself { .. })));
    assert!(matches!(lock.stage_link(&f.plugin("foo")), Err(StoreError::IntoItself { .. })));
}

proptest::proptest! {
    #[test]
    fn no_secret_of_a_url_is_kept_or_shown(
        scheme in "(https?|git\\+https|oci|ssh)",
        user in "secret[a-z:@%0-9]{0,9}",
        host in "[a-z]{1,9}(:[0-9]{1,4})?",
        path in "(/[a-z@:]{0,9}){0,3}",
        query in "(\\?[a-z=]{0,3}token[a-z&@?]{0,9})?",
    ) {
        let url = format!("{scheme}://{user}@{host}{path}{query}");
        proptest::prop_assert_eq!(without_credentials(&url), format!("{scheme}://{host}{path}{query}"));
        proptest::prop_assert!(!masked_source(&url).contains("secret") && !masked_source(&url).contains("token"));
    }

    #[test]
    fn a_name_of_one_part_stays_in_the_plugin_directory(name in ".{0,12}") {
        if is_one_part(&name) {
            let path = Root(PathBuf::from("/plugins")).plugin(&name);
            proptest::prop_assert_eq!(path.parent(), Some(Path::new("/plugins")));
            proptest::prop_assert!(!path.starts_with("/plugins/.state"));
        }
    }

    #[test]
    fn a_damaged_receipt_is_an_error_and_no_panic(at in 0usize..4000, byte: u8) {
        let f = Fixture::new();
        f.install("foo", "1.0.0", "one", false).unwrap();
        let path = f.plugin(".state/foo.json");
        let mut bytes = fs::read(&path).unwrap();
        let at = at % bytes.len();
        bytes[at] = byte;
        fs::write(&path, &bytes).unwrap();
        let _ = f.open("foo");
        let _ = f.store.list().unwrap();
        f.install("foo", "1.0.0", "one", true).or_else(|e| match e {
            // A newer program's receipt is not overwritten.
            StoreError::Receipt(ReceiptError::Newer { .. }) => Ok(()),
            e => Err(e),
        }).unwrap();
    }
}

#[test]
fn i9_a_plugin_of_a_later_root_is_overridden_only_when_asked() {
    let f = Fixture::with_roots(2);
    f.by_hand(&f.dir.path().join("plugins1"), "foo", "foo", "1.0.0");
    assert!(matches!(f.install("foo", "2.0.0", "two", false), Err(StoreError::Elsewhere { .. })));
    f.install("foo", "2.0.0", "two", true).unwrap();
    assert_eq!(f.open("foo").unwrap().dir, f.plugin("foo"));
}

#[test]
fn a_directory_with_a_dot_does_not_take_the_files_of_another_plugin_along() {
    let f = Fixture::new();
    f.install("foo", "1.0.0", "one", false).unwrap();
    f.install("foo", "2.0.0", "two", true).unwrap();
    f.by_hand(f.plugins(), "foo.json", "other", "1.0.0");
    let lock = f.store.lock(&NoReport).unwrap();
    assert!(matches!(lock.rollback("other"), Err(StoreError::NoPrevious { .. })));
    lock.remove("other").unwrap();
    lock.rollback("foo").unwrap().finish().unwrap();
    assert!(f.store.receipt(&f.store.find("foo").unwrap().unwrap()).unwrap().is_some());
}

#[test]
fn pinning_is_kept_in_the_receipt() {
    let f = Fixture::new();
    f.install("foo", "1.0.0", "one", false).unwrap();
    f.by_hand(f.plugins(), "hand", "hand", "1.0.0");
    let lock = f.store.lock(&NoReport).unwrap();
    assert!(lock.set_held("foo", true).unwrap() && !lock.set_held("foo", true).unwrap());
    assert!(f.store.list().unwrap().plugins[0].held);
    assert!(matches!(lock.set_held("hand", true), Err(StoreError::NoReceipt { .. })));
    assert!(matches!(lock.set_held("none", true), Err(StoreError::NotInstalled { .. })));
}

#[test]
fn packages_are_told_apart_by_name() {
    for (file, name, is) in [
        ("foo-1.0.0.tgz", "foo", true),
        ("foo-1.0.0.tgz.prov", "foo", true),
        ("foo-1.0.0-rc.1+x.tgz", "foo", true),
        ("foo-bar-1.0.0.tgz", "foo", false),
        ("foo-bar-1.0.0.tgz", "foo-bar", true),
        ("foo-1-1.0.0.tgz", "foo", false),
        ("foo-1.0.0.tar.gz", "foo", false),
        ("foo-v1.0.0.tgz", "foo", false),
        ("foo.tgz", "foo", false),
    ] {
        assert_eq!(is_package_of(file, name), is, "{file}");
    }
}
