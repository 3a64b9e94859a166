//! What programs write into logs: the `Debug` output of public types, error messages and events. None of it contains a
//! password, a cookie or credentials.

use std::fmt::Debug;
use std::time::Duration;

use hangup::Kind;
use testserver::{Answer, Script, Server, Step};

use crate::support::form::{Form, in_both_forms};
use crate::support::{get, request};

in_both_forms! {
    debug_output_and_events_of_an_exchange_contain_no_secrets,
    error_messages_and_events_of_a_failure_contain_no_secrets,
}

#[track_caller]
fn assert_harmless(shown: &dyn Debug) {
    // Bytes printed as numbers would be readable too.
    let numbers = format!("{:?}", b"SECRET");
    let numbers = numbers.trim_matches(['[', ']']);
    for text in [format!("{shown:?}"), format!("{shown:#?}").replace(char::is_whitespace, "")] {
        assert!(!text.contains("SECRET"), "{text}");
        assert!(!text.contains(numbers) && !text.contains(&numbers.replace(' ', "")), "{text}");
        // "u:URLSECRET" and "p:PROXYSECRET", as Basic credentials.
        assert!(!text.contains("dTpVUkxT") && !text.contains("cDpQUk9Y"), "{text}");
    }
}

fn debug_output_and_events_of_an_exchange_contain_no_secrets(form: Form) {
    let answer = |status, fields: &[(&str, &str)]| {
        let headers = fields.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        Step::Answer(Answer { status, headers: headers.collect(), body: "SECRET".into() })
    };
    let steps = vec![
        answer(
            302,
            &[("Location", "http://u:URLSECRET@origin.test/next"), ("Set-Cookie", "a=SECRET")],
        ),
        answer(200, &[("Set-Cookie", "b=SECRET"), ("X-Token", "SECRET")]),
    ];
    let proxy = Server::start(Script::every(steps));
    let client = form.client();
    let mut events = client.manager().events(100).unwrap();
    client.set_proxy(Some(&format!("http://p:PROXYSECRET@127.0.0.1:{}", proxy.port()))).unwrap();
    client.set_cookies(true);
    client.add_cookie("http://origin.test/", "c=SECRET").unwrap();
    client.set_header("X-Api-Key", Some("SECRET")).unwrap();
    client.set_header("Authorization", Some("Bearer SECRET")).unwrap();
    let mut request = request("GET", "http://u:URLSECRET@origin.test/");
    request.add_header("Authorization", "Bearer SECRET").unwrap();
    request.add_header("X-Api-Key", "SECRET").unwrap();
    assert_harmless(&client);
    assert_harmless(&request);
    let response = client.send(&mut request).unwrap();
    // The secrets were used in the exchange.
    let received = String::from_utf8(proxy.received(0)).unwrap();
    let cookies: Vec<&str> = received.lines().filter(|line| line.starts_with("Cookie: ")).collect();
    assert_eq!(cookies, ["Cookie: c=SECRET", "Cookie: c=SECRET; a=SECRET"], "{received}");
    assert_eq!(received.matches("Bearer SECRET").count(), 2);
    assert_harmless(&response);
    assert_harmless(&(
        response.head(),
        response.history(),
        response.url(),
        response.close_handle(),
    ));
    assert_harmless(&client);
    assert_harmless(client.manager());
    assert_harmless(&client.manager().connections());
    drop(response);
    while let Some(event) = events.next(Some(Duration::ZERO)).unwrap_or(None) {
        assert_harmless(&event);
    }
}

fn error_messages_and_events_of_a_failure_contain_no_secrets(form: Form) {
    for target in [
        "http://u:SECRET@127.0.0.1:0/",
        "http:\\\\u:SECRET@127.0.0.1/",
        "http://u:SECRET/@127.0.0.1/",
        "ftp://u:SECRET@127.0.0.1/",
        "u:SECRET@127.0.0.1",
    ] {
        assert_harmless(&hangup::Request::new("GET", target).unwrap_err());
        assert_harmless(&form.client().cookies_for(target).unwrap_err());
        assert_harmless(&form.client().preconnect(target, 1).unwrap_err());
        let steps = vec![
            Step::head(),
            Step::send(&format!(
                "HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n"
            )),
        ];
        let server = Server::start(Script::every(steps));
        let error = get(&form.client(), &server.url("/")).unwrap_err();
        assert_eq!(error.kind(), Kind::RedirectRefused, "{target}");
        assert_harmless(&error);
        assert_harmless(&error.message());
    }
    let client = form.client();
    for proxy in ["http://u:SECRET", "ftp://u:SECRET@127.0.0.1", "http:\\\\u:SECRET@127.0.0.1"] {
        assert_harmless(&client.set_proxy(Some(proxy)).unwrap_err());
    }
    // A proxy that refuses the credentials, and an unreachable one.
    let refuses = Server::start(Script::every(vec![Step::answer(407, "")]));
    for port in [refuses.port(), 1] {
        client.set_proxy(Some(&format!("http://p:PROXYSECRET@127.0.0.1:{port}"))).unwrap();
        assert_harmless(&get(&client, "https://u:URLSECRET@origin.test/").unwrap_err());
    }
}
