//! Kills at every step of every change, and of whole processes.

use super::*;
use crate::store::disk::crash;
use crate::store::disk::tests::{LOWER, WITHOUT_EXCHANGE};

/// What a change is tried with: a store as it is before, and the change.
struct Scenario {
    name: &'static str,
    before: fn(&Fixture),
    change: fn(&Fixture) -> Result<(), StoreError>,
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
    Scenario { name: "install with a hook that fails", before: |_| {}, change: |f| hooked(f, "foo", "1.0.0", true) },
    Scenario {
        name: "update with a hook that fails",
        before: |f| {
            f.install("foo", "1.0.0", "one", false).unwrap();
            f.install("foo", "1.1.0", "two", true).unwrap();
        },
        change: |f| hooked(f, "foo", "2.0.0", true),
    },
    Scenario {
        name: "a link over a plugin",
        before: |f| f.install("foo", "1.0.0", "one", false).unwrap(),
        change: |f| {
            let source = f.dir.path().join("source");
            f.by_hand(&source, "foo", "foo", "3.0.0");
            let lock = f.store.lock(&NoReport)?;
            let staged = lock.stage_link(&source.join("foo"))?;
            lock.commit(staged, InstallDetails::default(), true, false)?.finish()
        },
    },
    Scenario {
        name: "rollback",
        before: |f| {
            f.install("foo", "1.0.0", "one", false).unwrap();
            f.install("foo", "2.0.0", "two", true).unwrap();
        },
        change: |f| f.store.lock(&NoReport)?.rollback("foo")?.finish(),
    },
    Scenario {
        name: "remove",
        before: |f| {
            f.install("foo", "1.0.0", "one", false).unwrap();
            f.install("foo", "2.0.0", "two", true).unwrap();
            f.install("foo-bar", "1.0.0", "other", false).unwrap();
        },
        change: |f| f.store.lock(&NoReport)?.remove("foo").map(|_| ()),
    },
    Scenario {
        name: "remove a copy made by hand",
        before: |f| f.by_hand(f.plugins(), "foo", "foo", "0.1.0"),
        change: |f| f.store.lock(&NoReport)?.remove("foo").map(|_| ()),
    },
    Scenario {
        name: "restore the same version",
        before: |f| {
            f.install("foo", "1.0.0", "one", false).unwrap();
            f.install("foo", "1.1.0", "two", true).unwrap();
            fs::write(f.plugin("foo").join("run.sh"), "tampered").unwrap();
        },
        change: |f| {
            let lock = f.store.lock(&NoReport)?;
            let staged = lock.stage(f.verified("foo", "1.1.0", "two"), &NoReport)?;
            lock.restore(staged, f.store.damage("foo")?)
        },
    },
    Scenario {
        name: "restore the version before",
        before: |f| {
            f.install("foo", "1.0.0", "one", false).unwrap();
            f.install("foo", "1.1.0", "two", true).unwrap();
            fs::write(f.plugin(".state/previous/foo/run.sh"), "tampered").unwrap();
        },
        change: |f| {
            let lock = f.store.lock(&NoReport)?;
            let staged = lock.stage(f.verified("foo", "1.0.0", "one"), &NoReport)?;
            lock.restore_previous(staged, &f.store.damage("foo")?)
        },
    },
    Scenario {
        name: "pin a plugin whose directory was renamed",
        before: |f| {
            f.install("foo", "1.0.0", "one", false).unwrap();
            fs::rename(f.plugin("foo"), f.plugin("bar")).unwrap();
        },
        change: |f| f.store.lock(&NoReport)?.restore_directory_name("foo").map(|_| ()),
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

/// What the file system can do.
#[derive(Debug, Clone, Copy, PartialEq)]
enum FileSystem {
    Exchanges,
    RenamesAlone,
    /// What was there before the change lies in a lower layer of overlayfs, so that its directories cannot be renamed.
    Layered,
}

impl FileSystem {
    /// Makes this thread find it below `fixture`.
    fn mount(self, fixture: &Fixture) {
        WITHOUT_EXCHANGE.set(self == Self::RenamesAlone);
        let lower = [fixture.plugin("foo"), fixture.plugin("bar"), fixture.plugin(".state/previous/foo")];
        LOWER.set(lower.into_iter().filter(|path| self == Self::Layered && path.exists()).collect());
    }
}

#[test]
fn a11_a_kill_at_any_step_leaves_the_old_state_or_the_new() {
    for scenario in SCENARIOS {
        for system in [FileSystem::Exchanges, FileSystem::RenamesAlone, FileSystem::Layered] {
            let (before, after) = {
                let fixture = Fixture::new();
                (scenario.before)(&fixture);
                drop(fixture.store.lock(&NoReport).unwrap());
                let before = portable(&fixture);
                (scenario.change)(&fixture).unwrap();
                (before, portable(&fixture))
            };
            let mut steps = 0;
            let mut olds = 0;
            loop {
                let fixture = Fixture::new();
                (scenario.before)(&fixture);
                drop(fixture.store.lock(&NoReport).unwrap());
                system.mount(&fixture);
                crash::after(Some(steps));
                let result = (scenario.change)(&fixture);
                let killed = crash::happened();
                crash::after(None);
                let at = format!("{} ({system:?}), killed after {steps} steps: {result:?}", scenario.name);

                // Whoever reads before the next writer sees no mixture either.
                match fixture.open("foo") {
                    Ok(_) | Err(GateError::NotInstalled { .. }) => {}
                    Err(GateError::Changed { .. }) if scenario.name.contains("the same version") => {}
                    // It waits as long as that is under way, see below.
                    Err(_) if fixture.store.root().renewed().exists() => {}
                    Err(e) => panic!("{at}: {e}"),
                }
                fixture.store.list().unwrap();

                // The next writer may be killed as well, at any of its own steps.
                for recovery_steps in 0..steps % 8 {
                    crash::after(Some(recovery_steps));
                    let _ = fixture.store.lock(&NoReport).map(drop);
                    crash::after(None);
                }
                drop(fixture.store.lock(&NoReport).unwrap_or_else(|e| panic!("{at}: {e}")));
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
                LOWER.take();
                if !killed {
                    break;
                }
                steps += 1;
            }
            assert!(olds > 0 && steps > 1, "{}: {olds} of {steps}", scenario.name);
        }
    }
}

#[test]
fn a11_a_reader_waits_for_a_plugin_of_a_lower_layer_that_is_away() {
    let by_hand: fn(&Fixture) = |f| f.by_hand(f.plugins(), "foo", "foo", "0.1.0");
    let installed: fn(&Fixture) = |f| f.install("foo", "1.0.0", "one", false).unwrap();
    for before in [by_hand, installed] {
        let mut waited = 0;
        for steps in 0..60 {
            let fixture = Fixture::new();
            before(&fixture);
            drop(fixture.store.lock(&NoReport).unwrap());
            FileSystem::Layered.mount(&fixture);
            crash::after(Some(steps));
            let _ = fixture.install("foo", "2.0.0", "two", true);
            crash::after(None);
            FileSystem::Exchanges.mount(&fixture);
            if !fixture.store.root().renewed().exists() {
                continue;
            }
            waited += 1;
            let mut retry = crate::store::retry::ReadRetry::new(&fixture.store, "foo");
            assert!(retry.should_retry() && retry.should_retry(), "{steps} steps: nobody looks again");
            drop(fixture.store.lock(&NoReport).unwrap());
            fixture.open("foo").unwrap_or_else(|e| panic!("{steps} steps: {e}"));
        }
        assert!(waited > 3, "{waited}");
    }
}

/// The environment variable that tells [`victim`] where its store is.
const VICTIM: &str = "PLUGSMITH_TEST_VICTIM";

/// Changes a store until it is killed. It is started by [`a11_a_killed_process_leaves_the_old_state_or_the_new`].
#[test]
#[ignore = "runs until it is killed"]
fn victim() {
    let Some(dir) = std::env::var_os(VICTIM) else { return };
    let dir = Path::new(&dir);
    let store = store_in(dir, 1);
    // Within the store's own directory, since nothing of this process tidies up.
    let packages = Fixture { dir: tempfile::tempdir_in(dir).unwrap(), store: store.clone() };
    for round in 0.. {
        let version = format!("1.{}.0", round % 3);
        let lock = store.lock(&NoReport).unwrap();
        if round % 4 == 3 {
            lock.remove("foo").unwrap();
            continue;
        }
        let staged = lock.stage(packages.verified("foo", &version, &version), &NoReport).unwrap();
        let transaction = lock.commit(staged, InstallDetails::default(), true, round % 2 == 0).unwrap();
        fs::write(transaction.directory().join("made"), "by the hook").unwrap();
        transaction.finish().unwrap();
    }
}

#[test]
fn a11_a_killed_process_leaves_the_old_state_or_the_new() {
    let f = Fixture::new();
    for kill in 0..40u64 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::kills::victim", "--ignored"])
            .env(VICTIM, f.dir.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        while !f.plugins().exists() {
            std::thread::sleep(Duration::from_millis(1));
        }
        // Some while after its start, at a moment that differs from kill to kill.
        std::thread::sleep(Duration::from_micros(20_000 + kill * 7_919 % 20_000));
        child.kill().unwrap();
        child.wait().unwrap();

        drop(f.store.lock(&NoReport).unwrap());
        assert!(fs::read_dir(f.plugin(".state/staging")).unwrap().next().is_none());
        let packages: Vec<_> =
            f.snapshot().into_keys().filter(|path| path.ends_with(".tgz") && !path.starts_with('.')).collect();
        match f.open("foo") {
            Ok(plugin) => {
                let version = plugin.metadata.version_text();
                assert_eq!(plugin.receipt.unwrap().version, Some(version.clone()));
                // What the victim made without a hook is not in the receipt.
                let found = f.store.check_all_files("foo").unwrap();
                assert!(found.differences.is_empty() && found.made.iter().all(|path| path == "made"), "{found:?}");
                assert_eq!(packages, [format!("foo-{version}.tgz")]);
            }
            Err(GateError::NotInstalled { .. }) => {
                assert_eq!(packages, Vec::<String>::new());
                assert!(!f.plugin(".state/foo.json").exists() && !f.plugin("foo").exists());
            }
            Err(e) => panic!("kill {kill}: {e}"),
        }
    }
}
