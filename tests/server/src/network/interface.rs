//! The network devices of a namespace: TUN devices (the kernel's tuntap.rst) and their addresses (netdevice(7)).

use socket2::{Domain, Socket, Type};
use std::fs::{File, OpenOptions};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

/// A device of the namespace in which it was made. It can be configured from any thread.
#[derive(Debug)]
pub(super) struct Interface {
    name: String,
    /// A socket belongs to the namespace of the thread that made it, and so do its ioctls.
    control: Socket,
}

impl Interface {
    /// A new TUN device, and the descriptor through which its packets come and go, which does not block.
    pub(super) fn tun(name: &str) -> io::Result<(Interface, File)> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(libc::O_NONBLOCK);
        let device = options
            .open(TUN)
            .map_err(|error| io::Error::new(error.kind(), format!("{TUN}: {error}")))?;
        let interface = Interface::named(name)?;
        let mut request = interface.request();
        request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
        // SAFETY: TUNSETIFF reads and writes an ifreq (if_tun.h), which outlives the call.
        done(unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })?;
        Ok((interface, device))
    }

    /// The device for 127.0.0.0/8, which is down in a new namespace.
    pub(super) fn loopback() -> io::Result<Interface> {
        Interface::named("lo")
    }

    fn named(name: &str) -> io::Result<Interface> {
        let control = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
        Ok(Interface { name: name.to_owned(), control })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Gives it this address of a network of 256, in place of the one it has.
    pub(super) fn set_address(&self, address: Ipv4Addr) -> io::Result<()> {
        self.call_with(libc::SIOCSIFADDR, address)?;
        // For a TUN device the kernel assumes a network of one.
        self.call_with(libc::SIOCSIFNETMASK, Ipv4Addr::new(255, 255, 255, 0))
    }

    /// Takes its address away.
    pub(super) fn remove_address(&self) -> io::Result<()> {
        self.call_with(libc::SIOCSIFADDR, Ipv4Addr::UNSPECIFIED)
    }

    pub(super) fn set_up(&self, up: bool) -> io::Result<()> {
        let mut request = self.request();
        self.call(libc::SIOCGIFFLAGS, &mut request)?;
        let bit = libc::IFF_UP as libc::c_short;
        // SAFETY: the call before filled in the flags.
        let flags = unsafe { request.ifr_ifru.ifru_flags };
        request.ifr_ifru.ifru_flags = if up { flags | bit } else { flags & !bit };
        self.call(libc::SIOCSIFFLAGS, &mut request)
    }

    fn call_with(&self, what: libc::c_ulong, address: Ipv4Addr) -> io::Result<()> {
        let mut request = self.request();
        let octets = address.octets().map(|octet| octet as libc::c_char);
        // An address of IPv4 in a sockaddr: two bytes for the port, four for the address.
        // SAFETY: an all-zero sockaddr is valid.
        let mut plain: libc::sockaddr = unsafe { std::mem::zeroed() };
        plain.sa_family = libc::AF_INET as libc::sa_family_t;
        plain.sa_data[2..6].copy_from_slice(&octets);
        request.ifr_ifru.ifru_addr = plain;
        self.call(what, &mut request)
    }

    fn call(&self, what: libc::c_ulong, request: &mut libc::ifreq) -> io::Result<()> {
        // SAFETY: every request of netdevice(7) reads and writes one ifreq, which is borrowed for the call.
        done(unsafe { libc::ioctl(self.control.as_raw_fd(), what as _, &raw mut *request) })
    }

    fn request(&self) -> libc::ifreq {
        // SAFETY: an all-zero ifreq is valid.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        // The last byte stays 0.
        for (to, from) in request.ifr_name[..libc::IFNAMSIZ - 1].iter_mut().zip(self.name.bytes()) {
            *to = from as libc::c_char;
        }
        request
    }
}

fn done(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

const TUN: &str = "/dev/net/tun";
