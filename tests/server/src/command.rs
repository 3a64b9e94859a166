//! The commands of the control protocol as they are parsed; `control` documents and executes them.

use crate::{Certificate, Manner, ProxyOptions, Script, SocksOptions};
use serde::Deserialize;
use std::net::IpAddr;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Command {
    Start {
        script: Script,
        #[serde(default)]
        tls: Option<Certificate>,
        #[serde(default)]
        ipv6: bool,
        #[serde(default)]
        ip: Option<IpAddr>,
        #[serde(default)]
        port: u16,
        #[serde(default)]
        unix: bool,
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
    WaitOpen {
        id: u64,
        count: usize,
        timeout_ms: u64,
    },
    WaitTunnels {
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
    AcceptedOrder {
        id: u64,
    },
    Tunnels {
        id: u64,
    },
    Asked {
        id: u64,
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
    Addresses {
        places: Vec<(String, Manner)>,
    },
    Proxy(ProxyOptions),
    Socks(SocksOptions),
    Origins {
        count: usize,
        #[serde(default)]
        body: String,
    },
    Nginx {},
    Demo {},
    Certs {},
    Stop {
        id: u64,
    },
}
