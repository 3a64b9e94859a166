//! The servers of the scenarios. They run in the parent, so that a scenario's process makes no system call but the
//! client's. The child gets their addresses from its environment.

use std::time::Duration;

use testserver::{
    Certificate, DemoServer, Options, Proxy, ProxyOptions, Script, Server, Socks, SocksOptions,
    Step, certs,
};

/// The addresses of the servers.
pub struct Places(Vec<String>);

/// The servers, for as long as the child runs.
pub struct Servers {
    _scripted: [Server; 3],
    _demo: DemoServer,
    _proxy: Proxy,
    _socks: Socks,
    places: Places,
}

impl Servers {
    pub fn start(life: Duration) -> Self {
        let plain = Options { life, ..Options::default() };
        let secure = Options { tls: Some(Certificate::Good), ..plain.clone() };
        let unix = Options { unix: true, ..plain.clone() };
        let scripted =
            [plain, secure, unix].map(|options| Server::start_with(options, script()).unwrap());
        let demo = DemoServer::start();
        let proxy = Proxy::start_with(ProxyOptions { life, ..ProxyOptions::default() }).unwrap();
        let socks = Socks::start_with(SocksOptions { life, ..SocksOptions::default() }).unwrap();
        let unix_path = scripted[2].socket_path().expect("a Unix-domain socket");
        let places = Places(vec![
            scripted[0].port().to_string(),
            scripted[1].port().to_string(),
            unix_path.to_str().expect("a path in UTF-8").to_owned(),
            demo.http_url(""),
            proxy.url(),
            socks.url("socks5h"),
            certs().ca().to_owned(),
        ]);
        Self { _scripted: scripted, _demo: demo, _proxy: proxy, _socks: socks, places }
    }

    /// The value of the child's environment variable.
    pub fn variable(&self) -> String {
        self.places.0.join("\t")
    }
}

impl Places {
    /// The name of the environment variable with the addresses of the servers.
    pub const VARIABLE: &str = "HANGUP_TORTURE_PLACES";

    /// The addresses of the parent's servers, in a child.
    pub fn inherited() -> Option<Self> {
        let variable = std::env::var(Self::VARIABLE).ok()?;
        Some(Self(variable.split('\t').map(str::to_owned).collect()))
    }

    pub fn plain(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.0[0])
    }

    /// The same server by its name, which has to be looked up.
    pub fn named(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.0[0])
    }

    pub fn secure(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.0[1])
    }

    pub fn socket(&self) -> &str {
        &self.0[2]
    }

    /// Answers with the body of the request.
    pub fn echo(&self) -> String {
        format!("{}/echo", self.0[3])
    }

    pub fn proxy(&self) -> &str {
        &self.0[4]
    }

    pub fn socks(&self) -> &str {
        &self.0[5]
    }

    pub fn ca(&self) -> &str {
        &self.0[6]
    }
}

/// What the scripted servers do, by path.
fn script() -> Script {
    let large = "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = || Step::times(20, vec![Step::send("2000\r\n"), fill(0x2000), Step::send("\r\n")]);
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: lines\r\n\r\n";
    let moved = "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 4\r\n\r\nmove";
    Script::by_path([
        ("/large", vec![Step::head(), Step::send(large), fill(300_000)]),
        ("/chunked", vec![Step::head(), Step::send(chunked), chunk(), Step::send("0\r\n\r\n")]),
        ("/moved", vec![Step::head(), Step::send(moved)]),
        ("/switch", vec![Step::head(), Step::send(switch), Step::Echo]),
        // CONNECT has no path.
        ("example.org:443", vec![Step::head(), Step::send("HTTP/1.1 200 OK\r\n\r\n"), Step::Echo]),
        ("/stall", vec![Step::head(), Step::Stall]),
        ("/last", vec![Step::answer(200, "ok"), Step::Close]),
        (
            "/expect",
            vec![
                Step::head(),
                Step::send("HTTP/1.1 100 Continue\r\n\r\n"),
                Step::body(),
                Step::send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
            ],
        ),
        ("*", vec![Step::answer(200, "ok")]),
    ])
}

fn fill(bytes: u64) -> Step {
    Step::Fill { bytes, byte: 'x' }
}
