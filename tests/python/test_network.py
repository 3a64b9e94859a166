"""Where connections lead and how they are made: families, interfaces, other places for an origin, and connectors."""

import gc
import os
import socket
import ssl
import sys
import threading
import weakref

import pytest

import hangup
from running import Background, wait_until
from testserver import answer, forever

BOTH_FORMS = True


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server(serve):
    return serve([forever({"echo_head": True})])


@pytest.fixture
def made(form, manager):
    """Makes a client with these settings over the manager of the test."""
    clients = []

    def make(**settings):
        clients.append(form(manager=manager, **settings))
        return clients[-1]

    yield make
    for client in clients:
        client.close()
    manager.shutdown()


def to(server):
    """A connector to the server, and what it was asked for."""
    asked = []

    def connect(origin, host, port):
        asked.append((origin, host, port))
        return socket.create_connection(("127.0.0.1", server.port))

    return connect, asked


def test_a_connector_makes_connections_that_are_pooled_listed_and_closed(server, made, manager):
    connect, asked = to(server)
    client = made(connector=connect)
    for _ in range(3):
        assert "Host: service.invalid:81" in client.get("http://service.invalid:81/a").text
    assert asked == [("http://service.invalid:81", "service.invalid", 81)]
    (row,) = manager.connections()
    assert (row.origin, row.requests, row.state) == ("http://service.invalid:81", 3, "idle")
    manager.close(row.id)
    assert manager.close_reason(row.id) == "closed by id" and server.ended() is not None


@pytest.mark.parametrize("kind", ["socket", "fileno", "number", "pair"])
def test_a_connector_returns_a_socket_or_a_descriptor(server, made, kind):
    kept = []

    def connect(origin, host, port):
        connected = socket.create_connection(("127.0.0.1", server.port), timeout=5)
        if kind == "number":
            return connected.detach()
        if kind == "fileno":
            kept.append(connected)
            file = connected.makefile("rb")
            kept.append(file)
            return file
        if kind == "pair":
            ours, theirs = socket.socketpair()
            kept.extend([theirs, connected])
            for a, b in ((theirs, connected), (connected, theirs)):
                threading.Thread(target=relay, args=(a, b), daemon=True).start()
            return ours
        return connected

    def relay(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
        except OSError:
            pass  # The test is over.

    client = made(connector=connect)
    assert [client.get("http://a.invalid/").status_code for _ in range(2)] == [200, 200]
    assert server.accepted == 1
    client.manager.close_all(now=True)
    for each in kept:
        if isinstance(each, socket.socket):
            each.settimeout(None)
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # The library has ended it.
        each.close()


@pytest.mark.parametrize(
    ("error", "number", "is_reported"),
    [(ConnectionRefusedError(111, "no"), 111, False), (OSError("no"), 0, False), (KeyError("no"), 0, True)],
)
def test_an_exception_of_a_connector_is_a_connect_error(made, monkeypatch, error, number, is_reported):
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: reported.append(report.exc_type))

    def connect(origin, host, port):
        raise error

    with pytest.raises(hangup.ConnectError, match="a.invalid:80") as caught:
        made(connector=connect).get("http://a.invalid/")
    assert caught.value.os_code == number
    assert reported == ([KeyError] if is_reported else [])


def test_what_is_no_plain_connected_socket_is_refused(made, monkeypatch):
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: reported.append(str(report.exc_value)))

    def tls(origin, host, port):
        return ssl.create_default_context().wrap_socket(socket.socket(), do_handshake_on_connect=False, server_hostname="a")

    for connect, word in [
        (lambda *_: "no socket", "str"),
        (lambda *_: None, "NoneType"),
        (tls, "TLS"),
        (lambda *_: os.open("/dev/null", os.O_RDWR), None),
        (lambda *_: socket.create_server(("127.0.0.1", 0)), None),
        (lambda *_: -1, None),
    ]:
        with pytest.raises(hangup.ConnectError):
            made(connector=connect).get("http://a.invalid/")
        if word is not None:
            assert word in reported.pop()
    assert reported == []


def test_a_connector_that_blocks_delays_no_timeout_and_its_late_socket_is_closed(server, made):
    go = threading.Event()
    begun = []

    def connect(origin, host, port):
        begun.append(host)
        go.wait(20)
        return socket.create_connection(("127.0.0.1", server.port))

    client = made(connector=connect)
    with pytest.raises(hangup.ConnectTimeout) as caught:
        client.get("http://a.invalid/", timeout=hangup.Timeout(connect=0.05))
    assert caught.value.phase == "connect"
    token = hangup.CancelToken()
    # A call that ends before its connector was called does not call it any more.
    before = len(begun)
    call = Background(lambda: client.get("http://a.invalid/", cancel=token))
    wait_until(lambda: len(begun) > before)
    assert client.manager.stats().dialling == 1
    token.cancel()
    assert isinstance(call.ended().error, hangup.Cancelled)
    go.set()
    wait_until(lambda: server.accepted == len(begun))
    assert all(server.ended(number) is not None for number in range(len(begun)))


def test_a_connector_is_dropped_with_its_last_use(server, made, manager):
    class Connect:
        def __call__(self, origin, host, port):
            return socket.create_connection(("127.0.0.1", server.port))

    connect = Connect()
    dropped = weakref.ref(connect)
    client = made(connector=connect)
    assert client.get("http://a.invalid/").status_code == 200
    del connect
    manager.close_all(now=True)
    other = made()
    assert other.get(server.url).status_code == 200
    gc.collect()
    assert dropped() is not None, "the client has it"


def test_an_origin_is_connected_elsewhere(server, made, manager):
    place = f"127.0.0.1:{server.port}"
    client = made(connect_to={"name.invalid:80": place, "*:81": (f":{server.port}", "other.invalid")})
    assert "Host: name.invalid\r\n" in client.get("http://name.invalid/").text
    assert "Host: 127.0.0.1:81\r\n" in client.get("http://127.0.0.1:81/").text
    assert [row.peer for row in manager.connections()] == [place, place]
    with pytest.raises(hangup.InvalidArgument):
        made(connect_to={"": place})
    with pytest.raises(hangup.InvalidArgument):
        made(connect_to={"a": "unix:relative"})


def test_one_family_one_interface_and_the_delay(server, made, manager):
    manager.set_address("both.test", ["::1", "127.0.0.1"])
    url = f"http://both.test:{server.port}/"
    client = made(address_family="ipv4", interface="lo", happy_eyeballs_delay=None)
    assert client.get(url).status_code == 200
    with pytest.raises(hangup.ConnectError, match="no IPv4 address"):
        client.get(f"http://[::1]:{server.port}/")
    with pytest.raises(hangup.ConnectError, match="nowhere0"):
        made(interface="nowhere0", happy_eyeballs_delay=0.1).get(url)
    with pytest.raises(hangup.InvalidArgument, match="address_family"):
        made(address_family="ipv5")
    with pytest.raises(hangup.InvalidTimeout, match="happy_eyeballs_delay"):
        made(happy_eyeballs_delay=0)
    with pytest.raises(hangup.InvalidArgument):
        made(interface="a/b")


def test_an_abstract_unix_socket(made):
    name = f"hangup-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{name}")
        listener.listen()

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

        threading.Thread(target=serve, daemon=True).start()
        assert made().get(f"http+unix://%40{name}/").text == "ok"


def test_unknown_entries_of_the_environments_no_proxy_are_passed_over(server, made, manager, monkeypatch, control):
    proxy = control.proxy()
    try:
        monkeypatch.setenv("http_proxy", proxy.url + "/a/path")
        monkeypatch.setenv("no_proxy", "/var/run/docker.sock,192.168.*")
        client = made()
        assert client.ignored_no_proxy == ["/var/run/docker.sock", "192.168.*"]
        with manager.events() as events:
            assert [client.get(server.url).status_code for _ in range(2)] == [200, 200]
            seen = iter(lambda: events.next(0), None)
            assert [(e.origin + "/", e.connection) for e in seen if e.type == "no_proxy ignored"] == [(server.url, None)]
        assert proxy.accepted == 1
        assert made(proxy=None).ignored_no_proxy == []
        with pytest.raises(hangup.InvalidArgument):
            made(no_proxy="192.168.*")
    finally:
        proxy.stop()


@pytest.mark.parametrize(("ttl", "count"), [(0, 3), (0.001, 3), (60, 1), (None, 1)])
def test_a_resolver_says_how_long_its_addresses_are_cached(serve, form, ttl, count):
    server = serve([forever(answer())])
    asked = []

    def resolve(host):
        asked.append(host)
        return ["127.0.0.1"], ttl

    with form(resolver=resolve, connection="fresh") as client:
        for _ in range(3):
            assert client.get(f"http://a.test:{server.port}/").text == "ok"
            threading.Event().wait(0.002)
    assert len(asked) == count
