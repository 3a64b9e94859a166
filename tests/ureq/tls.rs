//! The TLS settings of ureq's configuration.

use hangup::Kind;
use testserver::{Certificate, Script, Server, certs};
use ureq::tls::{Certificate as Root, RootCerts, TlsConfig, TlsProvider};

use super::{agent, agent_of, config, inner};

fn roots() -> RootCerts {
    RootCerts::new_with_certs(&[Root::from_pem(certs().ca().as_bytes()).unwrap()])
}

#[test]
fn specific_roots_are_the_only_ones_that_are_trusted() {
    let server = Server::start_tls(Certificate::Good, Script::answering("ok"));
    let url = server.url("/");
    let error = agent().1.get(&url).call().unwrap_err();
    assert_eq!(inner(&error).kind(), Kind::TlsFailed);
    let tls = TlsConfig::builder().root_certs(roots()).build();
    let (client, agent) = agent_of(config().tls_config(tls).build());
    for _ in 0..2 {
        assert_eq!(agent.get(&url).call().unwrap().body_mut().read_to_string().unwrap(), "ok");
    }
    assert_eq!(client.manager().stats().reused, 1);
}

#[test]
fn the_settings_of_the_client_hold_where_ureq_has_none() {
    let server = Server::start_tls(Certificate::Good, Script::answering("ok"));
    let client = crate::support::tls_client();
    let agent = hangup::ureq::agent(&client, config().build());
    assert_eq!(agent.get(server.url("/")).call().unwrap().status(), 200);
}

#[test]
fn one_request_may_disable_the_verification_and_shares_no_connection_with_others() {
    let server = Server::start_tls(Certificate::Good, Script::answering("ok"));
    let (_, agent) = agent();
    let tls = TlsConfig::builder().disable_verification(true).build();
    let request = agent.get(server.url("/")).config().tls_config(tls).build();
    assert_eq!(request.call().unwrap().body_mut().read_to_string().unwrap(), "ok");
    let error = agent.get(server.url("/")).call().unwrap_err();
    assert_eq!(inner(&error).kind(), Kind::TlsFailed);
}

#[test]
fn what_has_no_meaning_here_is_refused_by_name() {
    let server = Server::start_tls(Certificate::Good, Script::answering("ok"));
    for (tls, name) in [
        (TlsConfig::builder().use_sni(false).build(), "use_sni"),
        (TlsConfig::builder().provider(TlsProvider::NativeTls).build(), "NativeTls"),
    ] {
        let (_, agent) = agent_of(config().tls_config(tls).build());
        let error = agent.get(server.url("/")).call().unwrap_err();
        assert_eq!(inner(&error).kind(), Kind::InvalidArgument);
        assert!(inner(&error).message().contains(name), "{error}");
    }
}
