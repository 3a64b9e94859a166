"""Each kind of failure is an exception of its own with the same attributes, and can be pickled."""

import builtins
import errno
import inspect
import io
import json
import os
import pathlib
import pickle
import re
import socket

import pytest

import hangup
from hangup import _errors
from testserver import HEAD, answer, forever, send

BOTH_FORMS = True

KINDS = [kind for _, kind in inspect.getmembers(_errors, inspect.isclass) if issubclass(kind, Exception)]


def raised(kind, call):
    with pytest.raises(kind) as caught:
        call()
    error = caught.value
    assert type(error) is kind, repr(error)
    assert str(error)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind and again.args == error.args and again.__dict__ == error.__dict__
    assert str(again) == str(error)
    return error


@pytest.mark.parametrize("url", ["ftp://x/", "http://", "http://a b/", "/relative", "x", "", "http://a/\0b", "http://a/\r\nX: y"])
def test_invalid_url(client, manager, url):
    error = raised(hangup.InvalidURL, lambda: client.get(url))
    assert isinstance(error, ValueError) and error.request == ("GET", url)
    assert manager.stats().opened == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1\\@a.test/",
        "http:\\\\127.0.0.1/",
        "http://127.0.0.1/a\\b",
        "http:127.0.0.1:1/",
        "http:/127.0.0.1:1/",
        "http:///127.0.0.1:1/",
        "http:////127.0.0.1:1/",
        "http://a@b@127.0.0.1:1/",
        "http://[::1]@127.0.0.1:1/",
        "http://127%2e0.0.1:1/",
        "http://0177.0.0.1:1/",
        "http://0x7f000001:1/",
        "http://127.1:1/",
        "http://127.0.0.1.:1/",
        "http://127.0.0.1:1/\t",
    ],
)
def test_a_url_that_two_parsers_read_as_two_hosts_is_invalid(client, manager, url):
    raised(hangup.InvalidURL, lambda: client.get(url))
    with pytest.raises(hangup.InvalidURL):
        client.cookies.for_url(url)
    with pytest.raises(hangup.InvalidURL):
        client.preconnect(url)
    assert manager.stats().opened == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://us:SECRET@127.0.0.1:1/",
        "http://SECRET@127.0.0.1:1/",
        "http://us:SEC@RET@127.0.0.1:1/",
        "http:us:SECRET@127.0.0.1:1/",
        "http:\\\\us:SECRET@127.0.0.1:1/",
        "ftp://us:SECRET@127.0.0.1:1/",
        "us:SECRET@127.0.0.1",
        "//us:SECRET@127.0.0.1",
    ],
)
def test_no_exception_holds_the_password_of_a_url(client, url):
    with pytest.raises(hangup.HangupError) as caught:
        client.get(url)
    error = caught.value
    again = pickle.loads(pickle.dumps(error))
    assert again.request == error.request and "127.0.0.1" in error.request.url
    for shown in (repr(error), str(error), repr(vars(error)), repr(error.request), str(pickle.dumps(error))):
        assert "SECRET" not in shown and "RET@" not in shown, shown


def test_a_deadline_that_has_passed_holds_no_password(client):
    with hangup.deadline(0.001):
        while True:
            with pytest.raises(hangup.HangupError) as caught:
                client.get("http://us:SECRET@127.0.0.1:1/")
            assert "SECRET" not in repr(vars(caught.value))
            if isinstance(caught.value, hangup.TotalTimeout):
                break


def test_errors_show_the_url_without_user_information():
    for given, told in [
        ("http://u:p@h/a@b?c@d", "http://h/a@b?c@d"),
        ("http://h/a@b:c", "http://h/a@b:c"),
        ("http://h:80/@b", "http://h:80/@b"),
        ("http://[::1]/@b", "http://[::1]/@b"),
        ("HTTP://u@h", "HTTP://h"),
        ("/a@b", "/a@b"),
        ("a@b", "a@b"),
    ]:
        asked = hangup.RequestInfo("GET", given)
        assert asked == ("GET", told) and asked == pickle.loads(pickle.dumps(asked))
        assert repr(asked) == f"RequestInfo(method='GET', url={told!r})"


@pytest.mark.parametrize("method", ["GE T", "", "G\r\nE", "G\0E"])
def test_invalid_method(client, method):
    raised(hangup.InvalidMethod, lambda: client.request(method, "http://127.0.0.1:1/"))


@pytest.mark.parametrize(
    ("name", "value"),
    [("a b", "c"), ("", "c"), ("a", "b\r\nc: d"), ("a", "b\0c"), ("Content-Length", "5"), ("Transfer-Encoding", "gzip")],
)
def test_invalid_header(client, name, value):
    raised(hangup.InvalidHeader, lambda: client.get("http://127.0.0.1:1/", headers={name: value}))


def test_headers_of_other_types_are_type_errors(client):
    with pytest.raises(TypeError, match="str or bytes"):
        client.get("http://127.0.0.1:1/", headers={"a": 5})


def test_resolve_error(client):
    error = raised(hangup.ResolveError, lambda: client.get("http://nowhere.invalid/"))
    assert (error.phase, error.sent, error.retry_safe) == ("resolve", "nothing", True)


def test_connect_error(client):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        error = raised(hangup.ConnectError, lambda: client.post(url, content=b"x"))
    assert isinstance(error, ConnectionError)
    assert (error.phase, error.os_code, error.errno) == ("connect", errno.ECONNREFUSED, errno.ECONNREFUSED)
    assert error.retry_safe and error.bytes_sent == 0 and error.request.method == "POST"


def test_peer_closed_before_the_response(serve, client):
    server = serve([HEAD])
    error = raised(hangup.PeerClosed, lambda: client.post(server.url, content=b"x"))
    assert isinstance(error, ConnectionError) and error.phase == "head"
    assert (error.sent, error.retry_safe, error.response_started) == ("all", False, False)
    assert error.connection and not error.reused


def test_peer_closed_in_the_body(serve, client):
    server = serve([HEAD, send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")])
    error = raised(hangup.PeerClosed, lambda: client.get(server.url))
    assert error.phase == "read" and error.response_started


def test_peer_reset(serve, client):
    server = serve([HEAD, "rst"])
    error = raised(hangup.PeerReset, lambda: client.get(server.url))
    assert isinstance(error, builtins.ConnectionResetError) and error.phase == "head"


def test_protocol_error(serve, client):
    server = serve([HEAD, send("HTTP/1.1 -12 No\r\n\r\n")])
    raised(hangup.ProtocolError, lambda: client.get(server.url))


def test_too_large(serve, client):
    server = serve([HEAD, send("HTTP/1.1 200 OK\r\nA: "), {"fill": {"bytes": 100_000}}, send("\r\n\r\n")])
    raised(hangup.TooLarge, lambda: client.get(server.url))


def test_body_failed(serve, client, tmp_path):
    class Short(io.BytesIO):
        def read(self, size=-1):
            return b""

    server = serve([HEAD, {"recv": "body"}, send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")])
    raised(hangup.BodyFailed, lambda: client.post(server.url, content=Short(b"ten bytes!")))


def test_system_failure(client, tmp_path):
    call = lambda: client.post("http://127.0.0.1:1/", content=pathlib.Path(tmp_path / "missing"))
    error = raised(hangup.SystemFailure, call)
    assert isinstance(error, OSError) and error.errno == error.os_code == errno.ENOENT


def test_http_status_error(serve, client):
    server = serve([forever(answer("body", 503))])
    with pytest.raises(hangup.HTTPStatusError) as caught:
        client.get(server.url).raise_for_status()
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.response.status_code, again.response.text, again.request.url) == (503, "body", server.url)


def test_the_others():
    """The exceptions that tests in other files cause: cancelled, closed, shut down, forked, timeouts, not found, state."""
    for kind in KINDS:
        error = kind("message")
        error.__setstate__({"phase": "head", "os_code": 5, "request": hangup.RequestInfo("GET", "http://x/")})
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), again.__dict__) == (kind, "message", error.__dict__)
        if isinstance(error, OSError):
            assert again.errno == 5
    assert hangup.PanicError in KINDS


def test_the_tree():
    for kind in KINDS:
        assert issubclass(kind, hangup.HangupError) and getattr(hangup, kind.__name__) is kind
        assert kind.__doc__
    import asyncio

    assert not issubclass(hangup.Cancelled, (asyncio.CancelledError, hangup.TimeoutError, hangup.Closed))
    assert issubclass(hangup.TimeoutError, builtins.TimeoutError)
    assert issubclass(hangup.PeerReset, builtins.ConnectionResetError)
    assert issubclass(hangup.NotFound, builtins.LookupError)


def test_every_status_of_the_header_has_its_exception():
    header = pathlib.Path(hangup.get_include(), "hangup.h").read_text(encoding="utf-8")
    enum = header.partition("} hangup_status;")[0].rpartition("typedef enum")[2]
    numbers = {int(number) for number in re.findall(r"\bHANGUP_\w+ = (\d+)", enum)}
    assert numbers - {0} == set(_errors._BY_STATUS)


def test_every_timeout_of_the_header_has_its_exception():
    import ctypes

    name = ctypes.CDLL(hangup.get_library()).hangup_timeout_text
    name.restype = ctypes.c_char_p
    timeouts = {name(number).decode() for number in range(1, 11)}
    assert timeouts - set(_errors._BY_TIMEOUT) == {"token"}
    assert os.path.basename(hangup.get_library()) == "libhangup.so.0"


def test_an_exception_has_all_that_the_library_knows(client, serve):
    server = serve([HEAD, send("HTTP/1.1 206 Partial Content\r\nContent-Length: 10\r\n\r\nabc")])
    error = raised(hangup.PeerClosed, lambda: client.get(server.url + "a?b#c"))
    assert (error.status_code, error.url, error.origin) == (206, server.url + "a?b", server.url.rstrip("/"))
    assert error.retry_may_help and error.resolver_code == 0
    assert error.timings.read is not None and error.timings.total >= error.timings.read
    members = json.loads(error.to_json())
    assert (members["status"], members["method"], members["url"]) == ("PEER_CLOSED", "GET", error.url)
    assert members["connection_id"] == error.connection and members["timings_us"]["tls"] is None


def test_a_name_that_does_not_exist_has_the_resolvers_code(client):
    error = raised(hangup.ResolveError, lambda: client.get("http://no-such-host.invalid/"))
    assert error.resolver_code in (socket.EAI_NONAME, socket.EAI_NODATA, socket.EAI_AGAIN)
    assert error.retry_may_help == (error.resolver_code == socket.EAI_AGAIN)


def test_connections_as_json(client, manager, serve):
    client.get(serve([forever(answer())]).url)
    (row,) = json.loads(manager.connections_json())
    (info,) = manager.connections()
    assert (row["id"], row["origin"], row["state"]) == (info.id, info.origin, "idle")


def test_a_timeout_says_whether_the_server_acknowledged_the_request(serve, client):
    server = serve([HEAD, {"await": "the end"}])
    error = raised(hangup.ReadTimeout, lambda: client.get(server.url, timeout=hangup.Timeout(head=0.3)))
    assert error.acknowledged == "all"
    facts = error.tcp_facts
    assert isinstance(facts, hangup.TcpFacts) and 0 < facts.rtt < 30 and facts.silence >= 0.1
    assert facts.unacked_bytes == facts.unsent_bytes == facts.retransmissions_in_row == facts.unanswered_probes == 0
    assert "; the request was acknowledged, and there is no answer yet (round-trip time " in str(error)
    assert "the request was acknowledged" in repr(error) and "silence=" in repr(facts)
    members = json.loads(error.to_json())
    assert members["acknowledged"] == "all" and members["tcp_facts"]["unacked_bytes"] == 0
    assert members["tcp_facts"]["rtt_us"] == round(facts.rtt * 1_000_000)
    server.release("the end")


def test_an_upload_that_the_server_does_not_read_says_what_waits(serve, client):
    server = serve([HEAD, {"await": "the end"}])
    body = b"x" * 32_000_000
    error = raised(
        hangup.WriteTimeout, lambda: client.put(server.url, content=body, timeout=hangup.Timeout(write=0.3))
    )
    assert error.acknowledged == "part" and 0 < error.tcp_facts.unsent_bytes <= error.tcp_facts.unacked_bytes
    assert f"so that {error.tcp_facts.unsent_bytes} bytes wait" in str(error)
    server.release("the end")


def test_a_failure_without_a_wait_for_the_server_has_no_facts_of_tcp(serve, client):
    server = serve([HEAD])
    error = raised(hangup.PeerClosed, lambda: client.get(server.url))
    assert error.acknowledged is None and error.tcp_facts is None
    assert json.loads(error.to_json())["tcp_facts"] is None
