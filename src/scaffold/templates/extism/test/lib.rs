//! A plugin of the type `test/v1` as a WebAssembly module: it greets.
//!
//! What it says is in [`greeting`], which needs no host and is tested with `cargo test`; the last module speaks to the host.

use serde::{Deserialize, Serialize};

/// What the host says: whom to greet.
#[derive(Deserialize)]
pub struct Input {
    #[serde(rename = "Name", default)]
    pub name: Option<String>,
}

/// What the host gets back.
#[derive(Serialize)]
pub struct Output {
    #[serde(rename = "Greeting")]
    pub greeting: String,
}

/// The greeting of `name`.
pub fn greeting(name: &str) -> String {
    format!("Hello, {}!", if name.is_empty() { "world" } else { name })
}

#[cfg(target_arch = "wasm32")]
mod host {
    use extism_pdk::{FnResult, Json, plugin_fn};

    use super::{Input, Output, greeting};

    #[plugin_fn]
    pub fn helm_plugin_main(Json(input): Json<Input>) -> FnResult<Json<Output>> {
        Ok(Json(Output { greeting: greeting(&input.name.unwrap_or_default()) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greets() {
        assert_eq!(greeting("Ann"), "Hello, Ann!");
        assert_eq!(greeting(""), "Hello, world!");
    }
}
