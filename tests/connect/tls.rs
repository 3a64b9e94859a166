//! TLS: trusted roots, client certificates, and a body without close_notify, which is truncated (Q5).

use std::fs;
use std::path::{Path, PathBuf};

use hangup::{Body, CloseReason, ConnectionMode, Error, Kind, Phase, Sent};
use testserver::{Certificate, Options, Script, Server, Step, certs};

use crate::support::form::{Client, Form, in_both_forms};
use crate::support::inspect::{assert_at_rest, assert_gone, disturb_idle};
use crate::support::own_process::in_own_process_with;
use crate::support::{PATIENCE, fetch, get, post, request, trusting};

in_both_forms! {
    q5_wrong_certificates_are_refused_with_their_reason,
    q5_the_systems_roots_do_not_know_the_test_ca,
    q5_custom_roots_are_trusted_and_no_others,
    q5_a_client_certificate_is_shown_to_a_server_that_asks,
    q5_ssl_cert_file_is_honoured,
    q5_a_missing_ssl_cert_file_is_named,
    q5_verification_is_off_only_where_it_was_switched_off,
    addresses_and_names_of_the_certificate_both_work,
    q5_truncation_without_close_notify_in_a_close_delimited_body_is_an_error,
    close_notify_ends_a_close_delimited_body_well,
    a_body_with_a_length_is_whole_before_the_truncation_is_seen,
    connections_are_kept_and_close_notify_on_an_idle_one_is_noticed,
    a_peer_that_does_not_speak_tls_is_a_tls_failure,
    r13_another_client_certificate_is_another_connection,
    a_flood_of_session_tickets_ends_the_exchange,
    a_flood_of_session_tickets_does_not_delay_other_requests,
    the_alert_that_the_peer_sent_last_is_the_error,
    large_reads_return_all_data_that_came_before_an_end_or_a_broken_record,
    a_large_read_returns_all_records_that_are_here,
}

fn secure(which: Certificate) -> Server {
    Server::start_tls(which, Script::answering("secret"))
}

fn large_reads_return_all_data_that_came_before_an_end_or_a_broken_record(form: Form) {
    const SIZE: usize = 500_000;
    let broken = Step::Urgent("this is no record of TLS".into());
    for (length, end, kind) in [
        (SIZE, Step::Stall, None),
        (SIZE + 1, Step::Close, Some(Kind::PeerClosed)),
        (SIZE + 1, broken, Some(Kind::TlsFailed)),
    ] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        let body = Step::Fill { bytes: SIZE as u64, byte: 'x' };
        let script = vec![Step::head(), Step::send(&head), body, end, Step::Stall];
        let server = Server::start_tls(Certificate::Good, Script::every(script));
        for room in [10_000, 60_000, 70_000, 256 * 1024] {
            let client = trusting(form.client());
            let mut response = get(&client, &server.url("/")).unwrap();
            let (mut into, mut all) = (vec![0; room], 0);
            let outcome = loop {
                match response.read(&mut into) {
                    Ok(0) => break None,
                    Ok(got) => {
                        assert!(into[..got].iter().all(|byte| *byte == b'x'));
                        all += got;
                    }
                    Err(error) => break Some(error.kind()),
                }
            };
            assert_eq!((all, outcome), (SIZE, kind), "with room for {room}");
        }
    }
}

fn a_large_read_returns_all_records_that_are_here(form: Form) {
    const SIZE: usize = 20_000_000;
    // More than what is received at once.
    const MANY: usize = 64 * 1024;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
    let body = Step::Fill { bytes: SIZE as u64, byte: 'x' };
    let script = vec![Step::head(), Step::send(&head), body, Step::Stall];
    let server = Server::start_tls(Certificate::Good, Script::every(script));
    let client = trusting(form.client());
    let mut response = get(&client, &server.url("/")).unwrap();
    let (mut into, mut all, mut largest) = (vec![0; 256 * 1024], 0, 0);
    while all < SIZE {
        if largest <= MANY {
            // The server fills the system's buffers, which grow with what was read.
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let got = response.read(&mut into).unwrap();
        assert!(got > 0 && into[..got].iter().all(|byte| *byte == b'x'));
        (all, largest) = (all + got, largest.max(got));
    }
    assert_eq!(all, SIZE);
    assert_eq!(response.read(&mut into).unwrap(), 0);
    assert!(largest > MANY, "no read returned more than {largest} bytes");
}

/// A file for a certificate, of this process and form only.
fn scratch(form: Form, name: &str) -> PathBuf {
    let name = format!("q5-{name}-{form:?}-{}.pem", std::process::id());
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The error of a handshake that the client refused: it names its reason, and nothing was sent.
#[track_caller]
fn refused(client: &Client, server: &Server, url: &str, part: &str) -> Error {
    let error = fetch(client, url).unwrap_err();
    assert_eq!((error.kind(), error.phase()), (Kind::TlsFailed, Phase::Tls), "{error:?}");
    assert!(error.message().contains(part), "{:?} does not say {part:?}", error.message());
    assert_eq!((error.sent(), error.bytes_sent(), error.retry_safe()), (Sent::Nothing, 0, true));
    assert_gone(client.manager(), server.port());
    let last = server.connections() - 1;
    assert!(server.wait_ended(last, PATIENCE).is_some());
    assert_eq!(server.heads(last), [""; 0], "nothing was asked");
    error
}

fn q5_wrong_certificates_are_refused_with_their_reason(form: Form) {
    let wrong = [
        (Certificate::Expired, "expired"),
        (Certificate::WrongHost, "another host name"),
        (Certificate::SelfSigned, "not trusted"),
        (Certificate::UnknownRoot, "not trusted"),
    ];
    for (which, part) in wrong {
        let server = secure(which);
        let client = form.tls_client();
        refused(&client, &server, &server.url("/"), part);
        // The server got the reason as an alert.
        let broken = server.broken(0);
        assert!(broken.as_ref().is_some_and(|why| why.contains("alert")), "{which:?}: {broken:?}");
        // A second request fails in the same way: no slot leaks, and no state is kept.
        refused(&client, &server, &server.url("/"), part);
    }
}

fn q5_the_systems_roots_do_not_know_the_test_ca(form: Form) {
    let server = secure(Certificate::Good);
    refused(&form.client(), &server, &server.url("/"), "not trusted");
}

fn q5_custom_roots_are_trusted_and_no_others(form: Form) {
    let server = secure(Certificate::Good);
    let by_text = form.tls_client();
    assert_eq!(fetch(&by_text, &server.url("/")).unwrap(), b"secret");
    assert_eq!(by_text.manager().connections()[0].tls, Some("TLSv1.3"));
    let path = scratch(form, "ca");
    fs::write(&path, certs().ca()).unwrap();
    let by_file = form.client();
    by_file.set_tls_roots_file(path.to_str().unwrap()).unwrap();
    assert_eq!(fetch(&by_file, &server.url("/")).unwrap(), b"secret");
    fs::remove_file(path).unwrap();
    // Custom roots replace the earlier ones.
    by_file.set_tls_roots(certs().client_ca().as_bytes()).unwrap();
    let error = fetch(&by_file, &server.url("/")).unwrap_err();
    assert_eq!(error.kind(), Kind::TlsFailed, "nor is the old connection used: {error:?}");
    // Data that is not a certificate is refused by the setter.
    let errors = [
        by_file.set_tls_roots(b"").unwrap_err(),
        by_file
            .set_tls_roots(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
            .unwrap_err(),
        by_file.set_tls_certificate(certs().client().cert.as_bytes(), b"").unwrap_err(),
        by_file.set_tls_certificate(b"", certs().client().key.as_bytes()).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), Kind::InvalidArgument, "{error:?}");
    }
    let error = by_file.set_tls_roots_file("/nowhere/ca.pem").unwrap_err();
    assert_eq!(error.kind(), Kind::System);
    assert!(error.message().contains("/nowhere/ca.pem"), "{error}");
}

fn q5_a_client_certificate_is_shown_to_a_server_that_asks(form: Form) {
    let server = secure(Certificate::ClientAuth);
    let without_certificate = form.tls_client();
    let error = fetch(&without_certificate, &server.url("/")).unwrap_err();
    // With TLS 1.3 the server refuses after our handshake is done: the alert comes later.
    assert_eq!(error.kind(), Kind::TlsFailed, "{error:?}");
    assert_gone(without_certificate.manager(), server.port());
    let with_certificate = form.tls_client();
    let pair = certs().client();
    with_certificate.set_tls_certificate(pair.cert.as_bytes(), pair.key.as_bytes()).unwrap();
    assert_eq!(fetch(&with_certificate, &server.url("/")).unwrap(), b"secret");
    // A certificate that the server does not want.
    let stranger = form.tls_client();
    let pair = certs().server(Certificate::SelfSigned);
    stranger.set_tls_certificate(pair.cert.as_bytes(), pair.key.as_bytes()).unwrap();
    let error = fetch(&stranger, &server.url("/")).unwrap_err();
    assert_eq!(error.kind(), Kind::TlsFailed, "{error:?}");
    // A key that belongs to another certificate.
    let error = with_certificate
        .set_tls_certificate(certs().client().cert.as_bytes(), pair.key.as_bytes())
        .unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidArgument, "{error:?}");
}

fn q5_ssl_cert_file_is_honoured(form: Form) {
    let path = scratch(form, "env");
    let server = secure(Certificate::Good);
    // The child has other certificates. It gets this server's CA and address from its environment.
    if std::env::var_os("Q5_URL").is_none() {
        fs::write(&path, certs().ca()).unwrap();
    }
    let env = [("SSL_CERT_FILE", path.to_str().unwrap()), ("Q5_URL", &server.url("/"))];
    in_own_process_with(&form.name("tls::q5_ssl_cert_file_is_honoured"), &env, || {
        let url = std::env::var("Q5_URL").unwrap();
        assert_eq!(fetch(&form.client(), &url).unwrap(), b"secret");
    });
    let _ = fs::remove_file(path);
}

fn q5_a_missing_ssl_cert_file_is_named(form: Form) {
    let env = [("SSL_CERT_FILE", "/nowhere/roots.pem"), ("SSL_CERT_DIR", "/nowhere")];
    in_own_process_with(&form.name("tls::q5_a_missing_ssl_cert_file_is_named"), &env, || {
        let server = secure(Certificate::Good);
        let error = fetch(&form.client(), &server.url("/")).unwrap_err();
        assert_eq!(error.kind(), Kind::TlsFailed, "{error:?}");
        assert!(error.message().contains("/nowhere"), "{error}");
    });
}

fn q5_verification_is_off_only_where_it_was_switched_off(form: Form) {
    for which in [Certificate::Expired, Certificate::WrongHost, Certificate::SelfSigned] {
        let server = secure(which);
        let client = form.client();
        client.set_tls_dangerously_accept_any_certificate(true).unwrap();
        assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"secret");
        // With verification switched on again, the connection that was made without it is not used (R13).
        client.set_tls_dangerously_accept_any_certificate(false).unwrap();
        assert_eq!(fetch(&client, &server.url("/")).unwrap_err().kind(), Kind::TlsFailed);
    }
}

fn addresses_and_names_of_the_certificate_both_work(form: Form) {
    let client = form.tls_client();
    let four = secure(Certificate::Good);
    for host in ["localhost", "127.0.0.1", "LOCALHOST"] {
        let url = format!("https://{host}:{}/", four.port());
        assert_eq!(fetch(&client, &url).unwrap(), b"secret", "{host}");
    }
    let options = Options { ipv6: true, tls: Some(Certificate::Good), ..Options::default() };
    let six = Server::start_with(options, Script::answering("six")).unwrap();
    assert_eq!(fetch(&client, &format!("https://[::1]:{}/", six.port())).unwrap(), b"six");
}

const HEAD: &str = "HTTP/1.1 200 OK\r\n\r\nthe beginning";

fn q5_truncation_without_close_notify_in_a_close_delimited_body_is_an_error(form: Form) {
    for end in [Step::Truncate, Step::Rst] {
        let steps = vec![Step::head(), Step::send(HEAD), end.clone()];
        let server = Server::start_tls(Certificate::Good, Script::every(steps));
        let client = form.tls_client();
        let mut response = get(&client, &server.url("/")).unwrap();
        let mut got = Vec::new();
        let mut piece = [0; 100];
        let error = loop {
            match response.read(&mut piece) {
                Ok(0) => panic!(
                    "cut off, and reported as the end after {:?}",
                    String::from_utf8_lossy(&got)
                ),
                Ok(more) => got.extend_from_slice(&piece[..more]),
                Err(error) => break error,
            }
        };
        let (kind, why) = match end {
            Step::Truncate => (Kind::PeerClosed, CloseReason::PeerClosed),
            _ => (Kind::PeerReset, CloseReason::PeerReset),
        };
        assert_eq!((error.kind(), error.phase()), (kind, Phase::Read), "{error:?}");
        if kind == Kind::PeerClosed {
            assert_eq!(got, b"the beginning", "what came before is good");
            assert!(error.message().contains("truncated"), "{error}");
        }
        assert_eq!(client.manager().close_reason(response.connection_id()), Some(why));
        assert_gone(client.manager(), server.port());
    }
}

fn close_notify_ends_a_close_delimited_body_well(form: Form) {
    for end in [Step::Close, Step::CloseNotify] {
        let steps = vec![Step::head(), Step::send(HEAD), end, Step::Stall];
        let server = Server::start_tls(Certificate::Good, Script::every(steps));
        let client = form.tls_client();
        assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"the beginning");
        assert_gone(client.manager(), server.port());
    }
}

fn a_body_with_a_length_is_whole_before_the_truncation_is_seen(form: Form) {
    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole";
    let server = Server::start_tls(
        Certificate::Good,
        Script::every(vec![Step::head(), Step::send(whole), Step::Truncate]),
    );
    for _ in 0..3 {
        assert_eq!(fetch(&form.tls_client(), &server.url("/")).unwrap(), b"whole");
    }
    let client = form.tls_client();
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nwhole";
    for end in [Step::Truncate, Step::Close] {
        let steps = vec![Step::head(), Step::send(cut), end];
        let server = Server::start_tls(Certificate::Good, Script::every(steps));
        let error = fetch(&client, &server.url("/")).unwrap_err();
        assert_eq!((error.kind(), error.phase()), (Kind::PeerClosed, Phase::Read), "{error:?}");
        assert!(error.message().contains("truncated"), "{error}");
    }
}

fn connections_are_kept_and_close_notify_on_an_idle_one_is_noticed(form: Form) {
    let polite = vec![
        Step::answer(200, "one"),
        Step::answer(200, "two"),
        Step::wait_for("idle"),
        Step::CloseNotify,
        Step::Stall,
    ];
    let next = vec![Step::forever(vec![Step::answer(200, "next")])];
    let server = Server::start_tls(
        Certificate::Good,
        Script::new(vec![
            [vec![Step::Tls(Certificate::Good)], polite].concat()[1..].to_vec(),
            next,
        ]),
    );
    let client = form.tls_client();
    assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"one");
    assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"two");
    assert_eq!(server.connections(), 1);
    disturb_idle(client.manager(), &server, "idle");
    let mut post = request("POST", &server.url("/"));
    post.set_connection_mode(ConnectionMode::Keep);
    let mut response = client.send(&mut post).unwrap();
    assert_eq!(response.read_all(100).unwrap(), b"next");
    assert!(!response.reused());
    assert_at_rest(client.manager());
}

fn a_peer_that_does_not_speak_tls_is_a_tls_failure(form: Form) {
    let server = Server::start(Script::every(vec![
        Step::send("HTTP/1.1 400 Bad Request\r\n\r\n"),
        Step::Stall,
    ]));
    let client = form.tls_client();
    let url = format!("https://localhost:{}/", server.port());
    let error = fetch(&client, &url).unwrap_err();
    assert_eq!((error.kind(), error.phase()), (Kind::TlsFailed, Phase::Tls), "{error:?}");
    assert_gone(client.manager(), server.port());
    // A peer that closes inside the handshake has refused nothing, so the kind is PeerClosed.
    for (end, kind) in [(Step::Close, Kind::PeerClosed), (Step::Rst, Kind::PeerReset)] {
        let steps = vec![Step::Recv(testserver::Until::Bytes(20)), end];
        let server = Server::start(Script::every(steps));
        let url = format!("https://localhost:{}/", server.port());
        let error = fetch(&client, &url).unwrap_err();
        assert_eq!(error.phase(), Phase::Tls, "{error:?}");
        assert!(error.kind() == kind || error.kind() == Kind::PeerReset, "{error:?}");
        assert_gone(client.manager(), server.port());
    }
}

fn r13_another_client_certificate_is_another_connection(form: Form) {
    let server = Server::start_tls(Certificate::Good, Script::answering("ok"));
    let one = form.tls_client();
    let (same, unverified) = (trusting(one.sibling()), trusting(one.sibling()));
    unverified.set_tls_dangerously_accept_any_certificate(true).unwrap();
    let first = get(&one, &server.url("/")).unwrap().read_all(10);
    assert_eq!(first.unwrap(), b"ok");
    assert!(get(&same, &server.url("/")).unwrap().reused(), "equal settings, equal connections");
    assert!(!get(&unverified, &server.url("/")).unwrap().reused());
}

/// A server that sends session tickets endlessly, and no response.
fn flooding() -> Server {
    let steps = vec![Step::head(), Step::Tickets(0)];
    Server::start_tls(Certificate::Good, Script::every(steps))
}

fn a_flood_of_session_tickets_ends_the_exchange(form: Form) {
    let server = flooding();
    let client = form.tls_client();
    let error = client.get(&server.url("/"), Some(PATIENCE)).unwrap_err();
    assert_eq!(error.kind(), Kind::TlsFailed, "{error}");
    assert!(error.message().contains("without any data"), "{error}");
    assert!(server.wait_ended(0, PATIENCE).is_some());
}

fn a_flood_of_session_tickets_does_not_delay_other_requests(form: Form) {
    let (flooding, innocent) = (flooding(), secure(Certificate::Good));
    let client = form.tls_client();
    fetch(&client, &innocent.url("/")).unwrap();
    std::thread::scope(|scope| {
        let floods: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| client.get(&flooding.url("/"), Some(PATIENCE)).unwrap_err()))
            .collect();
        while !floods.iter().all(|flood| flood.is_finished()) {
            let response = client.get(&innocent.url("/"), Some(PATIENCE));
            response.unwrap().read_all(100).unwrap();
        }
        for flood in floods {
            assert_eq!(flood.join().unwrap().kind(), Kind::TlsFailed);
        }
    });
}

fn the_alert_that_the_peer_sent_last_is_the_error(form: Form) {
    // TLS 1.3 is complete for the client before the server has looked at its certificate (RFC 8446 section 4.4): the
    // alert comes while the request is being sent, and a write that follows fails with EPIPE or ECONNRESET.
    for _ in 0..20 {
        let server = secure(Certificate::ClientAuth);
        let client = form.tls_client();
        let mut request = post(&server.url("/"), Body::bytes(&vec![b'u'; 1_000_000]));
        let error = client.send(&mut request).unwrap_err();
        assert_eq!(error.kind(), Kind::TlsFailed, "{error}");
        assert!(error.message().to_lowercase().contains("certificate"), "{error}");
    }
}
