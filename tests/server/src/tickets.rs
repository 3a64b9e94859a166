//! Session tickets of TLS 1.3 in records of their own (RFC 8446 sections 4.6.1 and 5.2), as many as wanted: no server
//! library sends a flood of them, but a hostile server can.

use ring::aead::{
    AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use rustls::{ConnectionTrafficSecrets, ServerConnection};

/// What encrypts them. Begins with a connection after its handshake.
pub(crate) struct Tickets {
    key: LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
}

impl Tickets {
    /// Takes the keys with which the server sends out of a connection.
    pub(crate) fn new(tls: ServerConnection) -> Result<Tickets, String> {
        #[allow(deprecated)]
        // The connection is given up: no key update and no ticket of rustls will come.
        let secrets = tls.dangerous_extract_secrets().map_err(|e| e.to_string())?;
        let (sequence, secrets) = secrets.tx;
        let (algorithm, key, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv),
            _ => return Err("an unknown cipher".to_owned()),
        };
        let key = UnboundKey::new(algorithm, key.as_ref()).map_err(|e| e.to_string())?;
        let iv = iv.as_ref().try_into().map_err(|_| "an iv of another length".to_owned())?;
        Ok(Tickets { key: LessSafeKey::new(key), iv, sequence })
    }

    /// The next so many records.
    pub(crate) fn records(&mut self, count: u64) -> Result<Vec<u8>, String> {
        let mut records = Vec::new();
        for _ in 0..count {
            let mut inner = ticket(self.sequence);
            // Behind the content its type: handshake.
            inner.push(22);
            let size = u16::try_from(inner.len() + self.key.algorithm().tag_len())
                .map_err(|e| e.to_string())?;
            let mut header = vec![23, 3, 3];
            header.extend(size.to_be_bytes());
            let mut nonce = self.iv;
            for (byte, count) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
                *byte ^= count;
            }
            let nonce = Nonce::assume_unique_for_key(nonce);
            self.key
                .seal_in_place_append_tag(nonce, Aad::from(&header), &mut inner)
                .map_err(|e| e.to_string())?;
            records.extend(header);
            records.extend(inner);
            self.sequence += 1;
        }
        Ok(records)
    }
}

/// A NewSessionTicket message.
fn ticket(number: u64) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(7200u32.to_be_bytes()); // ticket_lifetime, in seconds
    body.extend(0u32.to_be_bytes()); // ticket_age_add
    body.push(8); // ticket_nonce
    body.extend(number.to_be_bytes());
    body.extend(32u16.to_be_bytes()); // ticket
    body.extend([b't'; 32]);
    body.extend(0u16.to_be_bytes()); // extensions
    let mut message = vec![4]; // new_session_ticket
    message.extend(&(body.len() as u32).to_be_bytes()[1..]);
    message.extend(body);
    message
}
