"""AsyncClient in trio, and in anyio over either."""

import asyncio
import gc
import select

import pytest

import hangup
from testserver import HEAD, answer, forever, send

trio = pytest.importorskip("trio")
pytest.importorskip("trio.testing")

BEGUN = send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")


async def at_rest(manager):
    with trio.fail_after(1):
        while manager.stats().in_use:  # a dial may go on, and be kept for others
            await trio.sleep(0.001)


def test_many_at_once(serve, manager):
    server = serve([forever(answer("hello"))])
    manager.set_limits(per_origin=20)
    found = []

    async def one(client):
        found.append((await client.get(server.url)).text)

    async def main():
        async with hangup.AsyncClient(manager=manager) as client:
            async with trio.open_nursery() as nursery:
                for _ in range(500):
                    nursery.start_soon(one, client)
            with pytest.raises(hangup.ConnectError):
                await client.get("http://127.0.0.1:1/")

    for _ in range(2):
        trio.run(main)
    assert found == ["hello"] * 1000 and server.accepted <= 20


def test_a_stream(serve, manager):
    server = serve([forever(answer("x" * 200_000))])

    async def main():
        async with hangup.AsyncClient(manager=manager) as client:
            async with client.stream("GET", server.url) as r:
                assert sum([len(piece) async for piece in r.aiter_bytes()]) == 200_000
            assert (await client.post(server.url, content=iter([b"a", b"b"]))).reused

    trio.run(main)


@pytest.mark.parametrize("whole", [True, False])
def test_a_cancelled_task_closes_its_connection(serve, manager, whole):
    server = serve([HEAD, BEGUN, "stall"])

    async def main():
        async with hangup.AsyncClient(manager=manager) as client:
            with trio.move_on_after(0.2) as scope:
                if whole:
                    await client.get(server.url)
                else:
                    async with client.stream("GET", server.url) as r:
                        async for piece in r.aiter_bytes():
                            assert piece == b"abc"
            assert scope.cancelled_caught
            await at_rest(manager)
            with trio.CancelScope() as scope:
                scope.cancel()
                await client.get(server.url)
            assert scope.cancelled_caught
            await at_rest(manager)

    trio.run(main)
    assert server.ended() is not None


@pytest.mark.parametrize("first", ["answer", "cancel"])
def test_a_response_and_a_cancel_in_one_turn_leave_no_connection_open(serve, manager, first):
    """Regardless of which is first and of how long the exceptions are stored."""
    server = serve(*[[HEAD, {"await": f"go {turn}"}, BEGUN, "stall"] for turn in range(3)])
    manager.set_limits(per_origin=1)
    kept = []

    async def hold(client, scope):
        with scope:
            try:
                async with client.stream("GET", server.url):
                    await trio.sleep_forever()
            except trio.Cancelled as error:
                kept.append(error)
                raise

    async def main():
        async with hangup.AsyncClient(manager=manager, timeout=hangup.Timeout(pool=5)) as client:
            for turn in range(3):
                scope = trio.CancelScope()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(hold, client, scope)
                    while not (manager.stats().in_use and client._bindings):
                        await trio.sleep(0.001)
                    await trio.testing.wait_all_tasks_blocked()
                    server.release(f"go {turn}")
                    (binding,) = client._bindings.values()
                    port = binding.port()
                    assert select.select([port.fileno()], [], [], 20)[0]
                    if first == "answer":
                        port.drain()
                    scope.cancel()
                    port.drain()
                await at_rest(manager)

    trio.run(main)
    assert len(kept) == 3 and server.accepted == 3


def test_an_async_body_needs_asyncio():
    async def pieces():
        yield b"one"

    async def main():
        async with hangup.AsyncClient() as client:
            with pytest.raises(TypeError, match="asyncio"):
                await client.post("http://127.0.0.1:1/", content=pieces())

    trio.run(main)


def test_the_end_of_a_run_leaks_nothing(serve, manager):
    server = serve([forever(answer("hello"))])
    client = hangup.AsyncClient(manager=manager)
    ports = []

    async def main():
        await client.get(server.url)
        ports.extend(binding.port for binding in client._bindings.values())

    for _ in range(3):
        trio.run(main)
    gc.collect()
    assert len(ports) >= 3 and [port() for port in ports] == [None] * len(ports)
    assert asyncio.run(client.get(server.url)).reused


def test_trio_as_a_guest_of_asyncio(serve, manager):
    """Both loops run in one thread, and each has requests of its own."""
    server, stalls = serve([forever(answer("hello"))]), serve([HEAD, "stall"])
    large = serve([forever(answer("x" * 1_000_000))])

    async def guest(client):
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(client.get, server.url)
        with trio.move_on_after(0.1) as scope:
            await client.get(stalls.url)
        assert scope.cancelled_caught
        async with client.stream("GET", large.url) as r:
            assert sum([len(piece) async for piece in r.aiter_bytes()]) == 1_000_000
        return len((await client.get(large.url)).content)

    async def main():
        loop, ended = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()
        client = hangup.AsyncClient(manager=manager)
        trio.lowlevel.start_guest_run(
            guest, client, run_sync_soon_threadsafe=loop.call_soon_threadsafe, done_callback=ended.set_result
        )
        for _ in range(10):
            assert (await client.get(server.url)).text == "hello"
        assert (await ended).unwrap() == 1_000_000
        await client.aclose()

    asyncio.run(main())
    assert stalls.ended() is not None


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_anyio(serve, manager, backend):
    anyio = pytest.importorskip("anyio")
    server, stalls = serve([forever(answer("hello"))]), serve([HEAD, "stall"])

    async def main():
        async with hangup.AsyncClient(manager=manager) as client:
            async with anyio.create_task_group() as group:
                for _ in range(20):
                    group.start_soon(client.get, server.url)
            with anyio.move_on_after(0.1) as scope:
                await client.get(stalls.url)
            assert scope.cancelled_caught

    anyio.run(main, backend=backend)
    assert stalls.ended() is not None


def test_a_task_writes_the_body_that_another_one_sends(serve, manager):
    server = serve([forever(answer())])

    async def main():
        async with hangup.AsyncClient(manager=manager) as client, trio.open_nursery() as nursery:
            upload = hangup.AsyncUpload()

            async def write():
                async with upload:
                    for _ in range(5):
                        await upload.write(b"x" * 100_000)

            nursery.start_soon(write)
            assert (await client.put(server.url, content=upload)).status_code == 200

    trio.run(main)
    assert server.bodies() == [b"x" * 500_000]
