"""Ctrl-C in a blocked call, and other threads while one waits."""

import time

import pytest

import hangup
from running import Background, python
from testserver import HEAD, send

PROGRAM = """
import os, signal, sys, threading, time
import hangup

url, how, where = sys.argv[1:4]
manager = hangup.Manager()
client = hangup.Client(manager=manager)
sent = None

def interrupt():
    global sent
    time.sleep(0.3)
    sent = time.monotonic()
    if where == "here":
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    else:
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
    time.sleep(1)

def handler(*_):
    raise LookupError("from the handler")

wanted = KeyboardInterrupt
if how == "handler":
    wanted = LookupError
    signal.signal(signal.SIGINT, handler)
threading.Thread(target=interrupt, daemon=True).start()
try:
    if how == "stream":
        with client.stream("GET", url) as r:
            list(r.iter_bytes())
    elif how == "upload":
        client.post(url, content=b"x" * 50_000_000)
    else:
        client.get(url)
except wanted as caught:
    took = time.monotonic() - sent
    assert not isinstance(caught, hangup.HangupError)
    assert took < (0.1 if where == "here" else 0.35), took
    until = time.monotonic() + (5 if how == "connect" else 0)  # a dial goes on for a moment without its exchange
    while manager.connections() and time.monotonic() < until:
        time.sleep(0.01)
    assert manager.connections() == [], manager.connections()
    print("interrupted", took)
"""

STALL = [HEAD, "stall"]
STALL_IN_BODY = [HEAD, send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), "stall"]


@pytest.mark.parametrize("where", ["here", "elsewhere"])
@pytest.mark.parametrize(
    ("how", "script"),
    [("head", STALL), ("body", STALL_IN_BODY), ("stream", STALL_IN_BODY), ("upload", STALL), ("handler", STALL)],
)
def test_a_signal_ends_a_blocked_call(serve, how, script, where):
    server = serve(script)
    assert "interrupted" in python(PROGRAM, server.url, how, where).stdout
    if how != "upload":  # a FIN stands behind what the server does not read
        assert server.ended() is not None


def test_a_signal_ends_a_blocked_connect(control):
    hole = control.black_hole()
    assert "interrupted" in python(PROGRAM, hole.url, "connect", "here").stdout
    hole.stop()


def test_a_handler_that_raises_nothing_does_not_end_the_call(serve):
    server = serve([HEAD, {"sleep_ms": 400}, send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")])
    python(
        """
        import signal, sys, hangup
        ran = []
        signal.signal(signal.SIGALRM, lambda *_: ran.append(1))
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        r = hangup.get(sys.argv[1])
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert r.text == "ok" and len(ran) >= 3, ran
        """,
        server.url,
    )


def test_a_call_on_another_thread_is_not_interrupted(serve):
    server = serve([HEAD, {"sleep_ms": 600}, send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")])
    python(
        """
        import signal, sys, threading, time, hangup
        got = []
        thread = threading.Thread(target=lambda: got.append(hangup.get(sys.argv[1]).text))
        thread.start()
        time.sleep(0.2)
        try:
            signal.raise_signal(signal.SIGINT)
            time.sleep(5)
        except KeyboardInterrupt:
            pass
        thread.join()
        assert got == ["ok"], got
        """,
        server.url,
    )


def test_other_threads_run_while_one_waits(serve, client):
    server = serve([HEAD, "stall"])
    blocked = Background(lambda: client.get(server.url, timeout=1))
    server.wait_heads()
    begin, turns = time.monotonic(), 0
    while time.monotonic() - begin < 0.3:
        turns += 1
    assert turns > 10_000 and blocked.is_running
    assert isinstance(blocked.ended().error, hangup.TotalTimeout)


def test_other_threads_run_while_a_body_is_read(serve, client):
    server = serve([HEAD, send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), "stall"])

    def read():
        with client.stream("GET", server.url, timeout=hangup.Timeout(read=0.5)) as r:
            list(r.iter_bytes())

    blocked = Background(read)
    server.wait_heads()
    begin, turns = time.monotonic(), 0
    while time.monotonic() - begin < 0.2:
        turns += 1
    assert turns > 10_000
    assert isinstance(blocked.ended().error, hangup.ReadTimeout)


def test_a_daemon_thread_that_waits_does_not_delay_the_exit(serve):
    server = serve([HEAD, "stall"])
    begin = time.monotonic()
    python(
        """
        import sys, threading, time, hangup
        threading.Thread(target=hangup.get, args=(sys.argv[1],), daemon=True).start()
        while not hangup.shared_manager().stats().in_use:
            time.sleep(0.01)
        """,
        server.url,
    )
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize("nap", ["time.sleep(0.0005)", "pass"])
def test_a_daemon_thread_that_makes_a_body_does_not_delay_the_exit(serve, nap):
    """The end of the interpreter causes no crash in that thread either."""
    server = serve([HEAD, {"recv": "body"}])
    for _ in range(3):
        python(
            f"""
            import sys, threading, time, hangup

            began = threading.Event()

            def pieces():
                while True:
                    began.set()
                    {nap}
                    yield b"x"

            send = lambda: hangup.post(sys.argv[1], content=pieces())
            for _ in range(3):
                threading.Thread(target=send, daemon=True).start()
            began.wait()
            """,
            server.url,
        )


def test_a_signal_handler_may_cancel(serve):
    server = serve([HEAD, "stall"])
    python(
        """
        import signal, sys, hangup
        token = hangup.CancelToken()
        signal.signal(signal.SIGALRM, lambda *_: token.cancel("from the handler"))
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        try:
            hangup.get(sys.argv[1], cancel=token)
        except hangup.Cancelled as error:
            assert error.reason == "from the handler"
        else:
            raise AssertionError
        """,
        server.url,
    )


def test_two_threads_cant_read_one_response(serve, client):
    server = serve([HEAD, send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), "stall"])
    with client.stream("GET", server.url) as r:
        next(r.iter_bytes())
        blocked = Background(lambda: next(r.iter_bytes()))
        time.sleep(0.1)
        with pytest.raises(hangup.InvalidState):
            next(r.iter_bytes())
        assert blocked.is_running and not r.is_closed
        r.close()
        assert type(blocked.ended().error) is hangup.Closed
