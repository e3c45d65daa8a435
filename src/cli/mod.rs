//! The command line: clap commands, output, dispatch, completion.

pub mod completion;
pub mod dispatch;
pub mod globals;
pub mod output;
