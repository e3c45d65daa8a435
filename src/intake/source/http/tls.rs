//! Clients for connections with and without TLS, made when first needed: loading the system's certificates costs milliseconds
//! that a plain-http download, and a program that downloads nothing, must not pay.
//!
//! Clients of the same settings are shared by the whole process, so that parallel downloads share connections.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Identity;
use reqwest::blocking::Client;
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use url::Url;

use super::error::Cause;
use super::{HttpError, proxy};
use crate::files;
use crate::intake::source::options::FetchOptions;
use crate::settings::HttpSettings;

/// No certificate or key file is larger; the bundles of whole systems stay under it.
const PEM_LIMIT: u64 = 4 << 20;

/// What the servers are told we are.
const USER_AGENT: &str = concat!("plugsmith/", env!("CARGO_PKG_VERSION"));

/// What decides whom we trust and who we are.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct Tls {
    /// Trusted certificates: the system's where absent.
    authorities: Option<Vec<CertificateDer<'static>>>,
    /// The client's certificate chain and key, as PEM.
    identity: Option<Vec<u8>>,
    /// Whether certificates are not checked at all.
    insecure: bool,
}

/// What one shared client was made with.
#[derive(Clone, PartialEq)]
struct Key {
    /// `None` for a client that only speaks plain http.
    tls: Option<Tls>,
    /// Through which it asks.
    proxy: Option<Url>,
    connect_timeout: Duration,
    idle_timeout: Duration,
}

static CLIENTS: Mutex<Vec<(Key, Client)>> = Mutex::new(Vec::new());

impl Tls {
    /// Reads the files that `options` name, whatever the scheme of the first URL: a redirect may lead to https.
    pub(super) fn load(options: &FetchOptions) -> Result<Self, HttpError> {
        let authorities = options.ca_file.as_deref().map(authorities).transpose()?;
        let identity = options.cert_file.as_deref().map(|cert| identity(cert, options.key_file.as_deref())).transpose()?;
        Ok(Self { authorities, identity, insecure: options.insecure_skip_tls_verify })
    }

    /// The client for `url`.
    pub(super) fn client(&self, url: &Url, http: &HttpSettings) -> Result<Client, HttpError> {
        let proxy = proxy::of(url)?;
        let encrypted = url.scheme() == "https" || proxy.as_ref().is_some_and(|proxy| proxy.scheme() == "https");
        let key = Key {
            tls: encrypted.then(|| self.clone()),
            proxy,
            connect_timeout: http.connect_timeout,
            idle_timeout: http.idle_timeout,
        };
        // A panic while the lock was held leaves a list that is still whole.
        let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = clients.iter().find(|(other, _)| *other == key) {
            return Ok(client.clone());
        }
        let client = build(&key).map_err(|source| HttpError::Client { source })?;
        clients.push((key, client.clone()));
        Ok(client)
    }
}

fn build(key: &Key) -> Result<Client, Cause> {
    // Somebody else's provider is as good as ours: only the first call of a process counts.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .user_agent(USER_AGENT)
        // Without a word any coding would do. A digest is that of the bytes as they lie there.
        .default_headers(HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("identity"))]))
        // The variables are read by us.
        .no_proxy()
        // Followed by hand, since credentials, schemes and their number are ours to watch.
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(key.connect_timeout)
        // For each read, since this is the client's: a request's would count for the whole.
        .timeout(key.idle_timeout);
    let builder = match &key.proxy {
        Some(proxy) => builder.proxy(reqwest::Proxy::all(proxy.clone()).map_err(reqwest::Error::without_url)?),
        None => builder,
    };
    let builder = match &key.tls {
        None => builder.tls_certs_only([]),
        Some(Tls { insecure: true, identity, .. }) => {
            with_identity(builder.tls_danger_accept_invalid_certs(true), identity)?
        }
        Some(Tls { authorities: None, identity, .. }) => with_identity(builder, identity)?,
        Some(Tls { authorities: Some(authorities), identity, .. }) => {
            builder.tls_backend_preconfigured(trusting(authorities, identity.as_deref())?)
        }
    };
    builder.build().map_err(|e| e.without_url().into())
}

fn with_identity(
    builder: reqwest::blocking::ClientBuilder,
    identity: &Option<Vec<u8>>,
) -> Result<reqwest::blocking::ClientBuilder, Cause> {
    Ok(match identity {
        Some(pem) => builder.identity(Identity::from_pem(pem)?),
        None => builder,
    })
}

/// A configuration that trusts `authorities` alone, as curl's `--cacert` and Helm's `--ca-file` do.
fn trusting(authorities: &[CertificateDer<'static>], identity: Option<&[u8]>) -> Result<ClientConfig, Cause> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in authorities {
        roots.add(certificate.clone())?;
    }
    let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build()?;
    let verifier = FromFile { chains, authorities: authorities.to_vec(), provider: provider.clone() };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    Ok(match identity {
        Some(pem) => {
            let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>()?;
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(pem)?)?
        }
        None => builder.with_no_client_auth(),
    })
}

/// Checks chains as always, and also takes a server's certificate that stands in the file itself.
///
/// Small private servers use one self-signed certificate that calls itself an authority; the chain check refuses such a one as
/// a server's whatever is trusted, where curl and Go accept it. Its validity has been checked by then, its name is checked here.
#[derive(Debug)]
struct FromFile {
    chains: Arc<WebPkiServerVerifier>,
    authorities: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for FromFile {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(other)))
                if other.to_string() == "CaUsedAsEndEntity" && self.authorities.iter().any(|own| own == end_entity) =>
            {
                rustls::client::verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The certificates of `path`: at least one, and each of them one that can be trusted.
fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    const WHAT: &str = "trusted certificates (PEM)";
    let pem = read(path, WHAT)?;
    let unusable = |source: Cause| HttpError::TlsFile { path: path.to_path_buf(), what: WHAT, source };
    let certificates =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>().map_err(|e| unusable(e.into()))?;
    if certificates.is_empty() {
        return Err(unusable("there is no certificate in it".into()));
    }
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots.add(certificate.clone()).map_err(|e| unusable(e.into()))?;
    }
    Ok(certificates)
}

/// The chain of `cert` and the key of `key`, else of `cert`, as one PEM text.
fn identity(cert: &Path, key: Option<&Path>) -> Result<Vec<u8>, HttpError> {
    const CERT: &str = "the client's certificate (PEM)";
    const KEY: &str = "the client's key (PEM, without a passphrase)";
    let unusable = |path: &Path, what, source: Cause| HttpError::TlsFile { path: path.to_path_buf(), what, source };
    let mut pem = read(cert, CERT)?;
    if !CertificateDer::pem_slice_iter(&pem).any(|found| found.is_ok()) {
        return Err(unusable(cert, CERT, "there is no certificate in it".into()));
    }
    let key_path = key.unwrap_or(cert);
    let key_pem = match key {
        Some(path) => read(path, KEY)?,
        None => pem.clone(),
    };
    if let Err(e) = PrivateKeyDer::from_pem_slice(&key_pem) {
        return Err(unusable(key_path, KEY, e.into()));
    }
    if key.is_some() {
        // The key's file alone decides about the key, also where the certificate's file holds another one.
        pem = only_certificates(&pem);
        pem.push(b'\n');
        pem.extend_from_slice(&key_pem);
    }
    Ok(pem)
}

/// The certificate blocks of a PEM text.
fn only_certificates(pem: &[u8]) -> Vec<u8> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let text = String::from_utf8_lossy(pem);
    let mut out = String::new();
    for block in text.split(BEGIN).skip(1) {
        if let Some((body, _)) = block.split_once(END) {
            out.push_str(BEGIN);
            out.push_str(body);
            out.push_str(END);
            out.push('\n');
        }
    }
    out.into_bytes()
}

fn read(path: &Path, what: &'static str) -> Result<Vec<u8>, HttpError> {
    let failed = |source: Cause| HttpError::TlsFile { path: PathBuf::from(path), what, source };
    match files::read_bounded(path, PEM_LIMIT) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(failed("it is larger than 4 MiB".into())),
        Err(e) => Err(failed(e.into())),
    }
}
