//! A post-renderer as a WebAssembly module: puts a comment at the head of each document.
//!
//! What it does is in [`mark`], which needs no host and is tested with `cargo test`; the last module speaks to the host.

use serde::{Deserialize, Serialize};

/// What the host says: the documents, and the user's arguments.
#[derive(Deserialize)]
pub struct Input {
    pub manifests: String,
    #[serde(rename = "extraArgs", default)]
    pub extra_args: Option<Vec<String>>,
}

/// What the host gets back.
#[derive(Serialize)]
pub struct Output {
    pub manifests: String,
}

/// `documents`, each with `comment` before its first line.
pub fn mark(documents: &str, comment: &str) -> Result<String, String> {
    if comment.contains(['\n', '\r']) {
        return Err("a comment has one line".to_owned());
    }
    let comment = format!("# {comment}\n");
    let mut marked = String::with_capacity(documents.len() + comment.len());
    for (number, line) in documents.split_inclusive('\n').enumerate() {
        // A line `---` begins a document; the first one can do without.
        let begins = line.strip_prefix("---").is_some_and(|rest| rest.trim().is_empty());
        if number == 0 && !begins {
            marked.push_str(&comment);
        }
        marked.push_str(line);
        if begins {
            marked.push_str(if line.ends_with('\n') { "" } else { "\n" });
            marked.push_str(&comment);
        }
    }
    Ok(marked)
}

#[cfg(target_arch = "wasm32")]
mod host {
    use extism_pdk::{Error, FnResult, Json, config, plugin_fn};

    use super::{Input, Output, mark};

    #[plugin_fn]
    pub fn helm_plugin_main(Json(input): Json<Input>) -> FnResult<Json<Output>> {
        let comment = match input.extra_args.unwrap_or_default().join(" ") {
            none if none.is_empty() => config::get("comment")?.unwrap_or_default(),
            given => given,
        };
        let manifests = mark(&input.manifests, &comment).map_err(Error::msg)?;
        Ok(Json(Output { manifests }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_each_document() {
        assert_eq!(mark("a: 1\n", "x").unwrap(), "# x\na: 1\n");
        assert_eq!(mark("---\na: 1\n---\nb: 2\n", "x").unwrap(), "---\n# x\na: 1\n---\n# x\nb: 2\n");
        assert_eq!(mark("a: |\n  ---\n", "x").unwrap(), "# x\na: |\n  ---\n");
        assert_eq!(mark("", "x").unwrap(), "");
        assert!(mark("a: 1\n", "x\ny: 2").is_err());
    }
}
