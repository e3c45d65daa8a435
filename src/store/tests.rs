//! Whole changes of a store, and kills at every one of their steps.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::disk::{crash, tests::WITHOUT_EXCHANGE};
use super::*;
use crate::digest::Sha256Digest;
use crate::host::{Chosen, Origin};
use crate::package::Fetched;
use crate::provenance::{Requirement, Verified, verify};
use crate::report::{Event, Report, Silent};
use crate::settings::Gate;

/// A store in a temporary directory.
struct Fixture {
    dir: tempfile::TempDir,
    store: Store,
}

impl Fixture {
    fn new() -> Self {
        Self::with_roots(1)
    }

    fn with_roots(n: usize) -> Self {
        // Every receipt is synced: in memory, where there is such a place, that costs nothing.
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let chosen = |name: &str| Chosen { path: dir.path().join(name), origin: Origin::Default };
        let plugins =
            (0..n).map(|i| dir.path().join(if i == 0 { "plugins".into() } else { format!("plugins{i}") })).collect();
        let homes = Homes {
            data: chosen("data"),
            cache: chosen("cache"),
            config: chosen("config"),
            plugins,
            plugins_origin: Origin::Default,
        };
        let host = Host::tool().reserve("get");
        let store = Store::open(&host, &homes, Limits::default());
        Self { dir, store }
    }

    fn plugins(&self) -> &Path {
        self.store.directory()
    }

    fn plugin(&self, name: &str) -> PathBuf {
        self.plugins().join(name)
    }

    /// A package of plugin `name`, whose script says `text`.
    fn verified(&self, name: &str, version: &str, text: &str) -> Verified {
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
        let (digest, size) = Sha256Digest::of_file(&path).unwrap();
        let mut fetched = Fetched::new(path, format!("{name}-{version}.tgz"), digest, size);
        fetched.provenance = Some(format!("provenance of {name} {version}").into_bytes());
        fetched.origin.asked = format!("https://ann:secret@example.com/{name}-{version}.tgz?token=abc");
        verify(fetched, &Requirement::Digest(digest), &Limits::default()).unwrap()
    }

    fn install(&self, name: &str, version: &str, text: &str, replace: bool) -> Result<(), StoreError> {
        let lock = self.store.lock(&Silent)?;
        let staged = lock.stage(self.verified(name, version, text), &Silent)?;
        lock.commit(staged, Arrival::default(), replace, false)?.finish()
    }

    fn by_hand(&self, root: &Path, dir: &str, name: &str, version: &str) {
        let dir = root.join(dir);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("plugin.yaml"), manifest_text(name, version)).unwrap();
        fs::write(dir.join("run.sh"), "#!/bin/sh\necho by hand\n").unwrap();
    }

    fn open(&self, name: &str) -> Result<Plugin, GateError> {
        self.store.open_plugin(name, Gate::Require)
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

/// What a change is tried with: a store as it is before, and the change.
struct Scenario {
    name: &'static str,
    before: fn(&Fixture),
    change: fn(&Fixture) -> Result<(), StoreError>,
}

fn hooked(fixture: &Fixture, name: &str, version: &str, fails: bool) -> Result<(), StoreError> {
    let lock = fixture.store.lock(&Silent)?;
    let staged = lock.stage(fixture.verified(name, version, version), &Silent)?;
    let committed = lock.commit(staged, Arrival::default(), true, true)?;
    // The hook.
    let dir = committed.directory();
    let _ = fs::write(dir.join("made"), "by the hook");
    let _ = fs::write(dir.join("README.md"), "changed by the hook");
    if fails { committed.undo() } else { committed.finish() }
}

const SCENARIOS: &[Scenario] = &[
    Scenario { name: "install", before: |_| {}, change: |f| f.install("foo", "1.0.0", "one", false) },
    Scenario {
        name: "update",
        before: |f| {
            f.install("foo", "1.0.0", "one", false).unwrap();
            f.install("foo", "1.1.0", "two", true).unwrap();
        },
        change: |f| f.install("foo", "2.0.0", "three", true),
    },
    Scenario {
        name: "the same version again",
        before: |f| {
            f.install("foo", "1.0.0", "one", false).unwrap();
            f.install("foo", "1.1.0", "two", true).unwrap();
            fs::write(f.plugin("foo").join("run.sh"), "tampered").unwrap();
        },
        change: |f| f.install("foo", "1.1.0", "two", true),
    },
    Scenario {
        name: "over a copy made by hand",
        before: |f| f.by_hand(f.plugins(), "foo", "foo", "0.1.0"),
        change: |f| f.install("foo", "1.0.0", "one", true),
    },
    Scenario {
        name: "over a file",
        before: |f| {
            fs::create_dir_all(f.plugins()).unwrap();
            fs::write(f.plugin("foo"), "a file").unwrap();
        },
        change: |f| f.install("foo", "1.0.0", "one", true),
    },
    Scenario { name: "install with a hook", before: |_| {}, change: |f| hooked(f, "foo", "1.0.0", false) },
    Scenario {
        name: "update with a hook",
        before: |f| {
            f.install("foo", "1.0.0", "one", false).unwrap();
            f.install("foo", "1.1.0", "two", true).unwrap();
        },
        change: |f| hooked(f, "foo", "2.0.0", false),
    },
    Scenario {
        name: "a link over a plugin",
        before: |f| f.install("foo", "1.0.0", "one", false).unwrap(),
        change: |f| {
            let source = f.dir.path().join("source");
            f.by_hand(&source, "foo", "foo", "3.0.0");
            let lock = f.store.lock(&Silent)?;
            let staged = lock.stage_link(&source.join("foo"))?;
            lock.commit(staged, Arrival::default(), true, false)?.finish()
        },
    },
    Scenario {
        name: "rollback",
        before: |f| {
            f.install("foo", "1.0.0", "one", false).unwrap();
            f.install("foo", "2.0.0", "two", true).unwrap();
        },
        change: |f| f.store.lock(&Silent)?.rollback("foo")?.finish(),
    },
    Scenario {
        name: "remove",
        before: |f| {
            f.install("foo", "1.0.0", "one", false).unwrap();
            f.install("foo", "2.0.0", "two", true).unwrap();
            f.install("foo-bar", "1.0.0", "other", false).unwrap();
        },
        change: |f| f.store.lock(&Silent)?.remove("foo").map(|_| ()),
    },
    Scenario {
        name: "remove a copy made by hand",
        before: |f| f.by_hand(f.plugins(), "foo", "foo", "0.1.0"),
        change: |f| f.store.lock(&Silent)?.remove("foo").map(|_| ()),
    },
];

/// The state after the scenario's change, without a kill. Links and packages hold the fixture's paths and are told apart by
/// their presence alone.
fn portable(fixture: &Fixture) -> BTreeMap<String, String> {
    let mut found = fixture.snapshot();
    let here = fixture.dir.path().to_str().unwrap();
    for content in found.values_mut() {
        *content = content.replace(here, "<fixture>");
    }
    found
}

#[test]
fn a11_a_kill_at_any_step_leaves_the_old_state_or_the_new() {
    for scenario in SCENARIOS {
        for without_exchange in [false, true] {
            let (before, after) = {
                let fixture = Fixture::new();
                (scenario.before)(&fixture);
                drop(fixture.store.lock(&Silent).unwrap());
                let before = portable(&fixture);
                (scenario.change)(&fixture).unwrap();
                (before, portable(&fixture))
            };
            assert_ne!(before, after);
            let mut steps = 0;
            let mut olds = 0;
            loop {
                let fixture = Fixture::new();
                (scenario.before)(&fixture);
                drop(fixture.store.lock(&Silent).unwrap());
                WITHOUT_EXCHANGE.set(without_exchange);
                crash::after(Some(steps));
                let result = (scenario.change)(&fixture);
                let killed = crash::happened();
                crash::after(None);
                let at = format!("{} ({without_exchange}), killed after {steps} steps: {result:?}", scenario.name);

                // Whoever reads before the next writer sees no mixture either.
                match fixture.open("foo") {
                    Ok(_) | Err(GateError::NotInstalled { .. }) => {}
                    Err(GateError::Changed { .. }) if scenario.name == "the same version again" => {}
                    Err(e) => panic!("{at}: {e}"),
                }
                fixture.store.list().unwrap();

                let told = Told::default();
                drop(fixture.store.lock(&told).unwrap_or_else(|e| panic!("{at}: {e}")));
                WITHOUT_EXCHANGE.set(false);
                let now = portable(&fixture);
                if now == before {
                    olds += 1;
                } else {
                    assert_eq!(now, after, "{at}");
                }
                if result.is_ok() {
                    assert_eq!(now, after, "{at}");
                }
                // The next command works.
                (scenario.change)(&fixture).or_else(|e| if now == after { Ok(()) } else { Err(e) }).unwrap();
                if !killed {
                    break;
                }
                steps += 1;
            }
            assert!(olds > 1 && steps > 3, "{}: {olds} of {steps}", scenario.name);
        }
    }
}

/// Collects notices and warnings.
#[derive(Default)]
struct Told(std::sync::Mutex<Vec<String>>);

impl Report for Told {
    fn event(&self, event: Event<'_>) {
        if let Event::Notice(text) | Event::Warning(text) = event {
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
    assert_eq!(receipt.verified.by, Means::Digest);
    assert!(f.plugin("foo-1.0.0.tgz").is_file() && f.plugin("foo-1.0.0.tgz.prov").is_file());

    let error = f.install("foo", "2.0.0", "two", false).unwrap_err();
    assert!(matches!(error, StoreError::AlreadyInstalled { ref version, .. } if version == "1.0.0"), "{error}");
    f.install("foo", "2.0.0", "two", true).unwrap();
    assert!(f.plugin("foo-2.0.0.tgz").is_file() && !f.plugin("foo-1.0.0.tgz").exists());
    assert!(f.plugin(".state/previous/foo/plugin.yaml").is_file());
    assert!(f.plugin(".state/previous/foo.json").is_file() && f.plugin(".state/previous/foo.tgz.prov").is_file());
    let again = f.store.receipt(&f.store.find("foo").unwrap().unwrap()).unwrap().unwrap();
    assert_eq!(again.installed_at.as_second(), receipt.installed_at.as_second());

    f.store.lock(&Silent).unwrap().rollback("foo").unwrap().finish().unwrap();
    assert_eq!(f.open("foo").unwrap().metadata.version_text(), "1.0.0");
    assert!(f.plugin("foo-1.0.0.tgz").is_file() && !f.plugin("foo-2.0.0.tgz").exists());
    f.store.lock(&Silent).unwrap().rollback("foo").unwrap().finish().unwrap();
    assert_eq!(f.open("foo").unwrap().metadata.version_text(), "2.0.0");

    let removed = f.store.lock(&Silent).unwrap().remove("foo").unwrap();
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
    f.store.lock(&Silent).unwrap().remove("foo").unwrap();
    let left: Vec<_> = f.snapshot().into_keys().filter(|path| !path.starts_with('.')).collect();
    assert_eq!(left, ["foo-1.0.0.txt", "foo-1.0.tgz", "foo-bar-1.0.0.tgz", "foo-bar-1.0.0.tgz.prov", "foobar-1.0.0.tgz"]);
}

#[cfg(unix)]
#[test]
fn i6_a_link_is_unlinked_and_broken_plugins_go_by_their_directory() {
    let f = Fixture::new();
    let source = f.dir.path().join("source");
    f.by_hand(&source, "anything", "dev", "1.0.0");
    let lock = f.store.lock(&Silent).unwrap();
    let staged = lock.stage_link(&source.join("anything")).unwrap();
    lock.commit(staged, Arrival::default(), false, false).unwrap().finish().unwrap();
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
    assert_eq!(receipt.file("made").unwrap().made_by, Some(MadeBy::Hook));
    assert_eq!(receipt.file("README.md").unwrap().made_by, Some(MadeBy::Hook));
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
    let lock = f.store.lock(&Silent).unwrap();
    let told = Told::default();
    let impatient = f.store.clone().lock_wait(Duration::from_millis(30));
    let error = impatient.lock(&told).unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }) && error.to_string().contains(".state/lock"), "{error}");
    assert!(told.0.lock().unwrap()[0].contains(".state/lock"));
    assert!(f.open("foo").is_ok() && f.store.list().unwrap().plugins.len() == 1);
    drop(lock);
    assert!(impatient.lock(&Silent).is_ok());
}

#[cfg(unix)]
#[test]
fn p28_the_gate_notices_what_changed() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    type Tamper = fn(&Path);
    let cases: &[(&str, Tamper, Option<DifferenceKind>)] = &[
        ("run.sh", |p| fs::write(p.join("run.sh"), "#!/bin/sh\necho evil\n").unwrap(), Some(DifferenceKind::Changed)),
        // The same size.
        ("run.sh", |p| fs::write(p.join("run.sh"), "#!/bin/sh\necho two\n").unwrap(), Some(DifferenceKind::Changed)),
        ("lib/helper.sh", |p| fs::write(p.join("lib/helper.sh"), "# helper two\n").unwrap(), Some(DifferenceKind::Changed)),
        ("lib/helper.sh", |p| fs::remove_file(p.join("lib/helper.sh")).unwrap(), Some(DifferenceKind::Missing)),
        (
            "run.sh",
            |p| fs::set_permissions(p.join("run.sh"), PermissionsExt::from_mode(0o644)).unwrap(),
            Some(DifferenceKind::Mode),
        ),
        (
            "run.sh",
            |p| {
                fs::rename(p.join("run.sh"), p.join("real")).unwrap();
                symlink("real", p.join("run.sh")).unwrap();
            },
            Some(DifferenceKind::Kind),
        ),
        (
            "",
            |p| {
                fs::rename(p, p.with_file_name("foo.moved")).unwrap();
                symlink("foo.moved", p).unwrap();
            },
            Some(DifferenceKind::Kind),
        ),
        // No program, no argument: reported by verify alone.
        ("README.md", |p| fs::write(p.join("README.md"), "x").unwrap(), None),
        ("new", |p| fs::write(p.join("new"), "x").unwrap(), None),
        // Other times over the same bytes.
        (
            "run.sh",
            |p| {
                let bytes = fs::read(p.join("run.sh")).unwrap();
                fs::write(p.join("run.sh"), bytes).unwrap();
            },
            None,
        ),
    ];
    for (i, (path, tamper, want)) in cases.iter().enumerate() {
        let f = Fixture::new();
        f.install("foo", "1.0.0", "one", false).unwrap();
        tamper(&f.plugin("foo"));
        let found = f.open("foo");
        match (found, want) {
            (Ok(_), None) => {}
            (Err(e @ GateError::Changed { .. }), Some(kind)) => {
                let text = e.to_string();
                assert!(text.contains("tool plugin install --force") && text.contains("tool plugin trust foo"), "{text}");
                assert!(!text.contains("secret") && !text.contains("abc"), "{text}");
                let GateError::Changed { differences, .. } = e else { unreachable!() };
                assert_eq!(differences, [Difference { path: (*path).to_owned(), kind: *kind }], "case {i}");
                let warned = f.store.open_plugin("foo", Gate::Warn).unwrap();
                assert_eq!(warned.warnings.len(), 1);
                assert!(f.store.open_plugin("foo", Gate::Off).unwrap().warnings.is_empty());
            }
            (found, want) => panic!("case {i}: {found:?}, wanted {want:?}"),
        }
        let all = f.store.check_all_files("foo").unwrap();
        assert_eq!(all.is_empty(), i == cases.len() - 1, "case {i}: {all:?}");
        if !path.is_empty() && f.plugin("foo").join(path).exists() {
            // Accepted, it runs again.
            f.store.lock(&Silent).unwrap().trust("foo").unwrap();
            assert!(f.open("foo").is_ok(), "case {i}: {:?}", f.open("foo"));
            assert!(f.store.check_all_files("foo").unwrap().is_empty());
        }
        if !path.is_empty() {
            f.install("foo", "1.0.0", "one", true).unwrap();
            assert!(f.open("foo").is_ok() && f.store.check_all_files("foo").unwrap().is_empty());
        }
    }
}

#[test]
fn s_a_program_that_appears_after_the_install_is_refused() {
    let f = Fixture::new();
    f.install("foo", "1.0.0", "one", false).unwrap();
    let path = f.plugin("foo/plugin.yaml");
    let text = fs::read_to_string(&path).unwrap().replace("/run.sh", "/other.sh");
    fs::write(&path, text).unwrap();
    f.store.lock(&Silent).unwrap().trust("foo").unwrap();
    assert!(f.open("foo").is_ok());
    fs::write(f.plugin("foo/other.sh"), "echo evil").unwrap();
    let error = f.open("foo").unwrap_err();
    assert!(error.to_string().contains("`other.sh` was added"), "{error}");
}

#[cfg(unix)]
#[test]
fn s_what_everybody_may_write_to_is_refused_with_the_command_that_mends_it() {
    use std::os::unix::fs::PermissionsExt;
    let f = Fixture::new();
    f.install("foo", "1.0.0", "one", false).unwrap();
    f.by_hand(f.plugins(), "hand", "hand", "1.0.0");
    for path in ["foo", "foo/run.sh", "foo/lib", "hand", "hand/run.sh", ""] {
        let full = f.plugins().join(path);
        let name = if path.starts_with("hand") { "hand" } else { "foo" };
        let mode = fs::metadata(&full).unwrap().permissions().mode();
        fs::set_permissions(&full, PermissionsExt::from_mode(mode | 0o022)).unwrap();
        let error = f.open(name).unwrap_err();
        assert!(matches!(error, GateError::WorldWritable { .. }), "{path}: {error}");
        assert!(error.to_string().contains("chmod o-w"), "{error}");
        // A group that may write is fine.
        fs::set_permissions(&full, PermissionsExt::from_mode(mode | 0o020)).unwrap();
        assert!(f.open(name).is_ok(), "{path}");
        fs::set_permissions(&full, PermissionsExt::from_mode(mode)).unwrap();
    }
    fs::set_permissions(f.plugins(), PermissionsExt::from_mode(0o1777)).unwrap();
    assert!(f.open("foo").is_ok());
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
            ("foo", Status::Shadowed, f.plugin("a-copy")),
            ("foo", Status::Ok, second.join("foo")),
            ("get", Status::Shadowed, f.plugin("get")),
        ]
    );
    assert_eq!(listing.warnings.len(), 3, "{:?}", listing.warnings);
    assert!(matches!(f.store.lock(&Silent).unwrap().remove("foo"), Err(StoreError::ReadOnlyRoot { .. })));
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
        let error = f.store.lock(&Silent).unwrap_err();
        assert!(matches!(error, StoreError::Io { .. }), "{error}");
    }
    for dir in &closed {
        fs::set_permissions(dir, PermissionsExt::from_mode(0o755)).unwrap();
    }
}

#[test]
fn receipts_are_private_hold_no_secret_and_are_read_in_part() {
    let f = Fixture::new();
    f.install("foo", "1.0.0", "one", false).unwrap();
    let path = f.plugin(".state/foo.json");
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains("secret") && !text.contains("ann"), "{text}");
    assert!(text.contains("token=abc"), "the query is needed to fetch it again");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(f.plugin(".state")).unwrap().permissions().mode() & 0o777, 0o700);
    }
    let row = f.store.list().unwrap().plugins.remove(0);
    assert_eq!(row.source.as_deref(), Some("https://example.com/foo-1.0.0.tgz?***"));

    let whole = ReceiptFile::read(&path).unwrap().unwrap().current.unwrap();
    let mut many = whole.clone();
    let template = many.files[0].clone();
    many.files = (0..3000).map(|i| FileRecord { path: format!("d,\"files\":[/{i}"), ..template.clone() }).collect();
    ReceiptFile::settled(many.clone()).write(&path).unwrap();
    let head = ReceiptFile::read_head(&path).unwrap().unwrap().current.unwrap();
    assert!(head.files.is_empty() && head.executables == many.executables);
    assert_eq!(ReceiptFile::read(&path).unwrap().unwrap().current.unwrap(), many);
    // Written otherwise, it is read whole.
    let value: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    fs::write(&path, serde_json::to_vec_pretty(&value).unwrap()).unwrap();
    assert_eq!(ReceiptFile::read_head(&path).unwrap().unwrap().current.unwrap(), many);
    assert!(ReceiptFile::may_be_ahead(&path).unwrap());
    drop(f.store.lock(&Silent).unwrap());

    fs::write(&path, "{\"schemaVersion\":99,\"current\":{\"whatever\":1}}").unwrap();
    assert!(matches!(f.open("foo"), Err(GateError::Receipt(ReceiptError::Newer { found: 99, .. }))));
    fs::write(&path, "{\"schemaVersion\":1").unwrap();
    assert!(matches!(f.open("foo"), Err(GateError::Receipt(ReceiptError::Damaged { .. }))));
    assert_eq!(f.store.list().unwrap().plugins[0].status, Status::Broken);
    // It keeps nobody from installing it again.
    f.install("foo", "1.0.0", "one", true).unwrap();
    assert!(f.open("foo").is_ok());
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
    let lock = f.store.lock(&Silent).unwrap();
    let staged = lock.stage_directory_copy(&dir).unwrap();
    let found: Vec<_> = staged.files().iter().map(|file| (file.path.as_str(), file.mode)).collect();
    assert_eq!(found, [("folder/a", 0o644), ("lib/a", 0o644), ("link", 0o755), ("plugin.yaml", 0o644), ("run.sh", 0o755)]);
    lock.commit(staged, Arrival::default(), false, false).unwrap().finish().unwrap();
    assert!(f.open("foo").is_ok() && f.store.check_all_files("foo").unwrap().is_empty());
    assert!(!f.plugin("foo/link").is_symlink() && !f.plugin("foo/.git").exists());

    for (target, link) in
        [("/etc/passwd", "out"), ("nowhere", "dangling"), (".", "circle"), ("../..", "up"), (".git", "git")]
    {
        symlink(target, dir.join(link)).unwrap();
        let error = lock.stage_directory_copy(&dir).unwrap_err();
        assert!(matches!(error, StoreError::LinkLeaves { .. }), "{link}: {error}");
        fs::remove_file(dir.join(link)).unwrap();
    }
    fs::write(dir.join("a\nb"), "").unwrap();
    assert!(matches!(lock.stage_directory_copy(&dir), Err(StoreError::BadName { .. })));
    fs::remove_file(dir.join("a\nb")).unwrap();
    let status = std::process::Command::new("mkfifo").arg(dir.join("fifo")).status();
    if status.is_ok_and(|status| status.success()) {
        assert!(matches!(lock.stage_directory_copy(&dir), Err(StoreError::Tree(TreeError::Special { .. }))));
    }
    assert!(matches!(lock.stage_directory_copy(&f.dir.path().join("none")), Err(StoreError::NotADirectory { .. })));
    f.by_hand(f.dir.path(), "", "around", "1.0.0");
    assert!(matches!(lock.stage_directory_copy(f.dir.path()), Err(StoreError::IntoItself { .. })));
    assert!(matches!(lock.stage_link(&f.plugin("foo")), Err(StoreError::IntoItself { .. })));
}

#[test]
fn the_schema_and_the_receipt_agree() {
    let f = Fixture::new();
    f.install("foo", "1.0.0", "one", false).unwrap();
    hooked(&f, "foo", "2.0.0", false).unwrap();
    let schema: Value = serde_json::from_str(include_str!("../../schema/receipt.schema.json")).unwrap();
    let receipt: Value = serde_json::from_slice(&fs::read(f.plugin(".state/foo.json")).unwrap()).unwrap();
    check(&schema, &schema, &receipt, "receipt");
    let lock = f.store.lock(&Silent).unwrap();
    let staged = lock.stage(f.verified("foo", "3.0.0", "three"), &Silent).unwrap();
    let committed = lock.commit(staged, Arrival::default(), true, true).unwrap();
    let ahead: Value = serde_json::from_slice(&fs::read(f.plugin(".state/foo.json")).unwrap()).unwrap();
    assert_eq!(ahead["next"]["hook"], "pending");
    check(&schema, &schema, &ahead, "receipt");
    committed.undo().unwrap();
}

/// The keywords of JSON Schema that the schema uses; properties must be known and be there when required.
fn check(root: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        return check(root, root.pointer(reference.trim_start_matches('#')).unwrap(), value, at);
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let choice = choices.iter().find(|choice| (choice["type"] == "null") == value.is_null()).unwrap();
        return check(root, choice, value, at);
    }
    if let Some(choices) = schema["enum"].as_array() {
        assert!(choices.contains(value), "{at}: {value}");
    }
    if let Some(wanted) = schema.get("const") {
        assert_eq!(wanted, value, "{at}");
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().map(|one| one.as_str().unwrap()).collect(),
        _ => Vec::new(),
    };
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(types.is_empty() || types.contains(&is), "{at}: {is} instead of {types:?}");
    match value {
        Value::Object(map) => {
            for required in schema["required"].as_array().into_iter().flatten() {
                assert!(map.contains_key(required.as_str().unwrap()), "{at}: no {required}");
            }
            for (key, value) in map {
                let property = schema["properties"].get(key).unwrap_or_else(|| panic!("{at}.{key} is not in the schema"));
                check(root, property, value, &format!("{at}.{key}"));
            }
        }
        Value::Array(items) => {
            for item in items {
                check(root, &schema["items"], item, &format!("{at}[]"));
            }
        }
        _ => {}
    }
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

#[test]
fn urls_lose_their_credentials_and_hide_their_query() {
    for (text, stored, shown) in [
        ("https://a:b@h/x.tgz?t=1", "https://h/x.tgz?t=1", "https://h/x.tgz?***"),
        ("https://h/a@b/x.tgz", "https://h/a@b/x.tgz", "https://h/a@b/x.tgz"),
        ("git+https://tok@h:8/r", "git+https://h:8/r", "git+https://h:8/r"),
        ("https://a@b:c@h", "https://h", "https://h"),
        ("ssh://git@h/r", "ssh://git@h/r", "ssh://git@h/r"),
        ("ssh://ann:pw@h/r", "ssh://h/r", "ssh://h/r"),
        ("git@h:r", "git@h:r", "git@h:r"),
        ("./what?.tgz", "./what?.tgz", "./what?.tgz"),
    ] {
        assert_eq!(crate::text::without_credentials(text), stored);
        assert_eq!(crate::text::masked_source(text), shown);
    }
}
