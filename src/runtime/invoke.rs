//! The one way to ask something of a plugin, whatever it is for and whatever runs it: a typed question, a typed answer.
//!
//! What is large goes past memory as far as the runtime lets it: a download into a writer, a document from file to file.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::Write;

use super::getter::run_getter;
use super::post_renderer::run_post_renderer;
use super::subprocess::{InvokeError, greet, replace_by_cli, run_cli};
use super::{Environment, GetterRequest, RunTarget};
use crate::manifest::{Config, Metadata, RuntimeConfig};
use crate::report::Report;
use crate::store::Plugin;

/// What is asked of a plugin; each type of plugin has one question.
pub enum InvokeInput<'a> {
    /// `cli/v1`: run the command.
    Cli {
        /// The user's arguments.
        args: &'a [OsString],
        /// What becomes of this process meanwhile.
        process: ProcessMode,
    },
    /// `getter/v1`: download something.
    Getter {
        /// What, and how.
        request: &'a GetterRequest,
        /// Where to. After an error, what has been written is worthless.
        into: &'a mut dyn Write,
    },
    /// `postrenderer/v1`: change a document.
    PostRenderer {
        /// The user's arguments.
        args: &'a [OsString],
        /// The document; it is read from its beginning. A program gets this very file as its standard input.
        document: &'a File,
    },
    /// `test/v1`: greet somebody.
    Test {
        /// Whom.
        name: &'a str,
    },
}

impl InvokeInput<'_> {
    /// The same question, for another try.
    fn reborrow(&mut self) -> InvokeInput<'_> {
        match self {
            Self::Cli { args, process } => InvokeInput::Cli { args, process: *process },
            Self::Getter { request, into } => InvokeInput::Getter { request, into: &mut **into },
            Self::PostRenderer { args, document } => InvokeInput::PostRenderer { args, document },
            Self::Test { name } => InvokeInput::Test { name },
        }
    }
}

impl fmt::Debug for InvokeInput<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cli { args, process } => f.debug_struct("Cli").field("args", args).field("process", process).finish(),
            Self::Getter { request, .. } => f.debug_struct("Getter").field("request", request).finish_non_exhaustive(),
            Self::PostRenderer { args, document } => {
                f.debug_struct("PostRenderer").field("args", args).field("document", document).finish()
            }
            Self::Test { name } => f.debug_struct("Test").field("name", name).finish(),
        }
    }
}

/// What becomes of this process while a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessMode {
    /// It ends where the plugin begins, so that signals, job control and the exit status are the plugin's own. Only a program can take
    /// a process over, and only on Unix: anything else waits.
    Replace,
    /// It waits, for those who have something to tidy up.
    Wait,
}

/// What a plugin answers, by its type.
#[derive(Debug)]
pub enum InvokeOutput {
    /// `cli/v1`: what is to be printed beyond what the plugin has printed itself.
    Cli(Vec<u8>),
    /// `getter/v1`: how many bytes were downloaded.
    Getter(u64),
    /// `postrenderer/v1`: the changed document, at its beginning.
    PostRenderer(File),
    /// `test/v1`: the greeting.
    Test(String),
}

impl Plugin {
    /// Asks `input` of the plugin. Programs get `environment`, and a module of WebAssembly what the host itself sets of it. `report` hears
    /// what a module logs.
    ///
    /// # Errors
    /// The plugin is of another type, could not be started, or failed. Where it ended with an exit code other than 0
    /// ([`InvokeError::Exit`]) the host should end with the same.
    pub fn invoke(
        &self,
        mut input: InvokeInput<'_>,
        environment: &Environment<'_>,
        report: &dyn Report,
    ) -> Result<InvokeOutput, InvokeError> {
        self.start(|plugin| invoke(plugin.into(), input.reborrow(), environment, report), InvokeError::is_before_the_start)
    }
}

/// [`Plugin::invoke`].
pub(super) fn invoke(
    target: RunTarget<'_>,
    input: InvokeInput<'_>,
    environment: &Environment<'_>,
    report: &dyn Report,
) -> Result<InvokeOutput, InvokeError> {
    check_type(target.metadata, &input)?;
    let subprocess = match &target.metadata.runtime {
        RuntimeConfig::Subprocess(subprocess) => subprocess,
        RuntimeConfig::Extism(config) => return super::module::invoke(target, config, input, environment, report),
    };
    match input {
        InvokeInput::Cli { args, process: ProcessMode::Replace } => {
            replace_by_cli(target, subprocess, args, environment).map(|()| InvokeOutput::Cli(Vec::new()))
        }
        InvokeInput::Cli { args, process: ProcessMode::Wait } => {
            run_cli(target, subprocess, args, environment).map(|()| InvokeOutput::Cli(Vec::new()))
        }
        InvokeInput::Getter { request, into } => {
            run_getter(target, subprocess, request, environment, into).map(InvokeOutput::Getter)
        }
        InvokeInput::PostRenderer { args, document } => {
            run_post_renderer(target, subprocess, args, environment, document).map(InvokeOutput::PostRenderer)
        }
        InvokeInput::Test { name } => greet(target, subprocess, name, environment).map(InvokeOutput::Test),
    }
}

/// Refuses a question that is none for the plugin's type.
fn check_type(metadata: &Metadata, input: &InvokeInput<'_>) -> Result<(), InvokeError> {
    let plugin = || metadata.name.clone();
    let plugin_type = || metadata.plugin_type().to_owned();
    match input {
        InvokeInput::Cli { .. } if metadata.cli().is_none() => {
            Err(InvokeError::NotACommand { plugin: plugin(), plugin_type: plugin_type() })
        }
        InvokeInput::Getter { request, .. } if !matches!(metadata.config, Config::Getter { .. }) => {
            Err(InvokeError::NoSuchScheme { plugin: plugin(), scheme: request.scheme().to_owned() })
        }
        InvokeInput::PostRenderer { .. } if metadata.config != Config::PostRenderer => {
            Err(InvokeError::NotAPostRenderer { plugin: plugin(), plugin_type: plugin_type() })
        }
        InvokeInput::Test { .. } if metadata.config != Config::Test => {
            Err(InvokeError::NotATest { plugin: plugin(), plugin_type: plugin_type() })
        }
        _ => Ok(()),
    }
}
