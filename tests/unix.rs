//! Servers behind a Unix-domain socket.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use hangup::{How, Kind};
use support::{client, fetch, get};

/// Answers every request with its own head, a connection each thread.
fn serve(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("hangup {name} {}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut reader, mut writer) = (BufReader::new(&stream), &stream);
                let mut head = String::new();
                while reader.read_line(&mut head).is_ok_and(|size| size > 0) {
                    if head.ends_with("\r\n\r\n") {
                        let answer = format!(
                            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}",
                            head.len()
                        );
                        writer.write_all(answer.as_bytes()).unwrap();
                        head.clear();
                    }
                }
            });
        }
    });
    path
}

fn url(path: &std::path::Path) -> String {
    let path = path.to_str().unwrap().replace('/', "%2F").replace(' ', "%20");
    format!("http+unix://{path}")
}

#[test]
fn a_unix_domain_socket_is_asked_as_localhost_and_its_connection_kept() {
    let path = serve("kept");
    let client = client();
    // Whatever the proxy: a socket is on this machine.
    client.proxy(Some("http://127.0.0.1:1")).unwrap();
    let url = url(&path);
    for _ in 0..3 {
        let mut response = get(&client, &format!("{url}/a/b?c")).unwrap();
        assert_eq!(response.head().url(), format!("{url}/a/b?c"));
        let head = String::from_utf8(response.read_all(10_000).unwrap().to_vec()).unwrap();
        assert!(head.starts_with("GET /a/b?c HTTP/1.1\r\nhost: localhost\r\n"), "{head}");
    }
    let open = client.manager().connections();
    assert_eq!((open.len(), open[0].requests, open[0].peer), (1, 3, None));
    assert_eq!(open[0].origin, url);
    assert_eq!(client.manager().close_origin(&open[0].origin, How::Now).unwrap(), 1);
    assert_eq!(client.manager().connections().len(), 0);
}

#[test]
fn a_path_that_nobody_listens_on_is_a_failed_connect() {
    let error = fetch(&client(), "http+unix://%2Fno%2Fsuch.sock/").unwrap_err();
    assert_eq!(error.kind(), Kind::ConnectFailed);
    assert!(error.message().contains("http+unix://%2Fno%2Fsuch.sock"), "{error}");
    let error = fetch(&client(), "http+unix://relative.sock/").unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidUrl);
}
