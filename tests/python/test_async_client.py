"""`AsyncClient`: behaviour beyond the tests that run in both forms."""

import asyncio
import io
import pickle
import socket
import threading

import pytest

import hangup
from awaited import AwaitedClient
from running import python
from testserver import HEAD, answer, forever, send

OK = send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def strictly(main):
    """Runs a coroutine in a loop without an executor. Fails on every exception that the loop's handler gets."""

    async def watched():
        loop, complaints = asyncio.get_running_loop(), []
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        loop.run_in_executor = loop.getaddrinfo = None
        try:
            return await main()
        finally:
            assert not complaints, complaints

    return asyncio.run(watched(), debug=True)


def test_many_at_once_over_one_connection_each(serve):
    server = serve([forever(answer("hello", headers=[["X-A", "b"]]))])

    async def main():
        async with hangup.AsyncClient(limits=hangup.Limits(per_origin=50)) as client:
            responses = await asyncio.gather(*(client.get(server.url) for _ in range(1000)))
            assert {(r.status_code, r.text, r.headers["x-a"], r.is_closed) for r in responses} == {(200, "hello", "b", True)}
            stats = client.manager.stats()
            assert (stats.in_use, stats.queued) == (0, 0) and stats.opened <= 50

    strictly(main)
    assert server.accepted <= 50


def test_names_are_looked_up_by_the_library(serve):
    server = serve([forever(answer())])

    async def main():
        async with hangup.AsyncClient() as client:
            assert (await client.get(f"http://localhost:{server.port}/")).status_code == 200

    strictly(main)


def test_tls(serve, control, manager):
    certs = control.certs()
    servers = [serve([{"tls": certificate}, forever(answer("secret"))]) for certificate in ("good", "expired")]
    good, expired = (f"https://localhost:{server.port}/" for server in servers)

    async def main():
        async with hangup.AsyncClient(manager=manager, verify=certs / "ca.pem") as client:
            found = await asyncio.gather(*(client.get(good) for _ in range(20)))
            assert {r.text for r in found} == {"secret"}
            with pytest.raises(hangup.TLSError) as caught:
                await client.get(expired)
            assert (caught.value.phase, caught.value.sent) == ("tls", "nothing")

    strictly(main)


def test_it_shares_connections_with_a_client(serve, manager, client):
    server = serve([forever(answer())])
    first = client.get(server.url)

    async def main():
        async with hangup.AsyncClient(manager=manager) as other:
            assert other.manager is manager
            return await other.get(server.url)

    second = strictly(main)
    assert second.reused and second.connection == first.connection
    third = client.get(server.url)
    assert third.reused and server.accepted == 1


def test_a_response_can_be_pickled_and_read_like_any_other(serve):
    server = serve([forever(answer('{"a": 1}', headers=[["Content-Type", "application/json"]]))])

    async def main():
        async with hangup.AsyncClient() as client:
            r = await client.get(server.url)
            assert await r.aread() == r.content and [piece async for piece in r.aiter_bytes(3)] == [b'{"a', b'": ', b"1}"]
            assert list(r.iter_lines()) == [line async for line in r.aiter_lines()] == ['{"a": 1}']
            await r.aclose()
            return r

    r = strictly(main)
    assert isinstance(r, hangup.AsyncResponse) and isinstance(r, hangup.Response)
    again = pickle.loads(pickle.dumps(r))
    assert again.json() == r.json() == {"a": 1} and again.request == r.request == ("GET", server.url)
    assert again.headers == r.headers and again.timings == r.timings


def test_bodies_of_every_kind(serve, tmp_path):
    server = serve([forever(HEAD, {"recv": "body"}, OK)])
    path = tmp_path / "body"
    path.write_bytes(b"from a file")
    threads = []

    async def pieces():
        for piece in (b"one", b"", bytearray(b"two"), b"three"):
            threads.append(threading.get_ident())
            await asyncio.sleep(0)
            yield piece

    async def main():
        async with hangup.AsyncClient() as client:
            for content in (b"bytes", "text", path, io.BytesIO(b"buffer"), iter([b"a", b"b"]), pieces()):
                r = await client.post(server.url, content=content)
                assert r.content == b"ok"
            with path.open("rb") as file:
                await client.put(server.url, content=file)
            await client.patch(server.url, json={"a": None})
            await client.post(server.url, data={"a": "b"})
            async with client.stream("POST", server.url, content=pieces()) as r:
                assert await r.aread() == b"ok"

    strictly(main)
    wanted = [b"bytes", b"text", b"from a file", b"buffer", b"ab", b"onetwothree"]
    wanted += [b"from a file", b'{"a":null}', b"a=b", b"onetwothree"]
    assert server.bodies() == wanted
    assert set(threads) == {threading.get_ident()}


def test_an_async_body_is_read_only_as_far_as_it_is_sent(serve):
    server = serve([HEAD, "stall"])
    made = 0

    async def endless():
        nonlocal made
        while True:
            made += 1
            yield b"x" * 65536

    async def main():
        async with hangup.AsyncClient() as client:
            with pytest.raises(hangup.WriteTimeout):
                await client.post(server.url, content=endless(), timeout=hangup.Timeout(write=0.2))

    strictly(main)
    assert made < 1000  # what the socket's buffers take


@pytest.mark.parametrize("asynchronous", [True, False])
def test_an_exception_of_a_body_is_raised_by_the_call(serve, manager, asynchronous):
    server = serve([forever(HEAD, "stall")])

    async def failing():
        yield b"one"
        raise LookupError("from the body")

    def plain():
        yield b"one"
        raise LookupError("from the body")

    async def wrong():
        yield "text"

    async def main():
        async with hangup.AsyncClient(manager=manager) as client:
            with pytest.raises(LookupError, match="from the body"):
                await client.post(server.url, content=failing() if asynchronous else plain())
            with pytest.raises(TypeError, match="str"):
                await client.post(server.url, content=wrong() if asynchronous else iter(["text"]))

    strictly(main)
    assert manager.connections() == []


def test_a_blocking_client_refuses_an_async_body(client):
    async def pieces():
        yield b"one"

    with pytest.raises(TypeError, match="async"):
        client.post("http://127.0.0.1:1/", content=pieces())


def test_an_early_response_ends_the_task_of_the_async_body(serve):
    server = serve([HEAD, send("HTTP/1.1 413 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"), "stall"])
    ended = []

    async def endless():
        try:
            while True:
                await asyncio.sleep(0.001)
                yield b"x"
        finally:
            ended.append(True)

    async def main():
        async with hangup.AsyncClient(timeout=5) as client:
            try:
                await client.post(server.url, content=endless())
            except hangup.RequestError:
                pass
            for _ in range(100):
                await asyncio.sleep(0.01)
                if ended:
                    break
            assert ended and len(asyncio.all_tasks()) == 1

    strictly(main)


def test_a_closed_client_refuses_requests_and_completes_those_in_progress(serve):
    server = serve([HEAD, {"await": "go"}, OK])

    async def main():
        client = hangup.AsyncClient()
        running = asyncio.create_task(client.get(server.url))
        await asyncio.to_thread(server.wait_heads)
        await client.aclose()
        await client.aclose()
        assert client.is_closed and repr(client) == "<AsyncClient closed>"
        with pytest.raises(hangup.InvalidState):
            await client.get(server.url)
        server.release("go")
        assert (await running).content == b"ok"

    asyncio.run(main())


def test_a_manager_that_is_shut_down_ends_a_hundred_requests(serve, manager):
    server = serve([HEAD, "stall"])

    async def main():
        async with hangup.AsyncClient(manager=manager) as client:
            running = [asyncio.create_task(client.get(server.url)) for _ in range(100)]
            await asyncio.sleep(0)
            while len(manager.connections()) < 100:
                await asyncio.sleep(0.01)
            manager.shutdown()
            ended = await asyncio.gather(*running, return_exceptions=True)
            assert {type(error) for error in ended} == {hangup.ManagerShutDown}
            with pytest.raises(hangup.ManagerShutDown):
                await client.get(server.url)

    strictly(main)
    server.wait_open(0)


def test_exceptions_have_their_facts_and_can_be_pickled():
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"

    async def main():
        async with hangup.AsyncClient() as client:
            with pytest.raises(hangup.ConnectError) as caught:
                await client.get(url)
            return caught.value

    error = strictly(main)
    assert (error.phase, error.timeout, error.sent, error.retry_safe) == ("connect", None, "nothing", True)
    assert error.request == ("GET", url) and error.os_code
    assert pickle.loads(pickle.dumps(error)).__dict__ == error.__dict__


def test_a_token_is_never_a_cancelled_task(serve):
    server, token = serve([HEAD, "stall"]), hangup.CancelToken()

    async def main():
        async with hangup.AsyncClient() as client:
            running = [asyncio.create_task(client.get(server.url, cancel=token)) for _ in range(3)]
            await asyncio.to_thread(server.wait_heads, 3)
            token.cancel("user left")
            ended = await asyncio.gather(*running, return_exceptions=True)
            assert [(type(error), error.reason) for error in ended] == [(hangup.Cancelled, "user left")] * 3

    asyncio.run(main())
    server.wait_open(0)


def test_a_cancelled_task_does_not_fire_the_callers_token(serve):
    server, token = serve([HEAD, "stall"]), hangup.CancelToken()

    async def main():
        async with hangup.AsyncClient() as client:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.get(server.url, cancel=token), 0.1)

    strictly(main)
    assert not token.is_cancelled and server.ended() is not None


def test_more_io_threads(serve):
    python(
        """
        import asyncio, sys, hangup

        async def main():
            async with hangup.AsyncClient(limits=hangup.Limits(per_origin=20)) as client:
                return {r.text for r in await asyncio.gather(*(client.get(sys.argv[1]) for _ in range(200)))}

        for threads in (4, 1, 64):
            hangup.set_io_threads(threads)
            assert asyncio.run(main()) == {"ok"}
        for wrong in (0, 65, -1):
            try:
                hangup.set_io_threads(wrong)
            except hangup.InvalidArgument:
                continue
            raise AssertionError(wrong)
        """,
        serve([forever(answer("ok"))]).url,
    )


def test_without_a_loop_there_is_a_clear_error():
    client = hangup.AsyncClient()
    with pytest.raises(RuntimeError, match="running event loop"):
        client.get("http://127.0.0.1:1/").send(None)


def test_ctrl_c(serve):
    server = serve([HEAD, "stall"])
    python(
        """
        import asyncio, os, signal, sys, threading, time, hangup

        manager = hangup.Manager()
        async def main():
            async with hangup.AsyncClient(manager=manager) as client:
                threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
                await client.get(sys.argv[1])

        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            until = time.monotonic() + 1
            while manager.connections() and time.monotonic() < until:
                time.sleep(0.001)
            assert manager.connections() == []
            print("interrupted")
        """,
        server.url,
    )
    assert server.ended() is not None


def test_the_interpreter_may_end_while_requests_run(serve):
    server = serve([HEAD, "stall"])
    python(
        """
        import asyncio, sys, hangup

        async def main():
            client = hangup.AsyncClient()
            loop.create_task(client.get(sys.argv[1]))
            await asyncio.sleep(0.2)

        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        import os
        sys.stdout.flush()
        sys.stderr = open(os.devnull, "w")  # "Task was destroyed but it is pending": ours to say, in a loop left open
        """,
        server.url,
    )
    assert server.ended() is not None


def test_the_facade_of_these_tests_closes_its_client(serve):
    with AwaitedClient() as client:
        assert client.get(serve([forever(answer("ok"))]).url).text == "ok"
    assert client.is_closed


def test_a_deadline_holds_for_the_tasks_in_it(serve):
    server = serve([HEAD, "stall"])

    async def main():
        async with hangup.AsyncClient() as client:
            with hangup.deadline(0.2):
                running = [asyncio.create_task(client.get(server.url)) for _ in range(3)]
            ended = await asyncio.gather(*running, return_exceptions=True)
            assert {(type(error), error.timeout) for error in ended} == {(hangup.TotalTimeout, "total")}

    strictly(main)
