"""A task that is cancelled in any phase closes its connection at once and leaks nothing."""

import asyncio
import gc
import random
import select
import time

import pytest

import hangup
from testserver import HEAD, answer, forever, send
from test_async_client import strictly

BEGUN = send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")


class Scene:
    """A request that is blocked in some phase; `reached` returns when it is."""

    def __init__(self, phase, manager, url, reached):
        self.phase, self.manager, self.url, self.reached = phase, manager, url, reached
        self.send = PHASES[phase]


async def get(client, url):
    await client.get(url)


async def stream(client, url):
    async with client.stream("GET", url):
        raise AssertionError("there is no head")


async def read(client, url):
    async with client.stream("GET", url) as r:
        pieces = r.aiter_bytes()
        assert await anext(pieces) == b"abc"
        await anext(pieces)


async def aread(client, url):
    async with client.stream("GET", url) as r:
        await r.aread()


async def upload(client, url):
    await client.post(url, content=b"x" * 50_000_000)


async def upload_from_a_task(client, url):
    async def endless():
        while True:
            yield b"x" * 65536

    await client.post(url, content=endless())


async def upload_that_does_not_come(client, url):
    async def never():
        yield b"x"
        await asyncio.Event().wait()

    await client.post(url, content=never())


PHASES = {
    "queue": get,
    "connect": get,
    "tls": get,
    "head": get,
    "head of a stream": stream,
    "body": get,
    "body in pieces": read,
    "body of a stream": aread,
    "upload": upload,
    "upload from a task": upload_from_a_task,
    "upload that does not come": upload_that_does_not_come,
}


@pytest.fixture(params=PHASES)
def scene(request, serve, control, manager):
    """A manager that allows one connection, and a request that is blocked."""
    phase = request.param
    manager.set_limits(per_origin=1)

    async def until(condition):
        while not condition():
            await asyncio.sleep(0.002)

    if phase == "connect":
        hole = control.black_hole()
        request.addfinalizer(hole.stop)
        return Scene(phase, manager, hole.url, lambda: until(lambda: manager.stats().dialling == 1))
    if phase == "tls":
        server = serve([{"recv": {"bytes": 1}}, {"mark": "here"}, "stall"])
        url = server.url.replace("http:", "https:")
        return Scene(phase, manager, url, lambda: asyncio.to_thread(server.wait_mark, "here"))
    if phase == "queue":
        server = serve([HEAD, "stall"])
        return Scene(phase, manager, server.url, lambda: until(lambda: manager.stats().queued == 1))
    server = serve([HEAD, BEGUN, {"mark": "here"}, "stall"] if "body" in phase else [HEAD, {"mark": "here"}, "stall"])

    async def reached():
        await asyncio.to_thread(server.wait_mark, "here")
        await asyncio.sleep(0.05)

    return Scene(phase, manager, server.url, reached)


async def at_rest(manager, seconds=1.0):
    """Waits until there is no connection and no waiting request."""
    begin = time.monotonic()
    while (stats := manager.stats()).in_use or stats.queued or manager.connections():
        assert time.monotonic() - begin < seconds, (stats, manager.connections())
        await asyncio.sleep(0.001)
    return time.monotonic() - begin


async def by_cancel(scene, client):
    task = asyncio.create_task(scene.send(client, scene.url))
    await scene.reached()
    task.cancel("my message")
    with pytest.raises(asyncio.CancelledError, match="my message"):
        await task


async def by_timeout(scene, client):
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.3):
            await scene.send(client, scene.url)
    assert type(caught.value) is TimeoutError


async def by_wait_for(scene, client):
    with pytest.raises(TimeoutError) as caught:
        await asyncio.wait_for(scene.send(client, scene.url), 0.3)
    assert type(caught.value) is TimeoutError


async def by_task_group(scene, client):
    async def fails():
        await scene.reached()
        raise LookupError

    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            group.create_task(scene.send(client, scene.url))
            group.create_task(fails())
    assert caught.group_contains(LookupError) and len(caught.value.exceptions) == 1


@pytest.mark.parametrize("how", [by_cancel, by_timeout, by_wait_for, by_task_group])
def test_a_cancelled_task_closes_its_connection_in_every_phase(scene, serve, how):
    """The exception is the wait for a connection: the held connection stays open."""
    after = serve([forever(answer())])

    async def main():
        async with hangup.AsyncClient(manager=scene.manager) as client:
            holder = None
            if scene.phase == "queue":
                holder = asyncio.create_task(client.get(scene.url))
                while scene.manager.stats().in_use < 1:
                    await asyncio.sleep(0.002)
            await how(scene, client)
            if holder is not None:
                while scene.manager.stats().queued:
                    await asyncio.sleep(0.001)
                assert not holder.done() and scene.manager.stats().in_use == 1
                holder.cancel()
                await asyncio.wait([holder])
            # A dial goes on for a moment without its exchange.
            took = await at_rest(scene.manager, 5 if scene.phase in ("connect", "tls") else 1)
            if scene.phase not in ("connect", "tls"):
                assert took < 0.1
            assert (await client.get(after.url)).status_code == 200
            assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


@pytest.mark.parametrize("end", ["total", "token", "connection", "close_all", "shutdown"])
def test_a_cancel_does_not_wait_for_an_async_body(serve, end):
    server = serve([HEAD, {"mark": "here"}, "stall"])
    manager = hangup.Manager()
    token = hangup.CancelToken()
    kind = {"total": hangup.TotalTimeout, "token": hangup.Cancelled, "shutdown": hangup.ManagerShutDown}

    async def main():
        stands, given_up = asyncio.Event(), asyncio.Event()

        async def never():
            yield b"x"
            stands.set()
            try:
                await asyncio.Event().wait()
            finally:
                given_up.set()

        async with hangup.AsyncClient(manager=manager) as client:
            limit = 0.3 if end == "total" else None
            task = asyncio.create_task(client.post(server.url, content=never(), cancel=token, timeout=limit))
            await stands.wait()
            if end == "token":
                token.cancel()
            elif end == "connection":
                manager.close(manager.connections()[0].id, now=True)
            elif end == "close_all":
                manager.close_all(now=True)
            elif end == "shutdown":
                manager.shutdown()
            with pytest.raises(kind.get(end, hangup.Closed)) as caught:
                await asyncio.wait_for(asyncio.shield(task), 20)
            assert caught.value.phase == "write"
            await asyncio.wait_for(given_up.wait(), 20)
            await at_rest(manager)

    asyncio.run(main())


def test_random_cancels_leave_the_pool_consistent(serve, manager):
    server = serve([forever(HEAD, {"sleep_ms": 20}, send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))])
    manager.set_limits(per_origin=4)
    dice = random.Random(5)

    async def one(client):
        if dice.random() < 0.3:
            async with client.stream("GET", server.url) as r:
                await r.aread()
        else:
            await client.get(server.url)

    async def main():
        async with hangup.AsyncClient(manager=manager) as client:
            for _ in range(10):
                tasks = [asyncio.create_task(one(client)) for _ in range(20)]
                for task in tasks:
                    await asyncio.sleep(dice.random() * 0.004)
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            assert (await asyncio.wait_for(client.get(server.url), 5)).text == "ok"
            while manager.stats().in_use:
                await asyncio.sleep(0.001)
            assert manager.stats().queued == 0

    strictly(main)
    assert server.most_open <= 5  # the server may see an end later than the client


def test_a_task_that_is_cancelled_when_its_response_has_arrived(serve, manager):
    """The response and the cancel arrive in the same turn of the loop: the response is dropped and its connection closed."""
    server = serve([HEAD, BEGUN, "stall"])

    async def main():
        async with hangup.AsyncClient(manager=manager) as client:
            loop = asyncio.get_running_loop()
            made = []
            create = loop.create_future

            def create_future():
                made.append(create())
                made[-1].add_done_callback(lambda _: task.cancel())
                return made[-1]

            loop.create_future = create_future
            task = asyncio.create_task(client.stream("GET", server.url).__aenter__())
            with pytest.raises(asyncio.CancelledError):
                await task
            del loop.create_future
            assert made[0].done() and not made[0].cancelled()
            made.clear()
            await at_rest(manager)

    asyncio.run(main())
    assert server.ended() is not None


async def hold(client, url):
    async with client.stream("GET", url):
        await asyncio.sleep(60)


async def take(client, url):
    async with client.stream("GET", url) as r:
        async for _ in r.aiter_bytes():
            pass


@pytest.mark.parametrize("first", ["answer", "cancel"])
@pytest.mark.parametrize("work", [hold, take])
def test_a_response_and_a_cancel_in_one_turn_leave_no_connection_open(serve, manager, work, first):
    """Regardless of which the loop sees first and of how long the exceptions are stored."""
    server = serve(*[[HEAD, BEGUN, {"await": f"go {n}"}, send("def"), "stall"] for n in range(3)])
    manager.set_limits(per_origin=1)
    kept = []

    async def main():
        async with hangup.AsyncClient(manager=manager, timeout=hangup.Timeout(pool=5)) as client:
            for n in range(3):
                task = asyncio.create_task(work(client, server.url))
                await asyncio.sleep(0)
                if work is take:
                    answered(client, manager).drain()
                    await asyncio.sleep(0)
                    server.release(f"go {n}")
                    port = answered(client, manager, more_than=manager.connections()[0].bytes_in)
                else:
                    port = answered(client, manager)
                if first == "answer":
                    port.drain()
                task.cancel()
                port.drain()
                with pytest.raises(asyncio.CancelledError) as caught:
                    await task
                kept.append((task, caught.value))
                await at_rest(manager)

    asyncio.run(main())
    assert len(kept) == 3 and server.accepted == 3


def answered(client, manager, more_than=0):
    """Waits until more bytes than that have arrived, without a turn of the loop; returns the port, in which the completion is."""
    port = client._bindings[id(asyncio.get_running_loop())].port()
    while not any(connection.bytes_in > more_than for connection in manager.connections()):
        assert select.select([port.fileno()], [], [], 20)[0]
        port.drive()
    return port


def test_a_timeout_that_expires_with_the_response_leaves_no_connection_open(serve, manager):
    server = serve([HEAD, BEGUN, "stall"])
    manager.set_limits(per_origin=4)

    async def late(client):
        async with asyncio.timeout(0.02), client.stream("GET", server.url):
            await asyncio.sleep(60)

    async def busy(client):
        await asyncio.sleep(0)
        begin = time.monotonic()
        while time.monotonic() - begin < 0.05 or len(server.accepted_order) < 4:
            answered(client, manager).drive()
            time.sleep(0.005)

    async def main():
        async with hangup.AsyncClient(manager=manager, timeout=hangup.Timeout(pool=5)) as client:
            errors = await asyncio.gather(*(late(client) for _ in range(4)), busy(client), return_exceptions=True)
            assert [type(error) for error in errors] == [TimeoutError] * 4 + [type(None)]
            await at_rest(manager)
            assert errors

    asyncio.run(main())


def test_an_error_of_a_dropped_request_is_not_logged(serve, manager):
    server = serve([HEAD, "rst"])

    async def main():
        async with hangup.AsyncClient(manager=manager) as client:
            for _ in range(20):
                task = asyncio.create_task(client.get(server.url))
                await asyncio.sleep(0.001)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            del task
            gc.collect()
            await at_rest(manager)

    strictly(main)


def test_a_coroutine_that_is_dropped_closes_its_connection(serve, manager):
    server = serve([HEAD, "stall"])

    async def main():
        async with hangup.AsyncClient(manager=manager) as client:
            request = client.get(server.url)
            request.send(None)
            await asyncio.to_thread(server.wait_heads)
            request.close()
            await at_rest(manager)

    asyncio.run(main())
    assert server.ended() is not None


def test_a_cancel_returns_at_once(serve, manager):
    server = serve([forever(HEAD, "stall")])

    async def main():
        async with hangup.AsyncClient(manager=manager) as client:
            tasks = [asyncio.create_task(client.get(server.url)) for _ in range(100)]
            await asyncio.to_thread(server.wait_heads, 100)
            begin = time.monotonic()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            assert time.monotonic() - begin < 0.2
            assert all(task.cancelled() for task in tasks)
            await at_rest(manager, 0.5)

    asyncio.run(main())
    server.wait_open(0)
