"""Cookies are stored if that is switched on, and sent to their own site."""

import pytest

import hangup
from running import Background
from testserver import HEAD, answer, by_path, forever

SETS = answer("set", headers=[["Set-Cookie", "id=7; Path=/"], ["Set-Cookie", "theme=dark"]])
MOVES = answer("moved", 302, [["Set-Cookie", "hop=1; Path=/"], ["Location", "/echo"]])
TAKES = answer("taken", headers=[["Set-Cookie", "id=; Path=/; Max-Age=0"]])
SCRIPT = [forever(by_path({"/set": [SETS], "/moves": [MOVES], "/takes": [TAKES], "*": [{"echo_head": True}]}))]


@pytest.fixture
def server(serve):
    return serve(SCRIPT)


@pytest.fixture
def keeps(manager):
    return hangup.Client(manager=manager, cookies=True)


def sent(client, url, **options):
    """The Cookie header that a request had."""
    lines = client.get(url, **options).text.splitlines()
    found = [line.partition(": ")[2] for line in lines if line.lower().startswith("cookie:")]
    assert len(found) <= 1
    return found[0] if found else ""


def test_cookies_are_off_by_default(server, client):
    client.get(f"{server.url}set")
    assert sent(client, server.url) == "" == client.cookies.for_url(server.url)
    with pytest.raises(hangup.InvalidState):
        client.cookies.set(server.url, "a", "b")
    client.cookies.clear()


def test_a_cookie_of_a_response_is_sent_with_the_next_request(server, keeps):
    keeps.get(f"{server.url}set")
    assert sent(keeps, server.url) == "id=7; theme=dark" == keeps.cookies.for_url(server.url)
    keeps.get(f"{server.url}takes")
    assert sent(keeps, server.url) == "theme=dark"


def test_a_cookie_of_a_redirect_is_sent_with_the_next_hop(server, keeps):
    assert sent(keeps, f"{server.url}moves") == "hop=1"


def test_cookies_are_set_and_deleted_by_the_program(server, keeps):
    keeps.cookies.set(server.url, "id", "7")
    keeps.cookies.set(server.url, "deep", "yes", path="/deep", max_age=60)
    keeps.cookies.set(server.url, "lock", "1", secure=False, max_age=0.5)
    assert sent(keeps, server.url) == "id=7; lock=1"
    assert sent(keeps, f"{server.url}deep/er") == "deep=yes; id=7; lock=1"
    keeps.cookies.set(server.url, "lock", "", max_age=0)
    assert keeps.cookies.for_url(server.url) == "id=7"
    keeps.cookies.clear()
    assert keeps.cookies.for_url(server.url) == ""
    keeps.get(f"{server.url}set")
    assert keeps.cookies.for_url(server.url) == "id=7; theme=dark"


def test_a_domain_cookie_is_sent_to_all_subdomains(keeps):
    keeps.cookies.set("https://www.example.org/", "wide", "1", domain="example.org")
    keeps.cookies.set("https://www.example.org/", "narrow", "1")
    keeps.cookies.set("https://www.example.org/", "safe", "1", secure=True)
    assert keeps.cookies.for_url("https://api.example.org/") == "wide=1"
    assert keeps.cookies.for_url("http://www.example.org/") == "wide=1; narrow=1"
    assert keeps.cookies.for_url("https://www.example.org/") == "wide=1; narrow=1; safe=1"
    assert keeps.cookies.for_url("https://example.net/") == ""


@pytest.mark.parametrize(
    ("name", "value", "more"),
    [
        ("", "v", {}),
        ("a=b", "v", {}),
        ("a b", "v", {}),
        ("a;", "v", {}),
        ("a", "v; Domain=org", {}),
        ("a", "v\r\nX: y", {}),
        ("a", "v\0", {}),
        ("a", "v", {"path": "/; Secure"}),
        ("a", "v", {"domain": "x;y"}),
        ("a", "v", {"domain": "org"}),
        ("a", "v", {"domain": "example.net"}),
        ("a", "v", {"max_age": -1}),
        ("a", "v" * 5000, {}),
    ],
)
def test_a_cookie_that_no_response_could_set_is_refused(keeps, name, value, more):
    with pytest.raises(hangup.InvalidArgument) as caught:
        keeps.cookies.set("https://www.example.org/", name, value, **more)
    assert len(value) == 1 or value not in str(caught.value)
    assert keeps.cookies.for_url("https://www.example.org/") == ""


@pytest.mark.parametrize("url", ["nowhere", "ftp://x/", "http://x/\0"])
def test_invalid_urls_are_refused(keeps, url):
    with pytest.raises(hangup.InvalidURL):
        keeps.cookies.set(url, "a", "b")
    with pytest.raises(hangup.InvalidURL):
        keeps.cookies.for_url(url)


def test_a_request_with_a_cookie_of_its_own_sends_that_one(server, keeps):
    keeps.cookies.set(server.url, "id", "7")
    assert sent(keeps, server.url, headers={"Cookie": "mine=1"}) == "mine=1"


def test_two_clients_have_two_jars(server, manager, keeps):
    other = hangup.Client(manager=manager, cookies=True)
    keeps.cookies.set(server.url, "id", "7")
    assert sent(other, server.url) == "" and sent(keeps, server.url) == "id=7"


def test_a_full_jar_takes_changes_and_deletes(keeps):
    url = "http://shop.example/"
    for number in range(3100):
        keeps.cookies.set(f"http://site{number % 50}.example/", f"t{number}", "1")
    keeps.cookies.set(url, "sid", "old")
    keeps.cookies.set(url, "sid", "new")
    assert keeps.cookies.for_url(url) == "sid=new"
    keeps.cookies.set(url, "sid", "", max_age=0)
    assert keeps.cookies.for_url(url) == ""
    keeps.cookies.clear()
    for number in range(500):
        keeps.cookies.set(url, f"c{number}", "1")
    assert keeps.cookies.for_url(url) == "; ".join(f"c{number}=1" for number in range(320, 500))


def test_cookie_bytes_that_are_not_utf8_are_kept(serve, keeps):
    sets = {"send_hex": b"HTTP/1.1 200 OK\r\nSet-Cookie: a=caf\xe9\r\nContent-Length: 0\r\n\r\n".hex()}
    server = serve([HEAD, sets])
    keeps.get(server.url)
    assert keeps.cookies.for_url(server.url) == "a=caf\ufffd"


def test_a_jar_can_be_used_by_many_threads(server, keeps):
    def work(number):
        for turn in range(50):
            keeps.cookies.set(server.url, f"n{number}", str(turn))
            assert f"n{number}={turn}" in sent(keeps, server.url)

    for call in [Background(lambda number=number: work(number)) for number in range(6)]:
        assert call.ended(30).error is None, call.error
    assert len(keeps.cookies.for_url(server.url).split("; ")) == 6
