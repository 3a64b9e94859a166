"""Servers at a Unix-domain socket."""

import hangup
import pytest

from testserver import HEAD, answer, forever


def url_of(path):
    return f"http+unix://{path.replace('/', '%2F')}"


@pytest.fixture
def server(serve):
    return serve([forever({"echo_head": True})], unix=True)


def test_a_request_to_a_socket_has_localhost_as_host_and_keeps_its_connection(server, manager):
    url = url_of(server.path)
    client = hangup.Client(manager=manager, base_url=url, proxy="http://127.0.0.1:1")
    r = client.get("/a/b", params={"c": "d"})
    assert r.text.startswith("GET /a/b?c=d HTTP/1.1\r\n") and "host: localhost" in r.text.lower()
    assert r.url == f"{url}/a/b?c=d" and client.get(f"{url}/e").reused
    (row,) = manager.connections()
    assert (row.origin, row.peer, row.requests) == (url, "", 2)
    assert manager.close_origin(row.origin) == 1 and manager.connections() == []


def test_a_stream_an_upload_and_a_cancel(serve, client):
    server = serve([answer("taken"), HEAD, "stall"], unix=True)
    url = url_of(server.path) + "/"
    assert client.post(url, content=iter([b"one", b"two"])).text == "taken"
    with pytest.raises(hangup.TotalTimeout) as caught:
        client.get(url, timeout=0.1)
    assert caught.value.phase == "head" and server.ended() is not None


def test_a_path_without_a_listener(client):
    with pytest.raises(hangup.ConnectError, match="no%2Fsuch.sock"):
        client.get("http+unix://%2Fno%2Fsuch.sock/")


@pytest.mark.parametrize("url", ["http+unix://", "http+unix://relative.sock/", "http+unix:///run/app.sock"])
def test_urls_without_a_path_to_a_socket_are_refused(client, url):
    with pytest.raises(hangup.InvalidURL):
        client.get(url)


def test_no_redirect_leads_from_the_network_to_a_socket(serve, server, client):
    moves = serve([forever(answer("", 302, [["Location", url_of(server.path) + "/"]]))])
    with pytest.raises(hangup.RedirectRefused, match="unix"):
        client.get(moves.url)
    assert server.accepted == 0
