//! A post-renderer: puts a comment at the head of each document. Reads from standard input, writes to standard output, a line at a
//! time, so that no document is too large. The arguments are the comment.

use std::env;
use std::io::{self, BufRead, BufWriter, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let name = env::var("HELM_PLUGIN_NAME").unwrap_or_else(|_| env!("CARGO_PKG_NAME").replacen("plugin-", "", 1));
    let given: Vec<String> = env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let comment = if given.is_empty() { format!("rendered by {name}") } else { given.join(" ") };
    if comment.contains(['\n', '\r']) {
        eprintln!("{name}: a comment has one line");
        return ExitCode::from(2);
    }
    let mut out = BufWriter::new(io::stdout().lock());
    match mark(&mut io::stdin().lock(), &comment, &mut out).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Copies `documents` to `out`, each with `comment` before its first line.
fn mark(documents: &mut dyn BufRead, comment: &str, out: &mut dyn Write) -> io::Result<()> {
    let mut line = Vec::new();
    let mut first = true;
    while documents.read_until(b'\n', &mut line)? > 0 {
        // A line `---` begins a document; the first one can do without.
        let begins = line.strip_prefix(b"---").is_some_and(|rest| rest.trim_ascii().is_empty());
        if first && !begins {
            writeln!(out, "# {comment}")?;
        }
        out.write_all(&line)?;
        if begins {
            out.write_all(if line.ends_with(b"\n") { b"" } else { b"\n" })?;
            writeln!(out, "# {comment}")?;
        }
        line.clear();
        first = false;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(documents: &str) -> String {
        let mut out = Vec::new();
        mark(&mut documents.as_bytes(), "x", &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn marks_each_document() {
        assert_eq!(marked("a: 1\n"), "# x\na: 1\n");
        assert_eq!(marked("---\na: 1\n---\nb: 2\n"), "---\n# x\na: 1\n---\n# x\nb: 2\n");
        assert_eq!(marked("a: |\n  ---\n"), "# x\na: |\n  ---\n");
        assert_eq!(marked(""), "");
    }
}
