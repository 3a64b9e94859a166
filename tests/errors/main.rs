//! What an error says, and what a trace shows: the request, the timings, the codes, whether to try again, and all of it as JSON.

#[path = "../support/mod.rs"]
mod support;

mod silence;
mod trace;

use std::time::Duration;

use hangup::{ConnectionInfo, Error, Kind, Phase, Request, Timeout, Timings};
use serde_json::Value;
use testserver::{Script, Server, Step};

use crate::support::form::{Form, in_both_forms};
use crate::support::{fetch, get, request};

in_both_forms! {
    an_error_names_the_request_without_user_information_and_fragment,
    after_a_redirect_the_error_names_the_last_url,
    a_body_that_fails_has_the_status_of_its_response,
    a_body_that_is_too_large_has_the_status_of_its_response,
    a_name_that_does_not_exist_has_the_resolvers_code,
    a_refused_connection_may_be_tried_again_and_an_invalid_request_not,
    the_json_of_an_error_has_what_its_methods_return,
    the_json_of_the_connections_has_what_the_list_has,
}

fn json(error: &Error) -> Value {
    let text = error.to_json();
    assert!(!text.contains('\n'), "{text}");
    serde_json::from_str(&text).unwrap()
}

fn an_error_names_the_request_without_user_information_and_fragment(form: Form) {
    let server = Server::start(Script::every(vec![Step::head()]));
    let client = form.client();
    let url = server.url("/a?q=1").replace("http://", "http://user:secret@") + "#there";
    let error = get(&client, &url).unwrap_err();
    assert_eq!(error.method(), Some("GET"));
    assert_eq!(error.url(), Some(server.url("/a?q=1").as_str()));
    assert_eq!(error.origin(), Some(server.url("").as_str()));
    assert_eq!(error.status_code(), None);
    assert!(!format!("{error:?}{}", error.to_json()).contains("secret"));
    let Timings { connect, write, head, total, tls, .. } = error.timings();
    assert!(connect.is_some() && write.is_some() && head.is_some() && tls.is_none());
    assert!(total >= head);
}

fn after_a_redirect_the_error_names_the_last_url(form: Form) {
    let redirect = "HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n";
    let server = Server::start(Script::by_path([
        ("/here", vec![Step::send(redirect)]),
        ("/there", vec![Step::send("nonsense\r\n\r\n")]),
    ]));
    let error = get(&form.client(), &server.url("/here")).unwrap_err();
    assert_eq!((error.kind(), error.url()), (Kind::Protocol, Some(server.url("/there").as_str())));
}

fn a_body_that_fails_has_the_status_of_its_response(form: Form) {
    let server = Server::start(Script::every(vec![
        Step::head(),
        Step::send("HTTP/1.1 206 Partial Content\r\nContent-Length: 10\r\n\r\nabc"),
    ]));
    let error = fetch(&form.client(), &server.url("/")).unwrap_err();
    assert_eq!(error.kind(), Kind::PeerClosed);
    assert_eq!((error.status_code(), error.phase()), (Some(206), Phase::Read));
    assert!(error.retry_may_help() && error.timings().read.is_some());
}

fn a_body_that_is_too_large_has_the_status_of_its_response(form: Form) {
    let server = Server::start(Script::answering("0123456789"));
    let error = get(&form.client(), &server.url("/a")).unwrap().read_all(9).unwrap_err();
    assert_eq!((error.kind(), error.status_code()), (Kind::TooLarge, Some(200)));
    assert_eq!(error.url(), Some(server.url("/a").as_str()));
    assert!(!error.retry_may_help());
}

fn a_name_that_does_not_exist_has_the_resolvers_code(form: Form) {
    let error = get(&form.client(), "http://no-such-host.invalid/").unwrap_err();
    assert_eq!(error.kind(), Kind::ResolveFailed);
    let code = error.resolver_code().unwrap();
    // Without a network the system says that the name server could not be asked.
    let again = code == libc::EAI_AGAIN;
    assert!(again || code == libc::EAI_NONAME || code == libc::EAI_NODATA, "{error:?}: {code}");
    assert_eq!(error.retry_may_help(), again);
    assert_eq!(json(&error)["resolver_code"], code);
}

fn a_refused_connection_may_be_tried_again_and_an_invalid_request_not(form: Form) {
    let mut server = Server::start(Script::answering("ok"));
    let url = server.url("/");
    server.stop();
    let error = get(&form.client(), &url).unwrap_err();
    assert_eq!(error.kind(), Kind::ConnectFailed);
    assert!(error.retry_may_help() && error.retry_safe());
    let error = Request::new("GET", "ftp://x/").unwrap_err();
    assert!(!error.retry_may_help());
    assert_eq!((error.url(), error.timings()), (None, Timings::default()));
}

fn the_json_of_an_error_has_what_its_methods_return(form: Form) {
    let server = Server::start(Script::every(vec![Step::head(), Step::wait_for("the end")]));
    let client = form.client();
    let mut request = request("POST", &server.url("/x\u{e9}"));
    request.set_timeout(Timeout::Head, Some(Duration::from_millis(30))).unwrap();
    let error = client.send(&mut request).unwrap_err();
    let json = json(&error);
    assert_eq!(json["status"], "TIMED_OUT");
    assert_eq!(json["message"], error.message());
    assert_eq!((&json["phase"], &json["timeout"]), (&"head".into(), &"head".into()));
    assert_eq!(json["method"], "POST");
    assert_eq!(json["url"], server.url("/x%C3%A9"));
    assert_eq!(json["origin"], server.url(""));
    assert_eq!(json["connection_id"].as_u64(), error.connection_id());
    assert_eq!((&json["sent"], &json["attempts"]), (&"all".into(), &1.into()));
    assert_eq!((&json["reused"], &json["response_started"]), (&false.into(), &false.into()));
    assert_eq!((&json["retry_safe"], &json["retry_may_help"]), (&false.into(), &true.into()));
    assert!(json["timings_us"]["head"].as_u64() >= Some(30_000), "{json}");
    for absent in ["reason", "status_code", "os_code", "resolver_code"] {
        assert!(json[absent].is_null(), "{absent}: {json}");
    }
    let odd = Error::new(Kind::Closed, "\"quoted\"\n\u{1}");
    let again: Value = serde_json::from_str(&odd.to_json()).unwrap();
    assert_eq!(again["message"], "\"quoted\"\n\u{1}");
    assert!(again["timings_us"].is_null());
}

fn the_json_of_the_connections_has_what_the_list_has(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let client = form.client();
    assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"ok");
    let list = client.manager().connections();
    let json: Value = serde_json::from_str(&ConnectionInfo::list_to_json(&list)).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 1);
    let (json, info) = (&json[0], &list[0]);
    assert_eq!(json["id"], info.id);
    assert_eq!((&json["origin"], &json["state"]), (&server.url("").into(), &"idle".into()));
    assert_eq!(json["peer"], info.peer.unwrap().to_string());
    assert!(json["tls"].is_null() && json["idle_ms"].is_u64());
    assert_eq!((&json["requests"], &json["bytes_out"]), (&1.into(), &info.bytes_out.into()));
}
