"""After a fork clients work in the child, and the parent's connections are not touched."""

import pytest

from running import Background, python, wait_until
from testserver import HEAD, answer, forever, send

OK = send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

PROGRAM = """
import os, signal, sys, warnings, hangup

url, streaming = sys.argv[1:3]
client = hangup.Client()
first = client.get(url).connection
manager = client.manager
response = client.stream("GET", streaming).__enter__()
pieces = response.iter_bytes()
assert next(pieces) == b"abc"
child = os.fork()
if child == 0:
    signal.alarm(20)
    try:
        assert manager.connections() == [], manager.connections()
        r = client.get(url)
        assert r.text == "ok" and not r.reused
        try:
            next(pieces)
        except hangup.ForkedError as error:
            assert type(error) is hangup.ForkedError
        else:
            raise AssertionError("the parent's response was read")
        os._exit(0)
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
assert os.waitpid(child, 0)[1] == 0
again = client.get(url)
assert again.reused and again.connection == first, (again, first)
response.close(now=True)
"""


def test_a_fork(serve):
    server = serve([forever(answer())])
    streaming = serve([HEAD, send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), "stall"])
    python(PROGRAM, server.url, streaming.url)
    assert server.accepted == 2


def test_ctrl_c_in_the_child_of_a_thread(serve):
    server = serve([HEAD, "stall"])
    python(
        """
        import os, signal, sys, threading, time, warnings, hangup
        warnings.simplefilter("ignore")  # DeprecationWarning: fork of a process with threads

        def work():
            try:
                hangup.get("http://127.0.0.1:1/")  # this thread is known not to be the main one
            except hangup.ConnectError:
                pass
            child = os.fork()
            if child == 0:  # here it is
                signal.alarm(20)
                threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
                try:
                    hangup.get(sys.argv[1])
                except KeyboardInterrupt:
                    os._exit(0)
                os._exit(1)
            results.append(os.waitpid(child, 0)[1])

        results = []
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert results == [0], results
        """,
        server.url,
    )


def test_forks_while_other_threads_are_at_work(serve):
    """A lock that a thread of the parent held at the fork stays locked in the child: the child must not wait for it."""
    server = serve([forever(answer())])
    python(
        """
        import os, signal, sys, threading, warnings, hangup
        warnings.simplefilter("ignore")  # DeprecationWarning: fork of a process with threads

        url = sys.argv[1]
        client = hangup.Client()
        over = threading.Event()

        def work():
            while not over.is_set():
                client.get(url)

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(60):
                child = os.fork()
                if child == 0:
                    signal.alarm(20)
                    try:
                        os._exit(0 if client.get(url, timeout=10).text == "ok" else 2)
                    except BaseException:
                        os._exit(1)
                assert os.waitpid(child, 0)[1] == 0
        finally:
            over.set()
            for thread in threads:
                thread.join()
        assert client.get(url).text == "ok"
        """,
        server.url,
    )


def test_a_child_does_not_touch_the_parents_connections(serve, control):
    """Connections that are idle, in a request of another thread, in a stream and over TLS, and threads in the queue."""
    gated = serve([HEAD, {"await": "go"}, OK, forever(answer())])
    streaming = serve([HEAD, send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), {"await": "go"}, send("defghi"), "stall"])
    idle, over = serve([forever(answer())]), serve([forever(answer())])
    secure = serve([{"tls": "good"}, forever(answer("secret"))])
    https = secure.url.replace("http:", "https:").replace("127.0.0.1", "localhost")
    parent = Background(
        lambda: python(
            """
            import gc, os, signal, sys, threading, time, traceback, warnings, hangup
            warnings.simplefilter("ignore")  # DeprecationWarning: fork of a process with threads

            gated, streaming, idle, over, https, ca = sys.argv[1:]
            manager = hangup.Manager(hangup.Limits(per_origin=1))
            client = hangup.Client(manager=manager, verify=ca)
            client.get(idle)
            client.get(https)
            response = client.stream("GET", streaming).__enter__()
            pieces = response.iter_bytes()
            assert next(pieces) == b"abc"
            results = []

            def work():
                results.append(client.get(gated).text)

            threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
            for thread in threads:
                thread.start()
            while manager.stats().queued < 3:
                time.sleep(0.01)

            def in_the_child():
                assert manager.connections() == [] and manager.stats().queued == 0
                for url in (idle, https, idle, https):
                    assert client.get(url).text in ("ok", "secret")
                assert manager.stats().opened == 2
                for call in (lambda: next(pieces), response.close, lambda: response.close(now=True)):
                    try:
                        call()
                    except hangup.ForkedError:
                        pass
                manager.close_all(now=True)
                manager.close_idle()
                manager.network_changed()

            def leave_at_once():
                os._exit(0)

            def leave_by_the_end():
                sys.exit(0)

            def leave_with_nothing_left():
                global response, pieces, client, manager
                response = pieces = client = manager = None
                gc.collect()
                sys.exit(0)

            def shut_down():
                manager.shutdown()
                os._exit(0)

            def drain():
                manager.drain(10)
                sys.exit(0)

            for leave in (leave_at_once, leave_by_the_end, leave_with_nothing_left, shut_down, drain):
                child = os.fork()
                if child == 0:
                    signal.alarm(20)
                    try:
                        in_the_child()
                    except BaseException:
                        traceback.print_exc()
                        os._exit(1)
                    leave()
                status = os.waitpid(child, 0)[1]
                assert status == 0, (leave, status)
            hangup.get(over)
            for thread in threads:
                thread.join()
            assert results == ["ok"] * 4, results
            assert b"".join(pieces) == b"defghi"
            assert client.get(idle).reused and client.get(https).reused
            stats = manager.stats()
            assert (stats.in_use, stats.queued, stats.closed) == (0, 0, 0), stats
            """,
            *(gated.url, streaming.url, idle.url, over.url, https, str(control.certs() / "ca.pem")),
        )
    )
    wait_until(lambda: over.heads() != [] or not parent.is_running, seconds=40)
    assert parent.is_running, str(parent.error)
    for server in (gated, streaming, idle, secure):
        assert server.ended(0, seconds=0.2) is None, server.url
    assert (len(gated.heads()), gated.accepted) == (1, 1)
    assert (len(streaming.heads()), streaming.accepted) == (1, 1)
    assert [len(idle.heads(number)) for number in range(6)] == [1, 2, 2, 2, 2, 2]
    assert len(secure.heads()) == 1
    gated.release("go")
    streaming.release("go")
    assert parent.ended(40).error is None, parent.error
    assert (len(gated.heads()), len(idle.heads()), len(secure.heads())) == (4, 2, 2)


def test_forks_while_threads_queue_listen_and_drain(serve):
    """The pool's locks are in constant use, and no child waits for one that its parent's threads held."""
    server = serve([forever(answer())])
    python(
        """
        import os, signal, sys, threading, traceback, warnings, hangup
        warnings.simplefilter("ignore")  # DeprecationWarning: fork of a process with threads

        url = sys.argv[1]
        client = hangup.Client(limits=hangup.Limits(per_origin=2))
        manager = client.manager
        over = threading.Event()

        def work():
            while not over.is_set():
                client.get(url)

        def change():
            while not over.is_set():
                manager.set_limits(per_origin=2, idle=60)
                manager.close_idle()
                manager.stats()

        def listen():
            while not over.is_set():
                with manager.events(16) as events:
                    for _ in range(50):
                        events.next(0.01)

        def drain():
            while not over.is_set():
                own = hangup.Client(manager=hangup.Manager())
                own.get(url)
                own.manager.drain(10)

        threads = [threading.Thread(target=target) for target in (work, work, work, work, change, listen, drain)]
        for thread in threads:
            thread.start()
        try:
            for turn in range(60):
                child = os.fork()
                if child == 0:
                    signal.alarm(20)
                    try:
                        with manager.events() as events:
                            assert client.get(url, timeout=10).text == "ok"
                            assert hangup.get(url, timeout=10).text == "ok"
                            assert events.next(5).type == "opened"
                        assert manager.stats().open == 1
                        if turn % 3 == 0:
                            manager.drain(10)
                    except BaseException:
                        traceback.print_exc()
                        os._exit(1)
                    if turn % 2:
                        os._exit(0)
                    sys.exit(0)
                status = os.waitpid(child, 0)[1]
                assert status == 0, (turn, status)
        finally:
            over.set()
            for thread in threads:
                thread.join()
        assert client.get(url).text == "ok"
        """,
        server.url,
    )


def test_a_child_of_a_child(serve):
    server = serve([forever(answer())])
    python(
        """
        import os, sys, hangup
        client = hangup.Client()
        first = client.get(sys.argv[1]).connection
        for _ in range(2):
            child = os.fork()
            if child:
                break
            assert not client.get(sys.argv[1]).reused and client.get(sys.argv[1]).reused
        if child:
            assert os.waitpid(child, 0)[1] == 0
            assert client.get(sys.argv[1]).reused
        """,
        server.url,
    )
    assert server.accepted == 3


def test_a_cancel_token_of_the_parent_ends_nothing_of_the_child(serve):
    """The memory is a copy: a token fired in one process is not fired in the other."""
    server = serve([forever(answer())])
    python(
        """
        import os, signal, sys, hangup
        token = hangup.CancelToken()
        hangup.get(sys.argv[1], cancel=token)
        child = os.fork()
        if child == 0:
            token.cancel()
            try:
                hangup.get(sys.argv[1], cancel=token)
            except hangup.Cancelled:
                os._exit(0)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        assert hangup.get(sys.argv[1], cancel=token).reused
        """,
        server.url,
    )


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(serve, tmp_path, method):
    """A pool, a process and an executor, from a parent that has connections and threads in requests."""
    server, gated = serve([forever(answer())]), serve([HEAD, {"await": "go"}, OK, forever(answer())])
    over = serve([forever(answer())])
    parent = Background(
        lambda: python(
            """
            import multiprocessing, sys, threading, warnings
            from concurrent.futures import ProcessPoolExecutor
            import hangup

            client = hangup.Client(limits=hangup.Limits(per_origin=1))

            def fetch(url):
                first = client.get(url)
                second = hangup.get(url)
                for _ in range(5):
                    assert client.get(url).reused and hangup.get(url).reused
                return first.text + second.text

            def work():
                results.append(client.get(gated).text)

            def fails(url):
                client.get(url, timeout=0.05)

            if __name__ == "__main__":
                warnings.simplefilter("ignore")  # DeprecationWarning: fork of a process with threads
                url, gated, over, method = sys.argv[1:]
                context = multiprocessing.get_context(method)
                assert fetch(url) == "okok"
                results = []
                threads = [threading.Thread(target=work, daemon=True) for _ in range(2)]
                for thread in threads:
                    thread.start()
                while client.manager.stats().queued < 1:
                    pass
                with context.Pool(3) as pool:
                    assert pool.map(fetch, [url] * 12) == ["okok"] * 12
                    try:
                        pool.apply(fails, (gated,))
                    except hangup.TotalTimeout as error:
                        assert (error.phase, error.request.url) == ("head", gated)
                    else:
                        raise AssertionError("no answer was due")
                    pool.close()
                    pool.join()
                process = context.Process(target=fetch, args=(url,))
                process.start()
                process.join(20)
                assert process.exitcode == 0, process.exitcode
                with ProcessPoolExecutor(2, mp_context=context) as pool:
                    assert list(pool.map(fetch, [url] * 6)) == ["okok"] * 6
                assert client.get(url).reused and client.manager.stats().queued == 1
                client.get(over)
                for thread in threads:
                    thread.join()
                assert results == ["ok"] * 2
            """,
            *(server.url, gated.url, over.url, method),
            file=tmp_path / "program.py",
        )
    )
    wait_until(lambda: over.heads() != [] or not parent.is_running, seconds=40)
    assert parent.is_running, str(parent.error)
    assert gated.ended(0, seconds=0.2) is None and len(gated.heads()) == 1
    gated.release("go")
    assert parent.ended(40).error is None, parent.error
