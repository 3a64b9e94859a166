//! Texts from callers and servers: URLs, header fields, cookies, proxies and exceptions from them. Each is refused or
//! sent as it was meant: one request with one host, which is also the host by the grammar of RFC 3986.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hangup::{Error, Kind, Request, Timeout};

use crate::mutate::{mutate, pick};
use crate::support::Random;
use crate::support::form::Form;

/// A server that is proxy and origin at once and records the request heads.
pub struct Texts {
    port: u16,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    heads: Vec<String>,
    /// A field of the next responses.
    field: Vec<u8>,
}

impl Texts {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listening socket");
        let port = listener.local_addr().expect("its address").port();
        let shared = Arc::new(Mutex::new(Shared::default()));
        let theirs = Arc::clone(&shared);
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let shared = Arc::clone(&theirs);
                std::thread::spawn(move || drop(serve(socket, &shared)));
            }
        });
        Self { port, shared }
    }

    /// Runs case `number`.
    pub fn run(&self, number: u64) -> Result<(), String> {
        let mut random = Random::new(number);
        let form = if number.is_multiple_of(2) { Form::Blocking } else { Form::Submitted };
        match random.below(5) {
            0 | 1 => self.url(&mut random, form),
            2 => self.header(&mut random, form),
            3 => self.cookie(&mut random, form),
            _ => self.proxy(&mut random, form),
        }
    }

    fn url(&self, random: &mut Random, form: Form) -> Result<(), String> {
        let text = text(random, URLS);
        let (refused, head) = self.ask(form, &text, |_| Ok(()), |_| Ok(()))?;
        let Some(head) = head else {
            return secretless(&text, refused.as_ref());
        };
        let (line, host) =
            one_request(&head).map_err(|why| format!("{text:?}: {why}: {head:?}"))?;
        let target = line.split(' ').nth(1).unwrap_or_default();
        let authority = match line.starts_with("CONNECT ") {
            true => target,
            false => target.trim_start_matches("http://").split(['/', '?']).next().unwrap_or(""),
        };
        if authority != host {
            return Err(format!("{text:?} is asked of {authority:?} as {host:?}"));
        }
        let asked = without_port(&host).to_owned();
        match host_of(&text) {
            Some(read) if !same_host(&read, &asked) => {
                Err(format!("{text:?} is asked of {asked:?}, and RFC 3986 reads {read:?}"))
            }
            None => Err(format!("{text:?} is asked of {asked:?}, and RFC 3986 reads no host")),
            Some(_) => Ok(()),
        }
    }

    fn header(&self, random: &mut Random, form: Form) -> Result<(), String> {
        let field = text(random, FIELDS);
        let (name, value) = field.split_once(':').unwrap_or((&field, ""));
        let set = |request: &mut Request| request.add_header(name, value);
        let (_, head) = self.ask(form, "http://a.test/", |_| Ok(()), set)?;
        let Some(head) = head else { return Ok(()) };
        one_request(&head).map_err(|why| format!("{field:?}: {why}: {head:?}"))?;
        let value: String = value.trim_matches([' ', '\t']).bytes().map(char::from).collect();
        let is_it = |line: &str| {
            let field = line.split_once(':');
            field.is_some_and(|(n, v)| {
                n.eq_ignore_ascii_case(name) && v.trim_matches([' ', '\t']) == value
            })
        };
        let own = ["host", "connection", "expect", "user-agent", "accept", "accept-encoding"];
        if own.contains(&&*name.to_ascii_lowercase()) || head.split("\r\n").any(is_it) {
            return Ok(());
        }
        Err(format!("{field:?} became {head:?}"))
    }

    fn cookie(&self, random: &mut Random, form: Form) -> Result<(), String> {
        let cookie = text(random, COOKIES);
        // A server cannot send the end of a line inside a field.
        let field: Vec<u8> = cookie.bytes().filter(|byte| !b"\r\n\0".contains(byte)).collect();
        self.lock().field = [b"Set-Cookie: ", &field[..], b"\r\n"].concat();
        let client = form.client();
        client.set_cookies(true);
        let url = format!("http://127.0.0.1:{}/a/b", self.port);
        let first = client.get(&url, LIMIT).and_then(|mut response| response.read_all(100));
        self.lock().field.clear();
        match first {
            // A control character in a field is not valid HTTP.
            Err(error) if error.kind() == Kind::Protocol => return Ok(()),
            Err(error) => return Err(format!("{cookie:?}: {error:?}")),
            Ok(_) => {}
        }
        let kept = client.cookies_for(&url).map_err(|error| format!("{cookie:?}: {error:?}"))?;
        self.lock().heads.clear();
        let second = client.get(&url, LIMIT).and_then(|mut response| response.read_all(100));
        second.map_err(|error| format!("after {cookie:?}: {error:?}"))?;
        let head = self.lock().heads.pop().unwrap_or_default();
        one_request(&head).map_err(|why| format!("{cookie:?}: {why}: {head:?}"))?;
        // Heads are kept byte by byte.
        let kept = kept.map(|text| text.bytes().map(char::from).collect());
        let sent = head.lines().find_map(|line| line.strip_prefix("Cookie: ").map(str::to_owned));
        if sent != kept { Err(format!("{cookie:?}: {kept:?} is sent as {sent:?}")) } else { Ok(()) }
    }

    /// A proxy's text is refused or used, and no error contains its password. An exception applies regardless of other
    /// invalid ones.
    fn proxy(&self, random: &mut Random, form: Form) -> Result<(), String> {
        let client = form.client();
        let proxy = text(random, PROXIES);
        secretless(&proxy, client.set_proxy(Some(&proxy)).err().as_ref())?;
        client.set_proxy(Some(&self.proxy_url())).map_err(|error| format!("{error:?}"))?;
        let list = format!("{},127.0.0.1", text(random, EXCEPTIONS));
        if client.set_no_proxy(&list).is_err() {
            return Ok(());
        }
        self.lock().heads.clear();
        let url = format!("http://127.0.0.1:{}/", self.port);
        client.get(&url, LIMIT).map_err(|error| format!("{list:?}: {error:?}"))?;
        match self.lock().heads.pop() {
            Some(head) if head.starts_with("GET / ") => Ok(()),
            head => Err(format!("{list:?}: the proxy is asked: {head:?}")),
        }
    }

    /// Sends a request by the proxy; the error, and the head that arrived.
    fn ask(
        &self,
        form: Form,
        url: &str,
        set_up: impl Fn(&hangup::Client) -> Result<(), Error>,
        set: impl Fn(&mut Request) -> Result<(), Error>,
    ) -> Result<(Option<Error>, Option<String>), String> {
        let client = form.client();
        client.set_proxy(Some(&self.proxy_url())).map_err(|error| format!("{error:?}"))?;
        self.lock().heads.clear();
        let outcome = set_up(&client).and_then(|()| Request::new("GET", url)).and_then(|request| {
            let mut request = request;
            set(&mut request)?;
            request.set_timeout(Timeout::Total, LIMIT)?;
            client.send(&mut request).map(drop)
        });
        let head = self.lock().heads.first().cloned();
        match outcome {
            Err(error) if matches!(error.kind(), Kind::Panic | Kind::TimedOut | Kind::Protocol) => {
                Err(format!("{url:?}: {error:?}"))
            }
            outcome => Ok((outcome.err(), head)),
        }
    }

    fn proxy_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers each request, and refuses each tunnel.
fn serve(mut socket: TcpStream, shared: &Mutex<Shared>) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let mut inbox = Vec::new();
    loop {
        while !inbox.windows(4).any(|four| four == b"\r\n\r\n") {
            let mut piece = [0; 4096];
            match socket.read(&mut piece)? {
                0 => return Ok(()),
                got => inbox.extend_from_slice(&piece[..got]),
            }
        }
        // Bytes after the head belong to it too, because no request here has a body.
        let head: String = inbox.drain(..).map(char::from).collect();
        let tunnel = head.starts_with("CONNECT");
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.heads.push(head);
        let status = if tunnel { "403 Forbidden" } else { "200 OK" };
        let field = if tunnel { Vec::new() } else { shared.field.clone() };
        drop(shared);
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n");
        socket.write_all(&[head.as_bytes(), &field, b"\r\n"].concat())?;
    }
}

/// One of the seeds as text, usually mutated.
fn text(random: &mut Random, seeds: &[&str]) -> String {
    let mut bytes = seeds[pick(random, seeds.len())].as_bytes().to_vec();
    if random.below(8) != 0 {
        mutate(random, &mut bytes, seeds);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The request line and the host of a head that is one request, and nothing more.
fn one_request(head: &str) -> Result<(String, String), String> {
    let whole = head.strip_suffix("\r\n\r\n").ok_or("something follows the head")?;
    let mut lines = whole.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let odd = |c: char| c.is_ascii_control() && c != '\t';
    if line.split(' ').count() != 3 || whole.replace("\r\n", "").contains(odd) {
        return Err("no request line, or a control character".to_owned());
    }
    let mut hosts = Vec::new();
    for field in lines {
        let (name, value) = field.split_once(": ").ok_or("a line that is no field")?;
        if name.is_empty() || name.contains([' ', '\t']) {
            return Err("a name that is no token".to_owned());
        }
        if name.eq_ignore_ascii_case("host") {
            hosts.push(value.to_owned());
        }
    }
    match hosts.pop() {
        Some(host) if hosts.is_empty() => Ok((line.to_owned(), host)),
        _ => Err("not one host".to_owned()),
    }
}

/// The host of a URL as the grammar of RFC 3986 (appendix B) has it.
fn host_of(url: &str) -> Option<String> {
    let url = url.trim_matches(|c: char| c.is_ascii_control() || c == ' ');
    let rest = url.split_once(':').map(|(_, rest)| rest.strip_prefix("//"))??;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = without_port(authority.rsplit_once('@').map_or(authority, |(_, host)| host));
    (!host.is_empty()).then(|| host.to_owned())
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// Whether a host as written is the host that was requested: in another case, or as the URL standard serialises an
/// international name or an address.
fn same_host(written: &str, asked: &str) -> bool {
    let rewritten = !written.is_ascii()
        || written.starts_with('[')
        || written.to_ascii_lowercase().contains("xn--");
    rewritten || written.eq_ignore_ascii_case(asked)
}

/// Asserts that an error does not contain the password of its text, if that is in the user information and nowhere else.
fn secretless(text: &str, error: Option<&Error>) -> Result<(), String> {
    let has_one = text.contains(":secret@") && text.matches("secret").count() == 1;
    match error {
        Some(error) if has_one && format!("{error} {error:?}").contains("secret") => {
            Err(format!("the error of {text:?} tells the password: {error:?}"))
        }
        _ => Ok(()),
    }
}

const LIMIT: Option<Duration> = Some(Duration::from_secs(20));

const URLS: &[&str] = &[
    "http://a.test/",
    "http://a.test/b?c=d#e",
    "https://a.test:8443/",
    "http://user:secret@a.test/",
    "http://a.test\\@b.test/",
    "http:a.test",
    "http:////a.test",
    "http:\\\\a.test",
    "http://a.test#@b.test/",
    "http://a.test?@b.test/",
    "http://a.test:80:81/",
    "http://[::1]/",
    "http://[::1%25lo]/",
    "http://127.0.0.1/",
    "http://0x7f.1/",
    "http://2130706433/",
    "http://b\u{fc}cher.test/",
    "http://a%2etest/",
    "http://a.test./",
    "HTTP://A.TEST/\u{e4}",
    " http://a.test/ ",
    "http://a.test/%zz%00%0d%0a",
    "http://a .test/",
    "//a.test/",
];

const FIELDS: &[&str] = &[
    "X-Name: value",
    "x: ",
    "X-Long: a b\tc",
    "Host: b.test",
    "Content-Length: 5",
    "Transfer-Encoding: chunked",
    "Connection: close",
    "X-Name: a\r\nX-Other: b",
    "X Name: a",
    "X-\u{e9}: \u{e9}",
    ": empty",
];

const COOKIES: &[&str] = &[
    "id=7",
    "id=7; Path=/a",
    "id=7; Path=/; Domain=127.0.0.1; Secure; HttpOnly; SameSite=Lax",
    "id=7; Expires=Wed, 09 Jun 2038 10:18:14 GMT",
    "id=7; Expires=Mon Oct 16 06:07:08 2056",
    "id=7; Max-Age=100",
    "id=7; Max-Age=",
    "id=7; Max-Age=-1",
    "=nameless",
    "\"quoted=\"; x",
    "id=\u{e4}\u{f6}",
    "a=b=c;;; d",
    "__Host-id=1; Path=/",
];

const PROXIES: &[&str] = &[
    "http://127.0.0.1:1",
    "http://user:secret@127.0.0.1:1",
    "socks5h://user:secret@[::1]:1080",
    "socks4a://127.0.0.1",
    "user:secret@127.0.0.1:1",
    "https://user:secret@a.test:99999",
    "127.0.0.1",
    "",
];

const EXCEPTIONS: &[&str] = &[
    "example.org",
    ".example.org",
    "*.example.org",
    "*",
    "10.0.0.0/8",
    "10.0.0.0/33",
    "::1/128,[::1]:80",
    "a.test:8080",
    " , ,",
    "b\u{fc}cher.test",
];
