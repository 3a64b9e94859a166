//! Servers at a Unix-domain socket: their URLs, the reuse of their connections, and the redirects to them that are
//! allowed.

use hangup::{CancelToken, CloseMode, CloseReason, Error, Kind, Phase, Timeout};
use testserver::{Answer, Certificate, Options, Script, Server, Step};

use crate::support::form::{Form, in_both_forms};
use crate::support::inspect::assert_at_rest;
use crate::support::outcome::{assert_timed_out, cancelled};
use crate::support::{PATIENCE, fetch, get, ms, request, wait_until};

in_both_forms! {
    a_unix_domain_socket_is_asked_as_localhost_and_its_connection_kept,
    tls_over_a_unix_domain_socket_is_for_localhost,
    a_cancel_and_a_clock_end_an_exchange_over_a_unix_domain_socket,
    an_idle_connection_that_the_server_closed_is_not_used,
    an_idle_connection_that_the_server_closes_is_closed_without_any_call,
    a_redirect_to_a_unix_domain_socket_is_followed_only_from_that_socket,
    a_path_without_a_listener_is_a_failed_connect,
}

/// A server on a Unix-domain socket, and its origin.
fn serve(tls: Option<Certificate>, script: Script) -> (Server, String) {
    let options = Options { unix: true, tls, ..Options::default() };
    let server = Server::start_with(options, script).unwrap();
    let path = server.socket_path().unwrap();
    let scheme = if tls.is_some() { "https+unix" } else { "http+unix" };
    // Other clients encode only what must be encoded. The list of connections has one spelling.
    let host = path.to_str().unwrap().replace('/', "%2F").replace(' ', "%20");
    (server, format!("{scheme}://{host}"))
}

fn redirect(to: &str) -> Vec<Step> {
    let headers = vec![("Location".to_owned(), to.to_owned())];
    vec![Step::Answer(Answer { status: 302, headers, body: String::new() })]
}

fn a_unix_domain_socket_is_asked_as_localhost_and_its_connection_kept(form: Form) {
    let (server, origin) = serve(None, Script::echoing());
    let client = form.client();
    // Proxy and local address have no effect on a Unix-domain socket.
    client.set_proxy(Some("http://127.0.0.1:1")).unwrap();
    client.set_local_address("127.0.0.9".parse().ok());
    for _ in 0..3 {
        let mut response = get(&client, &format!("{origin}/a/b?c")).unwrap();
        assert_eq!(response.head().url(), format!("{origin}/a/b?c"));
        let head = String::from_utf8(response.read_all(10_000).unwrap()).unwrap();
        assert!(head.starts_with("GET /a/b?c HTTP/1.1\r\nHost: localhost\r\n"), "{head}");
    }
    assert_eq!(server.connections(), 1);
    let open = client.manager().connections();
    assert_eq!((open.len(), open[0].requests), (1, 3));
    assert_eq!((open[0].peer, open[0].local, open[0].tls), (None, None, None));
    assert_eq!(open[0].origin, origin);
    // Other origins are different.
    for other in ["http://localhost", "http+unix://%2Fother.sock", &origin.replace("http", "https")]
    {
        assert_eq!(client.manager().close_origin(other, CloseMode::Now).unwrap(), 0, "{other}");
    }
    assert_eq!(client.manager().close_origin(&origin, CloseMode::Now).unwrap(), 1);
    assert_eq!(client.manager().connections().len(), 0);
    assert_eq!(client.manager().close_reason(open[0].id), Some(CloseReason::ClosedByOrigin));
    assert!(server.wait_ended(0, PATIENCE).is_some());
}

fn tls_over_a_unix_domain_socket_is_for_localhost(form: Form) {
    let (server, origin) = serve(Some(Certificate::Good), Script::answering("ok"));
    let client = form.tls_client();
    for _ in 0..2 {
        assert_eq!(fetch(&client, &format!("{origin}/")).unwrap(), b"ok");
    }
    let open = client.manager().connections();
    assert_eq!((open.len(), open[0].tls, server.connections()), (1, Some("TLSv1.3"), 1));
    let (_other, origin) = serve(Some(Certificate::WrongHost), Script::answering("ok"));
    let error = fetch(&client, &format!("{origin}/")).unwrap_err();
    assert_eq!((error.kind(), error.phase()), (Kind::TlsFailed, Phase::Tls));
}

fn a_cancel_and_a_clock_end_an_exchange_over_a_unix_domain_socket(form: Form) {
    let stalls = vec![Step::head(), Step::mark("head"), Step::Stall];
    let (server, origin) = serve(None, Script::every(stalls));
    let client = form.client();
    let token = CancelToken::new();
    let mut asked = request("GET", &format!("{origin}/"));
    asked.set_cancel(Some(token.clone()));
    let ready = |_| assert!(server.wait_mark("head", PATIENCE));
    let error = cancelled("over a socket", &token, Phase::Head, || client.send(&mut asked), ready);
    assert_at_rest(client.manager());
    assert_eq!(
        client.manager().close_reason(error.connection_id().unwrap()),
        Some(CloseReason::Cancelled)
    );
    assert!(server.wait_ended(0, PATIENCE).is_some());
    let mut limited = request("GET", &format!("{origin}/"));
    limited.set_timeout(Timeout::Head, Some(ms(100))).unwrap();
    assert_timed_out(&client.send(&mut limited).unwrap_err(), Timeout::Head, Phase::Head);
    assert!(server.wait_ended(1, PATIENCE).is_some());
    let (silent, origin) = serve(None, Script::every(vec![Step::Stall]));
    let secure = origin.replace("http+unix", "https+unix");
    let mut limited = request("GET", &format!("{secure}/"));
    limited.set_timeout(Timeout::Tls, Some(ms(100))).unwrap();
    assert_timed_out(&client.send(&mut limited).unwrap_err(), Timeout::Tls, Phase::Tls);
    assert!(silent.wait_ended(0, PATIENCE).is_some());
    assert_at_rest(client.manager());
}

fn an_idle_connection_that_the_server_closed_is_not_used(form: Form) {
    let steps = vec![Step::answer(200, "ok"), Step::wait_for("close"), Step::Close];
    let (server, origin) = serve(None, Script::every(steps));
    let client = form.client();
    assert_eq!(fetch(&client, &format!("{origin}/")).unwrap(), b"ok");
    server.release("close");
    wait_until("the close", || server.open_connections() == 0);
    assert_eq!(fetch(&client, &format!("{origin}/")).unwrap(), b"ok");
    assert_eq!(server.connections(), 2);
}

fn an_idle_connection_that_the_server_closes_is_closed_without_any_call(form: Form) {
    let steps = vec![Step::answer(200, "ok"), Step::wait_for("close"), Step::Close];
    let (server, origin) = serve(None, Script::every(steps));
    let client = form.client();
    assert_eq!(fetch(&client, &format!("{origin}/")).unwrap(), b"ok");
    server.release("close");
    wait_until("the sweep", || client.manager().stats().swept == 1);
    assert_at_rest(client.manager());
}

fn a_redirect_to_a_unix_domain_socket_is_followed_only_from_that_socket(form: Form) {
    let (other, elsewhere) = serve(None, Script::answering("never asked for"));
    let network = Server::start(Script::by_path([
        ("/in", redirect(&format!("{elsewhere}/secret"))),
        ("/end", vec![Step::EchoHead(true)]),
    ]));
    let paths = [
        ("/a/relative", redirect("b")),
        ("/a/b", redirect("/end")),
        ("/other", redirect(&format!("{elsewhere}/secret"))),
        ("/out", redirect(&network.url("/end"))),
        ("/end", vec![Step::EchoHead(true)]),
    ];
    let (server, origin) = serve(None, Script::by_path(paths));
    let client = form.client();
    // Within the origin: the same connection, with its private headers.
    let mut asked = request("GET", &format!("{origin}/a/relative"));
    asked.add_header("Authorization", "Bearer mine").unwrap();
    let mut response = client.send(&mut asked).unwrap();
    assert_eq!(response.head().url(), format!("{origin}/end"));
    let head = String::from_utf8(response.read_all(10_000).unwrap()).unwrap();
    assert!(head.contains("Bearer mine") && head.contains("Host: localhost\r\n"), "{head}");
    assert_eq!(server.connections(), 1);
    // To another origin: without the private headers.
    let mut asked = request("GET", &format!("{origin}/out"));
    asked.add_header("Authorization", "Bearer mine").unwrap();
    let mut response = client.send(&mut asked).unwrap();
    assert_eq!(response.head().url(), network.url("/end"));
    let head = String::from_utf8(response.read_all(10_000).unwrap()).unwrap();
    assert!(!head.contains("Bearer mine"), "{head}");
    // From the network to a socket, or from one socket to another: never.
    let refused = |url: String| -> Error {
        let error = get(&client, &url).map(drop).unwrap_err();
        assert_eq!((error.kind(), error.status_code()), (Kind::RedirectRefused, Some(302)));
        assert!(error.message().contains(&elsewhere), "{error}");
        error
    };
    refused(network.url("/in"));
    refused(format!("{origin}/other"));
    assert_eq!(other.connections(), 0);
    assert_at_rest(client.manager());
}

fn a_path_without_a_listener_is_a_failed_connect(form: Form) {
    let error = fetch(&form.client(), "http+unix://%2Fno%2Fsuch.sock/").unwrap_err();
    assert_eq!((error.kind(), error.phase()), (Kind::ConnectFailed, Phase::Connect));
    assert_eq!(error.os_code(), Some(libc::ENOENT));
    assert!(error.message().contains("http+unix://%2Fno%2Fsuch.sock"), "{error}");
    let error = fetch(&form.client(), "http+unix://relative.sock/").unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidUrl);
    // A socket whose server has ended.
    let (server, origin) = serve(None, Script::answering("ok"));
    let client = form.client();
    assert_eq!(fetch(&client, &format!("{origin}/")).unwrap(), b"ok");
    drop(server);
    let error = fetch(&client, &format!("{origin}/")).unwrap_err();
    assert_eq!((error.kind(), error.phase()), (Kind::ConnectFailed, Phase::Connect), "{error}");
    assert_at_rest(client.manager());
}
