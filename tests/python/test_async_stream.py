"""Asynchronous streams: bounded memory, one reader, and leaving a stream early."""

import asyncio
import gc

import pytest

import hangup
from test_async_client import strictly
from testserver import HEAD, answer, forever, send

BEGUN = send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")


def resident():
    """Bytes of this process's memory."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * 4096


def test_a_slow_reader_buffers_little(serve):
    size = 300_000_000
    head = send(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n")
    server = serve([HEAD, head, {"fill": {"bytes": size}}])

    async def main():
        async with hangup.AsyncClient() as client, client.stream("GET", server.url) as r:
            before, got = resident(), 0
            async for piece in r.aiter_bytes():
                got += len(piece)
                assert len(piece) <= 262144
                if got < 2_000_000:
                    await asyncio.sleep(0.005)
                    assert resident() - before < 16_000_000
                elif got > 20_000_000:
                    break
        assert r.is_closed
        with pytest.raises(hangup.HangupError):
            await r.aread()

    strictly(main)
    assert server.ended() is not None


def test_leaving_a_stream_early_closes_its_connection(serve, manager):
    server = serve([HEAD, BEGUN, "stall"])

    async def main():
        async with hangup.AsyncClient(manager=manager) as client:
            async with client.stream("GET", server.url) as r:
                async for piece in r.aiter_bytes():
                    assert piece == b"abc"
                    break
            assert r.is_closed and manager.connections() == []
            with pytest.raises(LookupError):
                async with client.stream("GET", server.url):
                    raise LookupError

    strictly(main)
    assert server.ended(0) is not None and server.ended(1) is not None


def test_a_close_does_not_wait_for_the_body(serve):
    server = serve([forever(HEAD, BEGUN, {"fill": {"bytes": 97}})])

    async def main():
        async with hangup.AsyncClient() as client, client.stream("GET", server.url) as r:
            for blocks in (r.read, lambda: r.content, lambda: r.text, r.json, r.iter_bytes, lambda: list(r.iter_lines())):
                with pytest.raises(hangup.InvalidState, match="aread"):
                    blocks()
            assert len(await r.aread()) == 100 and len(r.text) == 100
            assert b"".join(r.iter_bytes()) == r.content

    strictly(main)


def test_a_second_reader_is_refused(serve):
    server = serve([HEAD, BEGUN, "stall"])

    async def main():
        async with hangup.AsyncClient() as client, client.stream("GET", server.url) as r:
            assert await anext(r.aiter_bytes()) == b"abc"
            first = asyncio.create_task(anext(r.aiter_bytes()))
            await asyncio.sleep(0.05)
            with pytest.raises(hangup.InvalidState):
                await anext(r.aiter_bytes())
            assert not first.done()
            await r.aclose()
            with pytest.raises(hangup.Closed):
                await first

    strictly(main)
    assert server.ended() is not None


def test_a_body_that_is_cut_off_raises(serve):
    server = serve([HEAD, BEGUN, "close"])

    async def main():
        async with hangup.AsyncClient() as client, client.stream("GET", server.url) as r:
            pieces = r.aiter_bytes()
            assert await anext(pieces) == b"abc"
            with pytest.raises(hangup.PeerClosed) as caught:
                await anext(pieces)
            assert (caught.value.phase, caught.value.request) == ("read", ("GET", server.url))
            assert r.is_closed

    strictly(main)


def test_a_stream_to_its_end_keeps_the_connection(serve, manager):
    server = serve([forever(answer("x" * 300_000))])

    async def main():
        async with hangup.AsyncClient(manager=manager) as client:
            for _ in range(3):
                async with client.stream("GET", server.url) as r:
                    sizes = [len(piece) async for piece in r.aiter_bytes(100_000)]
                    assert sizes == [100_000] * 3 and r.is_closed

    strictly(main)
    assert server.accepted == 1


def test_a_stream_left_open_is_a_resource_warning(serve, manager):
    server = serve([HEAD, BEGUN, "stall"])

    async def main():
        async with hangup.AsyncClient(manager=manager) as client:
            response = await client.stream("GET", server.url).__aenter__()
            with pytest.warns(ResourceWarning, match="left open"):
                del response
                gc.collect()

    strictly(main)
    assert server.ended() is not None and manager.connections() == []
