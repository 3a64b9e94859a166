//! The control protocol: one JSON command per line in, one JSON answer per line out.
//!
//! ```text
//! {"start":{"script":[[..]],"tls":null,"ipv6":false,"life_ms":120000}}
//!   -> {"id":1,"port":4711,"url":"http://..."}
//! {"release":{"id":1,"name":"go"}}
//!   -> {}
//! {"wait_mark":{"id":1,"name":"there","timeout_ms":1000}}
//!   -> {"reached":true}
//! {"wait_connections":{"id":1,"count":2,"timeout_ms":1000}}
//!   -> {"reached":true}
//! {"wait_heads":{"id":1,"count":2,"timeout_ms":1000}}
//!   -> {"reached":true}
//! {"wait_ended":{"id":1,"connection":0,"timeout_ms":1000}}
//!   -> {"ended":"fin"|"rst"|"by_server"|null}
//! {"connections":{"id":1}}
//!   -> {"accepted":2,"open":1}
//! {"heads":{"id":1,"connection":0}}
//!   -> {"heads":["GET / ..."]}
//! {"received":{"id":1,"connection":0}}
//!   -> {"hex":"4745..","bodies":["6f6b"],"broken":null}
//! {"black_hole":{}}
//!   -> {"id":2,"port":4712,"url":"http://..."}
//! {"open":{"id":2,"script":[[..]]}}
//!   -> {"id":2,"port":4712,"url":"http://..."}
//! {"nginx":{}}
//!   -> {"id":3,"http_port":..,"https_port":..,"ca":"path"}
//! {"demo":{}}
//!   -> {"id":4,"http_port":..,"https_port":..,"ca":"path"}
//! {"certs":{}}
//!   -> {"dir":"path","ca":"path"}
//! {"stop":{"id":1}}
//!   -> {}
//! ```
//!
//! Anything that fails answers `{"error":"..."}`. Commands run in order, so a wait holds up the next
//! command; a test that waits in two places at once starts two controllers.

use crate::certs::{Certificate, certs};
use crate::scratch::Scratch;
use crate::{BlackHole, DemoServer, Ended, Nginx, Options, Script, Server, hex};
use serde::Deserialize;
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

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Command {
    Start {
        script: Script,
        #[serde(default)]
        tls: Option<Certificate>,
        #[serde(default)]
        ipv6: bool,
        #[serde(default)]
        life_ms: Option<u64>,
    },
    Release {
        id: u64,
        name: String,
    },
    WaitMark {
        id: u64,
        name: String,
        timeout_ms: u64,
    },
    WaitConnections {
        id: u64,
        count: usize,
        timeout_ms: u64,
    },
    WaitHeads {
        id: u64,
        count: usize,
        timeout_ms: u64,
    },
    WaitEnded {
        id: u64,
        connection: usize,
        timeout_ms: u64,
    },
    Connections {
        id: u64,
    },
    Heads {
        id: u64,
        connection: usize,
    },
    Received {
        id: u64,
        connection: usize,
    },
    BlackHole {},
    Open {
        id: u64,
        script: Script,
    },
    Nginx {},
    Demo {},
    Certs {},
    Stop {
        id: u64,
    },
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
            Command::Start { script, tls, ipv6, life_ms } => {
                let life = life_ms.map_or(Options::default().life, Duration::from_millis);
                let server =
                    Server::start_with(Options { ipv6, tls, life }, script).map_err(told)?;
                Ok(self.serve(server))
            }
            Command::Release { id, name } => {
                self.server(id)?.release(&name);
                Ok(json!({}))
            }
            Command::WaitMark { id, name, timeout_ms } => {
                let reached = self.server(id)?.wait_mark(&name, Duration::from_millis(timeout_ms));
                Ok(json!({ "reached": reached }))
            }
            Command::WaitConnections { id, count, timeout_ms } => {
                let timeout = Duration::from_millis(timeout_ms);
                Ok(json!({ "reached": self.server(id)?.wait_connections(count, timeout) }))
            }
            Command::WaitHeads { id, count, timeout_ms } => {
                let timeout = Duration::from_millis(timeout_ms);
                Ok(json!({ "reached": self.server(id)?.wait_heads(count, timeout) }))
            }
            Command::WaitEnded { id, connection, timeout_ms } => {
                let timeout = Duration::from_millis(timeout_ms);
                let ended = self.server(id)?.wait_ended(connection, timeout);
                Ok(json!({ "ended": ended.map(|(how, _)| name(how)) }))
            }
            Command::Connections { id } => {
                let server = self.server(id)?;
                Ok(json!({ "accepted": server.connections(), "open": server.open_connections() }))
            }
            Command::Heads { id, connection } => {
                Ok(json!({ "heads": self.server(id)?.heads(connection) }))
            }
            Command::Received { id, connection } => {
                let server = self.server(id)?;
                let bodies = server.bodies(connection);
                Ok(json!({
                    "hex": hex::encode(&server.received(connection)),
                    "bodies": bodies.iter().map(|body| hex::encode(body)).collect::<Vec<_>>(),
                    "broken": server.broken(connection),
                }))
            }
            Command::BlackHole {} => {
                let hole = BlackHole::try_new().map_err(told)?;
                let (port, url) = (hole.port(), hole.url("/"));
                let id = self.keep(Thing::BlackHole(hole));
                Ok(json!({ "id": id, "port": port, "url": url }))
            }
            Command::Open { id, script } => self.open(id, script),
            Command::Nginx {} => {
                let it = Nginx::try_start()?;
                let (http, https, ca) = (it.http_port(), it.https_port(), it.ca_path());
                let id = self.keep(Thing::Nginx { _it: it });
                Ok(json!({ "id": id, "http_port": http, "https_port": https, "ca": ca }))
            }
            Command::Demo {} => {
                let it = DemoServer::start_on(0, 0).map_err(told)?;
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
        let (port, url) = (server.port(), server.url("/"));
        json!({ "id": self.keep(Thing::Server(server)), "port": port, "url": url })
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
        let server = hole.open(script).map_err(told)?;
        let (port, url) = (server.port(), server.url("/"));
        self.things.insert(id, Thing::Server(server));
        Ok(json!({ "id": id, "port": port, "url": url }))
    }

    fn certs(&mut self) -> Result<Value, String> {
        let scratch = match self.certs.take() {
            Some(scratch) => scratch,
            None => {
                let scratch = Scratch::new().map_err(told)?;
                certs().write_to(scratch.path()).map_err(told)?;
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
}

fn name(how: Ended) -> &'static str {
    match how {
        Ended::Fin => "fin",
        Ended::Rst => "rst",
        Ended::ByServer => "by_server",
    }
}

fn told(error: io::Error) -> String {
    error.to_string()
}
