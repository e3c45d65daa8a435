//! Every next step that a message names is typed as it stands there, in the world where the message appeared, and works.
//!
//! What is typed is taken from the message: commands in backticks, options (added to the line that failed), and what was "meant" (in
//! place of the word that was wrong). Words in capitals are what the reader has to fill in. That messages name no command and no option
//! that does not exist is checked of every run in this suite, by [`advice::check`].

mod cases;

use std::fs;

use self::cases::CASES;
use crate::support::{Ran, World, advice, finish, repository};

/// A situation in which a message names next steps.
struct Case {
    what: &'static str,
    make: fn(&mut World),
    /// The line that is typed; words are split at spaces.
    line: &'static str,
    /// What the reader fills in for words in capitals.
    fill: &'static [(&'static str, &'static str)],
    /// The beginnings of the next steps that the message must name, in order: what stands in backticks.
    steps: &'static [Step],
}

/// How a step is followed, and what shows that it worked.
enum Step {
    /// A command that puts things right: typed, it works, and then the line does.
    Cures(&'static str),
    /// A command that shows something or goes another way: typed, it works.
    Works(&'static str),
    /// An option, with which the line works.
    Option(&'static str),
    /// A command of another program that puts things right.
    Shell(&'static str),
    /// The line works with this word in the place of another.
    Meant(&'static str, &'static str),
    /// Nothing can be typed: it stands there as a name of a thing.
    Thing(&'static str),
}

use Step::{Cures, Meant, Option as Opt, Shell, Thing, Works};

impl Step {
    fn begins(&self) -> &'static str {
        match self {
            Cures(text) | Works(text) | Opt(text) | Shell(text) | Meant(_, text) | Thing(text) => text,
        }
    }
}

fn key(name: &str) -> String {
    repository("testdata/keys").join(name).to_str().unwrap().to_owned()
}

/// The words of a line, as the shell in that world has them.
fn words(world: &World, line: &str) -> Vec<String> {
    let ran = finish(&mut world.shell(&format!("for word in {line}; do printf '%s\\n' \"$word\"; done")));
    ran.stdout.lines().map(str::to_owned).collect()
}

fn said(ran: &Ran) -> String {
    format!("{}\n{}", ran.stderr, ran.stdout)
}

impl Case {
    fn world(&self) -> World {
        let mut world = World::new();
        (self.make)(&mut world);
        world
    }

    /// `text` with what the reader fills in.
    fn filled(&self, world: &World, text: &str) -> String {
        let here = world.path("").to_str().unwrap().trim_end_matches('/').to_owned();
        let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        for word in &mut words {
            for (placeholder, value) in self.fill {
                if word == placeholder {
                    (*value).clone_into(word);
                }
            }
        }
        words.join(" ").replace("@here@", &here).replace("@keys@", key("").trim_end_matches('/'))
    }

    fn run(&self, world: &World) -> Ran {
        world.tool(words(world, &self.filled(world, self.line)))
    }

    /// Follows the step at `at` of the message, in a world of its own.
    fn follow(&self, at: usize) {
        let world = self.world();
        let ran = self.run(&world);
        let message = said(&ran);
        let quoted = advice::quoted(&message);
        let mut rest = quoted.iter();
        let mut found = None;
        for step in &self.steps[..=at] {
            found = rest.find(|quoted| quoted.starts_with(step.begins()));
            assert!(found.is_some(), "{}: nothing says `{}`:\n{message}", self.what, step.begins());
        }
        let text = self.filled(&world, found.unwrap());
        let works = |ran: &Ran, line: &str| {
            assert_eq!(ran.code, 0, "{}: `{text}` was to help, but `{line}` fails:\n{}{message}", self.what, said(ran));
        };
        let own = |text: &str| {
            let ran = world.tool(&words(&world, text)[1..]);
            works(&ran, text);
        };
        match &self.steps[at] {
            Works(_) => own(&text),
            Cures(_) => {
                own(&text);
                works(&self.run(&world), self.line);
            }
            Opt(_) => {
                let line = format!("{} {text}", self.filled(&world, self.line));
                works(&world.tool(words(&world, &line)), &line);
            }
            Shell(_) => {
                works(&finish(&mut world.shell(&text)), &text);
                works(&self.run(&world), self.line);
            }
            Meant(wrong, _) => {
                let line = self.filled(&world, self.line);
                if text.starts_with("tool ") {
                    own(&text);
                } else {
                    let line: Vec<String> = words(&world, &line)
                        .iter()
                        .map(|word| if word == wrong { text.clone() } else { word.clone() })
                        .collect();
                    works(&world.tool(&line), &line.join(" "));
                }
            }
            Thing(_) => {}
        }
    }
}

/// The verbs that take the name of an installed plugin.
const WITH_A_NAME: [&str; 14] = [
    "plugin info NAME",
    "plugin update NAME --verify=false",
    "plugin outdated NAME",
    "plugin pin NAME",
    "plugin unpin NAME",
    "plugin rollback NAME",
    "plugin restore NAME",
    "plugin verify NAME",
    "plugin trust NAME",
    "plugin untrust NAME",
    "plugin exec NAME",
    "plugin doctor --policy NAME",
    "plugin uninstall NAME",
    "NAME",
];

#[test]
fn a_slip_in_the_name_of_an_installed_plugin_names_it() {
    for line in WITH_A_NAME {
        let world = World::new();
        for version in ["1.0.0", "2.0.0"] {
            world.plugin("hello", version);
            world.ok("plugin package hello --sign=false");
            fs::rename(world.path(&format!("hello-{version}.tgz")), world.path("at.tgz")).unwrap();
            world.ok("plugin install at.tgz --verify=false --force");
        }
        let ran = world.tool(line.replace("NAME", "helol").split(' '));
        assert_ne!(ran.code, 0, "{line}");
        let question = ran.stderr.split_once("did you mean `").unwrap_or_else(|| panic!("{line}:\n{}", ran.stderr)).1;
        let meant = question.split('`').next().unwrap();
        world.ok(&line.replace("NAME", meant));
        assert!(!world.tool(line.replace("NAME", "qqqqqq").split(' ')).stderr.contains("did you mean"), "{line}");
    }
}

#[test]
fn every_next_step_works_as_it_is_typed() {
    let rows: Vec<(&Case, usize)> = CASES.iter().flat_map(|case| (0..case.steps.len()).map(move |at| (case, at))).collect();
    let failed = |(case, at): &(&Case, usize)| std::panic::catch_unwind(|| case.follow(*at)).is_err();
    let wrong: Vec<_> =
        rows.iter().filter(|row| failed(row)).map(|(case, at)| (case.what, case.steps[*at].begins())).collect();
    assert!(wrong.is_empty(), "next steps that do not work: {wrong:?}");
}

/// The texts of a source file, each with its line: what stands in quotation marks on lines that are no comment, up to its tests.
fn texts(source: &str) -> Vec<(usize, &str)> {
    let code = source.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    lines.map(|(number, line)| (number + 1, line)).collect()
}

/// What is wrong with a text in backticks, where it is a command or an option of ours.
fn wrong(quoted: &str) -> Option<&'static str> {
    let words: Vec<&str> = quoted.split(' ').collect();
    match words.as_slice() {
        ["plugin", verb, ..] if advice::is_command(&["plugin", verb]) => Some("has not the host's name"),
        [host, "plugin", rest @ ..]
            if host.starts_with('{') && !rest.first().is_none_or(|verb| verb.starts_with(['{', 'C'])) =>
        {
            let line: Vec<&str> = std::iter::once("plugin").chain(rest.iter().copied()).collect();
            if !advice::is_command(&line) {
                return Some("is no command");
            }
            let options = rest.iter().filter(|word| word.starts_with("--") && word.len() > 2);
            (!options.into_iter().all(|option| advice::has_option(&line, option))).then_some("has an option that it has not")
        }
        [option, ..] if option.starts_with("--") && option.len() > 2 && !option.contains('{') => {
            (!advice::is_option_of_any(option)).then_some("is an option of no command")
        }
        _ => None,
    }
}

#[test]
fn messages_name_commands_and_options_that_there_are() {
    let mut found = 0;
    let mut problems = Vec::new();
    for entry in walkdir::WalkDir::new(repository("src")).sort_by_file_name() {
        let entry = entry.unwrap();
        if entry.path().extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let source = fs::read_to_string(entry.path()).unwrap();
        for (line, text) in texts(&source) {
            for quoted in advice::quoted(text) {
                found += usize::from(quoted.starts_with("{host} ") || quoted.starts_with("--"));
                problems.extend(wrong(quoted).map(|why| format!("{}:{line}: `{quoted}` {why}", entry.path().display())));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(found > 100, "only {found} commands and options were found: the scan looks at the wrong thing");
    for (text, expected) in [
        ("plugin lock", Some("has not the host's name")),
        ("{host} plugin lokc", Some("is no command")),
        ("{host} plugin lock --frozen", Some("has an option that it has not")),
        ("--frozne", Some("is an option of no command")),
        ("{host} plugin sync --frozen", None),
        ("{} plugin install --force {}", None),
        ("plugin.yaml", None),
    ] {
        assert_eq!(wrong(text), expected, "{text}");
    }
}
