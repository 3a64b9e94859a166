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
    mut exchange: Box<Exchange>,
    message: Message,
    body: Option<&mut BodyReader<'_>>,
) -> Result<(RawHead, Box<IncomingBody>), Error> {
    let mut transport = begin(&mut exchange, body.as_deref())?;
    match request_and_response(&mut transport, &mut exchange, message, body) {
        Ok(start) => received(exchange, transport, start),
        Err(stop) => Err(failed(&exchange, transport, stop)),
    }
}

#[inline(never)] // Keeps its frame out of the wait for the response.
fn begin(exchange: &mut Exchange, body: Option<&BodyReader<'_>>) -> Result<Transport, Error> {
    if let Some(transfer) = &exchange.config.transfer
        && let Some(progress) = &transfer.progress
    {
        progress.begin(body.map_or(Some(0), BodyReader::known_length));
    }
    let lease = exchange.checkout()?;
    Transport::new(exchange, lease)
}

fn request_and_response(
    transport: &mut Transport,
    exchange: &mut Exchange,
    message: Message,
    body: Option<&mut BodyReader<'_>>,
) -> Result<ResponseStart, Stop> {
    let sent = match body {
        None => h1::send_request(transport, exchange, message)?,
        Some(body) => h1::send_request_with_body(transport, exchange, message, body)?,
    };
    h1::recv_head(transport, exchange, sent)
}

#[inline(never)] // As for `begin`.
fn received(
    exchange: Box<Exchange>,
    transport: Transport,
    start: ResponseStart,
) -> Result<(RawHead, Box<IncomingBody>), Error> {
    let body = transport.with_body(start.framing);
    Ok((start.head, IncomingBody::begin(exchange, body, start.upgraded)?))
}

#[cold]
#[inline(never)]
fn failed(exchange: &Exchange, mut transport: Transport, stop: Stop) -> Error {
    let error = exchange.fail_on(transport.stream(), stop);
    transport.close(close_reason(&error));
    error
}
