//! Recognises files of certificates and keys that are not PEM, and says how to convert them.

/// What the data is, and the command that converts it; `None` if it is not recognised.
pub(super) fn of(data: &[u8]) -> Option<String> {
    let text = |needle: &str| data.windows(needle.len()).any(|part| part == needle.as_bytes());
    let (what, command) = if text("-----BEGIN PKCS7-----") {
        ("PKCS#7", "openssl pkcs7 -print_certs -in FILE -out FILE.pem")
    } else if text("-----BEGIN TRUSTED CERTIFICATE-----") {
        ("OpenSSL's format of trusted certificates", "openssl x509 -in FILE -out FILE.pem")
    } else if is_pkcs12(data) {
        (
            "PKCS#12 (.p12, .pfx)",
            "openssl pkcs12 -in FILE -out FILE.pem` (with -legacy for an old one), which asks for its password and for \
             a new one, and give FILE.pem as the certificate and as the key, with the new password; or, for a key \
             without a password, `openssl pkcs12 -nodes -in FILE -out FILE.pem",
        )
    } else if data.first() == Some(&SEQUENCE) {
        (
            "DER",
            "openssl x509 -inform der -in FILE -out FILE.pem`, or a key by `openssl pkey -inform der -in FILE -out \
             FILE.pem",
        )
    } else {
        return None;
    };
    Some(format!("this is {what}, not PEM; convert it by `{command}`"))
}

/// A PFX (RFC 7292 section 4) begins with a sequence, the version 3, and the type of its content.
fn is_pkcs12(data: &[u8]) -> bool {
    const VERSION: &[u8] = &[0x02, 0x01, 0x03];
    /// id-data, or id-signedData, of PKCS#7.
    const CONTENT: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07];
    let head = &data[..data.len().min(40)];
    let version = head.windows(VERSION.len()).position(|part| part == VERSION);
    data.first() == Some(&SEQUENCE)
        && version.is_some_and(|at| {
            at <= 8 && head[at..].windows(CONTENT.len()).any(|part| part == CONTENT)
        })
}

const SEQUENCE: u8 = 0x30;
