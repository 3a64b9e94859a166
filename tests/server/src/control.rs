//! The control protocol: one JSON command per line in, one JSON answer per line out.
//!
//! ```text
//! {"start":{"script":[[..]],"tls":null,"ipv6":false,"ip":"127.0.0.2","port":0,"life_ms":120000}}
//!   -> {"id":1,"port":4711,"url":"http://..."}
//! {"start":{"script":[[..]],"unix":true}}
//!   -> {"id":1,"path":"/tmp/../socket","url":"http://localhost/"}
//! {"release":{"id":1,"name":"go"}}
//!   -> {}
//! {"wait_mark":{"id":1,"name":"there","timeout_ms":1000}}
//!   -> {"reached":true}
//! {"black_hole":{}}
//!   -> {"id":2,"port":4712,"url":"http://..."}
//! {"open":{"id":2,"script":[[..]]}}
//!   -> {"id":2,"port":4712,"url":"http://..."}
//! {"addresses":{"places":[["::1","silent"],["127.0.0.1",{"serves":[[..]]}],["127.0.0.2","refuses"]]}}
//!   -> {"port":4713,"places":[{"id":3,"ip":"::1"},{"id":4,"ip":"127.0.0.1"},{"id":5,..}]}
//! {"proxy":{"tls":null,"credentials":["user","pass"],"hosts":{"origin.test":"127.0.0.1:4711"},
//!           "conduct":"forward","life_ms":120000}}
//!   -> {"id":6,"port":4714,"url":"http://..."}
//!   conduct: "forward" | {"refuse":{"status":405,"headers":[["k","v"]],"body":""}} | {"silent":STEP}
//!            | {"close":STEP} | "endless_head" | {"extra":"junk"}; STEP: accept, request, tunnel
//! {"socks":{"credentials":null,"hosts":{},"conduct":"forward","life_ms":120000}}
//!   -> {"id":7,"port":4715,"url":"socks5://..."}
//!   conduct: "forward" | {"refuse":5} | {"silent":STEP} | {"close":STEP} | {"wrong_version":STEP}
//!            | {"bound":"ipv4"|"ipv6"|"name"}; STEP: accept, greeting, credentials, request, tunnel
//! {"asked":{"id":7}}
//!   -> {"asked":[{"connection":0,"methods":[0,2],"credentials":["user","pass"],"command":1,
//!                 "kind":"ipv4"|"ipv6"|"name"|null,"host":"origin.test","port":80}]}
//! {"origins":{"count":1000,"body":"ok"}}
//!   -> {"id":8,"ports":[4716,..],"descriptors":20000}
//! {"nginx":{}}
//!   -> {"id":9,"http_port":..,"https_port":..,"ca":"path"}
//! {"demo":{}}
//!   -> {"id":10,"http_port":..,"https_port":..,"ca":"path"}
//! {"certs":{}}
//!   -> {"dir":"path","ca":"path"}
//! {"stop":{"id":1}}
//!   -> {}
//! ```
//!
//! What was seen, by the ids of servers, proxies and SOCKS servers:
//!
//! ```text
//! {"connections":{"id":1}}                             (origins, too, and then also "requests":3)
//!   -> {"accepted":2,"open":1,"most_open":2}
//! {"wait_open":{"id":1,"count":0,"timeout_ms":1000}}   (origins, too)
//!   -> {"reached":true}
//! {"wait_connections":{"id":1,"count":2,"timeout_ms":1000}}
//!   -> {"reached":true}
//! {"wait_heads":{"id":1,"count":2,"timeout_ms":1000}}
//!   -> {"reached":true}
//! {"wait_ended":{"id":1,"connection":0,"timeout_ms":1000}}
//!   -> {"ended":"fin"|"rst"|"by_server"|null}
//! {"heads":{"id":1,"connection":0}}
//!   -> {"heads":["GET / ..."]}
//! {"accepted_order":{"id":1}}
//!   -> {"heads":[[0,"GET / ..."],[1,"GET / ..."]]}
//! {"received":{"id":1,"connection":0}}
//!   -> {"hex":"4745..","bodies":["6f6b"],"broken":null}
//! {"tunnels":{"id":6}}
//!   -> {"opened":["origin.test:443"],"open":1}
//! {"wait_tunnels":{"id":6,"count":1,"timeout_ms":1000}}
//!   -> {"reached":true}
//! ```
//!
//! Anything that fails answers `{"error":"..."}`. Commands run in order, so a wait holds up the next
//! command; a test that waits in two places at once starts two controllers.

use crate::certs::certs;
use crate::command::Command;
use crate::scratch::Scratch;
use crate::{
    Addresses, BlackHole, DemoServer, Ended, Ledger, Manner, Nginx, Options, Origins, Place, Proxy,
    Reserved, Script, Server, Socks, hex,
};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{self, BufRead, Write};
use std::time::Duration;

/// Reads commands until the end of the input, then stops everything that was started.
pub fn run(input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    let mut room = Room::default();
    for line in input.lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let answer = serde_json::from_str(&line)
            .map_err(|e| format!("not a command: {e}"))
            .and_then(|command| room.obey(command))
            .unwrap_or_else(|why| json!({ "error": why }));
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    Ok(())
}

/// What was started, by id.
#[derive(Default)]
struct Room {
    last: u64,
    things: HashMap<u64, Thing>,
    certs: Option<Scratch>,
}

enum Thing {
    Server(Server),
    BlackHole(BlackHole),
    Proxy(Proxy),
    Socks(Socks),
    Origins(Origins),
    /// Held to be dropped.
    Reserved {
        _it: Reserved,
    },
    /// Held to be dropped.
    Nginx {
        _it: Nginx,
    },
    Demo {
        _it: DemoServer,
    },
}

impl Room {
    fn obey(&mut self, command: Command) -> Result<Value, String> {
        match command {
            Command::Start { script, tls, ipv6, ip, port, unix, life_ms } => {
                let life = life_ms.map_or(Options::default().life, Duration::from_millis);
                let options = Options { ipv6, ip, port, unix, tls, life };
                let server = Server::start_with(options, script).map_err(message_of)?;
                Ok(self.serve(server))
            }
            Command::Release { id, name } => {
                self.server(id)?.release(&name);
                Ok(json!({}))
            }
            Command::WaitMark { id, name, timeout_ms } => {
                let reached = self.ledger(id)?.wait_mark(&name, Duration::from_millis(timeout_ms));
                Ok(json!({ "reached": reached }))
            }
            Command::WaitConnections { id, count, timeout_ms } => {
                let timeout = Duration::from_millis(timeout_ms);
                Ok(json!({ "reached": self.ledger(id)?.wait_connections(count, timeout) }))
            }
            Command::WaitOpen { id, count, timeout_ms } => {
                let timeout = Duration::from_millis(timeout_ms);
                let reached = match self.things.get(&id) {
                    Some(Thing::Origins(origins)) => origins.wait_open(count, timeout),
                    _ => self.ledger(id)?.wait_open(count, timeout),
                };
                Ok(json!({ "reached": reached }))
            }
            Command::WaitHeads { id, count, timeout_ms } => {
                let timeout = Duration::from_millis(timeout_ms);
                Ok(json!({ "reached": self.ledger(id)?.wait_heads(count, timeout) }))
            }
            Command::WaitTunnels { id, count, timeout_ms } => {
                let timeout = Duration::from_millis(timeout_ms);
                Ok(json!({ "reached": self.ledger(id)?.wait_tunnels(count, timeout) }))
            }
            Command::WaitEnded { id, connection, timeout_ms } => {
                let timeout = Duration::from_millis(timeout_ms);
                let ended = self.ledger(id)?.wait_ended(connection, timeout);
                Ok(json!({ "ended": ended.map(|(how, _)| name(how)) }))
            }
            Command::Connections { id } => self.connections(id),
            Command::Heads { id, connection } => {
                Ok(json!({ "heads": self.ledger(id)?.heads(connection) }))
            }
            Command::AcceptedOrder { id } => {
                Ok(json!({ "heads": self.ledger(id)?.accepted_order() }))
            }
            Command::Received { id, connection } => {
                let ledger = self.ledger(id)?;
                let bodies = ledger.bodies(connection);
                Ok(json!({
                    "hex": hex::encode(&ledger.received(connection)),
                    "bodies": bodies.iter().map(|body| hex::encode(body)).collect::<Vec<_>>(),
                    "broken": ledger.broken(connection),
                }))
            }
            Command::Tunnels { id } => {
                let ledger = self.ledger(id)?;
                Ok(json!({ "opened": ledger.tunnels(), "open": ledger.open_tunnels() }))
            }
            Command::Asked { id } => match self.things.get(&id) {
                Some(Thing::Socks(socks)) => Ok(json!({ "asked": socks.asked() })),
                _ => Err(format!("no SOCKS server has id {id}")),
            },
            Command::BlackHole {} => {
                let hole = BlackHole::try_new().map_err(message_of)?;
                let (port, url) = (hole.port(), hole.url("/"));
                let id = self.keep(Thing::BlackHole(hole));
                Ok(json!({ "id": id, "port": port, "url": url }))
            }
            Command::Open { id, script } => self.open(id, script),
            Command::Addresses { places } => self.addresses(&places),
            Command::Proxy(options) => {
                let it = Proxy::start_with(options).map_err(message_of)?;
                let (port, url) = (it.port(), it.url());
                Ok(json!({ "id": self.keep(Thing::Proxy(it)), "port": port, "url": url }))
            }
            Command::Socks(options) => {
                let it = Socks::start_with(options).map_err(message_of)?;
                let (port, url) = (it.port(), it.url("socks5"));
                Ok(json!({ "id": self.keep(Thing::Socks(it)), "port": port, "url": url }))
            }
            Command::Origins { count, body } => {
                let it = Origins::open(count, &body).map_err(message_of)?;
                let (ports, got) = (it.ports().to_vec(), it.descriptors());
                let id = self.keep(Thing::Origins(it));
                Ok(json!({ "id": id, "ports": ports, "descriptors": got }))
            }
            Command::Nginx {} => {
                let it = Nginx::try_start()?;
                let (http, https, ca) = (it.http_port(), it.https_port(), it.ca_path());
                let id = self.keep(Thing::Nginx { _it: it });
                Ok(json!({ "id": id, "http_port": http, "https_port": https, "ca": ca }))
            }
            Command::Demo {} => {
                let it = DemoServer::start_on(0, 0).map_err(message_of)?;
                let (http, https, ca) = (it.http_port(), it.https_port(), it.ca_path());
                let id = self.keep(Thing::Demo { _it: it });
                Ok(json!({ "id": id, "http_port": http, "https_port": https, "ca": ca }))
            }
            Command::Certs {} => self.certs(),
            Command::Stop { id } => {
                let thing =
                    self.things.remove(&id).ok_or_else(|| format!("nothing has id {id}"))?;
                drop(thing);
                Ok(json!({}))
            }
        }
    }

    fn serve(&mut self, server: Server) -> Value {
        let url = server.url("/");
        match server.socket_path() {
            Some(path) => {
                json!({ "id": self.keep(Thing::Server(server)), "path": path, "url": url })
            }
            None => {
                let port = server.port();
                json!({ "id": self.keep(Thing::Server(server)), "port": port, "url": url })
            }
        }
    }

    /// Each place has an id of its own, and with it what its kind can do.
    fn addresses(&mut self, places: &[(String, Manner)]) -> Result<Value, String> {
        let wanted: Vec<(&str, Manner)> =
            places.iter().map(|(ip, manner)| (ip.as_str(), manner.clone())).collect();
        let addresses = Addresses::open(&wanted).map_err(message_of)?;
        let port = addresses.port();
        let mut kept = Vec::new();
        for (addr, place) in addresses.into_places() {
            let id = self.keep(match place {
                Place::Server(it) => Thing::Server(it),
                Place::BlackHole(it) => Thing::BlackHole(it),
                Place::Reserved(it) => Thing::Reserved { _it: it },
            });
            kept.push(json!({ "id": id, "ip": addr.ip() }));
        }
        Ok(json!({ "port": port, "places": kept }))
    }

    fn connections(&self, id: u64) -> Result<Value, String> {
        if let Some(Thing::Origins(it)) = self.things.get(&id) {
            return Ok(json!({
                "accepted": it.connections(),
                "open": it.open_connections(),
                "most_open": it.most_open(),
                "requests": it.requests(),
            }));
        }
        let ledger = self.ledger(id)?;
        Ok(json!({
            "accepted": ledger.connections(),
            "open": ledger.open_connections(),
            "most_open": ledger.most_open(),
        }))
    }

    /// The hole's id becomes the server's.
    fn open(&mut self, id: u64, script: Script) -> Result<Value, String> {
        let hole = match self.things.remove(&id) {
            Some(Thing::BlackHole(hole)) => hole,
            other => {
                self.things.extend(other.map(|thing| (id, thing)));
                return Err(format!("no black hole has id {id}"));
            }
        };
        let server = hole.open(script).map_err(message_of)?;
        let (port, url) = (server.port(), server.url("/"));
        self.things.insert(id, Thing::Server(server));
        Ok(json!({ "id": id, "port": port, "url": url }))
    }

    fn certs(&mut self) -> Result<Value, String> {
        let scratch = match self.certs.take() {
            Some(scratch) => scratch,
            None => {
                let scratch = Scratch::new().map_err(message_of)?;
                certs().write_to(scratch.path()).map_err(message_of)?;
                scratch
            }
        };
        let scratch = self.certs.insert(scratch);
        Ok(json!({ "dir": scratch.path(), "ca": scratch.path().join("ca.pem") }))
    }

    fn keep(&mut self, thing: Thing) -> u64 {
        self.last += 1;
        self.things.insert(self.last, thing);
        self.last
    }

    fn server(&self, id: u64) -> Result<&Server, String> {
        match self.things.get(&id) {
            Some(Thing::Server(server)) => Ok(server),
            _ => Err(format!("no server has id {id}")),
        }
    }

    fn ledger(&self, id: u64) -> Result<&Ledger, String> {
        match self.things.get(&id) {
            Some(Thing::Server(server)) => Ok(server),
            Some(Thing::Proxy(proxy)) => Ok(proxy),
            Some(Thing::Socks(socks)) => Ok(socks),
            _ => Err(format!("nothing with a ledger has id {id}")),
        }
    }
}

fn name(how: Ended) -> &'static str {
    match how {
        Ended::Fin => "fin",
        Ended::Rst => "rst",
        Ended::ByServer => "by_server",
    }
}

fn message_of(error: io::Error) -> String {
    error.to_string()
}
