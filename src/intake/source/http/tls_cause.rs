//! Why a connection over TLS cannot be trusted, and what helps against that: each cause has a next step of its own, since the one for
//! another cause fails.

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

use crate::intake::source::options::FetchOptions;

/// Why a connection over TLS did not come about, with what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsCause {
    /// Nobody who is trusted signed the server's certificate.
    #[error(
        "nobody who is trusted here has signed its certificate; if its authority is a private one, name that one's certificate \
         with `--ca-file`"
    )]
    UnknownIssuer,
    /// The authorities that were named did not sign it either.
    #[error(
        "none of the authorities that were named has signed its certificate; name the file with the certificate of the server's \
         own authority"
    )]
    OtherIssuer,
    /// The certificate is for other names.
    #[error("its certificate is for another name; check the host's name, or ask the server's owner")]
    WrongName,
    /// The certificate is not valid any more.
    #[error("its certificate has expired; check this machine's clock, or ask the server's owner to renew it")]
    Expired,
    /// The certificate is not valid yet.
    #[error("its certificate is not valid yet; check this machine's clock, or ask the server's owner")]
    NotYetValid,
    /// The certificate was taken back.
    #[error("its certificate was revoked; ask the server's owner for a new one")]
    Revoked,
    /// The certificate itself is wrong.
    #[error("its certificate is not one for a server, or is damaged; ask the server's owner")]
    BadCertificate,
    /// The server wants to know who asks.
    #[error("the server wants a client certificate; give one with `--cert-file` and `--key-file`")]
    ClientWanted,
    /// The server does not take the client certificate.
    #[error("the server refuses the client certificate; check that it is the right one for this server and has not expired")]
    ClientRefused,
    /// The server ended the handshake without saying more.
    #[error(
        "the server ended the handshake: either it wants a client certificate (`--cert-file` and `--key-file`), or it has no \
         version and cipher of TLS in common with us (TLS 1.2 is the oldest)"
    )]
    HandshakeRefused,
    /// The two speak no common version.
    #[error(
        "the two have no version and cipher of TLS in common (TLS 1.2 is the oldest); ask the server's owner for a newer one"
    )]
    Protocol,
    /// Something else.
    #[error("the handshake failed; ask the server's owner")]
    Other,
}

impl TlsCause {
    /// What `error` means for somebody who asks with `options`.
    pub(super) fn of(error: &Error, options: &FetchOptions) -> Self {
        let shows_who_we_are = options.cert_file.is_some();
        match error {
            Error::InvalidCertificate(error) => match error {
                CertificateError::UnknownIssuer if options.ca_file.is_some() => Self::OtherIssuer,
                CertificateError::UnknownIssuer => Self::UnknownIssuer,
                // A server whose certificate is that of an authority: trusted where it stands in the file itself.
                CertificateError::Other(other) if other.to_string() == "CaUsedAsEndEntity" => match options.ca_file {
                    Some(_) => Self::OtherIssuer,
                    None => Self::UnknownIssuer,
                },
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::WrongName,
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
                CertificateError::Revoked => Self::Revoked,
                _ => Self::BadCertificate,
            },
            Error::AlertReceived(alert) => match alert {
                AlertDescription::CertificateRequired | AlertDescription::NoCertificate => Self::ClientWanted,
                AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied => {
                    if shows_who_we_are {
                        Self::ClientRefused
                    } else {
                        Self::ClientWanted
                    }
                }
                AlertDescription::UnrecognisedName => Self::WrongName,
                AlertDescription::HandshakeFailure if !shows_who_we_are => Self::HandshakeRefused,
                AlertDescription::HandshakeFailure
                | AlertDescription::ProtocolVersion
                | AlertDescription::InsufficientSecurity => Self::Protocol,
                _ => Self::Other,
            },
            Error::PeerIncompatible(PeerIncompatible::ServerRejectedEncryptedClientHello(_)) => Self::Other,
            Error::PeerIncompatible(_) => Self::Protocol,
            _ => Self::Other,
        }
    }

    /// The same for what nginx says in an answer of its own, since it lets the handshake succeed first.
    pub(super) fn of_answer(status: u16, body: &[u8]) -> Option<Self> {
        let page = String::from_utf8_lossy(body);
        let is = |words: &str| page.contains(words);
        match status {
            400 | 496 if is("No required SSL certificate was sent") => Some(Self::ClientWanted),
            400 | 495 if is("The SSL certificate error") => Some(Self::ClientRefused),
            _ => None,
        }
    }

    /// The same for what the `git` program says, whichever library for TLS it has.
    pub(in crate::intake::source) fn of_complaint(complaint: &str, options: &FetchOptions) -> Option<Self> {
        let says = |words: &[&str]| words.iter().any(|words| complaint.contains(words));
        if !says(&["ssl", "tls", "certificate"]) {
            return None;
        }
        let issuer = if options.ca_file.is_some() { Self::OtherIssuer } else { Self::UnknownIssuer };
        let client = if options.cert_file.is_some() { Self::ClientRefused } else { Self::ClientWanted };
        [
            (&["certificate required"][..], Self::ClientWanted),
            (&["has expired", "certificate expired"], Self::Expired),
            (&["not yet valid", "not activated"], Self::NotYetValid),
            (&["subject name", "does not match", "hostname mismatch", "unrecognized name"], Self::WrongName),
            (&["revoked"], Self::Revoked),
            (&["bad certificate", "unknown ca", "certificate unknown"], client),
            (
                &[
                    "issuer certificate",
                    "self-signed certificate",
                    "self signed certificate",
                    "verification failed",
                    "signer not found",
                ],
                issuer,
            ),
            (&["handshake failure"], Self::HandshakeRefused),
            (&["protocol version", "unsupported protocol", "no protocols available"], Self::Protocol),
        ]
        .into_iter()
        .find_map(|(words, cause)| says(words).then_some(cause))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::OtherError;

    use super::*;

    /// Who asks: with which of the two files.
    fn options(ca: bool, cert: bool) -> FetchOptions {
        FetchOptions {
            ca_file: ca.then(|| "ca.pem".into()),
            cert_file: cert.then(|| "cert.pem".into()),
            ..FetchOptions::default()
        }
    }

    #[test]
    fn the_next_step_fits_the_cause() {
        use TlsCause::*;
        let certificate = Error::InvalidCertificate;
        let alert = Error::AlertReceived;
        let own = OtherError(Arc::new(std::io::Error::other("CaUsedAsEndEntity")));
        // What failed; whether `--ca-file` and `--cert-file` were given; the cause; what the message must name.
        let table = [
            (certificate(CertificateError::UnknownIssuer), false, false, UnknownIssuer, "`--ca-file`"),
            (certificate(CertificateError::UnknownIssuer), true, false, OtherIssuer, "server's own authority"),
            (certificate(CertificateError::Other(own.clone())), false, false, UnknownIssuer, "`--ca-file`"),
            (certificate(CertificateError::Other(own)), true, false, OtherIssuer, "server's own authority"),
            (certificate(CertificateError::NotValidForName), false, false, WrongName, "host's name"),
            (certificate(CertificateError::Expired), true, true, Expired, "clock"),
            (certificate(CertificateError::NotValidYet), false, false, NotYetValid, "clock"),
            (certificate(CertificateError::Revoked), false, false, Revoked, "owner"),
            (certificate(CertificateError::BadSignature), false, false, BadCertificate, "owner"),
            (alert(AlertDescription::CertificateRequired), true, false, ClientWanted, "`--cert-file`"),
            (alert(AlertDescription::BadCertificate), true, false, ClientWanted, "`--cert-file`"),
            (alert(AlertDescription::BadCertificate), false, true, ClientRefused, "client certificate"),
            (alert(AlertDescription::UnknownCA), false, true, ClientRefused, "client certificate"),
            (alert(AlertDescription::UnrecognisedName), false, false, WrongName, "host's name"),
            (alert(AlertDescription::HandshakeFailure), false, false, HandshakeRefused, "`--cert-file`"),
            (alert(AlertDescription::HandshakeFailure), false, true, Protocol, "TLS 1.2"),
            (alert(AlertDescription::ProtocolVersion), false, false, Protocol, "TLS 1.2"),
            (alert(AlertDescription::InternalError), false, false, Other, "owner"),
            (Error::PeerIncompatible(PeerIncompatible::NoKxGroupsInCommon), false, false, Protocol, "TLS 1.2"),
        ];
        for (error, ca, cert, want, names) in table {
            let cause = TlsCause::of(&error, &options(ca, cert));
            assert_eq!(cause, want, "{error:?}");
            let message = cause.to_string();
            assert!(message.contains(names), "{message}");
            assert_eq!(message.contains("--ca-file"), cause == UnknownIssuer, "only where it helps: {message}");
        }
    }

    #[test]
    fn git_says_the_same_in_other_words() {
        use TlsCause::*;
        for (complaint, ca, want) in [
            ("ssl certificate problem: unable to get local issuer certificate", false, Some(UnknownIssuer)),
            ("ssl certificate problem: self-signed certificate", false, Some(UnknownIssuer)),
            ("server certificate verification failed. cafile: x crlfile: none", true, Some(OtherIssuer)),
            ("ssl certificate problem: certificate has expired", false, Some(Expired)),
            ("ssl: no alternative certificate subject name matches target host name 'h'", false, Some(WrongName)),
            ("ssl: certificate subject name (a) does not match target host name 'h'", true, Some(WrongName)),
            ("tlsv13 alert certificate required", false, Some(ClientWanted)),
            ("sslv3 alert handshake failure", false, Some(HandshakeRefused)),
            ("tlsv1 alert protocol version", false, Some(Protocol)),
            ("gnutls_handshake() failed: error in the certificate verification.", false, None),
            ("repository not found", false, None),
        ] {
            assert_eq!(TlsCause::of_complaint(complaint, &options(ca, false)), want, "{complaint}");
        }
    }
}
