use super::*;

fn parse_text(text: &str) -> Result<Metadata, ManifestError> {
    parse(text.as_bytes(), Path::new("p/plugin.yaml"))
}

/// The messages of all problems, without their help.
fn problems(text: &str) -> Vec<String> {
    match parse_text(text) {
        Err(ManifestError::Invalid { problems, .. }) => problems.into_iter().map(|problem| problem.message).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn reads_the_legacy_form() {
    let plugin =
        parse_text("name: p\nversion: 1.2.3\nusage: \"a\\tb\\u200b\"\ndescription: d\ncommand: $X y\nuseTunnel: true\n")
            .unwrap();
    assert_eq!(plugin.name.as_str(), "p");
    assert_eq!(plugin.version_text(), "1.2.3");
    assert_eq!(plugin.plugin_type(), "cli/v1");
    let cli = plugin.cli().unwrap();
    assert_eq!((&*cli.usage, &*cli.short_help, &*cli.long_help), ("", "a b", "d"));
    assert_eq!(plugin.subprocess().unwrap().platform_commands[0].command, "$X y");
}

#[test]
fn reports_all_violations_together() {
    assert_eq!(
        problems("name: a.b\nversion: x\ncommand: c\n"),
        [
            "invalid plugin name \"a.b\": must contain only a-z, A-Z, 0-9, _ and -",
            "invalid plugin version \"x\": must be valid semver"
        ]
    );
}
