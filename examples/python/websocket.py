"""WebSocket (RFC 6455) over a connection that hangup hands over: hangup makes the connection, with its proxy, TLS and limits,
and sends the upgrade; the package wsproto makes the frames. Without a URL it talks to a server of its own.

    python3 websocket.py [http://127.0.0.1:8080/chat]
"""

import asyncio
import base64
import hashlib
import os
import socket
import sys
import threading

import hangup
from wsproto import ConnectionType, WSConnection
from wsproto.connection import Connection
from wsproto.events import AcceptConnection, CloseConnection, Ping, Request, TextMessage

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3


def asking() -> tuple[dict[str, str], str]:
    """The headers of an upgrade to WebSocket, and what the server must respond to them."""
    key = base64.b64encode(os.urandom(16))
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
    return {"Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key.decode()}, accept


def check(response: hangup.Response, accept: str) -> None:
    if response.status_code != 101:
        raise SystemExit(f"the server refused with status {response.status_code}")
    if response.headers.get("sec-websocket-accept") != accept:
        raise SystemExit("the server speaks no WebSocket: its Sec-WebSocket-Accept is wrong")


def talk(url: str) -> None:
    """Blocking."""
    headers, accept = asking()
    client = hangup.Client(timeout=hangup.Timeout(connect=5, read=20))
    response = client.get(url, headers=headers)
    check(response, accept)
    frames = Connection(ConnectionType.CLIENT)
    with response.take_stream() as stream:
        [row] = [row for row in client.manager.connections() if row.id == stream.connection]
        print(f"connection {row.id} to {row.origin} is {row.state}")
        stream.write(frames.send(TextMessage("hello")))
        received = ""
        while not received.endswith("hello"):
            frames.receive_data(stream.read())
            for event in frames.events():
                if isinstance(event, TextMessage):
                    received += event.data
                elif isinstance(event, Ping):
                    stream.write(frames.send(event.response()))
        print(f"sent 'hello', received {received!r}")
        stream.write(frames.send(CloseConnection(1000)))
        while not any(isinstance(event, CloseConnection) for event in frames.events()):
            frames.receive_data(stream.read() or None)
    print(f"closed: {client.manager.close_reason(stream.connection)}")


async def talk_async(url: str) -> None:
    """In asyncio: one task reads while another one writes."""
    headers, accept = asking()
    async with hangup.AsyncClient() as client:
        response = await client.get(url, headers=headers)
        check(response, accept)
        frames = Connection(ConnectionType.CLIENT)
        texts = [f"message {number}" for number in range(3)]

        async def receive() -> str:
            received = ""
            while len(received) < sum(map(len, texts)):
                frames.receive_data(await stream.read())
                received += "".join(event.data for event in frames.events() if isinstance(event, TextMessage))
            return received

        async with response.take_stream() as stream:
            receiving = asyncio.create_task(receive())
            for text in texts:
                await stream.write(frames.send(TextMessage(text)))
            received = await receiving
            await stream.write(frames.send(CloseConnection(1000)))
            print(f"asyncio: sent {len(texts)} messages, received {received!r}")


def serve(listener: socket.socket, clients: int) -> None:
    """Serves that many clients, one after the other, and sends back their messages until they close."""
    listener.settimeout(30)
    for _ in range(clients):
        connection, _ = listener.accept()
        connection.settimeout(30)
        frames = WSConnection(ConnectionType.SERVER)
        with connection:
            is_open = True
            while is_open and (data := connection.recv(65536)):
                frames.receive_data(data)
                for event in frames.events():
                    if isinstance(event, Request):
                        connection.sendall(frames.send(AcceptConnection()))
                    elif isinstance(event, TextMessage):
                        connection.sendall(frames.send(TextMessage(event.data, message_finished=event.message_finished)))
                    elif isinstance(event, Ping):
                        connection.sendall(frames.send(event.response()))
                    elif isinstance(event, CloseConnection):
                        connection.sendall(frames.send(event.response()))
                        is_open = False


def main() -> int:
    if len(sys.argv) > 1:
        talk(sys.argv[1])
        return 0
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/chat"
        server = threading.Thread(target=serve, args=(listener, 2))
        server.start()
        talk(url)
        asyncio.run(talk_async(url))
        server.join()
    print("the server has ended")
    return 0


if __name__ == "__main__":
    sys.exit(main())
