//! Exports one function of its own, which uses the crate.

/// Sends a GET, usually to a port without a listener; returns the status code, or 0.
#[unsafe(no_mangle)]
pub extern "C" fn plugin_get(port: u16) -> i32 {
    let url = format!("http://127.0.0.1:{port}/");
    let response = hangup::Client::default().get(&url, None);
    response.map_or(0, |response| i32::from(response.status_code()))
}
