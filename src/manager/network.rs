//! How servers are reached: what the user says this time, else what an install had to be told and its receipt remembers.
//!
//! User names and passwords are not among it: they are said each time, or lie where the user's other programs look for them.

use crate::intake::source::{FetchOptions, Source};
use crate::store::NetworkSettings;

/// What a receipt remembers of a fetch from `source` with `options`.
pub(super) fn network_settings(options: &FetchOptions, source: &Source) -> NetworkSettings {
    if !source.is_remote() {
        return NetworkSettings::default();
    }
    // A path means the same from every directory; one that no JSON can hold is said again each time.
    let file = |path: &Option<std::path::PathBuf>| {
        let path = std::path::absolute(path.as_ref()?).ok()?;
        path.to_str().map(str::to_owned)
    };
    NetworkSettings {
        plain_http: options.plain_http,
        insecure_skip_tls_verify: options.insecure_skip_tls_verify,
        ca_file: file(&options.ca_file),
        cert_file: file(&options.cert_file),
        key_file: file(&options.key_file),
    }
}

/// `options`, and what `network` remembers where they say nothing.
pub(super) fn with_network_settings(options: &FetchOptions, network: &NetworkSettings) -> FetchOptions {
    let mut options = options.clone();
    options.plain_http |= network.plain_http;
    // Which certificates count is one question, and who we are another.
    if options.ca_file.is_none() && !options.insecure_skip_tls_verify {
        options.ca_file = network.ca_file.as_ref().map(Into::into);
        options.insecure_skip_tls_verify = network.insecure_skip_tls_verify;
    }
    if options.cert_file.is_none() && options.key_file.is_none() {
        options.cert_file = network.cert_file.as_ref().map(Into::into);
        options.key_file = network.key_file.as_ref().map(Into::into);
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::source::{Secret, SourceContext};

    #[test]
    fn what_is_said_now_counts_before_what_is_remembered() {
        let source = Source::parse("oci://h/p", &SourceContext::default()).unwrap();
        let said = FetchOptions {
            ca_file: Some("/ca".into()),
            cert_file: Some("/cert".into()),
            plain_http: true,
            username: Some("ann".to_owned()),
            password: Some(Secret::new("hunter2")),
            ..FetchOptions::default()
        };
        let network = network_settings(&said, &source);
        let json = serde_json::to_string(&network).unwrap();
        assert_eq!(json, r#"{"plainHttp":true,"caFile":"/ca","certFile":"/cert"}"#, "who asks is nobody's to remember");

        let again = with_network_settings(&FetchOptions::default(), &network);
        assert_eq!((&again.ca_file, &again.cert_file, again.plain_http), (&said.ca_file, &said.cert_file, true));
        let skip = FetchOptions { insecure_skip_tls_verify: true, ..FetchOptions::default() };
        let skip = with_network_settings(&skip, &network);
        assert_eq!((skip.ca_file, skip.insecure_skip_tls_verify), (None, true), "one contradicts the other");
        let other = FetchOptions { cert_file: Some("/other".into()), ..FetchOptions::default() };
        let other = with_network_settings(&other, &NetworkSettings { key_file: Some("/key".to_owned()), ..network });
        assert_eq!((other.cert_file, other.key_file), (Some("/other".into()), None), "a key belongs to its certificate");
        let local = Source::Archive("/p.tgz".into());
        assert_eq!(network_settings(&said, &local), NetworkSettings::default());
    }
}
