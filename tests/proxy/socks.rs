//! SOCKS: when a name is asked for, what version 4 and 4A send, and the families of addresses.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hangup::{AddressFamily, Kind, Phase};
use testserver::{
    Certificate, Options, Script, Server, Socks, SocksAddress, SocksConduct, SocksOptions,
    SocksStep,
};

use crate::support::form::{Form, in_both_forms};
use crate::support::inspect::assert_at_rest;
use crate::support::{PATIENCE, fetch, get};

in_both_forms! {
    a_socks_proxy_is_connected_before_a_name_is_asked_for,
    socks_4_sends_an_address_and_4a_a_name,
    socks_4_refusals_are_named,
    a_socks_proxy_is_asked_for_addresses_of_the_clients_family,
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn a_socks_proxy_is_connected_before_a_name_is_asked_for(form: Form) {
    for scheme in ["socks4", "socks5"] {
        let proxy = Socks::start();
        let client = form.client();
        client.set_proxy(Some(&proxy.url(scheme))).unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        client.manager().set_resolver(Some(Arc::new(move |host: &str| {
            counted.fetch_add(1, Ordering::SeqCst);
            Err(format!("no {host}"))
        })));
        let error = get(&client, "http://nowhere.test/").unwrap_err();
        assert_eq!((error.kind(), error.phase()), (Kind::ResolveFailed, Phase::Resolve), "{error}");
        assert!(error.message().contains("nowhere.test"), "{error}");
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert!(proxy.wait_connections(1, PATIENCE), "{scheme}: the proxy was not connected to");
        assert!(proxy.wait_ended(0, PATIENCE).is_some());
        assert_at_rest(client.manager());
        // Of a proxy that can't be connected to, the name is not asked for.
        let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        client.set_proxy(Some(&format!("{scheme}://{dead}"))).unwrap();
        let error = get(&client, "http://nowhere.test/").unwrap_err();
        assert_eq!((error.kind(), error.phase()), (Kind::ConnectFailed, Phase::Connect), "{error}");
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
}

fn socks_4_sends_an_address_and_4a_a_name(form: Form) {
    let plain = Server::start(Script::answering("ok"));
    let secure = Server::start_tls(Certificate::Good, Script::answering("ok"));
    for (scheme, kind) in [("socks4", SocksAddress::Ipv4), ("socks4a", SocksAddress::Name)] {
        for url in [
            format!("http://here.test:{}/", plain.port()),
            secure.url("/").replace("127.0.0.1", "localhost"),
        ] {
            let credentials = Some(("me".to_owned(), String::new()));
            let hosts = [("here.test".to_owned(), "127.0.0.1:0".parse().unwrap())].into();
            let options =
                SocksOptions { credentials: credentials.clone(), hosts, ..SocksOptions::default() };
            let proxy = Socks::start_with(options).unwrap();
            let client = form.tls_client();
            client.set_proxy(Some(&proxy.url(scheme).replace("://", "://me@"))).unwrap();
            // Only its IPv4 address can be asked for.
            for name in ["here.test", "localhost"] {
                let both = addresses(&["::1", "127.0.0.1"]);
                client.manager().set_address(name, &both).unwrap();
            }
            for _ in 0..2 {
                assert_eq!(fetch(&client, &url).unwrap(), b"ok");
            }
            let asked = proxy.asked();
            assert_eq!(asked.len(), 1, "one tunnel for both");
            assert_eq!((asked[0].version, asked[0].command), (4, 1));
            assert_eq!((asked[0].kind, &asked[0].credentials), (Some(kind), &credentials));
            let host = if url.contains("here") { "here.test" } else { "localhost" };
            let host = if kind == SocksAddress::Name { host } else { "127.0.0.1" };
            assert_eq!(asked[0].host, host);
            assert!(url.contains(&format!(":{}/", asked[0].port)));
        }
    }
}

fn socks_4_refusals_are_named(form: Form) {
    let origin = Server::start(Script::answering("ok"));
    let fails = |options: SocksOptions, word: &str| {
        let proxy = Socks::start_with(options).unwrap();
        let client = form.client();
        client.set_proxy(Some(&proxy.url("socks4"))).unwrap();
        let error = get(&client, &origin.url("/")).unwrap_err();
        assert_eq!((error.kind(), error.phase()), (Kind::ProxyFailed, Phase::Proxy), "{error}");
        assert!(error.message().contains(word), "{error}");
        assert_at_rest(client.manager());
    };
    for (code, word) in [(91, "can't be reached"), (92, "identd"), (93, "another user"), (7, "7")] {
        fails(SocksOptions { conduct: SocksConduct::Refuse(code), ..Default::default() }, word);
    }
    let at = SocksStep::Request;
    fails(SocksOptions { conduct: SocksConduct::Close(at), ..Default::default() }, "closed");
    fails(
        SocksOptions { conduct: SocksConduct::WrongVersion(at), ..Default::default() },
        "SOCKS 4",
    );
    let credentials = Some(("me".to_owned(), String::new()));
    fails(SocksOptions { credentials, ..Default::default() }, "another user");
    // What the protocol has no place for.
    let proxy = Socks::start();
    for (scheme, url, word) in [
        ("socks4", "http://[::1]:1/", "IPv4"),
        ("socks4a", "http://[::1]:1/", "IPv6"),
        ("socks4", "http://six.test:1/", "IPv4"),
    ] {
        let client = form.client();
        client.manager().set_address("six.test", &addresses(&["::1"])).unwrap();
        client.set_proxy(Some(&proxy.url(scheme))).unwrap();
        let error = get(&client, url).unwrap_err();
        assert_eq!((error.kind(), error.phase()), (Kind::ProxyFailed, Phase::Proxy), "{error}");
        assert!(error.message().contains(word), "{error}");
    }
    assert!(proxy.asked().is_empty());
}

fn a_socks_proxy_is_asked_for_addresses_of_the_clients_family(form: Form) {
    let v6 = Options { ipv6: true, ..Options::default() };
    let v6 = Server::start_with(v6, Script::answering("ok")).unwrap();
    let proxy = Socks::start();
    let client = form.client();
    client.set_proxy(Some(&proxy.url("socks5"))).unwrap();
    client.manager().set_address("both.test", &addresses(&["127.0.0.1", "::1"])).unwrap();
    let url = format!("http://both.test:{}/", v6.port());
    assert!(get(&client, &url).is_err(), "the first address is asked for");
    assert_eq!(proxy.asked()[0].kind, Some(SocksAddress::Ipv4));
    client.manager().set_address("both.test", &addresses(&["::1", "127.0.0.1"])).unwrap();
    assert_eq!(fetch(&client, &url).unwrap(), b"ok");
    assert_eq!(proxy.asked()[1].kind, Some(SocksAddress::Ipv6));
    client.set_address_family(AddressFamily::Ipv4);
    assert!(get(&client, &url).is_err());
    assert_eq!(proxy.asked()[2].kind, Some(SocksAddress::Ipv4));
    client.set_address_family(AddressFamily::Ipv6);
    let error = get(&client, &url).unwrap_err();
    assert_eq!(error.kind(), Kind::ConnectFailed, "the proxy has an IPv4 address: {error}");
    assert!(error.message().contains("only IPv6"), "{error}");
}
