//! Looks at the messages of ureq's engine as they pass, and decides whether the connection may serve another exchange.
//! The engine decides that, too, but accepts more than this library does: a message that can be read in two ways
//! must not be followed by another one (RFC 9112 section 11.2).

use crate::response_head::{self, Look, ResponseTo};

/// What was seen of the response. Threads: one at a time.
#[derive(Debug)]
pub(super) struct MessageWatch {
    to: Option<ResponseTo>,
    head: Head,
}

#[derive(Debug)]
enum Head {
    /// Its bytes so far, interim heads excluded.
    Incomplete {
        bytes: Vec<u8>,
        looked_at: usize,
    },
    /// The final head is here, and allows another exchange.
    Reusable,
    NotReusable,
}

impl MessageWatch {
    pub(super) fn new() -> Self {
        Self { to: None, head: Head::Incomplete { bytes: Vec::new(), looked_at: 0 } }
    }

    /// These bytes are sent.
    pub(super) fn sent(&mut self, bytes: &[u8]) {
        // The first ones begin with the method (RFC 9112 section 3).
        if self.to.is_none() && !bytes.is_empty() {
            let is_head = bytes.starts_with(b"HEAD ");
            self.to = Some(if is_head { ResponseTo::Head } else { ResponseTo::Other });
        }
    }

    /// These bytes were received.
    pub(super) fn received(&mut self, bytes: &[u8]) {
        let Head::Incomplete { bytes: head, looked_at } = &mut self.head else { return };
        head.extend_from_slice(bytes);
        let to = self.to.unwrap_or(ResponseTo::Other);
        while !head.is_empty() {
            match response_head::look(head, *looked_at) {
                Look::Incomplete => {
                    *looked_at = head.len();
                    return;
                }
                Look::Wrong(_) => {
                    self.head = Head::NotReusable;
                    return;
                }
                Look::Complete(size) => {
                    *looked_at = 0;
                    self.head = match response_head::read(&head[..size], to) {
                        Ok(read) if matches!(read.head.status, 100 | 102..=199) => {
                            head.drain(..size);
                            continue;
                        }
                        Ok(read) if read.keeps && !read.ambiguous && read.head.status != 101 => {
                            Head::Reusable
                        }
                        _ => Head::NotReusable,
                    };
                    return;
                }
            }
        }
    }

    /// Whether the final head was received.
    pub(super) fn has_head(&self) -> bool {
        !matches!(self.head, Head::Incomplete { .. })
    }

    pub(super) fn is_reusable(&self) -> bool {
        matches!(self.head, Head::Reusable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reusable(request: &str, pieces: &[&str]) -> bool {
        let mut watch = MessageWatch::new();
        watch.sent(request.as_bytes());
        for piece in pieces {
            watch.received(piece.as_bytes());
        }
        watch.is_reusable()
    }

    #[test]
    fn a_response_that_is_read_in_one_way_only_allows_another_exchange() {
        let get = "GET / HTTP/1.1\r\n\r\n";
        assert!(reusable(get, &["HTTP/1.1 200 OK\r\nContent-", "Length: 2\r\n\r\nok"]));
        assert!(reusable(
            get,
            &["HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200\r\n", "Content-Length: 0\r\n\r\n"]
        ));
        assert!(reusable("HEAD / HTTP/1.1\r\n", &["HTTP/1.1 200 OK\r\n\r\n"]));
        for bad in [
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: unknown\r\n\r\n",
            "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n",
            "nonsense",
        ] {
            assert!(!reusable(get, &[bad]), "{bad}");
        }
    }
}
