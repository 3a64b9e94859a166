"""Streams: 101 Switching Protocols and CONNECT hand their connection over, to blocking code, asyncio and trio."""

import asyncio
import os
import select
import threading
import time

import pytest

import hangup
from test_async_client import strictly
from testserver import HEAD, answer, forever, send

SWITCH = send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n")
EARLY = send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\nearly")
ASKING = {"Upgrade": "lines"}


def read_exactly(stream, count):
    data = b""
    while len(data) < count and (piece := stream.read(count - len(data))):
        data += piece
    return data


async def aread_exactly(stream, count):
    data = b""
    while len(data) < count and (piece := await stream.read(count - len(data))):
        data += piece
    return data


def test_after_101_the_connection_is_a_stream(serve, client, manager):
    server = serve([HEAD, EARLY, "echo"])
    response = client.get(server.url, headers=ASKING)
    assert response.status_code == 101 and response.content == b"" and response.headers["upgrade"] == "lines"
    with response.take_stream() as stream:
        assert read_exactly(stream, 5) == b"early" and stream.buffered == 0
        stream.write(b"hello")
        stream.write(bytearray(b", "))
        stream.write(memoryview(b"you"))
        assert read_exactly(stream, 10) == b"hello, you"
        [row] = manager.connections()
        assert (row.id, row.state) == (stream.connection, "upgraded")
        assert "open" in repr(stream) and str(stream.connection) in repr(stream)
        with pytest.raises(hangup.InvalidState):
            response.take_stream()
        response.close()
    assert stream.is_closed and manager.close_reason(stream.connection) == "stream closed"
    assert manager.stats().in_use == 0 and server.ended() is not None
    with pytest.raises(hangup.Closed):
        stream.read()


def test_a_stream_outlives_the_block_of_its_response(serve, client, manager):
    server = serve([HEAD, SWITCH, "echo"])
    with client.stream("GET", server.url, headers=ASKING) as response:
        stream = response.take_stream()
    stream.write(b"x")
    assert stream.read() == b"x"
    connection = stream.connection
    del stream  # without a reference it is closed
    assert manager.close_reason(connection) == "stream closed"
    with client.stream("GET", server.url, headers=ASKING) as response:
        pass
    assert manager.connections() == []


def test_a_refused_upgrade_is_an_ordinary_response(serve, client, manager):
    server = serve([forever(answer("no", 426))])
    response = client.get(server.url, headers=ASKING)
    assert (response.status_code, response.text) == (426, "no")
    with pytest.raises(hangup.InvalidState):
        response.take_stream()
    assert manager.stats().idle == 1
    switching = serve([HEAD, SWITCH, "stall"])
    with pytest.raises(hangup.ProtocolError):
        client.get(switching.url)


def test_connect_makes_a_tunnel(serve, client):
    tunnel = send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    proxy = serve([HEAD, tunnel, "echo"], [forever(answer("no", 403))])
    with client.connect(proxy.url, "example.org:443", headers={"X": "y"}).take_stream() as stream:
        stream.write(b"through")
        assert read_exactly(stream, 7) == b"through"
    assert proxy.heads(0)[0].startswith("CONNECT example.org:443 HTTP/1.1\r\n")
    assert client.connect(proxy.url, "example.org:443").status_code == 403
    with pytest.raises(hangup.InvalidURL):
        client.connect(proxy.url, "example.org")
    with pytest.raises(hangup.InvalidMethod):
        client.request("CONNECT", proxy.url)


def test_timeouts_and_arguments(serve, client):
    server = serve([HEAD, SWITCH, {"await": "go"}, send("now"), {"recv": "eof"}])
    stream = client.get(server.url, headers=ASKING, timeout=hangup.Timeout(total=0.2)).take_stream()
    stream.set_timeouts(read=0.02)
    with pytest.raises(hangup.ReadTimeout) as caught:
        stream.read()
    assert caught.value.phase == "read" and not caught.value.retry_safe
    time.sleep(0.2)  # the total timeout has passed, and does not count any more
    stream.set_timeouts(read=None, write=5)
    server.release("go")
    assert stream.read(3) == b"now"
    for wrong in (0, -1, "x"):
        with pytest.raises(hangup.InvalidArgument):
            stream.read(wrong)
    with pytest.raises(TypeError):
        stream.write("text")
    with pytest.raises(hangup.InvalidTimeout):
        stream.set_timeouts(read=0)
    stream.shutdown_write()
    with pytest.raises(hangup.InvalidState):
        stream.write(b"x")
    assert stream.read() == b""


def test_the_descriptor_is_readable_when_a_read_would_not_wait(serve, client):
    server = serve([HEAD, SWITCH, {"recv": {"bytes": 1}}, send("y"), "stall"])
    stream = client.get(server.url, headers=ASKING).take_stream()
    assert select.select([stream], [], [], 0)[0] == []
    stream.write(b"x")
    assert select.select([stream], [], [], 10)[0] == [stream]
    assert stream.read() == b"y"
    stream.close()
    assert stream.fileno() == -1


@pytest.mark.parametrize("how", ["id", "all", "shutdown", "token", "close"])
def test_a_blocked_read_is_ended(serve, manager, how):
    server = serve([HEAD, SWITCH, "stall"])
    client = hangup.Client(manager=manager)
    token = hangup.CancelToken()
    stream = client.get(server.url, headers=ASKING, cancel=token).take_stream()
    ends = {
        "id": (lambda: manager.close(stream.connection, now=True), hangup.Closed),
        "all": (lambda: manager.close_all(now=True), hangup.Closed),
        "shutdown": (manager.shutdown, hangup.ManagerShutDown),
        "token": (lambda: token.cancel("left"), hangup.Cancelled),
        "close": (stream.close, hangup.Closed),
    }
    end, exception = ends[how]
    timer = threading.Timer(0.05, end)
    timer.start()
    with pytest.raises(exception):
        stream.read()
    timer.join()
    assert manager.stats().in_use == 0


def test_a_graceful_close_asks_the_owner(serve, client, manager):
    server = serve([HEAD, SWITCH, "echo"])
    with client.get(server.url, headers=ASKING).take_stream() as stream:
        assert not stream.is_closing
        manager.close(stream.connection)
        assert stream.is_closing and not stream.is_closed
        stream.write(b"x")
        assert stream.read() == b"x"
    assert manager.connections() == []


def test_both_directions_at_once(serve):
    server = serve([HEAD, SWITCH, "echo"])
    data = os.urandom(4_000_000)
    with hangup.Client() as client, client.get(server.url, headers=ASKING).take_stream() as stream:
        writer = threading.Thread(target=stream.write, args=(data,))
        writer.start()
        assert read_exactly(stream, len(data)) == data
        writer.join()


def test_a_fork_leaves_the_stream_to_the_parent(serve):
    server = serve([HEAD, SWITCH, "echo"])
    client = hangup.Client()
    stream = client.get(server.url, headers=ASKING).take_stream()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            stream.read()
        except hangup.ForkedError:
            code = 0
        stream.close()
        del stream
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    stream.write(b"still here")
    assert read_exactly(stream, 10) == b"still here"


def test_asyncio_reads_and_writes_at_the_same_time(serve, manager):
    server = serve([HEAD, EARLY, "echo"])
    data = os.urandom(1_000_000)

    async def main():
        async with hangup.AsyncClient(manager=manager) as client:
            response = await client.get(server.url, headers=ASKING)
            async with response.take_stream() as stream:
                assert await aread_exactly(stream, 5) == b"early"
                _, got = await asyncio.gather(stream.write(data), aread_exactly(stream, len(data)))
                assert got == data
                pending = asyncio.ensure_future(stream.read())
                await asyncio.sleep(0)
                with pytest.raises(hangup.InvalidState):
                    await stream.read()
                await stream.shutdown_write()
                assert await pending == b""
            assert manager.connections() == []

    strictly(main)


def test_a_cancelled_task_closes_the_stream_and_a_timeout_does_not(serve, manager):
    server = serve([HEAD, SWITCH, "stall"])

    async def main():
        async with hangup.AsyncClient(manager=manager) as client:
            async with client.stream("GET", server.url, headers=ASKING) as response:
                stream = response.take_stream()
            stream.set_timeouts(read=0.02)
            for _ in range(2):
                with pytest.raises(hangup.ReadTimeout):
                    await stream.read()
            assert not stream.is_closed
            stream.set_timeouts(read=None)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await stream.read()
            assert stream.is_closed
            assert manager.close_reason(stream.connection) == "stream closed"

    strictly(main)


def test_an_async_tunnel(serve, manager):
    proxy = serve([HEAD, send("HTTP/1.1 200 OK\r\n\r\n"), "echo"])

    async def main():
        async with hangup.AsyncClient(manager=manager) as client:
            response = await client.connect(proxy.url, "example.org:443")
            async with response.take_stream() as stream:
                await stream.write(b"through")
                assert await aread_exactly(stream, 7) == b"through"

    strictly(main)


def test_trio(serve, manager):
    trio = pytest.importorskip("trio")
    server = serve([HEAD, SWITCH, "echo"])

    async def main():
        async with hangup.AsyncClient(manager=manager) as client:
            response = await client.get(server.url, headers=ASKING)
            async with response.take_stream() as stream:
                await stream.write(b"hello")
                assert await aread_exactly(stream, 5) == b"hello"
                with trio.move_on_after(0.05):
                    await stream.read()
                assert stream.is_closed

    trio.run(main)
