//! The addresses of the network interfaces: getifaddrs(3).

use std::io;
use std::net::IpAddr;

/// An address of an interface that is switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::net) struct LocalAddress {
    pub(in crate::net) ip: IpAddr,
    /// The interface is a loopback one.
    pub(in crate::net) on_loopback: bool,
}

/// All of them, sorted. An interface whose cable was pulled still has its addresses; one that was switched off
/// (IFF_UP) counts as if it had none.
pub(in crate::net) fn local_addresses() -> io::Result<Vec<LocalAddress>> {
    let mut first: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: a writable pointer, which the system sets to a list or leaves.
    if unsafe { libc::getifaddrs(&raw mut first) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let list = List(first);
    let mut found = Vec::new();
    let mut next = list.0;
    // SAFETY: each pointer of the list is NULL or an entry, and all live until `list` is dropped.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.ifa_next;
        let has = |flag: libc::c_int| entry.ifa_flags & flag as libc::c_uint != 0;
        if has(libc::IFF_UP)
            && let Some(ip) = ip_of(entry)
        {
            found.push(LocalAddress { ip, on_loopback: has(libc::IFF_LOOPBACK) });
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// What getifaddrs(3) made, and freeifaddrs(3) frees.
struct List(*mut libc::ifaddrs);

impl Drop for List {
    fn drop(&mut self) {
        // SAFETY: the list that the system made, freed once.
        unsafe { libc::freeifaddrs(self.0) };
    }
}

fn ip_of(entry: &libc::ifaddrs) -> Option<IpAddr> {
    // SAFETY: NULL, or an address that lives as long as the entry.
    let family = unsafe { entry.ifa_addr.as_ref() }?.sa_family;
    match libc::c_int::from(family) {
        libc::AF_INET => {
            // SAFETY: the family says that it is one of IPv4; it need not be aligned as one.
            let address = unsafe { entry.ifa_addr.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(IpAddr::from(address.sin_addr.s_addr.to_ne_bytes()))
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that it is one of IPv6; it need not be aligned as one.
            let address = unsafe { entry.ifa_addr.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(IpAddr::from(address.sin6_addr.s6_addr))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_has_its_address() {
        let all = local_addresses().unwrap();
        let localhost = IpAddr::from([127, 0, 0, 1]);
        assert!(all.contains(&LocalAddress { ip: localhost, on_loopback: true }), "{all:?}");
    }
}
