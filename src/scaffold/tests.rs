//! What holds for every template at once.

use semver::Version;

use super::*;
use crate::digest::Sha256Digest;
use crate::manifest::lint::lint;
use crate::settings::Limits;

fn name(text: &str) -> PluginName {
    PluginName::new(text).unwrap()
}

/// Every combination for a plugin called `plugin`.
fn all(plugin: &str, host: &Host) -> Vec<(PluginType, Toolchain, Vec<File>)> {
    let mut all = Vec::new();
    for kind in PluginType::ALL {
        for flavour in Toolchain::ALL {
            all.push((kind, flavour, files(&name(plugin), kind, flavour, host)));
        }
    }
    all
}

#[test]
fn every_word_is_filled_in_and_every_host_is_called_by_its_name() {
    let word = regex::Regex::new("@[a-z-]+@").unwrap();
    for host in [Host::tool(), Host::new("my-app", Version::new(1, 0, 0)), Host::helm()] {
        for (kind, flavour, files) in all("greet", &host) {
            for file in files.iter().filter(|file| file.path != MODULE_NAME) {
                let text = std::str::from_utf8(&file.content).unwrap();
                assert!(!word.is_match(text), "{kind:?} {flavour:?} {}: {text}", file.path);
                assert!(text.ends_with('\n') && !text.contains("\r"), "{}", file.path);
                assert!(host.name() == "tool" || !text.contains("tool plugin"), "{}", file.path);
            }
            let text = |path: &str| {
                String::from_utf8(files.iter().find(|file| file.path == path).unwrap().content.clone()).unwrap()
            };
            assert!(text("README.md").contains(&format!("{} plugin package", host.name())));
            let program = flavour != Toolchain::Module && kind != PluginType::Getter;
            assert_eq!(text("plugin.yaml").contains("MY_APP_PLUGIN_DIR is the same"), program && host.name() == "my-app");
        }
    }
}

#[test]
fn names_that_yaml_or_urls_would_read_otherwise_lint_without_a_problem() {
    for plugin in ["greet", "9", "1e3", "null", "Yes", "_x", "http", "a", "0x10", "my_plugin-2"] {
        for (kind, flavour, files) in all(plugin, &Host::tool()) {
            let dir = tempfile::tempdir().unwrap();
            for file in files {
                let path = dir.path().join(&file.path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(&path, &file.content).unwrap();
                #[cfg(unix)]
                {
                    use std::os::unix::fs::PermissionsExt as _;
                    let mode = if file.executable { 0o755 } else { 0o644 };
                    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
                }
            }
            let problems = lint(dir.path(), &Limits::default()).problems;
            // What has to be built is not there yet.
            let problems: Vec<_> =
                problems.iter().filter(|p| !(flavour == Toolchain::Rust && p.code == "program-missing")).collect();
            assert!(problems.is_empty(), "{plugin} {kind:?} {flavour:?}: {problems:?}");
            let metadata = crate::manifest::load(dir.path(), &Limits::default()).unwrap();
            assert_eq!((metadata.name.as_str(), metadata.version_text().as_str()), (plugin, VERSION));
            assert_eq!((metadata.plugin_type(), metadata.runtime_name()), (kind.type_name(), flavour.runtime_name()));
        }
    }
}

#[test]
fn schemes_are_urls_schemes_and_nobody_elses() {
    for (plugin, expected) in
        [("s3", "s3"), ("My_Files", "my-files"), ("9p", "x-9p"), ("https", "x-https"), ("_x", "x--x"), ("c", "x-c")]
    {
        assert_eq!(scheme(&name(plugin)), expected);
    }
}

#[test]
fn only_what_goes_together_can_be_chosen() {
    use {Language as L, Runtime as R};
    assert_eq!(Toolchain::choose(R::Subprocess, None), Ok(Toolchain::Sh));
    assert_eq!(Toolchain::choose(R::Subprocess, Some(L::Rust)), Ok(Toolchain::Rust));
    assert_eq!(Toolchain::choose(R::Extism, None), Ok(Toolchain::Module));
    assert_eq!(Toolchain::choose(R::Extism, Some(L::Sh)), Err(ChoiceError::ModuleInShell));
}

/// The modules that are carried are those of the sources beside them: `scripts/modules` writes down of what it made each.
#[test]
fn carried_modules_are_made_of_these_sources() {
    let made_of = include_str!("modules/SOURCES");
    for (kind, file) in PluginType::ALL.into_iter().zip(["cli", "getter", "postrenderer", "test"]) {
        let module = Module::of(kind);
        let bytes = module.bytes();
        assert!(bytes.starts_with(b"\0asm"), "{file}");
        let source = [template!("extism/Cargo.toml.in"), module.lock, module.source].concat();
        let line = format!("{file} {} {}", Sha256Digest::of(source.as_bytes()), Sha256Digest::of(&bytes));
        assert!(made_of.lines().any(|made| made == line), "run scripts/modules: no line `{line}`");
    }
}
