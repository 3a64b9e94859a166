"""Several event loops, their descriptors, and the end of a loop."""

import asyncio
import gc
import os
import threading
import time

import pytest

import hangup
from running import Background, python, wait_until
from testserver import HEAD, answer, forever, send

BEGUN = send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")


def descriptors():
    """The open descriptors and their targets."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:  # that of the listing itself
            pass
    return found


def left_over(before):
    gc.collect()
    return {fd: what for fd, what in descriptors().items() if before.get(fd) != what}


@pytest.fixture(params=["asyncio", "uvloop"])
def new_loop(request):
    """A factory of event loops."""
    if request.param == "asyncio":
        return asyncio.new_event_loop
    return pytest.importorskip("uvloop").new_event_loop


def run(new_loop, main):
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(main)


def test_requests_in_each_kind_of_loop(serve, new_loop, manager):
    server = serve([forever(answer("hello"))])
    stalls = serve([HEAD, BEGUN, "stall"])

    async def main():
        async with hangup.AsyncClient(manager=manager) as client:
            found = await asyncio.gather(*(client.get(server.url) for _ in range(100)))
            assert {r.text for r in found} == {"hello"}
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2), client.stream("GET", stalls.url) as r:
                    async for piece in r.aiter_bytes():
                        assert piece == b"abc"

    run(new_loop, main())
    assert stalls.ended() is not None


def test_one_client_in_three_loops_at_once(serve, new_loop, manager):
    server = serve([forever(answer("hello"))])
    client = hangup.AsyncClient(manager=manager)
    gate = threading.Barrier(3)

    async def main():
        gate.wait()
        for _ in range(20):
            found = await asyncio.gather(*(client.get(server.url) for _ in range(10)))
            assert {r.text for r in found} == {"hello"}

    for thread in [Background(lambda: run(new_loop, main())) for _ in range(3)]:
        assert thread.ended().error is None, thread.error
    run(asyncio.new_event_loop, client.aclose())
    assert manager.stats().in_use == 0


@pytest.mark.parametrize("closed", [True, False])
def test_a_loop_leaves_no_descriptor(serve, new_loop, manager, closed):
    server = serve([forever(answer("hello"))])
    client = hangup.AsyncClient(manager=manager)

    async def main():
        for _ in range(3):
            await client.get(server.url)
        if closed:
            await client.aclose()
            await asyncio.sleep(0.01)

    def some():
        nonlocal client
        for _ in range(20):
            run(new_loop, main())
            client = hangup.AsyncClient(manager=manager) if closed else client
        manager.close_idle()

    some()
    before = descriptors()
    some()
    # The library keeps a few of its own for its threads; the thread that watches a loop ends a moment after it.
    wait_until(lambda: len(left_over(before)) < 5)


def test_a_loop_watches_one_descriptor_which_the_last_client_closes(serve, new_loop, manager):
    server = serve([forever(answer("hello"))])

    async def main():
        before, readers = descriptors(), []
        loop = asyncio.get_running_loop()
        if new_loop is asyncio.new_event_loop:
            add = loop.add_reader
            loop.add_reader = lambda fd, *callback: (readers.append(fd), add(fd, *callback))
        first = hangup.AsyncClient(manager=manager)
        await first.get(server.url)
        manager.close_idle()
        of_one = left_over(before)
        assert len(of_one) <= 6
        clients = [first] + [hangup.AsyncClient(manager=manager) for _ in range(10)]
        for client in clients:
            await client.get(server.url)
        manager.close_idle()
        assert len(readers) == (new_loop is asyncio.new_event_loop)
        for client in clients:
            assert len(left_over(before)) == len(of_one)
            await client.aclose()
        # The thread that watches the loop ends a moment after its queue.
        for _ in range(500):
            if not left_over(before):
                break
            await asyncio.sleep(0.01)
        assert left_over(before) == {}
        async with hangup.AsyncClient(manager=manager) as client:
            assert (await client.get(server.url)).text == "hello"

    async def once():
        async with hangup.AsyncClient(manager=manager) as client:
            await client.get(server.url)
        manager.close_idle()

    run(new_loop, once())
    run(new_loop, main())


def test_the_end_of_a_loop_ends_its_requests(serve, new_loop, manager):
    server = serve([HEAD, "stall"])
    client = hangup.AsyncClient(manager=manager)

    async def main():
        task = asyncio.ensure_future(client.get(server.url))
        await asyncio.to_thread(server.wait_heads)
        return task

    loop = new_loop()
    task = loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    assert server.ended() is not None
    task._log_destroy_pending = False
    del task, loop
    gc.collect()


def switches_of_other_threads():
    """How often the other threads of this process have waited."""
    found = 0
    for thread in os.listdir("/proc/self/task"):
        if int(thread) != threading.get_native_id():
            with open(f"/proc/self/task/{thread}/status") as status:
                found += next(int(line.split()[1]) for line in status if line.startswith("voluntary_ctxt"))
    return found


def test_the_thread_of_the_loop_does_the_work(serve, new_loop, manager):
    server = serve([forever(answer("hello"))])

    async def main():
        async with hangup.AsyncClient(manager=manager) as client:
            await client.get(server.url)
            before = switches_of_other_threads()
            for _ in range(200):
                await client.get(server.url)
            # Those that watch and sweep wake up now and then; a slow machine may let a watch believe that the loop is blocked.
            assert switches_of_other_threads() - before < 200

    run(new_loop, main())


def test_a_request_that_is_alone_is_sent_in_the_call(serve, new_loop, manager):
    server = serve([forever(answer("hello"))])

    async def main():
        async with hangup.AsyncClient(manager=manager) as client:
            await client.get(server.url)
            at_once = 0
            for _ in range(50):
                sent = manager.connections()[0].bytes_out
                request = client.get(server.url)
                future = request.send(None)
                # The loop has not turned. On a slow machine a thread of the library may do the work for a while.
                at_once += manager.connections()[0].bytes_out > sent
                future._asyncio_future_blocking = False
                assert (await finished(request, future)).text == "hello"
            assert at_once > 0

    async def finished(request, future):
        await future
        with pytest.raises(StopIteration) as end:
            request.send(None)
        return end.value.value

    run(new_loop, main())


def test_a_loop_that_is_blocked_does_not_hold_up_a_request(serve, new_loop, manager):
    server = serve([forever(answer("hello"))])

    async def main():
        async with hangup.AsyncClient(manager=manager) as client:
            for n in range(3):
                task = asyncio.ensure_future(client.get(server.url))
                await asyncio.sleep(0)
                # Blocks the loop, until a thread of the library has sent the request and received the response.
                server.wait_heads(n + 1)
                until = time.monotonic() + 10
                while manager.stats().in_use:
                    assert time.monotonic() < until
                    time.sleep(0.001)
                assert not task.done()
                assert (await task).text == "hello"

    run(new_loop, main())


def test_a_stored_error_holds_no_descriptor(serve, new_loop, manager):
    server = serve([HEAD, "stall"])
    client, kept = hangup.AsyncClient(manager=manager), []

    async def main():
        with pytest.raises(hangup.TimeoutError) as caught:
            await client.get(server.url, timeout=0.05)
        kept.append(caught.value)
        with pytest.raises(hangup.TimeoutError) as caught:
            async with client.stream("GET", server.url, timeout=0.05) as r:
                await r.aread()
        kept.append(caught.value)

    run(new_loop, main())
    before = descriptors()
    for _ in range(10):
        run(new_loop, main())
    wait_until(lambda: len(left_over(before)) < 5)
    assert len(kept) == 22


def test_a_body_can_be_read_in_another_loop_than_its_head(serve, manager):
    server = serve([HEAD, BEGUN, {"await": "go"}, {"fill": {"bytes": 97}}])
    client = hangup.AsyncClient(manager=manager)
    stream = client.stream("GET", server.url)
    response = asyncio.run(stream.__aenter__())
    server.release("go")
    assert len(asyncio.run(response.aread())) == 100
    asyncio.run(stream.__aexit__(None, None, None))


def test_a_forked_child_has_a_loop_of_its_own(serve):
    server = serve([forever(answer("ok"))])
    python(
        """
        import asyncio, os, signal, sys, warnings, hangup
        warnings.simplefilter("ignore")  # DeprecationWarning: fork of a process with threads

        url = sys.argv[1]
        client = hangup.AsyncClient()

        async def main():
            return [r.text for r in await asyncio.gather(*(client.get(url) for _ in range(10)))]

        async def forks():
            running = asyncio.ensure_future(client.get(url))
            await asyncio.sleep(0)
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                code = 1
                try:
                    asyncio.set_event_loop(None)
                    asyncio._set_running_loop(None)
                    with asyncio.Runner() as runner:
                        assert runner.run(main()) == ["ok"] * 10
                    code = 0
                finally:
                    os._exit(code)
            assert os.waitpid(child, 0)[1] == 0
            assert (await running).text == "ok"

        assert asyncio.run(main()) == ["ok"] * 10
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            code = 1
            try:
                assert asyncio.run(main()) == ["ok"] * 10
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        assert asyncio.run(main()) == ["ok"] * 10
        asyncio.run(forks())
        """,
        server.url,
    )
