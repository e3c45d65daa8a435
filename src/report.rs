//! What long work tells whoever asked for it, as data: the library prints nothing.

/// Something that happened during long work.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
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
pub enum Answer {
    /// To do it.
    Yes,
    /// Not to do it.
    No,
    /// Nothing: nobody can be asked.
    Nobody,
}

/// Receives events. Implementors must be quick: they are called from the thread that does the work.
pub trait Report: Sync {
    /// Takes one event.
    fn event(&self, event: Event<'_>);

    /// Shorthand for [`Event::Notice`].
    fn notice(&self, text: &str) {
        self.event(Event::Notice(text));
    }

    /// Shorthand for [`Event::Warning`].
    fn warning(&self, text: &str) {
        self.event(Event::Warning(text));
    }

    /// Shorthand for [`Event::Detail`].
    fn detail(&self, text: &str) {
        self.event(Event::Detail(text));
    }

    /// Shorthand for [`Event::Step`].
    fn step(&self, text: &str) {
        self.event(Event::Step(text));
    }

    /// Whether standard output holds a document for a program: what hooks write to theirs then goes to standard error.
    fn keeps_standard_output(&self) -> bool {
        false
    }

    /// Shows `what` is about to be done and asks `question`: whether to do it. Both texts are safe to show.
    fn agrees(&self, what: &str, question: &str) -> Answer {
        let _ = question;
        self.detail(what);
        Answer::Nobody
    }
}

/// Drops every event.
pub struct Silent;

impl Report for Silent {
    fn event(&self, _: Event<'_>) {}
}
