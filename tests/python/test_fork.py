"""After fork a client just works, and what belonged to the parent stays the parent's."""

from running import python
from testserver import HEAD, answer, forever, send

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
response.close(polite=False)
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
    """A lock that a thread of the parent held at the fork is held for ever in the child: nobody may wait for it."""
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
