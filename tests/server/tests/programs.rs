//! The parts that other programs meet: nginx, the demo server, the control protocol, the corpus
//! listing.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;
use testserver::{DemoServer, Nginx, corpus};

const SOON: Duration = Duration::from_secs(5);

fn get(port: u16, target: &str) -> String {
    let mut tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
    tcp.set_read_timeout(Some(SOON)).unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    tcp.write_all(request.as_bytes()).unwrap();
    let mut text = Vec::new();
    tcp.read_to_end(&mut text).unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn nginx_serves_and_goes() {
    let nginx = Nginx::start();
    assert!(get(nginx.http_port(), "/small").ends_with("\r\n\r\nok\n"));
    assert!(get(nginx.http_port(), "/empty").starts_with("HTTP/1.1 204"));
    assert_eq!(get(nginx.http_port(), "/1mb").split_once("\r\n\r\n").unwrap().1.len(), 1_000_000);
    TcpStream::connect(("127.0.0.1", nginx.https_port())).unwrap();
    let (port, ca) = (nginx.http_port(), nginx.ca_path());
    assert!(ca.exists());
    drop(nginx);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    assert!(!ca.exists());
}

#[test]
fn the_demo_behaves_as_its_paths_select() {
    let demo = DemoServer::start();
    let body =
        |target: &str| get(demo.http_port(), target).split_once("\r\n\r\n").unwrap().1.to_owned();
    assert_eq!(body("/fast"), "fast\n");
    assert_eq!(body("/bytes?n=70000").len(), 70_000);
    assert_eq!(
        body("/stream?chunks=2&every_ms=1"),
        "8\r\nchunk 0\n\r\n8\r\nchunk 1\n\r\n0\r\n\r\n"
    );
    assert!(get(demo.http_port(), "/status?code=418").starts_with("HTTP/1.1 418 "));
    assert!(get(demo.http_port(), "/nowhere").starts_with("HTTP/1.1 404 "));
}

/// The binary, its stdin and its stdout; ends when stdin does.
struct Program(Child, Option<ChildStdin>, BufReader<ChildStdout>);

impl Program {
    fn start(args: &[&str]) -> Program {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hangup-testserver"))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().unwrap());
        Program(child, stdin, BufReader::new(stdout))
    }

    fn line(&mut self) -> String {
        // A case of the corpus may expect bytes that are no UTF-8.
        let mut line = Vec::new();
        self.2.read_until(b'\n', &mut line).unwrap();
        String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned()
    }

    fn tell(&mut self, command: &Value) -> Value {
        writeln!(self.1.as_mut().unwrap(), "{command}").unwrap();
        serde_json::from_str(&self.line()).unwrap()
    }

    fn finish(mut self) {
        drop(self.1.take());
        assert!(self.0.wait().unwrap().success());
    }
}

#[test]
fn control_drives_a_server() {
    let mut program = Program::start(&["control"]);
    let script =
        json!([[{"recv": "head"}, {"mark": "in"}, {"await": "go"}, {"send": "x"}, "stall"]]);
    let started = program.tell(&json!({"start": {"script": script, "tls": null}}));
    assert_eq!(started["id"], 1);
    let port = u16::try_from(started["port"].as_u64().unwrap()).unwrap();
    let mut tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
    tcp.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let wait = json!({"wait_mark": {"id": 1, "name": "in", "timeout_ms": 5000}});
    assert_eq!(program.tell(&wait), json!({"reached": true}));
    assert_eq!(program.tell(&json!({"release": {"id": 1, "name": "go"}})), json!({}));
    tcp.read_exact(&mut [0]).unwrap();
    let count = program.tell(&json!({"connections": {"id": 1}}));
    assert_eq!(count, json!({"accepted": 1, "open": 1, "most_open": 1}));
    let heads = program.tell(&json!({"heads": {"id": 1, "connection": 0}}));
    assert_eq!(heads, json!({"heads": ["GET / HTTP/1.1\r\n\r\n"]}));
    drop(tcp);
    let wait = json!({"wait_ended": {"id": 1, "connection": 0, "timeout_ms": 5000}});
    assert_eq!(program.tell(&wait), json!({"ended": "fin"}));
    assert_eq!(program.tell(&json!({"stop": {"id": 1}})), json!({}));
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    program.finish();
}

#[test]
fn control_makes_everything_else() {
    let mut program = Program::start(&["control"]);
    let hole = program.tell(&json!({"black_hole": {}}));
    let opened = program.tell(&json!({"open": {"id": hole["id"], "script": [["rst"]]}}));
    assert_eq!(opened, hole);
    let certs = program.tell(&json!({"certs": {}}));
    let dir = certs["dir"].as_str().unwrap().to_owned();
    assert!(Path::new(&dir).join("client.key").exists());
    assert!(program.tell(&json!({"nginx": {}}))["https_port"].is_u64());
    assert!(program.tell(&json!({"demo": {}}))["ca"].is_string());
    for wrong in [json!({"stop": {"id": 99}}), json!({"nonsense": {}}), json!({"heads": {}})] {
        assert!(program.tell(&wrong)["error"].is_string(), "{wrong}");
    }
    program.finish();
    assert!(!Path::new(&dir).exists());
}

#[test]
fn control_makes_proxies_and_places() {
    let mut program = Program::start(&["control"]);
    let script =
        json!([[{"repeat": {"times": 0, "steps": [{"by_path": {"*": [{"answer": {}}]}}]}}]]);
    let server = program.tell(&json!({"start": {"script": script, "ip": "127.0.0.3", "port": 0}}));
    let at = server["url"].as_str().unwrap()[7..].trim_end_matches('/').to_owned();
    assert!(at.starts_with("127.0.0.3:"));
    let unix = program.tell(&json!({"start": {"script": script, "unix": true}}));
    assert!(Path::new(unix["path"].as_str().unwrap()).exists());

    let proxy = json!({"credentials": null, "hosts": {"a.test": at}, "conduct": "forward"});
    let proxy = program.tell(&json!({"proxy": proxy}));
    let port = u16::try_from(proxy["port"].as_u64().unwrap()).unwrap();
    assert!(get(port, "http://a.test/x").starts_with("HTTP/1.1 200 "));
    let id = &proxy["id"];
    let order = program.tell(&json!({"accepted_order": {"id": id}}));
    assert_eq!(order["heads"][0][0], 0);
    assert!(order["heads"][0][1].as_str().unwrap().starts_with("GET http://a.test/x "));
    let tunnels = program.tell(&json!({"tunnels": {"id": id}}));
    assert_eq!(tunnels, json!({"opened": [], "open": 0}));
    let wait = json!({"wait_open": {"id": id, "count": 0, "timeout_ms": 5000}});
    assert_eq!(program.tell(&wait), json!({"reached": true}));

    for conduct in [
        json!({"refuse": {"status": 405, "headers": [["Content-Type", "text/html"]], "body": "x"}}),
        json!({"silent": "request"}),
        json!({"close": "accept"}),
        json!("endless_head"),
        json!({"extra": "junk"}),
    ] {
        let started = program.tell(&json!({"proxy": {"conduct": conduct, "tls": "good"}}));
        assert!(started["url"].as_str().is_some_and(|url| url.starts_with("https:")), "{started}");
    }
    for conduct in [
        json!("forward"),
        json!({"refuse": 5}),
        json!({"silent": "greeting"}),
        json!({"wrong_version": "request"}),
        json!({"bound": "name"}),
    ] {
        let socks = json!({"conduct": conduct, "credentials": ["u", "p"], "life_ms": 1000});
        let started = program.tell(&json!({"socks": socks}));
        assert!(started["url"].as_str().is_some_and(|url| url.starts_with("socks5:")), "{started}");
        let asked = program.tell(&json!({"asked": {"id": started["id"]}}));
        assert_eq!(asked, json!({"asked": []}));
    }

    let places =
        json!([["::1", "silent"], ["127.0.0.1", {"serves": script}], ["127.0.0.2", "refuses"]]);
    let opened = program.tell(&json!({"addresses": {"places": places}}));
    let port = u16::try_from(opened["port"].as_u64().unwrap()).unwrap();
    let mut tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
    tcp.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert!(tcp.read(&mut [0; 1024]).unwrap() > 0);
    let count = program.tell(&json!({"connections": {"id": opened["places"][1]["id"]}}));
    assert_eq!((&count["accepted"], &count["most_open"]), (&json!(1), &json!(1)));

    let origins = program.tell(&json!({"origins": {"count": 3, "body": "ok"}}));
    let port = u16::try_from(origins["ports"][2].as_u64().unwrap()).unwrap();
    let mut tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
    tcp.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert!(tcp.read(&mut [0; 1024]).unwrap() > 0);
    let count = program.tell(&json!({"connections": {"id": origins["id"]}}));
    assert_eq!(count, json!({"accepted": 1, "open": 1, "most_open": 1, "requests": 1}));
    let wrong = json!({"proxy": {"conduct": {"silent": "greeting"}}});
    assert!(program.tell(&wrong)["error"].is_string());
    program.finish();
}

#[test]
fn the_corpus_is_well_formed_and_listed() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../corpus");
    let cases = corpus::load(Path::new(dir)).unwrap();
    let mut program = Program::start(&["corpus", dir]);
    for case in &cases {
        let line = program.line();
        let fields: Vec<&str> = line.split('\t').collect();
        assert_eq!(fields.len(), 21, "{line}");
        assert_eq!((fields[0], fields[3]), (case.name.as_str(), case.expect.status.as_str()));
    }
    program.finish();
}
