"""Each timeout alone: the exception, the phase, the timeout that it names, and its time."""

import builtins
import itertools
import math
import pickle
import time
from datetime import timedelta

import pytest

import hangup
from hangup._timeouts import timeout_pairs
from testserver import HEAD, answer, forever, send

BOTH_FORMS = True

AT = 0.15
"""The timeout of these tests, in seconds."""
LATE = 0.1
"""How late a loaded machine may be."""


@pytest.fixture
def expect(client):
    """Runs a call that must time out, and checks the exception."""

    def check(call, kind, phase, limit):
        begin = time.monotonic()
        with pytest.raises(kind) as caught:
            call()
        took = time.monotonic() - begin
        error = caught.value
        assert type(error) is kind
        assert isinstance(error, (hangup.TimeoutError, hangup.RequestError))
        assert isinstance(error, builtins.TimeoutError) and isinstance(error, OSError)
        assert (error.phase, error.timeout) == (phase, limit)
        assert AT - 0.005 <= took <= AT + LATE, took
        return error

    return check


def test_head(serve, client, expect):
    server = serve([HEAD, "stall"])
    error = expect(
        lambda: client.get(server.url, timeout=hangup.Timeout(head=AT)), hangup.ReadTimeout, "head", "head"
    )
    assert error.sent == "all" and error.bytes_sent > 0 and error.connection and not error.reused
    assert error.request == ("GET", server.url) and error.retry_safe and not error.response_started
    assert server.ended() is not None


def test_read(serve, client, expect):
    server = serve([HEAD, send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"), "stall"])
    error = expect(
        lambda: client.get(server.url, timeout=hangup.Timeout(read=AT)), hangup.ReadTimeout, "read", "read"
    )
    assert error.response_started
    assert server.ended() is not None


def test_total_in_the_head(serve, client, expect):
    server = serve([HEAD, "stall"])
    expect(lambda: client.get(server.url, timeout=AT), hangup.TotalTimeout, "head", "total")


def test_total_in_the_body_of_a_stream(serve, client, expect):
    server = serve([HEAD, send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"), {"drip": {"bytes": 100, "every_ms": 20}}])

    def call():
        with client.stream("GET", server.url, timeout=AT) as r:
            for _ in r.iter_bytes():
                pass

    expect(call, hangup.TotalTimeout, "read", "total")


def test_connect(control, client, expect):
    hole = control.black_hole()
    error = expect(
        lambda: client.get(hole.url, timeout=hangup.Timeout(connect=AT)), hangup.ConnectTimeout, "connect", "connect"
    )
    assert error.sent == "nothing" and error.retry_safe
    expect(lambda: client.get(hole.url, timeout=AT), hangup.TotalTimeout, "connect", "total")
    hole.stop()


def test_tls(serve, client, expect):
    server = serve(["stall"])
    url = server.url.replace("http:", "https:")
    expect(lambda: client.get(url, timeout=hangup.Timeout(tls=AT)), hangup.ConnectTimeout, "tls", "tls")


def test_write(serve, client, expect):
    server = serve([HEAD, "stall"])
    endless = itertools.repeat(b"x" * 65536)
    expect(
        lambda: client.post(server.url, content=endless, timeout=hangup.Timeout(write=AT)),
        hangup.WriteTimeout,
        "write",
        "write",
    )


@pytest.mark.parametrize("tls", [None, "good"])
def test_a_slow_path_is_no_write_timeout_as_long_as_bytes_move(serve, manager, form, control, tls):
    # The system reports room when a third of its send buffer is free, which is many of these pieces.
    slow = {"repeat": {"times": 12, "steps": [{"recv": {"bytes": 65536}}, {"sleep_ms": 400}]}}
    size = 24 << 20
    rest = {"recv": {"bytes": size - 12 * 65536}}
    timeout = hangup.Timeout(write=2, total=40)
    with form(manager=manager, tls=hangup.TLS(verify=control.certs() / "ca.pem"), timeout=timeout) as client:
        server = serve([slow, rest, send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), "stall"], tls=tls)
        assert client.post(server.url, content=b"u" * size).status_code == 200
        server = serve([slow, "stall"], tls=tls)
        begin = time.monotonic()
        with pytest.raises(hangup.WriteTimeout) as caught:
            client.post(server.url, content=b"u" * size)
        # The last but two of the pauses, and the timeout.
        assert caught.value.timeout == "write" and time.monotonic() - begin >= 4 + 2


def test_the_timeout_of_a_request_takes_precedence_over_the_clients(serve, manager, form, expect):
    server = serve([HEAD, "stall"])
    client = form(manager=manager, timeout=hangup.Timeout(head=AT, total=60))
    expect(lambda: client.get(server.url), hangup.ReadTimeout, "head", "head")
    expect(lambda: client.get(server.url, timeout=hangup.Timeout(total=60)), hangup.ReadTimeout, "head", "head")
    expect(
        lambda: client.get(server.url, timeout=hangup.Timeout(total=AT, head=None)), hangup.TotalTimeout, "head", "total"
    )


def test_a_timeout_that_did_not_expire_has_no_effect(serve, client):
    server = serve([forever(answer())])
    for _ in range(3):
        client.get(server.url, timeout=5)
    time.sleep(0.05)
    assert client.get(server.url).reused and server.accepted == 1


# The values.


@pytest.mark.parametrize("value", [0, -1, 0.0, math.nan, math.inf, True, "5", timedelta(0), [1], 1e300])
def test_an_invalid_duration_is_refused_and_the_message_names_none(client, value):
    for call in (
        lambda: hangup.Timeout(value),
        lambda: hangup.Timeout(read=value),
        lambda: hangup.Client(timeout=value),
        lambda: client.get("http://127.0.0.1:1/", timeout=value),
    ):
        with pytest.raises(hangup.InvalidTimeout, match="None") as caught:
            call()
        assert isinstance(caught.value, ValueError)


TOO_LARGE = {
    "no float": 10**400,
    "no text": 10**5000,
    "no int64": 2**63,
    "a float": 1e300,
    "a little": 10**12 + 1,
    "a timedelta": timedelta.max,
    "negative, no float": -(10**400),
    "negative, no text": -(10**5000),
}

SETTERS = {
    "total": lambda s, c: hangup.Timeout(s),
    **{name: lambda s, c, name=name: hangup.Timeout(**{name: s}) for name in ("pool", "tls", "write", "head", "read")},
    "resolve": lambda s, c: hangup.Timeout(resolve=s),
    "connect": lambda s, c: hangup.Timeout(connect=s),
    "deadline": lambda s, c: hangup.deadline(s),
    "token": lambda s, c: hangup.CancelToken().after(s),
    "client": lambda s, c: hangup.Client(timeout=s),
    "async client": lambda s, c: hangup.AsyncClient(timeout=s),
    "request": lambda s, c: c.get("http://127.0.0.1:1/", timeout=s),
    "stream": lambda s, c: c.stream("GET", "http://127.0.0.1:1/", timeout=s).__enter__(),
    "min_rate": lambda s, c: c.get("http://127.0.0.1:1/", min_rate=(1, s)),
    "idle": lambda s, c: hangup.Limits(idle=s),
    "max_age": lambda s, c: hangup.Limits(max_age=s),
    "keep_alive": lambda s, c: hangup.Limits(keep_alive=s),
    "a manager's limit": lambda s, c: c.manager.set_limits(idle=s),
    "close_idle": lambda s, c: c.manager.close_idle(s),
    "drain": lambda s, c: c.manager.drain(s),
    "events": lambda s, c: c.manager.events().next(s),
}


@pytest.mark.parametrize("seconds", TOO_LARGE.values(), ids=TOO_LARGE)
@pytest.mark.parametrize("setter", SETTERS.values(), ids=SETTERS)
def test_a_time_that_is_too_large_is_refused_wherever_one_is_taken(client, setter, seconds):
    with pytest.raises(hangup.InvalidTimeout, match="too large|positive") as caught:
        setter(seconds, client)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("count", [10**5000, -(10**5000), 2**63, -1], ids=["huge", "negative", "no int64", "-1"])
def test_a_count_that_is_too_large_is_refused_by_name(serve, client, count):
    server = serve([forever(answer())])
    for call in (
        lambda: hangup.Limits(total=count),
        lambda: hangup.Client(max_redirects=count),
        lambda: hangup.Client(max_head=count),
        lambda: client.preconnect(server.url, count),
        lambda: client.manager.events(count),
        lambda: client.get(server.url, min_rate=(count, 1)),
        lambda: hangup.set_io_threads(count),
        lambda: client.get(server.url).read(count),
    ):
        with pytest.raises(hangup.InvalidArgument):
            call()


def test_seconds_become_milliseconds():
    timeout = hangup.Timeout(1.5, pool=timedelta(seconds=2), connect=None, read=0.0001)
    assert timeout_pairs(timeout) == ((1, 1500), (2, 2000), (4, -1), (8, 1))
    assert timeout_pairs(3) == timeout_pairs(hangup.Timeout(3)) == ((1, 3000),)
    assert timeout_pairs(None) == ((1, -1),)
    assert timeout_pairs(hangup.Timeout()) == ()


def test_a_timeout_is_a_value():
    one = hangup.Timeout(5, read=None)
    assert one == hangup.Timeout(total=5.0, read=None) and hash(one) == hash(hangup.Timeout(5, read=None))
    assert one != hangup.Timeout(5)
    assert (one.total, one.read, repr(one.pool)) == (5, None, "UNSET")
    assert repr(one) == "Timeout(total=5, read=None)"
    assert pickle.loads(pickle.dumps(one)) == one
    with pytest.raises(AttributeError):
        one.total = 6
    with pytest.raises(AttributeError):
        one.nonsense
