//! TLS: whether a rustls client accepts each certificate, and how it sees each kind of close.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;
use testserver::{Certificate, Ended, Script, Server, Step, certs};

const SOON: Duration = Duration::from_secs(5);

type Client = StreamOwned<ClientConnection, TcpStream>;

fn client(server: &Server, with_certificate: bool) -> Client {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certs().ca().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = if with_certificate {
        let pair = certs().client();
        let chain = vec![CertificateDer::from_pem_slice(pair.cert.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
        builder.with_client_auth_cert(chain, key).unwrap()
    } else {
        builder.with_no_client_auth()
    };
    let name = ServerName::try_from("localhost").unwrap();
    let tls = ClientConnection::new(Arc::new(config), name).unwrap();
    let tcp = TcpStream::connect(server.addr()).unwrap();
    tcp.set_read_timeout(Some(SOON)).unwrap();
    StreamOwned::new(tls, tcp)
}

fn ask(client: &mut Client) -> std::io::Result<String> {
    client.write_all(b"GET / HTTP/1.1\r\n\r\n")?;
    let mut text = String::new();
    client.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn good_is_trusted_and_sends_close_notify() {
    let server = Server::start_tls(Certificate::Good, Script::replying("hello"));
    assert!(server.url("/").starts_with("https://localhost:"));
    assert_eq!(ask(&mut client(&server, false)).unwrap(), "hello");
    assert_eq!(server.heads(0), ["GET / HTTP/1.1\r\n\r\n"]);
}

#[test]
fn truncation_is_heard() {
    let script = Script::every(vec![Step::head(), Step::send("hel"), Step::Truncate]);
    let server = Server::start_tls(Certificate::Good, script);
    let error = ask(&mut client(&server, false)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
}

#[test]
fn each_bad_certificate_is_refused_for_its_own_reason() {
    let reasons = [
        (Certificate::Expired, "Expired"),
        (Certificate::WrongHost, "not valid for name"),
        (Certificate::SelfSigned, "UnknownIssuer"),
        (Certificate::UnknownRoot, "UnknownIssuer"),
    ];
    for (which, reason) in reasons {
        let server = Server::start_tls(which, Script::replying("hello"));
        let error = ask(&mut client(&server, false)).unwrap_err().to_string();
        assert!(error.to_lowercase().contains(&reason.to_lowercase()), "{which:?}: {error}");
        assert!(server.wait_ended(0, SOON).is_some());
        assert!(server.heads(0).is_empty());
    }
}

#[test]
fn client_auth_wants_the_clients_certificate() {
    let server = Server::start_tls(Certificate::ClientAuth, Script::replying("hello"));
    assert_eq!(ask(&mut client(&server, true)).unwrap(), "hello");
    assert!(ask(&mut client(&server, false)).is_err());
    assert!(server.wait_ended(1, SOON).is_some());
    assert!(server.broken(1).is_some());
}

#[test]
fn a_stall_inside_tls_sees_the_close() {
    let script = Script::every(vec![Step::head(), Step::mark("stalling"), Step::Stall]);
    let server = Server::start_tls(Certificate::Good, script);
    let mut tls = client(&server, false);
    tls.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert!(server.wait_mark("stalling", SOON));
    drop(tls);
    assert_eq!(server.wait_ended(0, SOON).map(|(how, _)| how), Some(Ended::Fin));
}
