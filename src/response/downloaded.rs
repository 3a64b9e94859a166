//! What a download did, as its response tells it.

use std::path::PathBuf;

/// What [`Client::download`](crate::Client::download) did. Threads: immutable.
///
/// ```no_run
/// use hangup::{Client, DownloadOptions, Request};
///
/// let mut request = Request::new("GET", "https://example.org/image.iso")?;
/// let response = Client::default().download(&mut request, "image.iso", &DownloadOptions::default())?;
/// if let Some(download) = response.head().download() {
///     println!("{} bytes, {} of them now", download.bytes, download.received);
/// }
/// # Ok::<(), hangup::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Downloaded {
    /// The file.
    pub path: PathBuf,
    /// How many bytes the file has.
    pub bytes: u64,
    /// How many bytes were received by this call.
    pub received: u64,
    /// How many bytes of an earlier call were used; 0 if the file was received from its beginning.
    pub resumed_at: u64,
    /// How many times this call asked for the rest after its connection broke.
    pub resumes: u32,
    /// Whether the server announced a digest (RFC 9530) of an algorithm that is known here, and it matched.
    pub verified: bool,
}
