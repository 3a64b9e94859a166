//! One exchange from its message to the head of the response, in the order in which it happens:
//! a connection, the request, the response.
//!
//! HTTP/2 will branch off here: after the checkout it is known which protocol the lease's connection
//! speaks.

use super::exchange::Exchange;
use super::failure::close_reason;
use super::h1::{self, Message, ResponseStart, Transport};
use super::request_body::BodyReader;
use super::response_body::IncomingBody;
use crate::error::Error;
use crate::net::Stop;
use crate::response_head::RawHead;

/// Waits for a connection, sends the request, and waits for the head of the response.
///
/// # Errors
/// Any [`Kind`](crate::Kind).
pub(crate) fn run(
    mut exchange: Exchange,
    message: Message,
    body: Option<BodyReader<'_>>,
) -> Result<(RawHead, Box<IncomingBody>), Error> {
    if let Some(transfer) = &exchange.config.transfer
        && let Some(progress) = &transfer.progress
    {
        progress.begin(body.as_ref().map_or(Some(0), BodyReader::known_length));
    }
    let lease = exchange.checkout()?;
    let mut transport = Transport::new(&exchange, lease)?;
    match request_and_response(&mut transport, &mut exchange, message, body) {
        Ok(start) => {
            let body = transport.with_body(start.framing);
            Ok((start.head, IncomingBody::begin(exchange, body, start.upgraded)?))
        }
        Err(stop) => Err(failed(&exchange, transport, stop)),
    }
}

fn request_and_response(
    transport: &mut Transport,
    exchange: &mut Exchange,
    message: Message,
    body: Option<BodyReader<'_>>,
) -> Result<ResponseStart, Stop> {
    let sent = match body {
        None => h1::send_request(transport, exchange, message)?,
        Some(mut body) => h1::send_request_with_body(transport, exchange, message, &mut body)?,
    };
    h1::recv_head(transport, exchange, sent)
}

#[cold]
#[inline(never)]
fn failed(exchange: &Exchange, mut transport: Transport, stop: Stop) -> Error {
    let error = exchange.fail(stop);
    transport.close(close_reason(&error));
    error
}
