"""Which connection serves a request."""

import pytest

import hangup
from running import Background
from testserver import HEAD, answer, forever, send

BOTH_FORMS = True


def test_a_connection_is_kept(serve, client, manager):
    server = serve([forever(answer())])
    first, second, third = (client.get(server.url) for _ in range(3))
    assert (first.reused, second.reused, third.reused) == (False, True, True)
    assert first.connection == second.connection == third.connection
    assert server.accepted == 1


@pytest.mark.parametrize("status", [204, 304])
def test_a_response_without_a_body_keeps_the_connection(serve, client, status):
    server = serve([forever(HEAD, send(f"HTTP/1.1 {status} No Body\r\n\r\n"))])
    for _ in range(20):
        client.get(server.url)
        client.head(server.url)
    assert server.accepted == 1


def test_close_makes_a_short_connection(serve, client, manager):
    server = serve([forever(answer())])
    client.get(server.url, connection="close")
    assert server.heads()[0].lower().count("connection: close") == 1
    assert server.ended() is not None and manager.connections() == []
    assert not client.get(server.url).reused


def test_fresh_does_not_use_an_idle_one(serve, client, manager):
    server = serve([forever(answer())])
    first = client.get(server.url)
    second = client.get(server.url, connection="fresh")
    assert second.connection != first.connection and not second.reused
    assert len(manager.connections()) == 2


def test_the_clients_mode_is_the_default(serve, manager, form):
    server = serve([forever(answer())])
    client = form(manager=manager, connection="close")
    client.get(server.url)
    assert manager.connections() == []
    client.get(server.url, connection="keep")
    assert len(manager.connections()) == 1


@pytest.mark.parametrize("wrong", ["closed", 5, None])
def test_another_mode_is_refused(client, wrong):
    with pytest.raises(hangup.InvalidArgument, match="'keep', 'close' or 'fresh'"):
        hangup.Client(connection=wrong)
    if wrong is not None:
        with pytest.raises(hangup.InvalidArgument):
            client.get("http://127.0.0.1:1/", connection=wrong)


def test_the_server_may_close(serve, client, manager):
    server = serve([answer(headers=[["Connection", "close"]])])
    client.get(server.url)
    assert manager.connections() == []
    assert not client.get(server.url).reused


def test_two_at_once_are_two_connections(serve, client):
    server = serve([HEAD, {"await": "go"}, send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), "stall"])
    both = [Background(lambda: client.get(server.url)) for _ in range(2)]
    server.wait_heads(2)
    server.release("go")
    assert len({call.ended().value.connection for call in both}) == 2 == server.accepted


def test_a_client_can_be_used_by_many_threads(serve, client, manager):
    server = serve([forever(answer("x" * 1000))])

    def work():
        return [client.get(server.url).text for _ in range(50)]

    for call in [Background(work) for _ in range(8)]:
        assert call.ended(30).value == ["x" * 1000] * 50
    assert manager.stats().in_use == 0 and server.accepted <= 8


def test_an_unread_response_that_is_dropped_closes_its_connection(serve, client, manager):
    server = serve([HEAD, send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), "stall"])
    raw = client._native.send(("GET", server.url, None, None, (), None, None, None, None, None), True)
    assert [row.state for row in manager.connections()] == ["in use"]
    del raw
    assert manager.connections() == [] and server.ended() is not None
