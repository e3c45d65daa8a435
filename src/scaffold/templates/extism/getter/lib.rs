//! A getter as a WebAssembly module: what it downloads stands in the manifest, or on the mirror that the manifest names.
//!
//! How a URL is read is in [`path_of`], which needs no host and is tested with `cargo test`; the last module speaks to the host.

use serde::{Deserialize, Serialize};

/// What the host asks for. More than this comes, such as credentials: see the key `options`.
#[derive(Deserialize)]
pub struct Input {
    pub href: String,
}

/// What the host gets: the content in base64.
#[derive(Serialize)]
pub struct Output {
    pub data: String,
}

/// The path that `href` names: what follows `scheme://`, without query and fragment.
pub fn path_of(href: &str) -> Result<&str, String> {
    let rest = href.split_once("://").map(|(_, rest)| rest).ok_or_else(|| format!("{href} is no URL"))?;
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    // Whatever climbs out of the mirror, or could be read in two ways, is refused.
    match path.split('/').any(|part| matches!(part, "" | "." | "..")) || path.contains(['%', '\\']) {
        true => Err(format!("{href} names no file")),
        false => Ok(path),
    }
}

#[cfg(target_arch = "wasm32")]
mod host {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use extism_pdk::{Error, FnResult, HttpRequest, Json, config, http, plugin_fn};

    use super::{Input, Output, path_of};

    #[plugin_fn]
    pub fn helm_plugin_main(Json(input): Json<Input>) -> FnResult<Json<Output>> {
        let path = path_of(&input.href).map_err(Error::msg)?;
        let content = match (config::get(format!("file/{path}"))?, config::get("mirror")?) {
            (Some(text), _) => text.into_bytes(),
            (None, Some(mirror)) => download(&format!("{}/{path}", mirror.trim_end_matches('/')))?,
            (None, None) => return Err(Error::msg(format!("there is no {path}")).into()),
        };
        Ok(Json(Output { data: STANDARD.encode(content) }))
    }

    /// What a web server has at `url`; the manifest's `allowedHosts` must name its host.
    fn download(url: &str) -> Result<Vec<u8>, Error> {
        let response = http::request::<()>(&HttpRequest::new(url).with_method("GET"), None)?;
        match response.status_code() {
            200 => Ok(response.body()),
            code => Err(Error::msg(format!("{url} answers with status {code}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_urls() {
        assert_eq!(path_of("x://hello.txt"), Ok("hello.txt"));
        assert_eq!(path_of("x://a/b.tgz?c#d"), Ok("a/b.tgz"));
        for bad in ["hello.txt", "x://", "x://../a", "x://a//b", "x://a/", "x://%2e%2e/a", "x://a\\b"] {
            assert!(path_of(bad).is_err(), "{bad}");
        }
    }
}
