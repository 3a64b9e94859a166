"""Large bodies in an event loop: in pieces and as a whole, as they arrive."""

import asyncio
import gc
import time

import pytest

import hangup
from running import python
from test_async_loops import new_loop, run  # noqa: F401  # a fixture
from testserver import HEAD, answer, forever, send

SIZE = 3_000_000
TEXT = "".join(f"{n:8x}\n" for n in range(SIZE // 9 + 1))[:SIZE]


def begin(size, *fields):
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {size}", *fields]
    return send("\r\n".join(lines) + "\r\n\r\n")


def chunked(text, size):
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    body = "".join(f"{len(piece):x}\r\n{piece}\r\n" for piece in pieces)
    return send(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}0\r\n\r\n")


@pytest.mark.parametrize("framing", ["length", "chunked", "tls"])
def test_what_arrives_is_what_was_sent(serve, control, new_loop, manager, framing):  # noqa: F811
    steps = [forever(HEAD, chunked(TEXT, 30_000))] if framing == "chunked" else [forever(answer(TEXT))]
    server = serve([{"tls": "good"}, *steps] if framing == "tls" else steps)
    url = f"https://localhost:{server.port}/" if framing == "tls" else server.url
    verify = control.certs() / "ca.pem"

    async def main():
        async with hangup.AsyncClient(manager=manager, verify=verify) as client:
            for _ in range(2):
                assert (await client.get(url)).text == TEXT
                async with client.stream("GET", url) as r:
                    assert (await r.aread()).decode() == TEXT and r.text == TEXT
                async with client.stream("GET", url) as r:
                    pieces = [piece async for piece in r.aiter_bytes()]
                    assert b"".join(pieces).decode() == TEXT and all(pieces)
                async with client.stream("GET", url) as r:
                    pieces = [piece async for piece in r.aiter_bytes(1000)]
                    assert b"".join(pieces).decode() == TEXT and {len(piece) for piece in pieces[:-1]} == {1000}
            assert manager.stats().in_use == 0 and manager.stats().opened == 1

    run(new_loop, main())


def test_a_body_that_has_always_arrived_lets_other_tasks_run(serve, new_loop, manager):  # noqa: F811
    size = 100_000_000
    server = serve([forever(HEAD, begin(size), {"fill": {"bytes": size}})])
    turns = 0

    async def others():
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async def main():
        nonlocal turns
        async with hangup.AsyncClient(manager=manager) as client:
            beside = asyncio.ensure_future(others())
            async with client.stream("GET", server.url) as r:
                assert sum([len(piece) async for piece in r.aiter_bytes()]) == size
            assert turns > size // 2**20
            turns = 0
            assert len((await client.get(server.url)).content) == size
            assert turns > size // 2**20
            beside.cancel()

    run(new_loop, main())


def test_small_pieces_let_other_tasks_run(serve, new_loop, manager):  # noqa: F811
    server = serve([forever(HEAD, chunked("x" * 20_000, 1))])

    async def main():
        async with hangup.AsyncClient(manager=manager) as client:
            async with client.stream("GET", server.url) as r:
                assert sum([len(piece) async for piece in r.aiter_bytes()]) == 20_000

    run(new_loop, main())


@pytest.mark.parametrize("how", ["get", "aread", "pieces"])
def test_a_cancel_in_the_middle_closes_the_connection(serve, new_loop, manager, how):  # noqa: F811
    server = serve([HEAD, begin(SIZE), {"fill": {"bytes": SIZE - 1}}, "stall"])

    async def work(client):
        if how == "get":
            await client.get(server.url)
            return
        async with client.stream("GET", server.url) as r:
            if how == "aread":
                await r.aread()
            async for _ in r.aiter_bytes():
                pass

    async def main():
        async with hangup.AsyncClient(manager=manager) as client:
            task = asyncio.ensure_future(work(client))
            while not any(connection.bytes_in >= SIZE for connection in manager.connections()):
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            until = time.monotonic() + 5
            while manager.connections():
                assert time.monotonic() < until
                await asyncio.sleep(0.001)

    run(new_loop, main())
    assert server.ended() is not None


@pytest.mark.parametrize("how", ["get", "aread"])
def test_a_large_body_is_bounded(serve, manager, how):
    server = serve([forever(HEAD, begin(SIZE), {"fill": {"bytes": SIZE}})])

    async def read(client, **options):
        if how == "get":
            return (await client.get(server.url, **options)).content
        async with client.stream("GET", server.url, **options) as r:
            return await r.aread()

    async def main():
        async with hangup.AsyncClient(manager=manager, max_body=SIZE - 1) as client:
            with pytest.raises(hangup.TooLarge, match="max_body") as caught:
                await read(client)
            assert caught.value.phase == "read" and caught.value.response_started
            assert not manager.connections()
        async with hangup.AsyncClient(manager=manager, max_body=SIZE) as client:
            assert len(await read(client)) == SIZE

    asyncio.run(main())


@pytest.mark.parametrize("how", ["get", "aread", "pieces"])
@pytest.mark.parametrize("end", ["close", "rst"])
def test_a_large_body_that_is_cut_off_is_an_error(serve, manager, how, end):
    server = serve([HEAD, begin(SIZE), {"fill": {"bytes": SIZE - 1}}, end])

    async def main():
        async with hangup.AsyncClient(manager=manager) as client:
            with pytest.raises((hangup.PeerClosed, hangup.PeerReset)) as caught:
                if how == "get":
                    await client.get(server.url)
                async with client.stream("GET", server.url) as r:
                    if how == "aread":
                        await r.aread()
                    async for _ in r.aiter_bytes():
                        pass
            assert caught.value.phase == "read" and not manager.connections()

    asyncio.run(main())


def test_a_read_timeout_in_the_middle_of_a_large_body(serve, manager):
    server = serve([HEAD, begin(SIZE), {"fill": {"bytes": SIZE - 1}}, "stall"])

    async def main():
        async with hangup.AsyncClient(manager=manager, timeout=hangup.Timeout(read=0.2)) as client:
            with pytest.raises(hangup.ReadTimeout):
                await client.get(server.url)

    asyncio.run(main())
    gc.collect()


def test_one_task_at_a_time_reads(serve, manager):
    server = serve([HEAD, begin(SIZE), {"fill": {"bytes": SIZE - 1}}, "stall"])

    async def main():
        async with hangup.AsyncClient(manager=manager) as client, client.stream("GET", server.url) as r:
            reading = asyncio.ensure_future(r.aread())
            while not any(connection.bytes_in >= SIZE for connection in manager.connections()):
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.01)
            with pytest.raises(hangup.InvalidState):
                async for _ in r.aiter_bytes():
                    pass
            await r.aclose()
            with pytest.raises(hangup.Closed):
                await reading

    asyncio.run(main())


@pytest.mark.parametrize("how", ["get", "aread"])
def test_a_body_of_known_length_is_in_memory_once(serve, how):
    size = 100_000_000
    server = serve([HEAD, begin(size), {"fill": {"bytes": size}}])
    python(
        """
        import asyncio, sys, hangup

        def peak():
            with open("/proc/self/status") as status:
                return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

        async def main(url, how, size):
            async with hangup.AsyncClient() as client:
                before = peak()
                if how == "get":
                    content = (await client.get(url)).content
                else:
                    async with client.stream("GET", url) as r:
                        content = await r.aread()
                assert len(content) == size
                assert peak() - before < size * 1.1, (peak() - before) / size

        asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
        """,
        server.url,
        how,
        str(size),
    )
