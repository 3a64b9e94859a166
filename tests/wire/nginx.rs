//! Requests to a real server, Debian's nginx.

use std::collections::HashSet;
use std::thread;

use hangup::{CloseMode, Kind};
use testserver::Nginx;

use crate::support::form::{Client, Form, in_both_forms};
use crate::support::inspect::{assert_at_rest, assert_sockets, only_socket, sockets};
use crate::support::{MARGIN, fetch, get, ms, request, wait_until};

in_both_forms! {
    a_thousand_requests_share_one_connection,
    sixteen_threads_share_one_client,
    sixteen_threads_share_one_client_over_tls,
    a_tls_connection_is_reused_and_reports_its_version,
    a_hundred_megabytes_arrive_whole,
    ranges_head_and_204_have_the_bodies_they_should_have,
    a_large_body_left_unread_is_closed_at_once_and_its_slot_is_free,
    an_nginx_that_is_gone_is_an_error_and_one_that_is_back_is_used,
}

fn a_thousand_requests_share_one_connection(form: Form) {
    let nginx = Nginx::start();
    let client = form.client();
    let url = nginx.http_url("/small");
    let mut connections = HashSet::new();
    for _ in 0..1000 {
        let mut response = get(&client, &url).unwrap();
        connections.insert(response.connection_id());
        assert_eq!(
            (response.status_code(), response.read_all(10).unwrap()),
            (200, b"ok\n".to_vec())
        );
    }
    assert_eq!(connections.len(), 1);
    only_socket(nginx.http_port());
    let stats = client.manager().stats();
    assert_eq!((stats.opened, stats.reused), (1, 999));
    assert_eq!(client.manager().connections()[0].requests, 1000);
}

/// From sixteen threads, with one client.
fn sixteen(client: &Client, url: &str, port: u16) {
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..100 {
                    assert_eq!(fetch(client, url).unwrap(), b"ok\n");
                }
            });
        }
    });
    assert_at_rest(client.manager());
    let stats = client.manager().stats();
    // A dial that was given up before it had a socket, because a connection became free, is not counted.
    assert!(stats.opened - stats.dials_failed <= 16, "{stats:?}");
    // A connection that becomes free during a dial is used instead.
    assert!(stats.opened + stats.reused >= 1600, "{stats:?}");
    assert_sockets(port, stats.idle as usize);
    assert_eq!(client.manager().close_idle(ms(0)) as u64, stats.idle);
    assert_eq!(sockets(port), []);
}

fn sixteen_threads_share_one_client(form: Form) {
    let nginx = Nginx::start();
    sixteen(&form.client(), &nginx.http_url("/small"), nginx.http_port());
}

fn sixteen_threads_share_one_client_over_tls(form: Form) {
    let nginx = Nginx::start();
    let client = form.client();
    client.set_tls_roots_file(nginx.ca_path().to_str().unwrap()).unwrap();
    sixteen(&client, &nginx.https_url("/small"), nginx.https_port());
}

fn a_tls_connection_is_reused_and_reports_its_version(form: Form) {
    let nginx = Nginx::start();
    let client = form.tls_client();
    for round in 0..100 {
        let mut response = get(&client, &nginx.https_url("/small")).unwrap();
        // nginx sends session tickets after the handshake, which must not close a connection.
        assert_eq!(response.reused(), round > 0);
        assert_eq!(response.read_all(10).unwrap(), b"ok\n");
    }
    let list = client.manager().connections();
    assert_eq!((list.len(), list[0].tls), (1, Some("TLSv1.3")));
}

fn a_hundred_megabytes_arrive_whole(form: Form) {
    let nginx = Nginx::start();
    let client = form.tls_client();
    for url in [nginx.http_url("/100mb"), nginx.https_url("/100mb")] {
        let mut response = get(&client, &url).unwrap();
        assert_eq!(response.head().header("content-length"), Some(&b"100000000"[..]));
        let mut piece = vec![1; 256 * 1024];
        let mut got = 0;
        loop {
            let more = response.read(&mut piece).unwrap();
            if more == 0 {
                break;
            }
            // The file consists of zeros, and the buffer does not.
            assert!(piece[..more].iter().all(|byte| *byte == 0), "after {got} bytes");
            piece[..more].fill(1);
            got += more;
        }
        assert_eq!(got, 100_000_000);
        let again = get(&client, &url).unwrap();
        assert!(again.reused());
    }
}

fn ranges_head_and_204_have_the_bodies_they_should_have(form: Form) {
    let nginx = Nginx::start();
    let client = form.client();
    let mut first = None;
    for path in ["/1mb", "/head", "/empty", "/gzip", "/small"] {
        let mut response = client.send(&mut request("HEAD", &nginx.http_url(path))).unwrap();
        let id = *first.get_or_insert(response.connection_id());
        assert_eq!(response.connection_id(), id, "{path}");
        assert_eq!(response.read_all(0).unwrap(), b"", "{path}");
        assert_eq!(client.manager().stats().idle, 1);
    }
    let mut request = request("GET", &nginx.http_url("/1mb"));
    request.add_header("Range", "bytes=10-109").unwrap();
    let mut response = client.send(&mut request).unwrap();
    assert_eq!((response.status_code(), response.read_all(1000).unwrap()), (206, vec![0; 100]));
    for (path, status, size) in [("/empty", 204, 0), ("/head", 200, 0), ("/1mb", 200, 1_000_000)] {
        let mut response = get(&client, &nginx.http_url(path)).unwrap();
        assert_eq!(
            (response.status_code(), response.read_all(1 << 20).unwrap().len()),
            (status, size)
        );
    }
    let echo = fetch(&client, &nginx.http_url("/echo?a=%20b")).unwrap();
    assert_eq!(echo, b"GET /echo?a=%20b HTTP/1.1\n");
    assert_eq!(client.manager().stats().opened, 1);
}

fn a_large_body_left_unread_is_closed_at_once_and_its_slot_is_free(form: Form) {
    let nginx = Nginx::start();
    let client = form.client();
    for round in 0..20 {
        let mut response = get(&client, &nginx.http_url("/100mb")).unwrap();
        assert!(response.read(&mut [0; 1000]).unwrap() > 0);
        let begun = std::time::Instant::now();
        match round % 2 {
            0 => drop(response),
            _ => response.close(CloseMode::Graceful),
        }
        assert!(begun.elapsed() < MARGIN);
        wait_until("rest", || client.manager().stats().in_use == 0);
        wait_until("the socket's end", || sockets(nginx.http_port()).is_empty());
        assert_at_rest(client.manager());
    }
}

fn an_nginx_that_is_gone_is_an_error_and_one_that_is_back_is_used(form: Form) {
    let nginx = Nginx::start();
    let client = form.client();
    let url = nginx.http_url("/small");
    fetch(&client, &url).unwrap();
    drop(nginx);
    for _ in 0..3 {
        let error = fetch(&client, &url).unwrap_err();
        assert_eq!(error.kind(), Kind::ConnectFailed, "{error:?}");
        assert_eq!(error.os_code(), Some(libc::ECONNREFUSED));
        assert!(error.retry_safe());
    }
    let nginx = Nginx::start();
    assert_eq!(fetch(&client, &nginx.http_url("/small")).unwrap(), b"ok\n");
    assert_at_rest(client.manager());
}
