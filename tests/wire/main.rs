//! The bytes of HTTP/1.1 in both directions: what is sent, what is accepted as a response, and what is refused.

#[path = "../support/mod.rs"]
mod support;

mod chunks;
mod corpus;
mod decode;
mod head;
mod nginx;
mod pieces;
mod request;
mod request_head;
mod response;
mod sent_bodies;
mod upload;
