"""Address overrides, custom resolvers, and preconnect."""

import gc
import ipaddress
import socket
import threading
import time
import weakref

import pytest

import hangup
from running import Background, python, wait_until
from testserver import HEAD, answer, forever, send


@pytest.fixture
def server(serve):
    return serve([forever(answer())])


def at(host, server):
    return f"http://{host}:{server.port}/"


@pytest.mark.parametrize("addresses", ["127.0.0.1", ["127.0.0.1"], ipaddress.ip_address("127.0.0.1"), ("::2", "127.0.0.1")])
def test_an_address_override(server, client, manager, addresses):
    manager.set_address("far.test", addresses)
    assert client.get(at("Far.Test", server)).text == "ok"
    manager.close_all()
    manager.set_address("far.test", None)
    with pytest.raises(hangup.ResolveError):
        client.get(at("far.test", server))


@pytest.mark.parametrize(("host", "addresses"), [("", "127.0.0.1"), ("a b", "127.0.0.1"), ("x.test", "localhost"), ("x.test", []), ("x.test", ""), ("x\0", "::1")])
def test_invalid_names_and_addresses_are_refused(manager, host, addresses):
    with pytest.raises(hangup.InvalidArgument):
        manager.set_address(host, addresses)


def test_a_resolvers_result_is_cached_for_a_minute(server):
    asked = []

    def resolver(host):
        asked.append((host, threading.get_ident()))
        return ["127.0.0.1"]

    client = hangup.Client(resolver=resolver, limits=hangup.Limits(per_origin=3))
    assert client.manager != hangup.shared_manager() and client.manager.limits.per_origin == 3
    for _ in range(2):
        assert client.get(at("Far.Test", server)).text == "ok"
        client.manager.close_all()
    assert [host for host, _ in asked] == ["far.test"] and asked[0][1] != threading.get_ident()
    client.manager.clear_addresses()
    client.get(at("far.test", server))
    client.get(server.url)  # an address is its own
    assert [host for host, _ in asked] == ["far.test"] * 2
    client.manager.set_resolver(None)
    client.manager.close_all()
    with pytest.raises(hangup.ResolveError):
        client.get(at("far.test", server))


@pytest.mark.parametrize(
    "found", ["127.0.0.1", ("127.0.0.1",), [ipaddress.ip_address("127.0.0.1")], iter(["127.0.0.1"]), {"127.0.0.1": 1}]
)
def test_the_results_that_a_resolver_may_return(server, manager, client, found):
    manager.set_resolver(lambda host: found)
    assert client.get(at("far.test", server)).text == "ok"


def test_a_resolver_that_finds_nothing(manager, client):
    manager.set_resolver(lambda host: [])
    with pytest.raises(hangup.ResolveError, match="far.test") as caught:
        client.get("http://far.test/")
    assert (caught.value.phase, caught.value.retry_safe) == ("resolve", True)

    def not_found(host):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    manager.set_resolver(not_found)
    with pytest.raises(hangup.ResolveError, match="far.test"):
        client.get("http://far.test/")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("wrong", [lambda host: 1 / 0, lambda host: None, lambda host: ["nonsense"], lambda: [], lambda host: [7, "\0"]])
def test_an_invalid_result_of_a_resolver_is_an_error(manager, client, wrong, monkeypatch):
    import sys

    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: told.append(unraisable.exc_type))
    manager.set_resolver(wrong)
    with pytest.raises(hangup.ResolveError):
        client.get("http://far.test/")
    assert len(told) == 1 and issubclass(told[0], Exception)


def test_a_cancelled_request_does_not_wait_for_a_resolver(server, client, manager):
    go, began = threading.Event(), threading.Event()

    def resolver(host):
        began.set()
        assert go.wait(30)
        return ["127.0.0.1"]

    manager.set_resolver(resolver)
    token = hangup.CancelToken()
    waiting = Background(lambda: client.get(at("far.test", server), cancel=token))
    assert began.wait(10)
    with pytest.raises(hangup.ConnectTimeout) as caught:
        client.get(at("far.test", server), timeout=hangup.Timeout(resolve=0.1))
    assert (caught.value.phase, caught.value.timeout) == ("resolve", "resolve")
    begin = time.monotonic()
    token.cancel()
    error = waiting.ended().error
    assert type(error) is hangup.Cancelled and error.phase == "resolve" and waiting.at - begin < 1
    go.set()
    assert client.get(at("far.test", server)).text == "ok"


def test_several_names_are_looked_up_at_once(server, client, manager):
    both = threading.Barrier(2)

    def resolver(host):
        both.wait(20)
        return ["127.0.0.1"]

    manager.set_resolver(resolver)
    calls = [Background(lambda host=host: client.get(at(host, server))) for host in ("a.test", "b.test")]
    assert [call.ended(20).value.text for call in calls] == ["ok", "ok"]


def test_a_resolver_may_use_hangup_itself(server, client, manager):
    inner = hangup.Client(manager=hangup.Manager())
    manager.set_resolver(lambda host: inner.get(server.url).text.replace("ok", "127.0.0.1"))
    assert client.get(at("far.test", server)).text == "ok"


def test_a_resolver_is_released(server):
    class Resolver:
        def __call__(self, host):
            return ["127.0.0.1"]

    manager, first, second = hangup.Manager(), Resolver(), Resolver()
    gone = [weakref.ref(first), weakref.ref(second)]
    manager.set_resolver(first)
    with hangup.Client(manager=manager) as client:
        client.get(at("far.test", server))
    manager.set_resolver(second)
    del first
    wait_until(lambda: gone[0]() is None)
    assert gone[1]() is not None
    del manager, client, second
    gc.collect()
    wait_until(lambda: gone[1]() is None)


def test_resolvers_can_be_replaced_during_lookups(server):
    """From many threads: there is no deadlock between the interpreter's lock and those of the library."""
    client = hangup.Client(limits=hangup.Limits())

    def work(number):
        for turn in range(60):
            client.manager.set_resolver(lambda host: ["127.0.0.1"])
            assert client.get(at(f"{number}-{turn}.test", server), connection="close").text == "ok"

    for call in [Background(lambda number=number: work(number)) for number in range(6)]:
        assert call.ended(50).error is None, call.error


def test_a_resolver_in_a_forked_child(server):
    python(
        """
        import os, signal, sys, hangup
        client = hangup.Client(resolver=lambda host: ["127.0.0.1"])
        url = f"http://far.test:{sys.argv[1]}/"
        client.get(url)
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            assert client.get(url).text == "ok"
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert client.get(url).reused
        """,
        str(server.port),
    )


@pytest.mark.parametrize("nap", ["time.sleep(0.0005)", "pass", "time.sleep(60)"])
def test_a_running_resolver_does_not_delay_the_exit(nap):
    """The end of the interpreter causes no crash in a thread of the library that runs the resolver."""
    for _ in range(3):
        python(
            f"""
            import threading, time, hangup

            began = threading.Event()

            def resolver(host):
                began.set()
                while True:
                    {nap}

            client = hangup.Client(resolver=resolver)
            threading.Thread(target=lambda: client.get("http://far.test/"), daemon=True).start()
            began.wait()
            """
        )


def test_preconnect(serve, manager):
    server = serve([forever(answer())])
    client = hangup.Client(manager=manager, base_url=server.url)
    assert client.preconnect("/anything", 3) == 3
    server.wait_connections(3)
    wait_until(lambda: manager.stats().idle == 3)
    assert client.preconnect(server.url, 3) == 0
    r = client.get("/")
    assert server.accepted == 3 and r.timings.connect is None
    assert manager.preconnect(server.origin, 4) == 1
    wait_until(lambda: manager.stats().idle == 4)
    with pytest.raises(hangup.InvalidURL):
        client.preconnect("http://a b/")
    with pytest.raises(hangup.InvalidURL):
        manager.preconnect("nowhere")
    for wrong in (-1, True, "1", 1.5):
        with pytest.raises(hangup.InvalidArgument):
            client.preconnect(server.url, wrong)
    manager.shutdown()
    with pytest.raises(hangup.ManagerShutDown):
        client.preconnect(server.url)


def test_preconnect_uses_the_clients_settings(serve, control, manager):
    secure = serve([{"tls": "good"}, forever(answer("secret"))])
    url = secure.url.replace("http:", "https:").replace("127.0.0.1", "localhost")
    trusting = hangup.Client(manager=manager, verify=control.certs() / "ca.pem")
    assert trusting.preconnect(url) == 1
    wait_until(lambda: manager.stats().idle == 1)
    r = trusting.get(url)
    assert r.text == "secret" and r.timings.tls is None and secure.accepted == 1


def test_limits_and_a_resolver_make_a_manager(manager):
    for options in ({"resolver": lambda host: []}, {"limits": hangup.Limits()}):
        with pytest.raises(hangup.InvalidArgument, match="manager"):
            hangup.Client(manager=manager, **options)
