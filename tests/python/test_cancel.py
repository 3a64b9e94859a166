"""A cancel token ends its call in every phase at once and affects no other call."""

import itertools
import threading
import time

import pytest

import hangup
from running import Background, wait_until
from testserver import HEAD, answer, forever, send

BOTH_FORMS = True

AT_ONCE = 0.1
"""A bound for a loaded machine; the Rust tests measure the latency."""


def cancelled(call, token, fire, phase, **fields):
    """Fires the token when `fire` returns, and checks the exception of the call."""
    blocked = Background(call)
    fire()
    assert blocked.is_running
    begin = time.monotonic()
    token.cancel("user left")
    error = blocked.ended().error
    assert type(error) is hangup.Cancelled, repr(error)
    assert blocked.at - begin < AT_ONCE
    assert (error.phase, error.timeout, error.reason) == (phase, None, "user left")
    for name, value in fields.items():
        assert getattr(error, name) == value, name
    return error


def test_in_the_head(serve, client, manager):
    server, token = serve([HEAD, "stall"]), hangup.CancelToken()
    cancelled(lambda: client.get(server.url, cancel=token), token, server.wait_heads, "head", sent="all")
    assert server.ended() is not None
    assert manager.connections() == [] and manager.stats().in_use == 0


def test_in_the_body(serve, client, manager):
    server = serve([HEAD, send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"), {"mark": "sent"}, "stall"])
    token = hangup.CancelToken()
    with client.stream("GET", server.url, cancel=token) as r:
        pieces = r.iter_bytes()
        assert next(pieces) == b"abc"
        cancelled(lambda: next(pieces), token, lambda: time.sleep(0.05), "read", response_started=True)
        assert r.is_closed
        with pytest.raises(hangup.HangupError):  # never the end
            r._raw.read(1)
    assert server.ended() is not None and manager.connections() == []


def test_in_connect(control, client, manager):
    hole, token = control.black_hole(), hangup.CancelToken()

    def dialling():
        wait_until(lambda: manager.stats().dialling == 1)

    cancelled(lambda: client.get(hole.url, cancel=token), token, dialling, "connect", sent="nothing")
    hole.stop()


def test_in_the_handshake(serve, client):
    server, token = serve([{"recv": {"bytes": 1}}, {"mark": "hello"}, "stall"]), hangup.CancelToken()
    url = server.url.replace("http:", "https:")
    cancelled(lambda: client.get(url, cancel=token), token, lambda: server.wait_mark("hello"), "tls")
    assert server.ended() is not None


def test_in_the_upload(serve, client):
    server, token = serve([HEAD, "stall"]), hangup.CancelToken()

    def full():
        server.wait_heads()
        time.sleep(0.1)

    endless = itertools.repeat(b"x" * 65536)
    cancelled(lambda: client.post(server.url, content=endless, cancel=token), token, full, "write", sent="part")


def test_a_token_fired_before_the_call_makes_no_dial(serve, client):
    server, token = serve([forever(answer())]), hangup.CancelToken()
    token.cancel()
    with pytest.raises(hangup.Cancelled) as caught:
        client.get(server.url, cancel=token)
    assert caught.value.reason is None and caught.value.sent == "nothing"
    assert server.accepted == 0


def test_a_token_fired_after_the_end_has_no_effect(serve, client):
    server, token = serve([forever(answer())]), hangup.CancelToken()
    client.get(server.url, cancel=token)
    token.cancel()
    assert client.get(server.url).reused


def test_between_two_reads(serve, client):
    server = serve([HEAD, send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc"), "stall"])
    token = hangup.CancelToken()
    with client.stream("GET", server.url, cancel=token) as r:
        pieces = r.iter_bytes()
        next(pieces)
        token.cancel()
        with pytest.raises(hangup.Cancelled):
            next(pieces)


def test_a_parent_fires_its_child_but_a_child_not_its_parent():
    parent = hangup.CancelToken()
    one, two = parent.child(), parent.child().child()
    one.cancel()
    assert one.is_cancelled and not parent.is_cancelled and not two.is_cancelled
    parent.cancel()
    assert two.is_cancelled
    assert repr(two) == "<CancelToken cancelled>" and isinstance(two, hangup.CancelToken)


def test_a_parent_ends_the_work_of_its_child(serve, client):
    server, parent = serve([HEAD, "stall"]), hangup.CancelToken()
    child = parent.child()
    cancelled(lambda: client.get(server.url, cancel=child), parent, server.wait_heads, "head")


def test_a_tokens_deadline_is_a_timeout(serve, client):
    server = serve([HEAD, "stall"])
    token = hangup.CancelToken().after(0.1)
    begin = time.monotonic()
    with pytest.raises(hangup.TimeoutError) as caught:
        client.get(server.url, cancel=token)
    assert 0.095 <= time.monotonic() - begin < 0.1 + AT_ONCE
    assert type(caught.value) is hangup.TimeoutError and caught.value.timeout == "token"
    assert token.is_cancelled
    with pytest.raises(hangup.InvalidTimeout):
        token.after(0)


def test_fired_from_many_threads_at_once(serve, client):
    server, token = serve([HEAD, "stall"]), hangup.CancelToken()
    blocked = [Background(lambda: client.get(server.url, cancel=token)) for _ in range(8)]
    server.wait_heads(8)
    gate = threading.Barrier(8)
    firing = [Background(lambda: (gate.wait(), token.cancel("many"))) for _ in range(8)]
    for call in firing:
        assert call.ended().error is None
    assert {type(call.ended().error) for call in blocked} == {hangup.Cancelled}


def test_fired_inside_an_upload(serve, client):
    server, token = serve([HEAD, "stall"]), hangup.CancelToken()

    def body():
        yield b"one"
        token.cancel("inside")
        yield b"two"

    with pytest.raises(hangup.Cancelled) as caught:
        client.post(server.url, content=body(), cancel=token)
    assert caught.value.reason == "inside"


def test_dropping_a_token_does_not_fire_it(serve, client):
    server = serve([HEAD, {"await": "go"}, send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")])
    blocked = Background(lambda: client.get(server.url, cancel=hangup.CancelToken()))
    server.wait_heads()
    server.release("go")
    assert blocked.ended().value.status_code == 200


def test_a_token_of_another_type_is_a_type_error(client):
    with pytest.raises(TypeError):
        client.get("http://127.0.0.1:1/", cancel=threading.Event())
