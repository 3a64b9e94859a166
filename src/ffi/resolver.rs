//! Name resolution of a manager: fixed addresses, and resolvers of the caller.

use std::ffi::{CString, c_char, c_void};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::callback::{self, Thrown};
use super::enums::{HANGUP_NO_LIMIT, hangup_status};
use super::error::hangup_error;
use super::guard::{Handle, guard, magic, status, text};
use super::manager::hangup_manager;
use super::proxy::address_of;
use crate::error::Error;
use crate::manager::{Addresses, ResolveWithTtl};
use crate::sync::lock;
use crate::vocabulary::Kind;

/// The addresses of one host name that a hangup_resolve_fn collects.
///
/// Create: the library passes it to that function. Use: hangup_addresses_add, hangup_addresses_set_ttl. Free: the library does, when the function
/// returns.
/// Threads: any thread at any time, until the function returns.
pub struct hangup_addresses {
    _opaque: [u8; 0],
}

impl Handle for hangup_addresses {
    type Target = Mutex<Addresses>;
    const MAGIC: u64 = magic(b"hang-adr");
}

/// Resolves a host name in place of getaddrinfo(3): adds the addresses to `addresses` and returns 0, or returns another
/// number, which becomes part of the message of HANGUP_RESOLVE_FAILED. `host` is in lower case and is valid until the function
/// returns.
///
/// It is called on threads of the library, never on one of the caller's, possibly on several at once, with no lock held. It
/// may block: a request that is cancelled or times out does not wait for it.
pub type hangup_resolve_fn = Option<
    unsafe extern "C-unwind" fn(
        user_data: *mut c_void,
        host: *const c_char,
        addresses: *mut hangup_addresses,
    ) -> i32,
>;

/// Called exactly once with the resolver's `user_data`, when the resolver was replaced or its manager is gone, and no call of
/// it is running; also when hangup_manager_set_resolver failed. It may run on any thread. It may be NULL.
pub type hangup_resolve_end_fn = Option<unsafe extern "C-unwind" fn(user_data: *mut c_void)>;

/// Sets the addresses of a host name, separated by commas, for example "192.0.2.7, 2001:db8::7", in place of resolving it.
/// NULL removes them. Open connections are not affected. TLS still verifies the name.
///
/// Fails: HANGUP_INVALID_ARGUMENT for an invalid host name or address.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_manager_set_address(
    manager: *mut hangup_manager,
    host: *const c_char,
    addresses: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let manager = unsafe { hangup_manager::borrow(manager)? };
        let host = unsafe { text(host, "host")? };
        if addresses.is_null() {
            return manager.set_address(host, &[]);
        }
        let list = unsafe { text(addresses, "list of addresses")? };
        let addresses: Result<Vec<_>, _> = list.split(',').map(|a| address_of(a.trim())).collect();
        manager.set_address(host, &addresses?)
    })
}

/// Resolves host names by this function instead of getaddrinfo(3), for all users of this manager; NULL restores
/// getaddrinfo. Resolved addresses are forgotten. What the function returns is cached for a minute, as getaddrinfo's results
/// are, unless hangup_addresses_set_ttl says otherwise. `end` is called exactly once, also when this call fails.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_manager_set_resolver(
    manager: *mut hangup_manager,
    resolve: hangup_resolve_fn,
    end: hangup_resolve_end_fn,
    user_data: *mut c_void,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let foreign = ForeignResolver { resolve, end, user_data };
        let manager = unsafe { hangup_manager::borrow(manager)? };
        let hook: Option<ResolveWithTtl> = resolve
            .is_some()
            .then(|| Arc::new(move |host: &str| foreign.look_up(host)) as ResolveWithTtl);
        manager.set_resolver_with_ttl(hook);
        Ok(())
    })
}

/// Adds one address, for example "192.0.2.7" or "2001:db8::7". Addresses are tried in the order in which they are added, IPv6
/// and IPv4 alternately (RFC 8305).
///
/// Fails: HANGUP_INVALID_ARGUMENT for an invalid address.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_addresses_add(
    addresses: *mut hangup_addresses,
    address: *const c_char,
) -> hangup_status {
    status(|| {
        let addresses = unsafe { hangup_addresses::borrow(addresses)? };
        let address = address_of(unsafe { text(address, "address")? })?;
        lock(addresses).addresses.push(address);
        Ok(())
    })
}

/// How long the addresses may be cached, in milliseconds: the TTL of their record (RFC 1035 section 3.2.1) times 1000. If it is
/// called for several records, the shortest time counts. 0 does not cache them, HANGUP_NO_LIMIT caches them until
/// hangup_manager_clear_addresses, or until none of them can be connected to. Without a call it is a minute.
///
/// Fails: HANGUP_INVALID_ARGUMENT for another negative number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_addresses_set_ttl(
    addresses: *mut hangup_addresses,
    ttl_ms: i64,
) -> hangup_status {
    status(|| {
        let addresses = unsafe { hangup_addresses::borrow(addresses)? };
        let ttl = match u64::try_from(ttl_ms) {
            Ok(ms) => Duration::from_millis(ms),
            Err(_) if ttl_ms == HANGUP_NO_LIMIT => Duration::MAX,
            Err(_) => {
                let what = "a negative TTL; 0 does not cache the addresses";
                return Err(Error::new(Kind::InvalidArgument, what));
            }
        };
        let mut addresses = lock(addresses);
        addresses.ttl = Some(addresses.ttl.map_or(ttl, |other| other.min(ttl)));
        Ok(())
    })
}

/// A resolver of the caller's; its drop is the one call of `end`.
struct ForeignResolver {
    resolve: hangup_resolve_fn,
    end: hangup_resolve_end_fn,
    user_data: *mut c_void,
}

// SAFETY: the header says that `resolve` runs on several threads at once, and `end` on any.
unsafe impl Send for ForeignResolver {}
// SAFETY: as above.
unsafe impl Sync for ForeignResolver {}

impl ForeignResolver {
    fn look_up(&self, host: &str) -> Result<Addresses, String> {
        let Some(resolve) = self.resolve else { return Ok(Addresses::default()) };
        let host = CString::new(host).map_err(|_| "a NUL character in its name".to_owned())?;
        let found = Arc::new(Mutex::new(Addresses::default()));
        let handle = hangup_addresses::into_raw(Arc::clone(&found));
        // SAFETY: both pointers live until the function returns; `user_data` is the caller's own.
        let returned = callback::call(|| unsafe { resolve(self.user_data, host.as_ptr(), handle) });
        // SAFETY: made above, and the function has returned.
        unsafe { hangup_addresses::free(handle) };
        match returned {
            Ok(0) => Ok(std::mem::take(&mut *lock(&found))),
            Ok(failure) => Err(format!("the resolver returned {failure}")),
            Err(Thrown) => Err("the resolver threw an exception".to_owned()),
        }
    }
}

impl Drop for ForeignResolver {
    fn drop(&mut self) {
        if let Some(end) = self.end {
            // SAFETY: once, by `Drop`; `user_data` is the caller's own.
            // There is no call to report an exception to.
            let _ = callback::call(|| unsafe { end(self.user_data) });
        }
    }
}
