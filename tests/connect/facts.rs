//! What a response tells of its connection: the addresses of both ends and what TLS agreed on, also after the
//! connection was closed.

use hangup::CloseMode;
use testserver::{Certificate, Options, Script, Server, certs};

use crate::support::form::{Form, in_both_forms};
use crate::support::get;
use crate::support::inspect::assert_at_rest;

in_both_forms! {
    a_response_tells_the_addresses_of_its_connection,
    a_response_tells_what_tls_agreed_on,
    a_response_over_a_unix_domain_socket_has_no_addresses,
}

fn a_response_tells_the_addresses_of_its_connection(form: Form) {
    let server = Server::start(Script::answering("hello"));
    let client = form.client();
    let mut first = get(&client, &server.url("/")).unwrap();
    let open = client.manager().connections();
    let listed = open[0].facts.clone().expect("it is connected");
    assert_eq!(*listed, *first.connection_facts());
    first.read_all(100).unwrap();
    let second = get(&client, &server.url("/")).unwrap();
    assert!(second.reused());
    client.manager().close_all(CloseMode::Now);
    assert_at_rest(client.manager());
    for response in [&first, &second] {
        let facts = response.connection_facts();
        assert_eq!(facts.id, response.connection_id());
        assert_eq!(facts.peer, Some(server.addr()));
        assert!(facts.local.is_some_and(|local| local.ip().is_loopback() && local.port() > 0));
        assert_eq!((facts.local, &facts.tls), (open[0].local, &None));
    }
}

fn a_response_tells_what_tls_agreed_on(form: Form) {
    for (certificate, version) in [(Certificate::Good, "TLSv1.3"), (Certificate::Tls12, "TLSv1.2")]
    {
        let server = Server::start_tls(certificate, Script::answering("secret"));
        let client = form.tls_client();
        let mut response = get(&client, &server.url("/")).unwrap();
        response.read_all(100).unwrap();
        client.manager().close_all(CloseMode::Now);
        let tls = response.connection_facts().tls.as_ref().expect("TLS");
        assert_eq!(tls.version, version);
        // The suites of TLS 1.2 name the key exchange as well (RFC 5246 appendix A.5, RFC 8446 appendix B.4).
        let begin = if version == "TLSv1.3" { "TLS_AES_" } else { "TLS_ECDHE_" };
        assert!(tls.cipher.starts_with(begin), "{tls:?}");
        assert_eq!((tls.key_exchange.as_str(), tls.resumed), ("X25519", false));
        assert!(tls.alpn.is_empty() || tls.alpn == "http/1.1", "{tls:?}");
        let sent = der(&certs().server(certificate).cert);
        assert_eq!(tls.certificates[0], sent);
        assert!(!format!("{tls:?}").contains(&format!("{}, {}", sent[0], sent[1])));
        // The list has them as long as it is open.
        let again = get(&client, &server.url("/")).unwrap();
        let listed = client.manager().connections();
        assert_eq!(listed[0].facts.as_deref(), Some(again.connection_facts()));
        assert_eq!(listed[0].tls, Some(version));
    }
}

fn a_response_over_a_unix_domain_socket_has_no_addresses(form: Form) {
    let options = Options { unix: true, ..Options::default() };
    let server = Server::start_with(options, Script::answering("hello")).unwrap();
    let path = server.socket_path().unwrap();
    let host = path.to_str().unwrap().replace('/', "%2F").replace(' ', "%20");
    let response = get(&form.client(), &format!("http+unix://{host}/")).unwrap();
    let facts = response.connection_facts();
    assert_eq!((facts.peer, facts.local, &facts.tls), (None, None, &None));
    assert_eq!(facts.id, response.connection_id());
}

/// The first certificate of a PEM text.
fn der(pem: &str) -> Vec<u8> {
    let text: String = pem.lines().skip(1).take_while(|line| !line.starts_with("---")).collect();
    let mut bits = 0u32;
    let mut held = 0;
    let mut bytes = Vec::new();
    for letter in text.bytes().filter(|letter| *letter != b'=') {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            _ => 63,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}
