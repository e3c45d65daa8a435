//! Whole screens as people see them, kept beside this file. `SNAPSHOTS=overwrite` writes them anew.

use regex::Regex;
use snapbox::assert_data_eq;

use crate::support::{Ran, World, repository};

/// What was printed, without what differs from run to run.
fn screen(world: &World, ran: &Ran) -> String {
    let text = format!("{}{}", ran.stdout, ran.stderr).replace(world.root().to_str().unwrap(), "[ROOT]");
    let text = Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ").unwrap().replace_all(&text, "[TIME]").into_owned();
    text.replace(&format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH), "[PLATFORM]")
}

/// A world with a signed plugin and one that is developed.
fn world() -> World {
    let world = World::new();
    let key = |name: &str| repository(&format!("testdata/keys/{name}")).display().to_string();
    world.plugin("diff", "3.9.0");
    world.plugin("mine", "0.1.0");
    world.ok(&format!("plugin package diff --keyring {}", key("tour.sec.asc")));
    world.ok(&format!("plugin keyring add {}", key("tour.asc")));
    world.ok("plugin install ./diff-3.9.0.tgz");
    world.ok("plugin install mine");
    world
}

#[test]
fn the_programs_name_alone_says_how_to_begin() {
    let new = World::new();
    assert_data_eq!(screen(&new, &new.tool([""; 0])), snapbox::file!["screens/tool.txt"]);
    let world = world();
    let text = world.tool([""; 0]).stdout;
    assert!(text.contains("Plugins:\n  diff") && text.contains("To begin:\n"), "{text}");
}

#[test]
fn the_commands_are_listed_in_groups() {
    let world = World::new();
    assert_data_eq!(screen(&world, &world.ok("plugin --help")), snapbox::file!["screens/plugin-help.txt"]);
    let ran = world.tool(["plugin"]);
    assert_eq!((ran.code, ran.stderr), (2, world.ok("plugin --help").stdout));
}

#[test]
fn every_page_has_an_example_and_names_the_global_options_once() {
    let world = World::new();
    let group = world.ok("plugin --help").stdout;
    let names: Vec<&str> = group
        .lines()
        .filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with([' ', '-'])))
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(names.len() >= 24, "{names:?}");
    let pages = names.into_iter().map(|name| format!("plugin {name}"));
    let others = ["env", "version", "get", "post-render", "completion", "plugin keyring add", "plugin keyring list"];
    for page in pages.chain(others.map(str::to_owned)) {
        let text = world.ok(&format!("{page} --help")).stdout;
        assert!(text.contains("Example:\n  tool ") || page == "plugin keyring", "{page}: {text}");
        assert_eq!(text.matches("--no-input").count(), 1, "{page}: {text}");
        assert!(text.contains("Global options, which `tool --help` explains:"), "{page}: {text}");
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{page}: {text}");
    }
    // General help explains them, and completion offers them.
    assert!(world.ok("--help").stdout.contains("Answer yes to every question"));
    assert!(world.ok("__complete plugin list --no").stdout.contains("--no-input"));
}

#[test]
fn tables_of_plugins() {
    let world = world();
    assert_data_eq!(screen(&world, &world.ok("plugin list")), snapbox::file!["screens/list.txt"]);
    assert_data_eq!(screen(&world, &world.ok("plugin info diff")), snapbox::file!["screens/info.txt"]);
    assert_data_eq!(screen(&world, &world.tool(["plugin", "doctor"])), snapbox::file!["screens/doctor.txt"]);
    assert_data_eq!(screen(&world, &world.tool(["plugin", "outdated"])), snapbox::file!["screens/outdated.txt"]);
}
