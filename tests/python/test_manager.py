"""The list of connections, and closing them by id, by origin, if idle, or all."""

import dataclasses
import json
import time

import pytest

import hangup
from running import Background, wait_until
from testserver import HEAD, answer, forever, send

GATED = [HEAD, {"await": "go"}, send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), forever(answer())]


def states(manager):
    return [connection.state for connection in manager.connections()]


def test_a_row_of_the_list_has_every_fact(serve, client, manager):
    server = serve([forever(answer("hello"))])
    first = client.get(server.url)
    client.get(server.url)
    (row,) = manager.connections()
    assert row.id == first.connection
    assert (row.origin, row.peer) == (server.origin, f"127.0.0.1:{server.port}")
    assert row.local.startswith("127.0.0.1:") and row.tls == ""
    assert (row.state, row.closing, row.requests) == ("idle", False, 2)
    assert row.bytes_out > 40 and row.bytes_in > 40
    assert 0 <= row.idle <= row.age < 30
    assert 0 < row.tcp_facts.rtt < 30 and 0 <= row.tcp_facts.silence < 30
    assert row.tcp_facts.unacked_bytes >= row.tcp_facts.unsent_bytes >= 0
    assert (row.tcp_facts.retransmissions_in_row, row.tcp_facts.unanswered_probes) == (0, 0)
    (shown,) = json.loads(manager.connections_json())
    assert set(shown["tcp_facts"]) == {"rtt_us", "silence_ms", *row.tcp_facts._fields[2:]}
    with pytest.raises(dataclasses.FrozenInstanceError):
        row.id = 5


def test_a_connection_in_use_is_not_idle(serve, client, manager):
    server = serve(GATED)
    blocked = Background(lambda: client.get(server.url))
    server.wait_heads()
    (row,) = manager.connections()
    assert (row.state, row.idle) == ("in use", None)
    assert (manager.stats().in_use, manager.stats().idle) == (1, 0)
    server.release("go")
    assert blocked.ended().value.text == "ok"
    assert states(manager) == ["idle"]


def test_stats_count(serve, client, manager):
    server = serve([forever(answer())])
    for _ in range(3):
        client.get(server.url)
    client.get(server.url, connection="close")
    stats = manager.stats()
    assert (stats.open, stats.idle, stats.in_use, stats.dialling) == (1, 1, 0, 0) or stats.open == 0
    assert stats.opened - stats.closed == stats.open and stats.reused >= 2
    with pytest.raises(hangup.ConnectError):
        client.get("http://127.0.0.1:1/")
    assert manager.stats().dials_failed == 1


def test_close_by_id_lets_the_exchange_end_well(serve, client, manager):
    server = serve(GATED)
    blocked = Background(lambda: client.get(server.url))
    server.wait_heads()
    manager.close(manager.connections()[0].id)
    assert manager.connections()[0].closing and blocked.is_running
    server.release("go")
    assert blocked.ended().value.text == "ok"
    assert server.ended() is not None and manager.connections() == []


def test_close_by_id_now_ends_the_exchange(serve, client, manager):
    server = serve(GATED)
    blocked = Background(lambda: client.get(server.url))
    server.wait_heads()
    begin = time.monotonic()
    manager.close(manager.connections()[0].id, now=True)
    error = blocked.ended().error
    assert type(error) is hangup.Closed and error.phase == "head" and blocked.at - begin < 0.1
    assert server.ended() is not None and manager.connections() == []


def test_close_now_ends_the_read_of_a_stream(serve, client, manager):
    server = serve([HEAD, send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), "stall"])
    with client.stream("GET", server.url) as r:
        pieces = r.iter_bytes()
        next(pieces)
        blocked = Background(lambda: next(pieces))
        time.sleep(0.05)
        manager.close(r.connection, now=True)
        assert type(blocked.ended().error) is hangup.Closed


def test_an_id_that_is_gone_is_not_found(serve, client, manager):
    server = serve([forever(answer())])
    connection = client.get(server.url).connection
    manager.close(connection)
    for gone in (connection, 2**63, 0):
        with pytest.raises(hangup.NotFound) as caught:
            manager.close(gone)
        assert isinstance(caught.value, LookupError)


def test_why_a_connection_was_closed(serve, client, manager):
    server = serve([forever(answer())])
    by_id = client.get(server.url).connection
    with pytest.raises(hangup.NotFound):
        manager.close_reason(by_id)
    manager.close(by_id)
    assert manager.close_reason(by_id) == "closed by id"
    short = client.get(server.url, connection="close").connection
    assert manager.close_reason(short) == "asked by request"
    with pytest.raises(hangup.TotalTimeout) as caught:
        client.get(serve([HEAD, "stall"]).url, timeout=0.05)
    assert manager.close_reason(caught.value.connection) == "request timed out"


def test_close_origin_keeps_other_origins(serve, client, manager):
    one, two = serve([forever(answer())]), serve([forever(answer())])
    client.get(one.url)
    client.get(two.url)
    assert manager.close_origin(one.origin) == 1
    assert [row.origin for row in manager.connections()] == [two.origin]
    assert manager.close_origin(one.origin, now=True) == 0
    with pytest.raises(hangup.InvalidURL):
        manager.close_origin("nonsense")


def test_close_idle_keeps_connections_in_use(serve, client, manager):
    idle, busy = serve([forever(answer())]), serve(GATED)
    client.get(idle.url)
    blocked = Background(lambda: client.get(busy.url))
    busy.wait_heads()
    assert manager.close_idle(60) == 0
    assert manager.close_idle() == 1
    assert idle.ended() is not None and states(manager) == ["in use"]
    busy.release("go")
    assert blocked.ended().value.text == "ok"
    with pytest.raises(hangup.InvalidTimeout):
        manager.close_idle(-1)


def test_close_all(serve, client, manager):
    server = serve(GATED)
    blocked = Background(lambda: client.get(server.url))
    server.wait_heads()
    assert manager.close_all(now=True) == 1
    assert type(blocked.ended().error) is hangup.Closed
    assert client.get(serve([answer()]).url).status_code == 200


def test_shutdown_is_for_good(serve, client, manager):
    server = serve(GATED)
    blocked = Background(lambda: client.get(server.url))
    server.wait_heads()
    manager.shutdown()
    manager.shutdown()
    assert type(blocked.ended().error) is hangup.ManagerShutDown
    with pytest.raises(hangup.ManagerShutDown):
        client.get(server.url)
    assert server.ended() is not None and manager.connections() == []


def test_limits(serve, client, manager):
    one, two = serve([forever(answer())]), serve([forever(answer())])
    client.get(one.url)
    client.get(two.url)
    manager.set_limits(idle_total=1)
    assert [row.origin for row in manager.connections()] == [two.origin]
    manager.set_limits(idle_total=None, idle_per_origin=0)
    assert manager.connections() == []
    manager.set_limits(idle_per_origin=None, idle=0.05)
    client.get(one.url)
    time.sleep(0.1)
    wait_until(lambda: manager.connections() == [])
    for wrong in ({"idle_total": -1}, {"idle_per_origin": True}, {"idle_total": "1"}, {"idle": 0}):
        with pytest.raises(hangup.InvalidArgument):
            manager.set_limits(**wrong)


def test_managers_with_one_id_are_equal():
    shared = hangup.Manager.shared()
    assert shared == hangup.shared_manager() == hangup.Client().manager
    assert shared.id == hangup.shared_manager().id and len({shared, hangup.shared_manager()}) == 1
    assert shared != hangup.Manager() and repr(shared) == f"<Manager {shared.id}>"


def test_a_client_keeps_its_manager(serve):
    server = serve([forever(answer())])
    client = hangup.Client(manager=hangup.Manager())
    client.get(server.url)
    assert len(client.manager.connections()) == 1
    assert all(row.origin != server.origin for row in hangup.shared_manager().connections())
