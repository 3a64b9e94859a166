//! Writes the head of a request as HTTP/1.1 has it: the request line, the fields and the empty line (RFC 9112 sections
//! 3 and 5).

use http::Method;

use super::proxy_form;
use crate::error::Error;
use crate::http::exchange::ExchangeConfig;
use crate::http::request_head::RequestHead;
use crate::vocabulary::Kind;

/// Writes a head into the output that `output` returns for its size.
///
/// # Errors
/// [`Kind::InvalidHeader`] for a head that is larger than any server takes.
pub(super) fn write_head<'a>(
    head: &RequestHead,
    config: &ExchangeConfig,
    output: impl FnOnce(usize) -> &'a mut [u8],
) -> Result<usize, Error> {
    let method = config.method.as_ref().map_or("", Method::as_str).as_bytes();
    let target = head.request_target(&config.target);
    let absolute = proxy_form::absolute(&config.key, target);
    let target = absolute.as_deref().unwrap_or(target);
    let fields = head.headers.as_bytes();
    let size = method.len() + 1 + target.len() + VERSION.len() + fields.len() + END.len();
    if size > MAX_HEAD {
        return Err(too_large());
    }
    let mut rest = output(size);
    for part in [method, b" ", target, VERSION, fields, END] {
        let (place, behind) = rest.split_at_mut(part.len());
        place.copy_from_slice(part);
        rest = behind;
    }
    Ok(size)
}

#[cold]
fn too_large() -> Error {
    let what = format!(
        "the head of the request, its URL and all its headers and cookies, is larger than {MAX_HEAD} bytes: no \
         more is sent"
    );
    Error::new(Kind::InvalidHeader, what)
}

const VERSION: &[u8] = b" HTTP/1.1\r\n";
const END: &[u8] = b"\r\n";
/// The largest head of a request. Servers refuse far smaller ones (nginx 32 KiB, Node 16 KiB, Go 1 MiB), with
/// a status that says so.
const MAX_HEAD: usize = 1024 * 1024;
