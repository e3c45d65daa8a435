//! What long work tells whoever asked for it, as data: the library prints nothing.

/// Something that happened during long work.
#[derive(Debug, Clone, Copy)]
pub enum ReportEvent<'a> {
    /// A step begins, such as `downloading foo-1.0.0.tgz`; `total` is in bytes, where it is known.
    Started {
        /// What is done, in the present participle and already safe to show.
        what: &'a str,
        /// How many bytes it will be.
        total: Option<u64>,
    },
    /// So many bytes of the current step are done, counted from its beginning.
    Advanced {
        /// Bytes done so far.
        done: u64,
    },
    /// The current step ended.
    Finished,
    /// Something worth a line that asks for no action.
    Notice(&'a str),
    /// Something that the user should know and may want to act on.
    Warning(&'a str),
    /// Something for who asked to be told more.
    Detail(&'a str),
    /// One step of the work, for who looks for the reason of something. It holds no secret.
    Step(&'a str),
}

/// What the user said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// To do it.
    Yes,
    /// Not to do it.
    No,
    /// Nothing: nobody can be asked.
    Unattended,
}

/// Receives events. Implementors must be quick: they are called from the thread that does the work.
pub trait Report: Sync {
    /// Takes one event.
    fn event(&self, event: ReportEvent<'_>);

    /// Shorthand for [`ReportEvent::Notice`].
    fn notice(&self, text: &str) {
        self.event(ReportEvent::Notice(text));
    }

    /// Shorthand for [`ReportEvent::Warning`].
    fn warning(&self, text: &str) {
        self.event(ReportEvent::Warning(text));
    }

    /// Shorthand for [`ReportEvent::Detail`].
    fn detail(&self, text: &str) {
        self.event(ReportEvent::Detail(text));
    }

    /// Shorthand for [`ReportEvent::Step`].
    fn step(&self, text: &str) {
        self.event(ReportEvent::Step(text));
    }

    /// Whether standard output holds a document for a program: what hooks write to theirs then goes to standard error.
    fn reserves_stdout(&self) -> bool {
        false
    }

    /// Shows `what` is about to be done and asks `question`: whether to do it. Both texts are safe to show.
    fn ask_consent(&self, what: &str, question: &str) -> Consent {
        let _ = question;
        self.detail(what);
        Consent::Unattended
    }
}

/// Drops every event.
pub struct NoReport;

impl Report for NoReport {
    fn event(&self, _: ReportEvent<'_>) {}
}
