//! Why TLS failed, in plain words: what happened, and what to do about it.
//!
//! rustls names its errors for programmers, as identifiers. No identifier is shown here: an error without a sentence of
//! its own is described by the words of its name.

use std::fmt::Debug;

use rustls::pki_types::{ServerName, UnixTime};
use rustls::{
    AlertDescription, CertRevocationListError, CertificateError, EncryptedClientHelloError, Error,
    ExtendedKeyPurpose, InconsistentKeys, InvalidMessage, PeerIncompatible, PeerMisbehaved,
};

use super::pin::PinMismatch;

/// What happened, and what to do about it, as one sentence.
pub(crate) fn explain(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(fault) => {
            format!("the server's certificate is refused: {}", explain_certificate(fault))
        }
        Error::AlertReceived(alert) => explain_alert(*alert),
        Error::InvalidMessage(fault) => explain_message(fault),
        Error::PeerMisbehaved(PeerMisbehaved::AttemptedDowngradeToTls12WhenTls13IsSupported) => {
            "the server chose TLS 1.2 although it supports TLS 1.3; something on the way to it weakens the \
             connection: use another network"
                .into()
        }
        Error::PeerMisbehaved(fault) => broke_the_protocol(&words(fault)),
        Error::PeerIncompatible(fault) => explain_incompatible(fault),
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            broke_the_protocol("a message that is not expected at that point")
        }
        Error::InvalidEncryptedClientHello(fault) => match fault {
            EncryptedClientHelloError::InvalidConfigList
            | EncryptedClientHelloError::NoCompatibleConfig => {
                broke_the_protocol("an unusable configuration for encrypted hellos")
            }
            other => broke_the_protocol(&words(other)),
        },
        Error::NoCertificatesPresented => {
            "the server showed no certificate; its operator must install one".into()
        }
        Error::UnsupportedNameType => {
            "no certificate can be for such a name; use a host name or an IP address".into()
        }
        Error::DecryptError => {
            "data arrived that can't be decrypted: it was damaged or changed on the way, or the server is \
             faulty; try again, or use another network"
                .into()
        }
        Error::PeerSentOversizedRecord => broke_the_protocol("a record that is too large"),
        Error::NoApplicationProtocol => NO_PROTOCOL.into(),
        Error::InvalidCertRevocationList(fault) => {
            format!(
                "the list of revoked certificates is unusable ({}); get a new one",
                match fault {
                    CertRevocationListError::Other(_) => "it can't be parsed".into(),
                    CertRevocationListError::UnsupportedSignatureAlgorithmContext { .. }
                    | CertRevocationListError::UnsupportedSignatureAlgorithmForPublicKeyContext {
                        ..
                    } => "its signature has an algorithm that is not supported".into(),
                    other => words(other),
                }
            )
        }
        Error::FailedToGetCurrentTime => {
            "the system has no clock by which certificates could be checked; set its time".into()
        }
        Error::FailedToGetRandomBytes => {
            "the system gives no random numbers, which encryption needs; see getrandom(2)".into()
        }
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            "the private key does not belong to the certificate; compare `openssl x509 -noout -pubkey -in \
             CERTIFICATE` with `openssl pkey -pubout -in KEY`"
                .into()
        }
        Error::InconsistentKeys(_) => {
            "it can't be checked that the private key belongs to the certificate; use a key of another type".into()
        }
        Error::EncryptError | Error::HandshakeNotComplete | Error::BadMaxFragmentSize => {
            format!("a defect in the use of TLS ({}); please report it", words(error))
        }
        // Sentences of this library and of the cryptographic provider.
        Error::General(sentence) => sentence.clone(),
        Error::Other(cause) => format!("the cryptographic library failed: {cause}; please report it"),
        other => format!("TLS failed: {}; please report it", words(other)),
    }
}

/// Why a certificate is refused, and what to do about it: half a sentence that begins with "it".
pub(super) fn explain_certificate(fault: &CertificateError) -> String {
    match fault {
        CertificateError::Expired => format!("it has expired; {RENEW}"),
        CertificateError::ExpiredContext { time, not_after } => {
            format!("it has expired {} ago; {RENEW}", duration(*not_after, *time))
        }
        CertificateError::NotValidYet => format!("it is not valid yet; {CLOCK}"),
        CertificateError::NotValidYetContext { time, not_before } => {
            format!("it is not valid yet, but in {}; {CLOCK}", duration(*time, *not_before))
        }
        CertificateError::Revoked => "it was revoked; the server needs a new one".into(),
        CertificateError::UnhandledCriticalExtension => {
            "it has a critical extension that is not supported; the server needs one without it".into()
        }
        CertificateError::UnknownIssuer => {
            "its issuer is not trusted (self-signed, or an unknown root); if you trust it, add its root \
             certificate to the trusted ones, or name its file in SSL_CERT_FILE; a server that does not send its \
             intermediate certificates is refused as well"
                .into()
        }
        CertificateError::UnknownRevocationStatus => {
            "it is not known whether it was revoked; provide a current list of revoked certificates".into()
        }
        CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => {
            "the list of revoked certificates has expired; provide a current one".into()
        }
        CertificateError::BadSignature => {
            "its signature is wrong: it was changed, or its issuer's certificate has the same name and another \
             key; check which root is trusted"
                .into()
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. } => UNSUPPORTED_SIGNATURE.into(),
        CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            UNSUPPORTED_SIGNATURE.into()
        }
        CertificateError::NotValidForName => format!("it is for another host name; {OTHER_NAME}"),
        CertificateError::NotValidForNameContext { expected, presented } => {
            wrong_name(expected, presented)
        }
        CertificateError::InvalidPurpose => format!("it is not for servers; {SERVER_PURPOSE}"),
        CertificateError::InvalidPurposeContext { presented, .. } => {
            let purposes: Vec<_> = presented.iter().map(purpose).collect();
            format!("it is for {}, not for servers; {SERVER_PURPOSE}", list(&purposes))
        }
        CertificateError::InvalidOcspResponse => {
            "the server's proof that it was not revoked (OCSP) is invalid; its operator must renew that".into()
        }
        CertificateError::ApplicationVerificationFailure => {
            "the program's own check refused it; see that check".into()
        }
        CertificateError::BadEncoding => format!("it can't be parsed; {NEW_CERTIFICATE}"),
        CertificateError::Other(cause) => {
            if let Some(fault) = cause.0.downcast_ref::<webpki::Error>() {
                explain_path(fault)
            } else if let Some(mismatch) = cause.0.downcast_ref::<PinMismatch>() {
                mismatch.to_string()
            } else {
                format!("it can't be verified; {NEW_CERTIFICATE}")
            }
        }
        #[expect(deprecated, reason = "older parts of rustls may still report it")]
        CertificateError::UnsupportedSignatureAlgorithm => UNSUPPORTED_SIGNATURE.into(),
        other => format!("it can't be verified: {}; {NEW_CERTIFICATE}", words(other)),
    }
}

/// Why no chain leads from a certificate to a root: what webpki reports and rustls passes on as it is.
fn explain_path(fault: &webpki::Error) -> String {
    use webpki::Error as Path;
    match fault {
        Path::CaUsedAsEndEntity => {
            "it is that of a certificate authority (CA:TRUE) and was not given as a trusted one; add this very \
             certificate to the trusted ones, or make one with `-addext basicConstraints=critical,CA:FALSE`"
                .into()
        }
        Path::EndEntityUsedAsCa => {
            "its issuer's certificate may not issue any (CA:FALSE); let a certificate authority issue it".into()
        }
        Path::UnsupportedCertVersion => {
            "it is of an old version of X.509 that holds no host name; make one of version 3, with a \
             subjectAltName"
                .into()
        }
        Path::NameConstraintViolation => {
            "its issuer may not issue certificates for such names; let another one issue it".into()
        }
        Path::PathLenConstraintViolated => {
            "there are more intermediate certificates than its root allows; correct the chain".into()
        }
        Path::MaximumPathDepthExceeded
        | Path::MaximumPathBuildCallsExceeded
        | Path::MaximumSignatureChecksExceeded
        | Path::MaximumNameConstraintComparisonsExceeded => {
            "the server sent too many or too complex certificates; its operator must correct the chain".into()
        }
        Path::UnsupportedCriticalExtension => {
            "it has a critical extension that is not supported; the server needs one without it".into()
        }
        Path::CertDistrusted => "its key is known to be unsafe; the server needs a new one".into(),
        Path::CertNotValidForName(names) => wrong_name(&names.expected, &names.presented),
        Path::CertExpired { time, not_after } => {
            format!("it has expired {} ago; {RENEW}", duration(*not_after, *time))
        }
        Path::CertNotValidYet { time, not_before } => {
            format!("it is not valid yet, but in {}; {CLOCK}", duration(*time, *not_before))
        }
        Path::UnknownIssuer => explain_certificate(&CertificateError::UnknownIssuer),
        other => format!("it is malformed ({}); {NEW_CERTIFICATE}", words(other)),
    }
}

fn wrong_name(expected: &ServerName<'_>, presented: &[String]) -> String {
    // Each is the debug text of an identifier and a value: `DnsName("example.org")`.
    let presented = presented.iter().filter_map(|name| {
        let (kind, rest) = name.split_once('(')?;
        let value = rest.strip_suffix(')').unwrap_or(rest).trim_matches('"');
        matches!(kind, "DnsName" | "IpAddress").then(|| value.chars().take(LONGEST_NAME).collect())
    });
    let presented: Vec<String> = presented.take(MOST_NAMES).collect();
    let expected = expected.to_str();
    if presented.is_empty() {
        return format!(
            "it is for another host name: it names no host, while {expected} is needed; make it with a \
             subjectAltName, as with `openssl req -x509 -addext subjectAltName=DNS:{expected}`"
        );
    }
    let names = list(&presented);
    format!("it is for another host name: for {names}, not for {expected}; {OTHER_NAME}")
}

fn purpose(purpose: &ExtendedKeyPurpose) -> String {
    match purpose {
        ExtendedKeyPurpose::ClientAuth => "clients".into(),
        ExtendedKeyPurpose::ServerAuth => "servers".into(),
        ExtendedKeyPurpose::Other(_) => "another purpose".into(),
    }
}

/// Alerts by their names in RFC 8446 section 6, which servers and captures show too.
fn explain_alert(alert: AlertDescription) -> String {
    use AlertDescription as Alert;
    let (name, what) = match alert {
        Alert::CloseNotify => ("close_notify", "the server ended the connection; try again"),
        Alert::UnexpectedMessage => ("unexpected_message", FAULTY),
        Alert::BadRecordMac => ("bad_record_mac", DAMAGED),
        Alert::DecryptionFailed => ("decryption_failed", DAMAGED),
        Alert::RecordOverflow => ("record_overflow", FAULTY),
        Alert::DecompressionFailure => ("decompression_failure", FAULTY),
        Alert::HandshakeFailure => (
            "handshake_failure",
            "it accepts nothing of what was offered: no common cipher suite, key exchange or signature, or it wants \
             a client certificate; see its log",
        ),
        Alert::NoCertificate => ("no_certificate", CERTIFICATE_REQUIRED),
        Alert::BadCertificate => ("bad_certificate", CLIENT_CERTIFICATE),
        Alert::UnsupportedCertificate => ("unsupported_certificate", CLIENT_CERTIFICATE),
        Alert::CertificateRevoked => {
            ("certificate_revoked", "the client certificate was revoked; get a new one")
        }
        Alert::CertificateExpired => (
            "certificate_expired",
            "the client certificate has expired, or the server's clock is wrong; get a new one",
        ),
        Alert::CertificateUnknown => ("certificate_unknown", CLIENT_CERTIFICATE),
        Alert::IllegalParameter => ("illegal_parameter", FAULTY),
        Alert::UnknownCA => (
            "unknown_ca",
            "the server does not trust the issuer of the client certificate; present one that it trusts, with its \
             whole chain",
        ),
        Alert::AccessDenied => (
            "access_denied",
            "the client certificate has no access; ask the operator of the server",
        ),
        Alert::DecodeError => ("decode_error", FAULTY),
        Alert::DecryptError => (
            "decrypt_error",
            "a signature or a key was not accepted; check that the client's private key belongs to its certificate",
        ),
        Alert::ExportRestriction => ("export_restriction", OLD_SERVER),
        Alert::ProtocolVersion => (
            "protocol_version",
            "the server supports none of the offered versions of TLS; allow TLS 1.2 as the minimum, or upgrade the \
             server",
        ),
        Alert::InsufficientSecurity => (
            "insufficient_security",
            "the server wants stronger encryption than was offered; allow TLS 1.3 as the maximum",
        ),
        Alert::InternalError => {
            ("internal_error", "the server failed; try again later, and see the log of the server")
        }
        Alert::InappropriateFallback => ("inappropriate_fallback", OLD_SERVER),
        Alert::UserCanceled => ("user_canceled", "the server gave up; try again"),
        Alert::NoRenegotiation => ("no_renegotiation", FAULTY),
        Alert::MissingExtension => ("missing_extension", FAULTY),
        Alert::UnsupportedExtension => ("unsupported_extension", FAULTY),
        Alert::CertificateUnobtainable => ("certificate_unobtainable", CLIENT_CERTIFICATE),
        Alert::UnrecognisedName => (
            "unrecognized_name",
            "the server does not serve this host name; check the URL, or set the server name in the TLS settings",
        ),
        Alert::BadCertificateStatusResponse => ("bad_certificate_status_response", FAULTY),
        Alert::BadCertificateHashValue => ("bad_certificate_hash_value", FAULTY),
        Alert::UnknownPSKIdentity => {
            ("unknown_psk_identity", "the session is not known any more; try again")
        }
        Alert::CertificateRequired => ("certificate_required", CERTIFICATE_REQUIRED),
        Alert::NoApplicationProtocol => ("no_application_protocol", NO_PROTOCOL),
        Alert::EncryptedClientHelloRequired => (
            "ech_required",
            "the server wants the host name encrypted, which is not supported; use another server",
        ),
        Alert::Unknown(number) => {
            return format!(
                "the server refused the connection with the unknown alert {number}; see the log of the server"
            );
        }
        other => {
            let name = words(&other);
            return format!(
                "the server refused the connection (alert {name}); see the log of the server"
            );
        }
    };
    format!("the server refused the connection (alert {name}): {what}")
}

fn explain_message(fault: &InvalidMessage) -> String {
    match fault {
        InvalidMessage::InvalidContentType => {
            "what the server sent is not TLS; if this port serves plain HTTP, use http:// in the URL".into()
        }
        InvalidMessage::UnknownProtocolVersion => {
            "what the server sent is not TLS, or an obsolete version of it; if this port serves plain HTTP, use \
             http:// in the URL, otherwise upgrade the server"
                .into()
        }
        InvalidMessage::CertificatePayloadTooLarge
        | InvalidMessage::HandshakePayloadTooLarge
        | InvalidMessage::MessageTooLarge => broke_the_protocol(
            "a message that is too large (it may send too many certificates)",
        ),
        InvalidMessage::UnsupportedCompression => broke_the_protocol("compressed data"),
        other => broke_the_protocol(&words(other)),
    }
}

fn explain_incompatible(fault: &PeerIncompatible) -> String {
    match fault {
        PeerIncompatible::ServerDoesNotSupportTls12Or13 => {
            "the server supports neither TLS 1.2 nor TLS 1.3, and older versions are unsafe; upgrade the server"
                .into()
        }
        PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::SupportedVersionsExtensionRequired => {
            "the server wants a version of TLS that the settings don't allow; change the minimum or the maximum \
             version"
                .into()
        }
        PeerIncompatible::ServerRejectedEncryptedClientHello(_) => {
            "the server refused the encrypted hello; try again without it".into()
        }
        other => format!(
            "the server is too old for this client ({}); upgrade the server",
            words(other)
        ),
    }
}

fn broke_the_protocol(what: &str) -> String {
    format!(
        "the server broke the protocol of TLS ({what}); try again, and report it to the operator of the server or of \
         the network"
    )
}

/// The words of an identifier: "SelectedUnofferedKxGroup" is "selected unoffered key exchange group". What the value
/// holds is left out.
fn words(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    let name: String = text.chars().take_while(|letter| letter.is_alphanumeric()).collect();
    let mut found: Vec<String> = Vec::new();
    let mut before = None;
    for letter in name.chars() {
        let begins = letter.is_uppercase() && before.is_none_or(char::is_lowercase)
            || letter.is_uppercase() && before.is_some_and(|before: char| before.is_numeric());
        if begins || found.is_empty() {
            found.push(String::new());
        }
        if let Some(word) = found.last_mut() {
            word.extend(letter.to_lowercase());
        }
        before = Some(letter);
    }
    let found: Vec<&str> = found.iter().map(|word| spelled(word)).collect();
    found.join(" ")
}

/// Abbreviations as they are written, and those that only programmers know in full.
fn spelled(word: &str) -> &str {
    match word {
        "tls" => "TLS",
        "tls12" => "TLS 1.2",
        "tls13" => "TLS 1.3",
        "psk" => "session key",
        "kx" => "key exchange",
        "ccs" => "change of the cipher",
        "dh" | "dhe" => "Diffie-Hellman",
        "ec" => "elliptic curve",
        "ech" => "encrypted hello",
        "ems" => "extended master secret",
        "quic" => "QUIC",
        "crl" => "list of revoked certificates",
        "der" => "DER",
        "eku" => "key usage",
        "ca" => "authority",
        "cert" => "certificate",
        "certs" => "certificates",
        "dns" => "DNS",
        "sct" => "timestamps",
        "sig" => "signature",
        other => other,
    }
}

/// "3 days", "1 hour", "5 minutes".
fn duration(from: UnixTime, to: UnixTime) -> String {
    let seconds = to.as_secs().saturating_sub(from.as_secs());
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

/// "a, b and c".
fn list(items: &[String]) -> String {
    match items {
        [] => "nothing".into(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// As many names of a certificate are shown; some have hundreds.
const MOST_NAMES: usize = 8;
const LONGEST_NAME: usize = 253;
const RENEW: &str = "the server needs a new one, or the clock of this machine is wrong";
const CLOCK: &str =
    "check the clock of this machine, and that of the machine that made the certificate";
const OTHER_NAME: &str =
    "use one of its names in the URL, or set the server name in the TLS settings";
const SERVER_PURPOSE: &str =
    "the server needs one whose extended key usage allows server authentication (serverAuth)";
const NEW_CERTIFICATE: &str = "the server needs a new certificate";
const UNSUPPORTED_SIGNATURE: &str = "its signature has an algorithm that is too weak or not supported; the server \
                                     needs one with RSA of 2048 bits or more, ECDSA or Ed25519, and SHA-256 or better";
const NO_PROTOCOL: &str =
    "the server does not speak HTTP/1.1, which was offered (ALPN); check the URL and its port";
const FAULTY: &str = "it found a fault in the protocol of TLS; report it to the operator of the server or of the \
                      network";
const DAMAGED: &str = "data was damaged or changed on the way; try again, or use another network";
const OLD_SERVER: &str = "it wants an obsolete version of TLS; upgrade the server";
const CERTIFICATE_REQUIRED: &str =
    "the server wants a client certificate; set one, with its private key";
const CLIENT_CERTIFICATE: &str =
    "the server does not accept the client certificate; present one that it does";

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::AlgorithmIdentifier;
    use rustls::{ContentType, HandshakeType, OtherError};

    use super::*;

    /// Errors of each kind, with the identifier that must not show.
    fn every_error() -> Vec<Error> {
        let mut all = vec![
            Error::InappropriateMessage {
                expect_types: vec![ContentType::Handshake],
                got_type: ContentType::ApplicationData,
            },
            Error::InappropriateHandshakeMessage {
                expect_types: vec![HandshakeType::ServerHello],
                got_type: HandshakeType::Finished,
            },
            Error::NoCertificatesPresented,
            Error::UnsupportedNameType,
            Error::DecryptError,
            Error::EncryptError,
            Error::General("a sentence of the library; try again".into()),
            Error::FailedToGetCurrentTime,
            Error::FailedToGetRandomBytes,
            Error::HandshakeNotComplete,
            Error::PeerSentOversizedRecord,
            Error::NoApplicationProtocol,
            Error::BadMaxFragmentSize,
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch),
            Error::InconsistentKeys(InconsistentKeys::Unknown),
            Error::Other(OtherError(Arc::new(std::io::Error::other("no entropy")))),
        ];
        for fault in [
            EncryptedClientHelloError::InvalidConfigList,
            EncryptedClientHelloError::NoCompatibleConfig,
            EncryptedClientHelloError::SniRequired,
        ] {
            all.push(fault.into());
        }
        all.extend(messages().into_iter().map(Error::from));
        all.extend(misbehaviours().into_iter().map(Error::from));
        all.extend(incompatibilities().into_iter().map(Error::from));
        all.extend(revocation_lists().into_iter().map(Error::from));
        all.extend(certificates().into_iter().map(Error::from));
        all.extend(paths().into_iter().map(|fault| {
            Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(fault))))
        }));
        // All numbers: those with a name, and those without one.
        all.extend((0..=255).map(|number| Error::AlertReceived(AlertDescription::from(number))));
        all
    }

    fn messages() -> Vec<InvalidMessage> {
        use InvalidMessage::*;
        vec![
            CertificatePayloadTooLarge,
            HandshakePayloadTooLarge,
            InvalidCcs,
            InvalidContentType,
            InvalidCertificateStatusType,
            InvalidCertRequest,
            InvalidDhParams,
            InvalidEmptyPayload,
            InvalidKeyUpdate,
            InvalidServerName,
            MessageTooLarge,
            MessageTooShort,
            MissingData("ServerHello"),
            MissingKeyExchange,
            NoSignatureSchemes,
            TrailingData("ServerHello"),
            UnexpectedMessage("HelloRequest"),
            UnknownProtocolVersion,
            UnsupportedCompression,
            UnsupportedCurveType,
            EmptyTicketValue,
            IllegalEmptyList("CertificateEntries"),
            IllegalEmptyValue,
            DuplicateExtension(43),
            PreSharedKeyIsNotFinalExtension,
            UnknownHelloRetryRequestExtension,
            UnknownCertificateExtension,
        ]
    }

    fn misbehaviours() -> Vec<PeerMisbehaved> {
        use PeerMisbehaved::*;
        vec![
            AttemptedDowngradeToTls12WhenTls13IsSupported,
            BadCertChainExtensions,
            CipherSuiteDifferedOnRetry,
            DisallowedEncryptedExtension,
            DuplicateClientHelloExtensions,
            DuplicateEncryptedExtensions,
            DuplicateHelloRetryRequestExtensions,
            DuplicateNewSessionTicketExtensions,
            DuplicateServerHelloExtensions,
            DuplicateServerNameTypes,
            EarlyDataAttemptedInSecondClientHello,
            EarlyDataExtensionWithoutResumption,
            EarlyDataOfferedWithVariedCipherSuite,
            EchAcceptanceVariedAfterRetry,
            HandshakeHashVariedAfterRetry,
            IllegalHelloRetryRequestWithEmptyCookie,
            IllegalHelloRetryRequestWithNoChanges,
            IllegalHelloRetryRequestWithOfferedGroup,
            IllegalHelloRetryRequestWithUnofferedCipherSuite,
            IllegalHelloRetryRequestWithUnofferedNamedGroup,
            IllegalHelloRetryRequestWithUnsupportedVersion,
            IllegalHelloRetryRequestWithWrongSessionId,
            IllegalHelloRetryRequestWithInvalidEch,
            IllegalMiddleboxChangeCipherSpec,
            IllegalTlsInnerPlaintext,
            IncorrectBinder,
            InvalidCertCompression,
            InvalidMaxEarlyDataSize,
            InvalidKeyShare,
            KeyEpochWithPendingFragment,
            KeyUpdateReceivedInQuicConnection,
            MessageInterleavedWithHandshakeMessage,
            MissingBinderInPskExtension,
            MissingKeyShare,
            MissingPskExtensionInSecondClientHello,
            MissingPskModesExtension,
            MissingQuicTransportParameters,
            OfferedDuplicateCertificateCompressions,
            OfferedDuplicateKeyShares,
            OfferedEarlyDataWithOldProtocolVersion,
            OfferedEmptyApplicationProtocol,
            OfferedIncorrectCompressions,
            PskExtensionMustBeLast,
            PskExtensionWithMismatchedIdsAndBinders,
            RefusedToFollowHelloRetryRequest,
            RejectedEarlyDataInterleavedWithHandshakeMessage,
            ResumptionAttemptedWithVariedEms,
            ResumptionOfferedWithVariedCipherSuite,
            ResumptionOfferedWithVariedEms,
            ResumptionOfferedWithIncompatibleCipherSuite,
            SelectedDifferentCipherSuiteAfterRetry,
            SelectedInvalidPsk,
            SelectedTls12UsingTls13VersionExtension,
            SelectedUnofferedApplicationProtocol,
            SelectedUnofferedCertCompression,
            SelectedUnofferedCipherSuite,
            SelectedUnofferedCompression,
            SelectedUnofferedKxGroup,
            SelectedUnofferedPsk,
            SelectedUnusableCipherSuiteForVersion,
            ServerEchoedCompatibilitySessionId,
            ServerHelloMustOfferUncompressedEcPoints,
            ServerNameDifferedOnRetry,
            ServerNameMustContainOneHostName,
            SignedKxWithWrongAlgorithm,
            SignedHandshakeWithUnadvertisedSigScheme,
            TooManyEmptyFragments,
            TooManyKeyUpdateRequests,
            TooManyRenegotiationRequests,
            TooManyWarningAlertsReceived,
            TooMuchEarlyDataReceived,
            UnexpectedCleartextExtension,
            UnsolicitedCertExtension,
            UnsolicitedEncryptedExtension,
            UnsolicitedSctList,
            UnsolicitedServerHelloExtension,
            WrongGroupForKeyShare,
            UnsolicitedEchExtension,
        ]
    }

    fn incompatibilities() -> Vec<PeerIncompatible> {
        use PeerIncompatible::*;
        vec![
            EcPointsExtensionRequired,
            ExtendedMasterSecretExtensionRequired,
            IncorrectCertificateTypeExtension,
            KeyShareExtensionRequired,
            NamedGroupsExtensionRequired,
            NoCertificateRequestSignatureSchemesInCommon,
            NoCipherSuitesInCommon,
            NoEcPointFormatsInCommon,
            NoKxGroupsInCommon,
            NoSignatureSchemesInCommon,
            NullCompressionRequired,
            ServerDoesNotSupportTls12Or13,
            ServerSentHelloRetryRequestWithUnknownExtension,
            ServerTlsVersionIsDisabledByOurConfig,
            SignatureAlgorithmsExtensionRequired,
            SupportedVersionsExtensionRequired,
            Tls12NotOffered,
            Tls12NotOfferedOrEnabled,
            Tls13RequiredForQuic,
            UncompressedEcPointsRequired,
            UnsolicitedCertificateTypeExtension,
            ServerRejectedEncryptedClientHello(None),
        ]
    }

    fn revocation_lists() -> Vec<CertRevocationListError> {
        use CertRevocationListError::*;
        vec![
            BadSignature,
            #[expect(deprecated, reason = "it still exists")]
            UnsupportedSignatureAlgorithm,
            UnsupportedSignatureAlgorithmContext {
                signature_algorithm_id: vec![42],
                supported_algorithms: vec![AlgorithmIdentifier::from_slice(b"x")],
            },
            UnsupportedSignatureAlgorithmForPublicKeyContext {
                signature_algorithm_id: vec![42],
                public_key_algorithm_id: vec![42],
            },
            InvalidCrlNumber,
            InvalidRevokedCertSerialNumber,
            IssuerInvalidForCrl,
            Other(OtherError(Arc::new(webpki::Error::BadDer))),
            ParseError,
            UnsupportedCrlVersion,
            UnsupportedCriticalExtension,
            UnsupportedDeltaCrl,
            UnsupportedIndirectCrl,
            UnsupportedRevocationReason,
        ]
    }

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
    }

    fn certificates() -> Vec<CertificateError> {
        use CertificateError::*;
        let expected = ServerName::try_from("localhost").unwrap();
        let names = [r#"DnsName("a.test")"#, "IpAddress(127.0.0.1)", "DirectoryName"];
        vec![
            BadEncoding,
            Expired,
            ExpiredContext { time: at(300_000), not_after: at(0) },
            NotValidYet,
            NotValidYetContext { time: at(0), not_before: at(1) },
            Revoked,
            UnhandledCriticalExtension,
            UnknownIssuer,
            UnknownRevocationStatus,
            ExpiredRevocationList,
            ExpiredRevocationListContext { time: at(9), next_update: at(0) },
            BadSignature,
            #[expect(deprecated, reason = "it still exists")]
            UnsupportedSignatureAlgorithm,
            UnsupportedSignatureAlgorithmContext {
                signature_algorithm_id: vec![42],
                supported_algorithms: Vec::new(),
            },
            UnsupportedSignatureAlgorithmForPublicKeyContext {
                signature_algorithm_id: vec![42],
                public_key_algorithm_id: vec![42],
            },
            NotValidForName,
            NotValidForNameContext {
                expected: expected.clone(),
                presented: names.map(String::from).to_vec(),
            },
            NotValidForNameContext { expected, presented: Vec::new() },
            InvalidPurpose,
            InvalidPurposeContext {
                required: ExtendedKeyPurpose::ServerAuth,
                presented: vec![
                    ExtendedKeyPurpose::ClientAuth,
                    ExtendedKeyPurpose::Other(vec![1, 3]),
                ],
            },
            InvalidOcspResponse,
            ApplicationVerificationFailure,
            Other(OtherError(Arc::new(std::io::Error::other("unknown")))),
            Other(OtherError(Arc::new(PinMismatch::new([7; 32])))),
        ]
    }

    fn paths() -> Vec<webpki::Error> {
        use webpki::Error::*;
        let expected = ServerName::try_from("localhost").unwrap();
        vec![
            BadDer,
            BadDerTime,
            CaUsedAsEndEntity,
            CertDistrusted,
            CertExpired { time: at(300_000), not_after: at(0) },
            CertNotValidForName(webpki::InvalidNameContext { expected, presented: Vec::new() }),
            CertNotValidYet { time: at(0), not_before: at(10_000) },
            CertRevoked,
            CrlExpired { time: at(9), next_update: at(0) },
            EmptyEkuExtension,
            EndEntityUsedAsCa,
            ExtensionValueInvalid,
            InvalidCertValidity,
            InvalidCrlNumber,
            InvalidNetworkMaskConstraint,
            InvalidSerialNumber,
            InvalidCrlSignatureForPublicKey,
            InvalidSignatureForPublicKey,
            IssuerNotCrlSigner,
            MalformedDnsIdentifier,
            MalformedExtensions,
            MalformedNameConstraint,
            MaximumNameConstraintComparisonsExceeded,
            MaximumPathBuildCallsExceeded,
            MaximumPathDepthExceeded,
            MaximumSignatureChecksExceeded,
            NameConstraintViolation,
            PathLenConstraintViolated,
            SignatureAlgorithmMismatch,
            TrailingData(webpki::DerTypeId::Certificate),
            UnknownIssuer,
            UnknownRevocationStatus,
            UnsupportedCertVersion,
            UnsupportedCriticalExtension,
            UnsupportedCrlIssuingDistributionPoint,
            UnsupportedCrlVersion,
            UnsupportedDeltaCrl,
            UnsupportedIndirectCrl,
            UnsupportedNameType,
            UnsupportedRevocationReason,
            UnsupportedRevocationReasonsPartitioning,
        ]
    }

    /// Whether a text has an identifier in it: "UnknownIssuer" or "Context {".
    fn has_identifier(text: &str) -> bool {
        let inner = |word: &str| {
            let letters: Vec<char> = word.chars().collect();
            letters.windows(2).any(|two| two[0].is_lowercase() && two[1].is_uppercase())
        };
        // Names of fields and purposes of certificates, as openssl has them.
        let known = ["subjectAltName", "basicConstraints", "serverAuth"];
        let text = text.split_whitespace().filter(|word| !word.starts_with("sha256//"));
        let text = &*text.collect::<Vec<_>>().join(" ");
        text.contains(['{', '}', '['])
            || text.contains("::")
            || text
                .split(|letter: char| !letter.is_alphanumeric())
                .any(|word| inner(word) && !known.contains(&word))
    }

    #[test]
    fn every_failure_is_said_in_words_and_with_what_to_do() {
        for error in every_error() {
            let text = explain(&error);
            assert!(!has_identifier(&text), "{error:?}: {text}");
            let debug = format!("{error:?}");
            assert!(!text.contains(&debug), "{error:?}: {text}");
            assert!(text.contains("; "), "{error:?} does not say what to do: {text}");
            assert!(text.len() > 30 && !text.ends_with('.'), "{error:?}: {text}");
            assert!(!text.contains("  ") && !text.contains('\n'), "{error:?}: {text}");
        }
    }

    #[test]
    fn what_matters_most_is_exact() {
        let text = |error: CertificateError| explain(&error.into());
        let expired =
            text(CertificateError::ExpiredContext { time: at(300_000), not_after: at(0) });
        assert!(expired.contains("it has expired 3 days ago; "), "{expired}");
        let [name, no_name] = [18 - 2, 19 - 2].map(|at| text(certificates()[at].clone()));
        assert!(name.contains("for a.test and 127.0.0.1, not for localhost"), "{name}");
        assert!(no_name.contains("subjectAltName=DNS:localhost"), "{no_name}");
        let misbehaved = explain(&PeerMisbehaved::SelectedTls12UsingTls13VersionExtension.into());
        let what = "(selected TLS 1.2 using TLS 1.3 version extension)";
        assert!(misbehaved.contains(what), "{misbehaved}");
        let alert = explain(&Error::AlertReceived(AlertDescription::UnknownCA));
        assert!(alert.contains("(alert unknown_ca)") && alert.contains("client certificate"));
    }
}
