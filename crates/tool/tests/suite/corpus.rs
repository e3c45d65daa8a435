//! Manifests of the wild, and corners that they lack, against what Helm 4's own loader says of them.
//!
//! The files are read in place; what they are is in the README beside them. Whatever differs must stand in [`DIFFERENCES`].

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use plugsmith::manifest::lint::lint;
use plugsmith::manifest::platform::{Platform, prepare};
use plugsmith::manifest::{self, Metadata, PlatformCommand, completion};
use plugsmith::settings::Limits;
use serde_json::{Value, json};

use crate::support::{World, repository};

/// Where we mean to differ: the row, the column, what we say there, and why.
const DIFFERENCES: &[(&str, &str, &str, &str)] = &[(
    "v1-rc-args-int",
    "args",
    r#"["1","2.50","true","0x10"]"#,
    "texts keep what is written; Helm writes the part out anew before it reads it, and loses the spelling",
)];

/// A table with a header, separated by tabs.
struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut lines = text.lines().map(|line| line.split('\t').map(str::to_owned).collect::<Vec<_>>());
        let header = lines.next().unwrap();
        let main = header.iter().position(|name| name == "linux_amd64_main").unwrap();
        let rows = lines
            .map(|mut row| {
                // One program has a tab in its name, which the table does not escape.
                if row.get(main + 1).is_some_and(|args| !args.is_empty() && !args.starts_with('[')) {
                    let rest = row.remove(main + 1);
                    row[main] = format!("{}\t{rest}", row[main]);
                }
                row.resize(header.len(), String::new());
                row
            })
            .collect();
        Self { header, rows }
    }

    fn cell<'a>(&self, row: &'a [String], name: &str) -> &'a str {
        &row[self.header.iter().position(|column| column == name).unwrap()]
    }
}

fn corpus() -> Option<PathBuf> {
    let path = std::env::var_os("PLUGSMITH_CORPUS")
        .map_or_else(|| Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpus")).to_owned(), PathBuf::from);
    path.is_dir().then_some(path)
}

/// Variables stand for themselves, so that the table need not know where a plugin is.
fn lookup(name: &str) -> Option<OsString> {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_').then(|| format!("${{{name}}}").into())
}

/// The program and its arguments on linux/amd64.
fn line(commands: &[PlatformCommand], expand: bool) -> Result<(String, Vec<String>), String> {
    let line = prepare(commands, &Platform::new("linux", "amd64"), expand, &lookup, &[]).map_err(|e| e.to_string())?;
    let text = |word: OsString| word.into_string().unwrap();
    Ok((text(line.program), line.args.into_iter().map(text).collect()))
}

/// What we say for each column.
fn ours(metadata: &Metadata, column: &str) -> String {
    let Some(subprocess) = metadata.subprocess() else {
        return match column {
            "type" => metadata.plugin_type().to_owned(),
            "name" => metadata.name.to_string(),
            "version" => metadata.version_text(),
            "runtime" => metadata.runtime_name().to_owned(),
            _ => String::new(),
        };
    };
    let command = line(&subprocess.platform_commands, true);
    match column {
        "type" => metadata.plugin_type().to_owned(),
        "name" => metadata.name.to_string(),
        "version" => metadata.version_text(),
        "runtime" => metadata.runtime_name().to_owned(),
        "linux_amd64_main" => command.map_or_else(|_| "ERR".to_owned(), |(program, _)| program),
        "args" => command.map_or_else(|_| String::new(), |(_, args)| json!(args).to_string()),
        "hooks" => {
            let words = |commands| {
                let (program, args) = line(commands, subprocess.expand_hooks).unwrap();
                json!([vec![program], args].concat())
            };
            let hooks: serde_json::Map<_, _> =
                subprocess.hooks.iter().map(|(event, commands)| (event.clone(), words(commands))).collect();
            if hooks.is_empty() { String::new() } else { Value::Object(hooks).to_string() }
        }
        "protocol_commands" => {
            let commands = subprocess.protocol_commands.iter().map(|command| {
                let (program, args) = line(&command.platform_commands, false).unwrap();
                // Helm joins whatever stands there to the plugin's directory.
                let exec = match program.starts_with("${") {
                    true => program,
                    false => format!("${{HELM_PLUGIN_DIR}}/{}", program.trim_start_matches('/')),
                };
                json!({"protocols": command.protocols, "exec": exec, "args": args})
            });
            let commands: Vec<_> = commands.collect();
            if commands.is_empty() { String::new() } else { Value::Array(commands).to_string() }
        }
        _ => unreachable!("{column}"),
    }
}

/// What the table says there, in our spelling.
fn theirs(column: &str, cell: &str) -> String {
    match column {
        "linux_amd64_main" if cell.starts_with("ERR") => "ERR".to_owned(),
        "hooks" | "protocol_commands" | "args" if !cell.is_empty() => {
            let value: Value = serde_json::from_str(cell).unwrap();
            value.to_string()
        }
        _ => cell.to_owned(),
    }
}

/// The columns in which the row differs, as `column: ours, not theirs`.
fn differences(table: &Table, row: &[String], folder: &Path) -> Vec<String> {
    let name = &row[0];
    let origin = folder.join(name).join(manifest::FILE_NAME);
    let bytes = std::fs::read(&origin).unwrap_or_else(|e| panic!("{}: {e}", origin.display()));
    let verdict = table.cell(row, "verdict");
    let metadata = match manifest::parse(&bytes, &origin) {
        Ok(_) if verdict == "reject" => return vec![format!("{name}: accepted, not {}", table.cell(row, "reason"))],
        Err(_) if verdict == "reject" => return Vec::new(),
        Err(error) => return vec![format!("{name}: {error}")],
        Ok(metadata) => metadata,
    };
    let mut found = Vec::new();
    for column in ["type", "name", "version", "runtime", "linux_amd64_main", "args", "hooks", "protocol_commands"] {
        let ours = ours(&metadata, column);
        let known = DIFFERENCES.iter().find(|(row, place, ..)| row == name && *place == column);
        let expected = known.map_or_else(|| theirs(column, table.cell(row, column)), |(_, _, meant, _)| (*meant).to_owned());
        if ours != expected {
            found.push(format!("{name}: {column}: {ours:?}, not {expected:?}"));
        }
    }
    found
}

/// Whether a legacy plugin with a command and downloaders keeps the command, which Helm loses (case M9).
fn keeps_the_command(table: &Table, row: &[String], folder: &Path) -> bool {
    let origin = folder.join(&row[0]).join(manifest::FILE_NAME);
    let metadata = manifest::parse(&std::fs::read(&origin).unwrap(), &origin).unwrap();
    let has_command = !table.cell(row, "linux_amd64_main").starts_with("ERR");
    metadata.cli().is_some() == has_command
}

#[test]
fn m6_m7_m9_manifests_mean_what_they_mean_to_helm() {
    let Some(corpus) = corpus() else {
        eprintln!("skipped: no corpus at $PLUGSMITH_CORPUS, nor at ../shared/corpus");
        return;
    };
    for (table, folder) in [("expected.tsv", "manifests"), ("yaml-cases/expected.tsv", "yaml-cases")] {
        let table = Table::read(&corpus.join(table));
        let folder = corpus.join(folder);
        let mut all = Vec::new();
        let mut agree = 0;
        for row in &table.rows {
            let found = differences(&table, row, &folder);
            agree += usize::from(found.is_empty());
            all.extend(found);
            if table.cell(row, "type") == "getter/v1" && table.cell(row, "kind") == "legacy" {
                assert!(keeps_the_command(&table, row, &folder), "{}", row[0]);
            }
        }
        eprintln!("{}: {agree} of {} manifests agree", folder.display(), table.rows.len());
        assert!(table.rows.len() > 50, "the table is cut short");
        assert!(all.is_empty(), "{}", all.join("\n"));
    }
}

#[test]
fn completions_and_linting_cope_with_the_wild() {
    let Some(corpus) = corpus() else {
        eprintln!("skipped: no corpus at $PLUGSMITH_CORPUS, nor at ../shared/corpus");
        return;
    };
    let limits = Limits::default();
    for folder in ["manifests", "yaml-cases"] {
        for entry in std::fs::read_dir(corpus.join(folder)).unwrap() {
            let dir = entry.unwrap().path();
            let bytes = std::fs::read(dir.join(manifest::FILE_NAME));
            let Ok(bytes) = bytes else { continue };
            if let Ok(bytes) = std::fs::read(dir.join(completion::FILE_NAME)) {
                completion::parse(&bytes, &dir).unwrap();
            }
            let report = lint(&dir, &limits);
            // What does not load has an error, and what is an error at loading is one of the linter's too.
            if manifest::parse(&bytes, &dir).is_err() {
                assert!(!report.ok, "{}", dir.display());
            }
            assert!(report.problems.iter().all(|problem| !problem.help.is_empty()), "{}", dir.display());
        }
    }
}

#[test]
fn k4_a_chart_that_helm_signed_verifies_and_is_said_to_be_no_plugin() {
    let Some(corpus) = corpus() else {
        eprintln!("skipped: no corpus at $PLUGSMITH_CORPUS, nor at ../shared/corpus");
        return;
    };
    let world = crate::support::World::new();
    let folder = corpus.join("provenance").canonicalize().unwrap();
    let (chart, key) = (folder.join("hashtest-1.2.3.tgz"), folder.join("helm-test-key.pub"));
    let ran = world.ok(&format!("plugin verify {} --keyring {}", chart.display(), key.display()));
    assert!(ran.stdout.starts_with("Package: hashtest 1.2.3\n"), "{}", ran.stdout);
    assert!(ran.stderr.contains("no plugin"), "{}", ran.stderr);
    world.fails(1, &format!("plugin install {} --keyring {}", chart.display(), key.display()));
}

/// Text in UTF-16 as PowerShell's `>` writes it, or with the bytes the other way round.
fn utf16(text: &str, little: bool) -> Vec<u8> {
    let units = "\u{feff}".encode_utf16().chain(text.encode_utf16());
    units.flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
}

#[test]
fn m1_every_yaml_of_users_may_be_utf16_behind_its_mark() {
    for little in [true, false] {
        let mut world = World::new();
        let dir = world.plugin("p", "1.0.0");
        let manifest = std::fs::read_to_string(dir.join("plugin.yaml")).unwrap().replace('\n', "\r\n");
        world.write("p/plugin.yaml", utf16(&manifest, little));
        world.write("p/completion.yaml", utf16("name: p\ncommands: [{name: start}]\n", little));
        let config = world.root().join("home/.config/tool");
        std::fs::create_dir_all(&config).unwrap();
        std::fs::write(config.join("config.yaml"), utf16("output: {color: never}\n", little)).unwrap();
        world.set("TOOL_KEYRING", repository("testdata/keys/tour.asc").to_str().unwrap());
        world.ok("plugin lint p");
        world.ok(&format!("plugin package p --keyring {}", repository("testdata/keys/tour.sec.asc").display()));
        world.ok("plugin verify p-1.0.0.tgz");
        world.ok("plugin install p-1.0.0.tgz");
        assert_eq!(world.ok("p x").stdout, "p 1.0.0 x\n");
        assert_eq!(world.ok("plugin list -o json").json()[0]["version"], "1.0.0");
        world.ok("plugin verify p");
        assert!(world.ok("__complete p st").stdout.starts_with("start"));
        assert!(
            world.ok("env").stdout.lines().any(|line| line.starts_with("output.color") && line.contains("config.yaml:1"))
        );
        world.ok("plugin doctor");
        std::fs::write(config.join("trust.yaml"), utf16("signers: []\n", little)).unwrap();
        world.ok("plugin trust");
        std::fs::write(config.join("policy.yaml"), utf16("apiVersion: v1\nplugins: {deny: [p]}\n", little)).unwrap();
        assert!(world.fails(1, "p").stderr.contains("policy.yaml:2"));
    }
    // Without the mark it is named for what it is.
    let world = World::new();
    world.plugin("p", "1.0.0");
    world.write("p/plugin.yaml", &utf16("name: p\nversion: 1.0.0\n", true)[2..]);
    let ran = world.fails(1, "plugin install p");
    assert!(ran.stderr.contains("UTF-16 text without a byte order mark; save the file as UTF-8"), "{}", ran.stderr);
}
