//! WebSocket (RFC 6455) over a connection that hangup hands over: hangup makes the connection, with its proxy, TLS and
//! limits, and sends the upgrade; the crate tungstenite makes the frames. Without a URL it talks to a server of its own.
//!
//!     cargo run --example websocket [http://127.0.0.1:8080/chat]

use std::error::Error;
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use hangup::{Client, Request, Stream, Timeout};
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, WebSocket};

/// Asks for the switch to WebSocket and returns the connection that speaks it.
fn connect(client: &Client, url: &str) -> Result<WebSocket<Stream>, Box<dyn Error>> {
    let key = generate_key();
    let mut request = Request::new("GET", url)?;
    request.add_header("Upgrade", "websocket")?;
    request.add_header("Sec-WebSocket-Version", "13")?;
    request.add_header("Sec-WebSocket-Key", &key)?;
    let mut response = client.send(&mut request)?;
    if response.status_code() != 101 {
        return Err(format!("the server refused with status {}", response.status_code()).into());
    }
    let accepted = response.head().header("sec-websocket-accept").map(<[u8]>::to_vec);
    if accepted.as_deref() != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err("the server speaks no WebSocket: its Sec-WebSocket-Accept is wrong".into());
    }
    let stream = response.take_stream()?;
    // A peer that is silent for longer than this is asked with a ping.
    stream.set_timeout(Timeout::Read, Some(Duration::from_secs(20)))?;
    Ok(WebSocket::from_raw_socket(stream, Role::Client, Some(bounded())))
}

/// No message of the peer takes more memory than this.
fn bounded() -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(Some(1 << 20)).max_frame_size(Some(1 << 20))
}

fn talk(url: &str) -> Result<(), Box<dyn Error>> {
    let client = Client::default();
    let mut socket = connect(&client, url)?;
    for row in client.manager().connections() {
        println!("connection {} to {} is {}", row.id, row.origin, row.state);
    }
    for text in ["hello", "how are you?"] {
        socket.send(Message::text(text))?;
        loop {
            match socket.read() {
                Ok(Message::Text(answer)) => {
                    println!("sent {text:?}, received {:?}", answer.as_str());
                    break;
                }
                // Pings are answered by tungstenite.
                Ok(_) => {}
                // The read timeout: nothing was lost.
                Err(tungstenite::Error::Io(error))
                    if error.kind() == std::io::ErrorKind::TimedOut =>
                {
                    socket.send(Message::Ping(Default::default()))?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    socket.close(None)?;
    // The server's close frame, and then the end.
    while socket.can_read() {
        match socket.read() {
            Ok(_) | Err(tungstenite::Error::ConnectionClosed) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let id = socket.get_ref().connection_id();
    drop(socket);
    println!("closed: {:?}", client.manager().close_reason(id));
    Ok(())
}

/// Serves one client, and sends back its messages until it closes.
fn serve(connection: TcpStream) -> tungstenite::Result<()> {
    let limit = Some(Duration::from_secs(30));
    connection.set_read_timeout(limit)?;
    connection.set_write_timeout(limit)?;
    let accepted = tungstenite::accept_with_config(connection, Some(bounded()));
    let mut socket = accepted.map_err(|error| std::io::Error::other(error.to_string()))?;
    loop {
        match socket.read() {
            Ok(message) if message.is_text() || message.is_binary() => socket.send(message)?,
            Ok(_) => {}
            Err(tungstenite::Error::ConnectionClosed) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(url) = std::env::args().nth(1) {
        return talk(&url);
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/chat", listener.local_addr()?);
    let server = thread::spawn(move || listener.accept().map(|(connection, _)| serve(connection)));
    talk(&url)?;
    server.join().map_err(|_| "the server failed")???;
    println!("the server has ended");
    Ok(())
}
