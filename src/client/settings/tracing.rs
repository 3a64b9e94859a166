//! What a client records of its exchanges.

use crate::client::Client;
use crate::trace::Trace;

impl Client {
    /// Sets where a record of every head, of the size of every piece of a body, and of what happens to the connections
    /// goes; `None`, the default, records nothing.
    ///
    /// ```no_run
    /// let client = hangup::Client::default();
    /// client.set_trace(Some(hangup::Trace::to_file("/tmp/http.trace")?));
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_trace(&self, trace: Option<Trace>) {
        self.configure(|config| config.trace = trace);
    }
}
