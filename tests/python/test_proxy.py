"""Requests through a proxy, without it, and refusals of proxies."""

import pickle

import pytest

import hangup
from running import python
from testserver import HEAD, answer, forever


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def origin(serve):
    return serve([forever(answer("from the origin"))])


@pytest.fixture
def secure(serve):
    server = serve([{"tls": "good"}, forever(answer("secret"))])
    return server.url.replace("http:", "https:").replace("127.0.0.1", "localhost")


@pytest.fixture
def start(control):
    """Starts a proxy; it is stopped at the end."""
    started = []

    def proxy(kind="proxy", **options):
        started.append(getattr(control, kind)(**options))
        return started[-1]

    yield proxy
    for proxy in started:
        proxy.stop()


def test_a_plain_request_goes_to_the_proxy_and_its_connection_is_kept(origin, start, manager):
    proxy = start()
    client = hangup.Client(manager=manager, proxy=proxy.url)
    assert client.get(origin.url).text == "from the origin" and client.get(origin.url).reused
    assert [head.splitlines()[0] for head in proxy.heads()] == [f"GET {origin.url} HTTP/1.1"] * 2
    assert hangup.Client(manager=manager, proxy=None).get(origin.url).reused is False
    assert len(proxy.heads()) == 2


def test_https_goes_through_a_tunnel(secure, start, manager, control):
    proxy = start(credentials=["user", "pass"])
    url = proxy.url.replace("://", "://user:pass@")
    client = hangup.Client(manager=manager, proxy=url, verify=control.certs() / "ca.pem")
    r = client.get(secure)
    assert r.text == "secret" and r.timings.proxy is not None and r.timings.tls is not None
    assert proxy.tunnels == [secure.partition("://")[2].strip("/")]
    (head,) = proxy.heads()
    assert head.startswith("CONNECT localhost:") and "proxy-authorization: basic dxnlcjpwyxnz" in head.lower()


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_socks(origin, start, manager, scheme):
    socks = start("socks", hosts={"far.test": f"127.0.0.1:{origin.port}"}, credentials=["user", "pass"])
    url = f"{scheme}://user:pass@127.0.0.1:{socks.port}"
    client = hangup.Client(manager=manager, proxy=url)
    assert client.get(origin.url).text == "from the origin"
    assert socks.asked[0]["port"] == origin.port and socks.asked[0]["credentials"] == ["user", "pass"]
    if scheme == "socks5h":  # the proxy looks the name up
        assert client.get(f"http://far.test:{origin.port}/").text == "from the origin"
        assert socks.asked[1]["host"] == "far.test"


@pytest.mark.parametrize("status", [405, 407, 502])
def test_a_refusal_of_a_proxy_is_an_error_with_its_status(secure, start, manager, status):
    proxy = start(conduct={"refuse": {"status": status, "headers": [], "body": "<html>no</html>"}})
    client = hangup.Client(manager=manager, proxy=proxy.url, verify=False)
    with pytest.raises(hangup.ProxyFailed, match=str(status)) as caught:
        client.post(secure, content=b"x")
    error = pickle.loads(pickle.dumps(caught.value))
    assert type(error) is hangup.ProxyFailed and error.status_code == status == caught.value.status_code
    assert (error.phase, error.sent, error.retry_safe, error.request) == ("proxy", "nothing", True, ("POST", secure))
    assert manager.connections() == []


def test_credentials_that_a_proxy_requires(origin, secure, start, manager):
    proxy = start(credentials=["user", "pass"])
    client = hangup.Client(manager=manager, proxy=proxy.url, verify=False)
    with pytest.raises(hangup.ProxyFailed) as caught:
        client.get(secure)
    assert caught.value.status_code == 407
    assert client.get(origin.url).status_code == 407  # a plain request gets the proxy's answer


def test_a_socks_proxy_that_refuses_has_no_status(origin, start, manager):
    socks = start("socks", conduct={"refuse": 5})
    with pytest.raises(hangup.ProxyFailed) as caught:
        hangup.Client(manager=manager, proxy=socks.url).get(origin.url)
    assert caught.value.status_code is None and caught.value.phase == "proxy"


def test_a_silent_proxy_is_timed_out_and_cancelled(secure, start, manager):
    proxy = start(conduct={"silent": "request"})
    client = hangup.Client(manager=manager, proxy=proxy.url, verify=False)
    with pytest.raises(hangup.TotalTimeout) as caught:
        client.get(secure, timeout=0.1)
    assert caught.value.phase == "proxy"
    token = hangup.CancelToken()
    token.cancel()
    with pytest.raises(hangup.Cancelled):
        client.get(secure, cancel=token)


def test_the_environment_is_the_default(origin, start, monkeypatch):
    proxy = start()
    monkeypatch.setenv("http_proxy", proxy.url)
    for options, through in (
        ({}, 1),
        ({"proxy": "env"}, 1),
        ({"proxy": None}, 0),
        ({"trust_env": False}, 0),
        ({"no_proxy": "127.0.0.1"}, 0),
        ({"no_proxy": ["10.0.0.0/8", "127.0.0.0/8"]}, 0),
        ({"no_proxy": ["example.org", "10.0.0.0/8"]}, 1),
        ({"no_proxy": f"127.0.0.1:{origin.port}"}, 0),
        ({"no_proxy": f"127.0.0.1:{origin.port + 1}"}, 1),
        ({"no_proxy": "*"}, 0),
        ({"no_proxy": ""}, 1),
        ({"no_proxy": []}, 1),
    ):
        before = sum(len(proxy.heads(number)) for number in range(proxy.accepted))
        client = hangup.Client(limits=hangup.Limits(), **options)
        assert client.get(origin.url).text == "from the origin"
        after = sum(len(proxy.heads(number)) for number in range(proxy.accepted))
        assert after - before == through, options
    monkeypatch.setenv("no_proxy", "127.0.0.0/8")
    assert hangup.Client(limits=hangup.Limits()).get(origin.url).text == "from the origin"
    assert sum(len(proxy.heads(number)) for number in range(proxy.accepted)) == after


def test_the_environment_of_a_process(origin, start):
    """Set in the environment before the process starts; also for the client behind `hangup.get`."""
    proxy = start()
    program = "import hangup, sys; assert hangup.get(sys.argv[1]).text == 'from the origin'"
    python(program, origin.url, env={"ALL_PROXY": proxy.url})
    assert len(proxy.heads()) == 1
    python(program, origin.url, env={"HTTP_PROXY": proxy.url, "NO_PROXY": "127.0.0.1"})
    assert proxy.accepted == 1


def test_invalid_proxies_are_refused(monkeypatch, origin):
    for wrong in ("ftp://x", "http://", "http://x\0y", "http://a b"):
        with pytest.raises(hangup.InvalidArgument):
            hangup.Client(proxy=wrong)
    for wrong in ("10.0.0.0/99", "x:99999"):
        with pytest.raises(hangup.InvalidArgument):
            hangup.Client(no_proxy=wrong)
    monkeypatch.setenv("http_proxy", "ftp://x")
    with pytest.raises(hangup.InvalidArgument, match="http_proxy"):
        hangup.Client(limits=hangup.Limits()).get(origin.url)
    assert hangup.Client(limits=hangup.Limits(), trust_env=False).get(origin.url).text == "from the origin"


def test_other_credentials_are_another_connection(origin, start, manager):
    proxy = start()
    urls = [proxy.url, proxy.url.replace("://", "://a:b@"), proxy.url.replace("://", "://a:c@")]
    for url in urls:
        assert not hangup.Client(manager=manager, proxy=url).get(origin.url).reused
    for url in urls:
        assert hangup.Client(manager=manager, proxy=url).get(origin.url).reused
    assert proxy.accepted == 3


def test_an_unreachable_proxy_is_named(origin, manager):
    with pytest.raises((hangup.ConnectError, hangup.ProxyFailed), match="127.0.0.1:1"):
        hangup.Client(manager=manager, proxy="http://127.0.0.1:1").get(origin.url)


def test_a_local_address(origin, manager):
    for address in ("127.0.0.1", "127.0.0.2"):
        client = hangup.Client(manager=manager, local_address=address)
        assert not client.get(origin.url).reused and client.get(origin.url).reused
    locals_ = {row.local.partition(":")[0] for row in manager.connections()}
    assert locals_ == {"127.0.0.1", "127.0.0.2"}
    with pytest.raises(hangup.InvalidArgument):
        hangup.Client(local_address="localhost")
    with pytest.raises(hangup.ConnectError):
        hangup.Client(manager=manager, local_address="192.0.2.7").get(origin.url)


def test_an_interrupted_tunnel_is_no_connection(secure, start, manager):
    proxy = start(conduct={"close": "request"})
    with pytest.raises(hangup.RequestError) as caught:
        hangup.Client(manager=manager, proxy=proxy.url, verify=False).get(secure)
    assert caught.value.phase == "proxy" and manager.connections() == []
