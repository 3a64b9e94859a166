"""Limits on connections, the queue for them, and refusals."""

import dataclasses
import pickle
import time
from datetime import timedelta

import pytest

import hangup
from running import Background, wait_until
from testserver import HEAD, answer, forever, send

OK = send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
GATED = [HEAD, {"await": "go"}, OK, forever(answer())]

DEFAULTS = {
    "total": None,
    "per_origin": None,
    "idle_total": 256,
    "idle_per_origin": 64,
    "queue": 10_000,
    "idle": 90,
    "max_age": None,
    "max_requests": None,
    "keep_alive": 15,
}


def with_limits(**limits):
    return hangup.Client(limits=hangup.Limits(**limits))


def test_the_defaults_are_those_of_the_library(manager):
    assert dataclasses.asdict(hangup.Limits()) == DEFAULTS
    assert manager.limits == hangup.Limits() and hash(manager.limits) == hash(hangup.Limits())


def test_limits_are_a_value():
    limits = hangup.Limits(total=5, idle=timedelta(seconds=1.5), max_age=None)
    assert limits == hangup.Limits(total=5, idle=1.5) != hangup.Limits() and limits.idle == 1.5
    assert pickle.loads(pickle.dumps(limits)) == limits
    with pytest.raises(dataclasses.FrozenInstanceError):
        limits.total = 6


def test_every_limit_can_be_set_and_read(manager):
    limits = hangup.Limits(
        total=7,
        per_origin=6,
        idle_total=5,
        idle_per_origin=4,
        queue=3,
        idle=2.5,
        max_age=60,
        max_requests=9,
        keep_alive=1.001,
    )
    manager.limits = limits
    assert manager.limits == limits == hangup.Manager(limits).limits
    manager.set_limits(total=None, idle=timedelta(minutes=1))
    assert manager.limits == dataclasses.replace(limits, total=None, idle=60)
    nothing = hangup.Limits(**dict.fromkeys(DEFAULTS))
    manager.limits = nothing
    assert manager.limits == nothing


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        ({"total": 0}, hangup.InvalidArgument),
        ({"per_origin": 0}, hangup.InvalidArgument),
        ({"max_requests": 0}, hangup.InvalidArgument),
        ({"total": -1}, hangup.InvalidArgument),
        ({"queue": True}, hangup.InvalidArgument),
        ({"idle_total": 1.5}, hangup.InvalidArgument),
        ({"idle_per_origin": "1"}, hangup.InvalidArgument),
        ({"total": 2**63}, hangup.InvalidArgument),
        ({"idle": 0}, hangup.InvalidTimeout),
        ({"max_age": -1}, hangup.InvalidTimeout),
        ({"keep_alive": float("nan")}, hangup.InvalidTimeout),
    ],
)
def test_limits_that_allow_no_connection_are_refused(manager, wrong, kind):
    for call in (lambda: hangup.Limits(**wrong), lambda: manager.set_limits(**{"queue": 5, **wrong})):
        with pytest.raises(kind, match="None|drain|connections") as caught:
            call()
        assert type(caught.value) is kind
    assert manager.limits == hangup.Limits(), "one was refused, and so none is set"


def test_ten_requests_share_one_dial_in_the_order_of_their_arrival(serve):
    server = serve([HEAD, {"await": "go"}, OK, forever(answer())])
    client = with_limits(per_origin=1)
    calls = []
    for number in range(10):
        calls.append(Background(lambda number=number: client.get(f"{server.url}{number}")))
        if number == 0:
            server.wait_heads()
        else:
            wait_until(lambda number=number: client.manager.stats().queued == number)
    assert client.manager.stats().open == 1
    server.release("go")
    assert [call.ended().value.text for call in calls] == ["ok"] * 10
    assert [head.split()[1] for _, head in server.accepted_order] == [f"/{number}" for number in range(10)]
    stats = client.manager.stats()
    assert (server.accepted, stats.opened, stats.waited, stats.queued) == (1, 1, 9, 0)


def test_the_total_limit_counts_all_origins_and_an_idle_connection_makes_room(serve):
    one, two = serve([forever(answer())]), serve([forever(answer())])
    client = with_limits(total=1)
    first = client.get(one.url).connection
    client.get(two.url)
    assert [row.origin for row in client.manager.connections()] == [two.origin]
    assert client.manager.close_reason(first) == "pool full"


def test_a_wait_in_the_queue_has_its_own_timeout(serve):
    server = serve(GATED)
    client = with_limits(total=1)
    first = Background(lambda: client.get(server.url))
    server.wait_heads()
    with pytest.raises(hangup.PoolTimeout) as caught:
        client.get(server.url, timeout=hangup.Timeout(pool=0.05))
    error = caught.value
    assert (error.phase, error.timeout, error.sent, error.retry_safe) == ("pool", "pool", "nothing", True)
    server.release("go")
    assert first.ended().value.text == "ok" and client.manager.stats().queued == 0


def test_a_full_queue_refuses_at_once(serve):
    server = serve(GATED)
    client = with_limits(total=1, queue=1)
    first = Background(lambda: client.get(server.url))
    server.wait_heads()
    second = Background(lambda: client.get(server.url))
    wait_until(lambda: client.manager.stats().queued == 1)
    with pytest.raises(hangup.QueueFull) as caught:
        client.post(server.url, content=b"x")
    error = pickle.loads(pickle.dumps(caught.value))
    assert type(error) is hangup.QueueFull and error.request == ("POST", server.url)
    assert (error.phase, error.sent, error.retry_safe, error.connection) == ("pool", "nothing", True, None)
    assert first.is_running and second.is_running
    server.release("go")
    assert [call.ended().value.text for call in (first, second)] == ["ok", "ok"]
    assert client.manager.stats().refused == 1


def test_a_cancelled_waiter_does_not_change_the_order(serve):
    server = serve(GATED)
    client, token = with_limits(total=1), hangup.CancelToken()
    first = Background(lambda: client.get(server.url))
    server.wait_heads()
    cancelled = Background(lambda: client.get(f"{server.url}cancelled", cancel=token))
    wait_until(lambda: client.manager.stats().queued == 1)
    last = Background(lambda: client.get(f"{server.url}last"))
    wait_until(lambda: client.manager.stats().queued == 2)
    token.cancel()
    error = cancelled.ended().error
    assert type(error) is hangup.Cancelled and error.phase == "pool" and last.is_running
    server.release("go")
    assert first.ended().value.text == last.ended().value.text == "ok"
    assert [head.split()[1] for head in server.heads()] == ["/", "/last"]


def test_a_raised_limit_admits_waiting_requests(serve):
    server = serve(GATED)
    client = with_limits(total=1)
    first = Background(lambda: client.get(server.url))
    server.wait_heads()
    second = Background(lambda: client.get(server.url))
    wait_until(lambda: client.manager.stats().queued == 1)
    client.manager.set_limits(total=2)
    server.wait_connections(2)
    server.release("go")
    assert first.ended().value.connection != second.ended().value.connection


def test_a_lowered_limit_waits_for_connections_in_use(serve):
    server = serve(GATED)
    client = with_limits()
    calls = [Background(lambda: client.get(server.url)) for _ in range(3)]
    server.wait_heads(3)
    client.manager.set_limits(total=1)
    assert client.manager.stats().in_use == 3
    server.release("go")
    assert [call.ended().value.text for call in calls] == ["ok"] * 3
    wait_until(lambda: client.manager.stats().open <= 1)


def test_a_connection_serves_a_limited_number_of_requests(serve):
    server = serve([forever(answer())])
    client = with_limits(max_requests=2)
    served = [client.get(server.url).connection for _ in range(4)]
    assert served[0] == served[1] != served[2] == served[3]
    assert client.manager.close_reason(served[0]) == "served enough"


def test_a_connection_has_a_maximum_age(serve):
    server = serve([forever(answer())])
    client = with_limits(max_age=0.2)
    first = client.get(server.url).connection
    wait_until(lambda: client.manager.connections() == [])
    assert client.manager.close_reason(first) == "too old" and server.ended() is not None


def test_an_idle_connection_that_the_server_closes_is_noticed(serve):
    server = serve([answer(), {"await": "go"}])
    client = with_limits()
    first = client.get(server.url).connection
    server.release("go")
    wait_until(lambda: client.manager.connections() == [])
    assert client.manager.stats().swept == 1 and client.manager.close_reason(first) == "peer closed"


def test_after_random_cancels_every_counter_is_zero(serve):
    """A thousand waiting requests, cancelled at random moments."""
    server = serve([forever(answer())])
    client = with_limits(per_origin=2)

    def work(seed):
        for turn in range(125):
            token = hangup.CancelToken().after(0.001 * (1 + (seed + turn) % 5))
            try:
                client.get(server.url, cancel=token)
            except hangup.TimeoutError as error:
                assert error.timeout == "token"

    for call in [Background(lambda seed=seed: work(seed)) for seed in range(8)]:
        assert call.ended(50).error is None, call.error
    wait_until(lambda: not client.manager.stats().dialling)
    stats = client.manager.stats()
    assert (stats.in_use, stats.queued, stats.open) == (0, 0, stats.idle) and stats.open <= 2
    assert server.most_open <= 3  # the server sees a close a moment later
    assert client.get(server.url).text == "ok"


def test_limits_make_a_manager_of_its_own(manager):
    client = with_limits(total=3)
    assert client.manager != hangup.shared_manager() and client.manager.limits.total == 3
    with pytest.raises(hangup.InvalidArgument, match="manager.limits"):
        hangup.Client(manager=manager, limits=hangup.Limits())


def test_a_network_change_closes_idle_connections(serve, client, manager):
    idle, busy = serve([forever(answer())]), serve(GATED)
    client.get(idle.url)
    blocked = Background(lambda: client.get(busy.url))
    busy.wait_heads()
    manager.clear_addresses()
    assert len(manager.connections()) == 2
    assert manager.network_watch is True
    manager.network_watch = False
    assert manager.network_watch is False
    with manager.events() as events:
        assert manager.network_changed() == 2
        event = events.next(0)
        assert event is not None
        assert (event.type, event.origin, event.connection) == ("network changed", "", None)
    (row,) = manager.connections()
    assert row.closing and row.origin == busy.origin and idle.ended() is not None
    busy.release("go")
    first = blocked.ended().value
    assert first.text == "ok" and manager.connections() == []
    assert manager.close_reason(first.connection) == "network changed"
    assert client.get(idle.url).text == "ok"


def test_other_threads_run_while_one_waits_in_the_queue(serve):
    server = serve(GATED)
    client = with_limits(total=1)
    first = Background(lambda: client.get(server.url))
    server.wait_heads()
    second = Background(lambda: client.get(server.url))
    wait_until(lambda: client.manager.stats().queued == 1)
    begin, turns = time.monotonic(), 0
    while time.monotonic() - begin < 0.2:
        turns += 1
    assert turns > 10_000 and second.is_running
    server.release("go")
    assert first.ended().value.text == second.ended().value.text == "ok"
