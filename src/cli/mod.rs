//! The command line: clap commands, output, dispatch, completion.
