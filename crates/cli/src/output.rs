//! What the program says: results on standard output, everything else on standard error, in colour and with moving parts only
//! where a terminal shows them. Questions are asked here too.
//!
//! Text from plugins and networks arrives here neutralised ([`plugsmith::text`]); tables, JSON, YAML and error chains do it once more,
//! since they show whatever they are given.

mod progress;
mod table;

use std::borrow::Cow;
use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use clap::ValueEnum;
use clap::builder::styling::{AnsiColor, Style};
use serde::Serialize;

use self::progress::Progress;
pub use self::table::Table;
use crate::globals::{Globals, ShowWhen};
use plugsmith::host::{Host, SettingOrigin};
use plugsmith::report::{Consent, Report, ReportEvent};
use plugsmith::text;

/// The shape of a result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people
    #[default]
    Table,
    /// For programs; the keys are stable
    Json,
    /// The same keys, as YAML
    Yaml,
    /// Names alone, one a line
    Name,
}

/// Why a result could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// Standard output refused it.
    #[error("cannot write to standard output")]
    Stdout {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It has no form in the format asked for.
    #[error("cannot write this result as {format}")]
    Form {
        /// The format's name.
        format: &'static str,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl OutputError {
    /// Whether the reader has gone, as `head` does when it has enough: no reason to complain.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Stdout { source } if source.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PromptError {
    /// Nobody is there to ask, or was asked not to be asked.
    #[error("cannot ask \"{question}\" without a terminal; {instead}")]
    NobodyToAsk {
        /// The question.
        question: String,
        /// How to answer without being asked.
        instead: String,
    },
    /// The terminal failed.
    #[error("cannot read the answer to \"{question}\"")]
    Terminal {
        /// The question.
        question: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The program's voice. It is the [`Report`] of long work, too.
pub struct Output {
    host: String,
    quiet: bool,
    verbose: bool,
    debug: bool,
    colored_results: bool,
    colored_messages: bool,
    bars: bool,
    ask: bool,
    yes: bool,
    /// Whether rows for a program go to standard output, which then is nobody else's.
    rows: AtomicBool,
    /// What a verb that changes something would have warned of, had it not been asked to be quiet: said only if it fails.
    held_back: Mutex<Option<Vec<String>>>,
    /// The step of long work that is under way, where it is drawn.
    step: Mutex<Option<Progress>>,
}

impl Output {
    /// A voice as `globals` and the environment want it, for the streams of this process.
    pub fn new(host: &Host, globals: &Globals) -> Self {
        let new = Self {
            host: host.name().to_owned(),
            quiet: globals.quiet && !globals.debug,
            verbose: globals.verbose || globals.debug,
            debug: globals.debug,
            colored_results: false,
            colored_messages: false,
            bars: false,
            ask: !globals.no_input && io::stdin().is_terminal() && io::stderr().is_terminal(),
            yes: globals.yes,
            rows: AtomicBool::new(false),
            held_back: Mutex::new(None),
            step: Mutex::new(None),
        };
        new.with_settings(globals, ShowWhen::Auto, ShowWhen::Auto)
    }

    /// The name of the program, as users type it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The same once `config.yaml` has been read: flags and environment win over `color` and `progress`.
    #[must_use]
    pub fn with_settings(mut self, globals: &Globals, color: ShowWhen, progress: ShowWhen) -> Self {
        let dumb = variable("TERM").is_some_and(|term| term == "dumb");
        let wanted = Self::color_chosen_outside(globals).map_or(color, |(when, _)| when);
        let colored = |terminal: bool| match wanted {
            ShowWhen::Always => true,
            ShowWhen::Never => false,
            ShowWhen::Auto => terminal && !dumb,
        };
        self.colored_results = colored(io::stdout().is_terminal());
        self.colored_messages = colored(io::stderr().is_terminal());
        // Where a bar cannot move, lines serve better, whatever was asked for.
        self.bars = progress != ShowWhen::Never && !self.quiet && io::stderr().is_terminal() && !dumb;
        self
    }

    /// What a flag or the environment says of colours, and which: they win over `config.yaml`.
    pub(crate) fn color_chosen_outside(globals: &Globals) -> Option<(ShowWhen, SettingOrigin)> {
        if let Some(when) = globals.color {
            return Some((when, SettingOrigin::Flag("--color")));
        }
        let (name, when) = if variable("NO_COLOR").is_some() {
            ("NO_COLOR", ShowWhen::Never)
        } else if variable("CLICOLOR_FORCE").is_some_and(|value| value != "0") {
            ("CLICOLOR_FORCE", ShowWhen::Always)
        } else if variable("CLICOLOR").is_some_and(|value| value == "0") {
            ("CLICOLOR", ShowWhen::Never)
        } else {
            return None;
        };
        Some((when, SettingOrigin::Environment(name.to_owned())))
    }

    /// Whether everything should be said.
    pub fn is_debug(&self) -> bool {
        self.debug
    }

    /// Whether results are coloured.
    pub fn has_colored_results(&self) -> bool {
        self.colored_results
    }

    /// Whether a question can be asked.
    pub fn can_ask(&self) -> bool {
        self.ask
    }

    /// Writes `text` and a line end to standard output.
    ///
    /// # Errors
    /// Standard output refused it; see [`OutputError::is_broken_pipe`].
    pub fn print(&self, text: &str) -> Result<(), OutputError> {
        let mut stdout = io::stdout().lock();
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.write_all(end.as_bytes()));
        written.and_then(|()| stdout.flush()).map_err(|source| OutputError::Stdout { source })
    }

    /// A verb that changes something begins: it prints rows for a program, or says what it did and is silent if that is wanted.
    pub(crate) fn begin_change(&self, rows: bool) {
        self.rows.store(rows, Ordering::Relaxed);
        if self.quiet {
            *self.buffered_messages() = Some(Vec::new());
        }
    }

    /// Writes what a verb that changes something did to standard output, unless asked to be quiet.
    ///
    /// # Errors
    /// Standard output refused it.
    pub(crate) fn done(&self, text: &str) -> Result<(), OutputError> {
        if self.quiet { Ok(()) } else { self.print(text) }
    }

    /// Writes what a plugin answered, byte for byte: it is the plugin's output, not ours.
    ///
    /// # Errors
    /// Standard output refused it.
    pub fn pass_on(&self, bytes: &[u8]) -> Result<(), OutputError> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|source| OutputError::Stdout { source })
    }

    /// Writes a list of things in `format`; `table` and `name` say how people see them.
    ///
    /// # Errors
    /// Standard output refused it, or it has no such form.
    pub fn list<T: Serialize>(
        &self,
        format: OutputFormat,
        rows: &[T],
        table: impl FnOnce(&[T]) -> Table,
        name: impl Fn(&T) -> &str,
    ) -> Result<(), OutputError> {
        match format {
            OutputFormat::Table => self.print(&table(rows).render(self.colored_results)),
            OutputFormat::Name => {
                self.print(&rows.iter().map(|row| text::sanitized(name(row)) + "\n").collect::<Vec<Cow<'_, str>>>().concat())
            }
            OutputFormat::Json | OutputFormat::Yaml => self.print(&encode(format, rows)?),
        }
    }

    /// Writes one thing in `format`; `text` says how people see it.
    ///
    /// # Errors
    /// Standard output refused it, or it has no such form.
    pub fn value<T: Serialize>(
        &self,
        format: OutputFormat,
        value: &T,
        text: impl FnOnce() -> String,
    ) -> Result<(), OutputError> {
        match format {
            OutputFormat::Table | OutputFormat::Name => self.print(&text()),
            OutputFormat::Json | OutputFormat::Yaml => self.print(&encode(format, value)?),
        }
    }

    /// Says `text`, unless asked to be quiet.
    pub fn notice(&self, text: &str) {
        if !self.quiet {
            self.message(None, text);
        }
    }

    /// Says `text` where asked to say more.
    pub fn verbose(&self, text: &str) {
        if self.verbose {
            self.message(None, text);
        }
    }

    /// Says `text` where asked to say everything. It must not hold a secret.
    pub fn debug(&self, text: &str) {
        if self.debug {
            self.message(Some(("debug", AnsiColor::BrightBlack.on_default())), text);
        }
    }

    /// Warns of `text`, even when quiet: a warning is about what the user should not miss. A verb that changes something and was asked
    /// to be quiet warns only if it fails.
    pub fn warning(&self, text: &str) {
        if let Some(held_back) = self.buffered_messages().as_mut() {
            held_back.push(text.to_owned());
            return;
        }
        self.warn(text);
    }

    fn warn(&self, text: &str) {
        self.message(Some(("warning", AnsiColor::Yellow.on_default().bold())), text);
    }

    /// Says what failed, what caused it, and what to do next.
    pub fn error(&self, error: &(dyn Error + 'static), hints: &[String]) {
        let held_back = self.buffered_messages().as_mut().map(std::mem::take).unwrap_or_default();
        held_back.iter().for_each(|text| self.warn(text));
        for (at, text) in chain(error).iter().enumerate() {
            let label =
                if at == 0 { ("error", AnsiColor::Red.on_default().bold()) } else { ("caused by", Style::new().bold()) };
            self.message(Some(label), text);
        }
        for hint in hints {
            self.hint(hint);
        }
    }

    /// Says what to do next.
    pub fn hint(&self, text: &str) {
        self.message(Some(("hint", AnsiColor::Cyan.on_default().bold())), text);
    }

    /// `text` in bold, for results.
    pub fn bold<'a>(&self, text: &'a str) -> Cow<'a, str> {
        paint(text, Style::new().bold(), self.colored_results)
    }

    /// Asks a yes/no question; no answer is a no.
    ///
    /// # Errors
    /// Nobody can be asked, or the terminal failed.
    pub fn confirm(&self, question: &str) -> Result<bool, PromptError> {
        if self.yes {
            return Ok(true);
        }
        if !self.ask {
            let instead = "`--yes` answers yes".to_owned();
            return Err(PromptError::NobodyToAsk { question: text::sanitized(question).into_owned(), instead });
        }
        let mut answer = String::new();
        let asked = self.without_progress(|| {
            let mut stderr = io::stderr().lock();
            write!(stderr, "{} [y/N] ", text::sanitized(question))?;
            stderr.flush()?;
            io::stdin().read_line(&mut answer)
        });
        match asked {
            Ok(_) => Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")),
            Err(source) => Err(PromptError::Terminal { question: text::sanitized(question).into_owned(), source }),
        }
    }

    /// Asks for a secret, which does not appear; `instead` says how to give it without being asked.
    ///
    /// # Errors
    /// Nobody can be asked, or the terminal failed.
    pub fn secret(&self, question: &str, instead: &str) -> Result<String, PromptError> {
        let shown = text::sanitized(question).into_owned();
        if !self.ask {
            return Err(PromptError::NobodyToAsk { question: shown, instead: instead.to_owned() });
        }
        self.without_progress(|| rpassword::prompt_password(format!("{shown}: ")))
            .map_err(|source| PromptError::Terminal { question: shown, source })
    }

    /// One message on standard error. That it may fail to arrive changes nothing.
    fn message(&self, label: Option<(&str, Style)>, text: &str) {
        let text = text::sanitized_block(text);
        self.without_progress(|| {
            let mut stderr = io::stderr().lock();
            let _ = match label {
                Some((label, style)) => writeln!(stderr, "{}: {text}", paint(label, style, self.colored_messages)),
                None => writeln!(stderr, "{text}"),
            };
        });
    }

    /// Does `work`, which writes to the terminal, while no bar is drawn there.
    fn without_progress<R>(&self, work: impl FnOnce() -> R) -> R {
        let mut step = self.step();
        if let Some(step) = step.as_mut() {
            step.hide();
        }
        work()
    }

    fn buffered_messages(&self) -> MutexGuard<'_, Option<Vec<String>>> {
        self.held_back.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step(&self) -> MutexGuard<'_, Option<Progress>> {
        self.step.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self, what: &str, total: Option<u64>) {
        if self.quiet {
            return;
        }
        // A bar says what it is about; without one this line does.
        if !self.bars || total.is_none() {
            self.message(None, what);
        }
        if self.bars {
            *self.step() = Some(Progress::new(text::sanitized(what).into_owned(), total));
        }
    }

    fn advance(&self, done: u64) {
        // Without a bar, no lock is to be waited for.
        if self.bars
            && let Some(step) = self.step().as_mut()
        {
            step.advance(done);
        }
    }

    fn finish(&self) {
        self.step().take();
    }
}

impl Report for Output {
    fn event(&self, event: ReportEvent<'_>) {
        match event {
            ReportEvent::Started { what, total } => self.start(what, total),
            ReportEvent::Advanced { done } => self.advance(done),
            ReportEvent::Finished => self.finish(),
            ReportEvent::Notice(text) => Output::notice(self, text),
            ReportEvent::Warning(text) => Output::warning(self, text),
            ReportEvent::Detail(text) => Output::verbose(self, text),
            ReportEvent::Step(text) => Output::debug(self, text),
        }
    }

    fn reserves_stdout(&self) -> bool {
        self.rows.load(Ordering::Relaxed)
    }

    fn ask_consent(&self, what: &str, question: &str) -> Consent {
        if !self.ask {
            Output::verbose(self, what);
            return if self.yes { Consent::Yes } else { Consent::Unattended };
        }
        self.message(None, what);
        // A terminal that fails has not said yes.
        if self.confirm(question).unwrap_or(false) { Consent::Yes } else { Consent::No }
    }
}

/// What `error` says and what caused it, each in its own words: transparent wrappers, which say the same again, are left out.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        texts.push(cause.to_string());
        source = cause.source();
    }
    texts.dedup();
    texts
}

/// A variable that is set to something.
fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

fn paint(text: &str, style: Style, colored: bool) -> Cow<'_, str> {
    if colored { Cow::Owned(format!("{style}{text}{style:#}")) } else { Cow::Borrowed(text) }
}

/// `value` as JSON or YAML, in which nothing acts on a terminal.
fn encode<T: Serialize + ?Sized>(format: OutputFormat, value: &T) -> Result<String, OutputError> {
    if format == OutputFormat::Yaml {
        return encode_yaml(value).map_err(|source| OutputError::Form { format: "YAML", source });
    }
    let json = serde_json::to_string_pretty(value).map_err(|e| OutputError::Form { format: "JSON", source: e.into() })?;
    Ok(escape(&json))
}

/// JSON text escapes ASCII control characters by itself; all others that act on a terminal can only stand in its strings.
fn escape(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c >= '\x7f' && text::acts_on_a_terminal(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    out
}

fn encode_yaml<T: Serialize + ?Sized>(value: &T) -> Result<String, Box<dyn Error + Send + Sync>> {
    let mut value = serde_json::to_value(value)?;
    neutralise(&mut value);
    Ok(serde_yaml::to_string(&value)?)
}

fn neutralise(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(string) => *string = text::sanitized_block(string),
        serde_json::Value::Array(values) => values.iter_mut().for_each(neutralise),
        serde_json::Value::Object(values) => values.values_mut().for_each(neutralise),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m8_json_and_yaml_hold_nothing_that_acts_on_a_terminal() {
        let value = serde_json::json!({"name": "a\x1b[31m\u{202e}\u{7f}\u{e0041}é\n"});
        let json = encode(OutputFormat::Json, &value).unwrap();
        assert_eq!(json, "{\n  \"name\": \"a\\u001b[31m\\u202e\\u007f\\udb40\\udc41é\\n\"\n}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), value);
        let yaml = encode(OutputFormat::Yaml, &value).unwrap();
        assert!(!yaml.chars().any(|c| c != '\n' && text::acts_on_a_terminal(c)), "{yaml:?}");
    }

    #[test]
    fn no_question_without_a_terminal() {
        let output = Output { ask: false, ..Output::new(&Host::tool(), &Globals::default()) };
        assert!(matches!(output.confirm("really?"), Err(PromptError::NobodyToAsk { .. })));
        assert!(matches!(output.secret("passphrase", "x"), Err(PromptError::NobodyToAsk { .. })));
        let output = Output { ask: false, ..Output::new(&Host::tool(), &Globals { yes: true, ..Globals::default() }) };
        assert!(output.confirm("really?").unwrap());
        assert!(!Output::new(&Host::tool(), &Globals { no_input: true, ..Globals::default() }).can_ask());
    }

    #[test]
    fn colour_flags_win() {
        let never = Globals { color: Some(ShowWhen::Never), ..Globals::default() };
        assert!(
            !Output::new(&Host::tool(), &never)
                .with_settings(&never, ShowWhen::Always, ShowWhen::Auto)
                .has_colored_results()
        );
        let always = Globals { color: Some(ShowWhen::Always), ..Globals::default() };
        assert_eq!(Output::new(&Host::tool(), &always).bold("x"), "\x1b[1mx\x1b[0m");
    }
}
