//! `env` tells what the program really uses: each row is compared with what happens.

use std::fs;

use crate::schemas::Schema;
use crate::support::{World, repository};

/// Value and origin of a row.
fn row(world: &World, name: &str) -> (String, String) {
    let rows = world.ok("env -o json").json();
    assert!(Schema::read("env").accepts(&rows), "{rows:#}");
    let row = rows.as_array().unwrap().iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("{name}: {rows:#}"));
    (row["value"].as_str().unwrap().to_owned(), row["from"].as_str().unwrap().to_owned())
}

fn configure(world: &World, text: &str) {
    let config = world.root().join("home/.config/tool");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("config.yaml"), text).unwrap();
}

#[test]
fn the_audit_log_is_where_env_says() {
    for (config, origin) in
        [("", "default"), ("audit: {file: own.log}\n", "config.yaml:1"), ("audit: {file: /tmp/x}\n", "config.yaml:1")]
    {
        let world = World::new();
        let absolute = world.root().join("elsewhere.jsonl");
        configure(&world, &config.replace("/tmp/x", absolute.to_str().unwrap()));
        let (path, from) = row(&world, "audit.file");
        assert!(from.ends_with(origin), "{config}: {from}");
        world.plugin("p", "1.0.0");
        world.ok("plugin install p --copy");
        assert!(fs::read_to_string(&path).unwrap().contains("\"install\""), "{path}");
    }
}

#[test]
fn the_directories_are_where_env_says() {
    let mut world = World::new();
    let own = world.root().join("own");
    for key in ["DATA_HOME", "CONFIG_HOME", "CACHE_HOME"] {
        let name = format!("TOOL_{key}");
        assert_eq!(row(&world, &name).1, "default", "{name}");
        let value = own.join(key).to_str().unwrap().to_owned();
        world.set(&name, &value);
        assert_eq!(row(&world, &name), (value, format!("${name}")));
    }
    world.plugin("p", "1.0.0");
    world.ok("plugin install p --copy");
    assert!(std::path::Path::new(&row(&world, "TOOL_PLUGINS").0).join("p/plugin.yaml").is_file());
}

#[test]
fn the_keyring_is_the_one_that_is_verified_with() {
    let mut world = World::new();
    let key = |name: &str| repository(&format!("testdata/keys/{name}")).display().to_string();
    world.plugin("p", "1.0.0");
    world.ok(&format!("plugin package p --keyring {}", key("tour.sec.asc")));
    let own = world.root().join("home/.config/tool/keyring").to_str().unwrap().to_owned();
    assert_eq!(row(&world, "TOOL_KEYRING"), (own.clone(), "default".to_owned()));
    // What is not there does not count as long as something else is; an empty list counts as none.
    world.set("TOOL_KEYRING", format!("/nowhere:{}", key("tour.asc")));
    assert_eq!(row(&world, "TOOL_KEYRING"), (key("tour.asc"), "$TOOL_KEYRING".to_owned()));
    world.ok("plugin verify p-1.0.0.tgz");
    world.set("TOOL_KEYRING", ":");
    assert_eq!(row(&world, "TOOL_KEYRING"), (own, "default".to_owned()));
    world.fails(3, "plugin verify p-1.0.0.tgz");
}

#[test]
fn policies_that_apply_are_named_and_have_the_last_word() {
    let mut world = World::new();
    assert_eq!(row(&world, "TOOL_POLICY"), ("none".to_owned(), "default".to_owned()));
    assert_eq!(row(&world, "hooks.sandbox").1, "default");
    let usual = world.root().join("home/.config/tool/policy.yaml");
    configure(&world, "");
    fs::write(&usual, "apiVersion: v1\nhooks: sandbox\n").unwrap();
    assert_eq!(row(&world, "TOOL_POLICY").0, usual.to_str().unwrap());
    assert_eq!(row(&world, "hooks.sandbox"), ("require".to_owned(), format!("{}:2", usual.display())));
    let named = world.write("policy.yaml", "apiVersion: v1\nhooks: forbid\n");
    world.set("TOOL_POLICY", named.to_str().unwrap());
    assert_eq!(row(&world, "TOOL_POLICY"), (format!("{}:{}", usual.display(), named.display()), "$TOOL_POLICY".to_owned()));
    assert_eq!(row(&world, "hooks.sandbox").1, format!("{}:2", named.display()));
}

#[test]
fn secrets_are_not_shown() {
    let mut world = World::new();
    assert_eq!(row(&world, "TOOL_GITHUB_API").0, "https://api.github.com");
    assert_eq!(row(&world, "TOOL_GITHUB_TOKEN").0, "none");
    world.set("GH_TOKEN", "hunter2").set("TOOL_GITHUB_API", "https://ann:hunter2@github.example.com/api/v3?token=hunter2");
    assert_eq!(row(&world, "TOOL_GITHUB_TOKEN"), ("***".to_owned(), "$GH_TOKEN".to_owned()));
    assert_eq!(row(&world, "TOOL_GITHUB_API").0, "https://github.example.com/api/v3");
    assert!(!world.ok("env").stdout.contains("hunter2"));
}

#[test]
fn flags_and_variables_win_over_the_file() {
    let mut world = World::new();
    configure(&world, "output: {color: always}\n");
    assert_eq!(row(&world, "output.color").0, "always");
    world.set("NO_COLOR", "1");
    assert_eq!(row(&world, "output.color"), ("never".to_owned(), "$NO_COLOR".to_owned()));
    world.set("TOOL_DEBUG", "true").set("TOOL_NO_PLUGINS", "1");
    assert_eq!(row(&world, "TOOL_DEBUG"), ("true".to_owned(), "$TOOL_DEBUG".to_owned()));
    assert_eq!(row(&world, "TOOL_NO_PLUGINS").0, "true");
    let version = world.ok("version -o json").json();
    assert!(Schema::read("version").accepts(&version), "{version}");
}
