//! The blocking call of a client. The one in the background stands above it (`submit`).

use std::path::Path;

use super::options::DownloadOptions;
use super::transfer::Download;
use crate::client::Client;
use crate::error::Error;
use crate::request::Request;
use crate::response::Response;

impl Client {
    /// Sends a request and writes the body of its response to a file, which is there under its name when it is
    /// complete. The response that is returned has no body left; [`ResponseHead::download`](crate::ResponseHead::download)
    /// says what was done.
    ///
    /// The bytes go to `NAME.part` beside the file, which is renamed at the end. If the call fails, that file stays, and
    /// so does `NAME.part.state`, which has the validator of the response; the next call of the same URL asks for the
    /// rest with Range and If-Range (RFC 9110 sections 14.2 and 13.1.5). It begins anew if the server has another version,
    /// gave no strong ETag nor a Last-Modified that is older than its Date, or answers with another range; without a
    /// validator nothing is kept. Only GET is continued. One download at a time writes to a file.
    ///
    /// The length must be the announced one, and so must the digests of Repr-Digest and Content-Digest (RFC 9530,
    /// sha-256 and sha-512). The body is written as it arrives, without decoding, and the request asks for no coding, unless
    /// [`Request::set_decode`] is on for it; such a body can't be continued.
    ///
    /// A file that is replaced gives its permissions to the new one; a new one has those of any new file (the umask). A
    /// symbolic link at the path is replaced, not followed. Timeouts are the request's; the total one is for all of
    /// it. The progress of the request is that of the response that is being received.
    ///
    /// ```no_run
    /// use hangup::{Client, DownloadOptions, Request};
    ///
    /// let mut request = Request::new("GET", "https://example.org/image.iso")?;
    /// let options = DownloadOptions { resumes: 3, ..DownloadOptions::default() };
    /// Client::default().download(&mut request, "image.iso", &options)?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    ///
    /// # Errors
    /// Any [`Kind`](crate::Kind). [`Kind::UnexpectedStatus`](crate::Kind::UnexpectedStatus) for a response that is not
    /// 2xx, whose status code the error has; [`Kind::DigestMismatch`](crate::Kind::DigestMismatch), after which nothing
    /// is kept; [`Kind::System`](crate::Kind::System) with the system's error number if the file can't be written,
    /// for example because the disk is full; [`Kind::InvalidState`](crate::Kind::InvalidState) if another
    /// download writes to the file, and for a body from a reader; [`Kind::InvalidArgument`](crate::Kind::InvalidArgument)
    /// for a request with a Range and for a path that is a directory or a device.
    pub fn download(
        &self,
        request: &mut Request,
        path: impl AsRef<Path>,
        options: &DownloadOptions,
    ) -> Result<Response, Error> {
        let download = Download::new(request.take()?, path.as_ref(), options)?;
        download.run(&self.sender())
    }
}
