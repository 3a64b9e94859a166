//! A network of the tests' own: two network namespaces and a relay between them that loses, delays and withholds packets
//! as it is told.
//!
//! ```text
//! the client's namespace                    the relay, a thread                the servers' namespace
//! 198.18.N.1 on tunN  <── packets ──>  delay, loss, rate, killed flows  <── packets ──>  198.18.N.2 on tun0
//! ```
//!
//! The process is started with [`isolate`] in a namespace that nothing else is in; [`Network::far`] runs code in the other
//! one. Both go with the process, and the system's own network is never touched: [`Network::start`] refuses to work there.

mod interface;
mod link;
mod namespace;
mod packet;

pub use link::{Counts, Direction, Filter};
pub use namespace::isolate;
pub use packet::{Flow, Packet, Segment};

use crate::script::Script;
use crate::server::{Options, Server};
use interface::Interface;
use link::Link;
use namespace::Far;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// Two namespaces and the path between them. Begins perfect (no delay, no loss), ends when dropped. A process can have
/// several beside each other, each with servers of its own. All methods from any thread.
#[derive(Debug)]
pub struct Network {
    number: u8,
    near: Interface,
    link: Link,
    far: Far,
}

impl Network {
    /// Starts one. Fails where [`isolate`] was not used, and where the system permits no TUN device (`/dev/net/tun` is
    /// missing, or not for this user).
    pub fn start() -> io::Result<Network> {
        namespace::check()?;
        Interface::loopback()?.set_up(true)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let (near, near_device) = Interface::tun(&format!("tun{number}"))?;
        near.set_address(near_ip(number))?;
        let (far, far_device) = Far::start(move || {
            Interface::loopback()?.set_up(true)?;
            let (interface, device) = Interface::tun("tun0")?;
            interface.set_address(far_ip(number))?;
            interface.set_up(true)?;
            Ok(device)
        })?;
        near.set_up(true)?;
        Ok(Network { number, near, link: Link::start(near_device, far_device)?, far })
    }

    /// Runs `work` in the servers' namespace: what it binds and the threads it starts are there.
    pub fn far<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.far.run(work)
    }

    /// Starts a scripted server on the far side, with TLS (the `Good` certificate) or without. Panics if it cannot listen.
    pub fn server(&self, tls: bool, script: Script) -> Server {
        let options = Options {
            ip: Some(self.far_ip().into()),
            tls: tls.then_some(crate::Certificate::Good),
            ..Options::default()
        };
        self.far(move || Server::start_with(options, script)).expect("a server on the far side")
    }

    /// The client's address.
    pub fn near_ip(&self) -> Ipv4Addr {
        near_ip(self.number)
    }

    /// The servers' address.
    pub fn far_ip(&self) -> Ipv4Addr {
        far_ip(self.number)
    }

    /// How long a packet takes, each way.
    pub fn set_delay(&self, delay: Duration) {
        self.link.both(|conditions| conditions.delay = delay);
    }

    /// How many of a hundred packets are lost, each way. Which ones is the same in each run, as far as the packets are.
    pub fn set_loss(&self, percent: f64) {
        self.link.both(|conditions| conditions.loss = percent);
    }

    /// Bits a second, each way; `None` is no limit. 256 KiB wait for their turn, what comes then is lost.
    pub fn set_rate(&self, rate: Option<u64>) {
        self.link.both(|conditions| conditions.rate = rate);
    }

    /// Larger packets vanish, in both directions, and no ICMP message says so; `None` ends that. The size is that of IP,
    /// as in a device's MTU.
    pub fn set_largest(&self, bytes: Option<usize>) {
        self.link.both(|conditions| conditions.largest = bytes);
    }

    /// Whether every packet in that direction is lost.
    pub fn set_cut(&self, direction: Direction, cut: bool) {
        self.link.change(direction, |conditions| conditions.cut = cut);
    }

    /// Whether packets in that direction are kept; all of them go on when it ends.
    pub fn set_hold(&self, direction: Direction, hold: bool) {
        self.link.change(direction, |conditions| conditions.hold = hold);
    }

    /// From now on nothing passes on the TCP connections of which a SYN was seen, in both directions; new ones are not
    /// affected, nor is a dial that repeats its SYN. A NAT that forgets its flows is like this. Returns how many there are.
    pub fn kill_flows(&self) -> usize {
        self.link.kill(|_| true)
    }

    /// [`Network::kill_flows`] for some of them.
    pub fn kill_flows_where(&self, which: impl Fn(&Flow) -> bool) -> usize {
        self.link.kill(which)
    }

    /// Loses each packet for which `lost` returns true; `None` ends that.
    pub fn set_filter(&self, lost: Option<Filter>) {
        self.link.set_filter(lost);
    }

    /// What the relay has seen so far.
    pub fn counts(&self) -> Counts {
        self.link.counts()
    }

    /// Takes the client's address away, as a DHCP client does when the network has changed. Its routes go with it.
    pub fn remove_near_address(&self) -> io::Result<()> {
        self.near.remove_address()
    }

    /// Gives the client its address (again), in place of the one it has.
    pub fn set_near_address(&self, address: Ipv4Addr) -> io::Result<()> {
        self.near.set_address(address)
    }

    /// Takes the client's link down, or up again.
    pub fn set_near_up(&self, up: bool) -> io::Result<()> {
        self.near.set_up(up)
    }

    /// The name of the client's device.
    pub fn near_device(&self) -> &str {
        self.near.name()
    }
}

/// Writes a setting of the calling thread's namespace, such as `net/ipv4/tcp_retries2`.
pub fn set_sysctl(name: &str, value: &str) -> io::Result<()> {
    std::fs::write(format!("/proc/sys/{name}"), value)
}

/// Whether an address is one of a network of the tests: nothing else can be met in the namespaces of [`isolate`].
pub(crate) fn is_far(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(ip) if ip.octets()[..2] == PREFIX) && namespace::check().is_ok()
}

/// The servers' addresses for which the `Good` certificate is made.
pub(crate) const FAR_NAMES: [&str; 3] = ["198.18.0.2", "198.18.1.2", "198.18.2.2"];

fn near_ip(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(PREFIX[0], PREFIX[1], number, 1)
}

fn far_ip(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(PREFIX[0], PREFIX[1], number, 2)
}

/// The networks that this process has started.
static NEXT: AtomicU8 = AtomicU8::new(0);

/// Reserved for tests of networks (RFC 2544, RFC 6890): no host has such an address.
const PREFIX: [u8; 2] = [198, 18];
