//! `hangup_client`: addresses, interfaces, and other places for an origin.

use std::ffi::c_char;

use super::client::hangup_client;
use super::enums::{hangup_address_family, hangup_status};
use super::error::hangup_error;
use super::guard::{Handle, guard, status, text, text_or_null};
use super::milliseconds::limit_ms;
use super::proxy::address_of;

/// Connects from this address of the machine, for example "192.0.2.7" or "2001:db8::7". NULL, the default, lets the system
/// choose.
///
/// With one address there is one connection for each local port and server. A request that finds no free port waits for the
/// other connections to its origin, until one is free or closed, as at a limit of the manager (HANGUP_TIMEOUT_POOL); without
/// another connection it fails with HANGUP_CONNECT_FAILED and EADDRNOTAVAIL (connect(2)). It is the same without a local
/// address.
///
/// Fails: HANGUP_INVALID_ARGUMENT for an invalid address. If the machine does not have the address, a request fails with
/// HANGUP_CONNECT_FAILED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_local_address(
    client: *mut hangup_client,
    address: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let client = unsafe { hangup_client::borrow(client)? };
        let address = unsafe { text_or_null(address, "address")? };
        client.set_local_address(address.map(address_of).transpose()?);
        Ok(())
    })
}

/// Connects through this network interface of the machine, for example "eth0" (SO_BINDTODEVICE, socket(7)). NULL, the
/// default, lets the system choose. Link-local IPv6 addresses (fe80::) are reached through it as well: "http://[fe80::1]/"
/// needs no zone then. Linux only; since Linux 5.7 it needs no privilege.
///
/// Fails: HANGUP_INVALID_ARGUMENT for a text that can't be the name of an interface. If the machine has no such interface,
/// or the system does not permit it, a request fails with HANGUP_CONNECT_FAILED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_interface(
    client: *mut hangup_client,
    name: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let client = unsafe { hangup_client::borrow(client)? };
        client.set_interface(unsafe { text_or_null(name, "interface")? })
    })
}

/// Connects to IPv4 or to IPv6 addresses only; HANGUP_ADDRESS_FAMILY_ANY is the default. It is also for the addresses that a
/// SOCKS proxy is asked for. If a host has no such address, a request fails with HANGUP_CONNECT_FAILED.
///
/// Fails: HANGUP_INVALID_ARGUMENT for an unknown family.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_address_family(
    client: *mut hangup_client,
    family: hangup_address_family,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        unsafe { hangup_client::borrow(client)? }.set_address_family(family.get()?);
        Ok(())
    })
}

/// How long an attempt to connect to one address of a host has, in milliseconds, before the next address is tried beside it
/// (happy eyeballs, RFC 8305 section 5). Default: 250. With HANGUP_NO_LIMIT the next address is tried only when the one before
/// has failed.
///
/// The last address, which may be the only one, gets a second attempt beside the first after 300 ms, or after this delay if it
/// is longer, as the system sends a SYN that was lost again only after a second. An address whose last connect took longer than a
/// third of that gets it after three times that long. Both together are one attempt to the limits, the list of connections and
/// errors; the one that connects first is used, and the other is closed. At most one in 32 of the process's descriptors (RLIMIT_NOFILE)
/// is used for second attempts at a time. With HANGUP_NO_LIMIT there is no second attempt.
///
/// The address that connected last is the first to be tried at the next dials of the host, for ten minutes (RFC 8305 section 4),
/// unless it fails: a family that does not work costs the delay once. It is forgotten with hangup_manager_clear_addresses and
/// hangup_manager_network_changed, and when hangup_manager_set_address gives the host other addresses.
///
/// Fails: HANGUP_INVALID_TIMEOUT for zero or another negative number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_happy_eyeballs_delay(
    client: *mut hangup_client,
    delay_ms: i64,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let client = unsafe { hangup_client::borrow(client)? };
        client.set_happy_eyeballs_delay(limit_ms(delay_ms)?)
    })
}

/// Connects an origin elsewhere than to the host and port of its URLs. `origin` is "host:port", "host" for every port,
/// "*:port", or "*" for all. `place` is "host:port", "host" with the origin's port, ":port" with its host, or
/// "unix:/run/app.sock" for a Unix-domain socket, where "unix:@name" is an abstract one. The first rule that is for an origin
/// counts.
///
/// The requests stay as they are, and so do the URL, the Host header and the origin under which the connection is listed. TLS
/// asks for the origin's name and verifies it (SNI, RFC 6066 section 3), or for `server_name` if that is not NULL. A proxy is
/// asked for the other place, always by a tunnel; a Unix-domain socket is connected to without a proxy.
/// hangup_manager_set_address is for all clients of a manager, and knows hosts and addresses only.
///
/// Fails: HANGUP_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_add_connect_to(
    client: *mut hangup_client,
    origin: *const c_char,
    place: *const c_char,
    server_name: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let client = unsafe { hangup_client::borrow(client)? };
        let (origin, place) = unsafe { (text(origin, "origin")?, text(place, "place")?) };
        client.add_connect_to(origin, place, unsafe { text_or_null(server_name, "server name")? })
    })
}

/// Removes all rules of hangup_client_add_connect_to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_clear_connect_to(
    client: *mut hangup_client,
) -> hangup_status {
    status(|| {
        unsafe { hangup_client::borrow(client)? }.clear_connect_to();
        Ok(())
    })
}
