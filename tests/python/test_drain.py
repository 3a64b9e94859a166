"""A drain ends a manager after its running requests."""

import builtins
import pickle
import time
from datetime import timedelta

import pytest

import hangup
from running import Background, python, wait_until
from testserver import HEAD, answer, forever, send

GATED = [HEAD, {"await": "go"}, send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), forever(answer())]


def test_a_drain_waits_for_running_requests_and_refuses_others(serve, client, manager):
    server, idle = serve(GATED), serve([forever(answer())])
    client.get(idle.url)
    running = Background(lambda: client.get(server.url))
    server.wait_heads()
    draining = Background(manager.drain)
    assert idle.ended() is not None
    with pytest.raises(hangup.ManagerShutDown):
        client.get(server.url)
    assert running.is_running and draining.is_running
    server.release("go")
    assert running.ended().value.text == "ok"
    assert draining.ended().error is None and manager.connections() == []
    manager.drain(0.001)


def test_a_drain_refuses_requests_in_the_queue(serve):
    server = serve(GATED)
    client = hangup.Client(limits=hangup.Limits(total=1))
    running = Background(lambda: client.get(server.url))
    server.wait_heads()
    waiting = Background(lambda: client.get(server.url))
    wait_until(lambda: client.manager.stats().queued == 1)
    draining = Background(client.manager.drain)
    error = waiting.ended().error
    assert type(error) is hangup.ManagerShutDown and error.phase == "pool" and draining.is_running
    server.release("go")
    assert running.ended().value.text == "ok" and draining.ended().error is None


@pytest.mark.parametrize("timeout", [0.05, timedelta(milliseconds=50)])
def test_a_drain_that_times_out_returns_the_number_of_open_connections(serve, client, manager, timeout):
    server = serve(GATED)
    running = [Background(lambda: client.get(server.url)) for _ in range(3)]
    server.wait_heads(3)
    with pytest.raises(hangup.DrainTimeout, match="3 connections") as caught:
        manager.drain(timeout)
    error = pickle.loads(pickle.dumps(caught.value))
    assert type(error) is hangup.DrainTimeout and error.open_connections == 3 and error.__dict__ == caught.value.__dict__
    assert isinstance(error, (hangup.TimeoutError, builtins.TimeoutError))
    server.release("go")
    manager.drain(10)
    assert [call.ended().value.text for call in running] == ["ok"] * 3


def test_a_drain_waits_for_an_open_stream(serve, client, manager):
    server = serve([HEAD, send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), "stall"])
    with client.stream("GET", server.url) as r:
        draining = Background(manager.drain)
        wait_until(lambda: manager.connections()[0].closing)
        assert draining.is_running and next(r.iter_bytes()) == b"abc"
    assert draining.ended().error is None


def test_a_shutdown_ends_a_drain(serve, client, manager):
    server = serve(GATED)
    running = Background(lambda: client.get(server.url))
    server.wait_heads()
    draining = [Background(manager.drain) for _ in range(3)]
    wait_until(lambda: manager.connections()[0].closing)
    manager.shutdown()
    assert type(running.ended().error) is hangup.ManagerShutDown
    assert [call.ended().error for call in draining] == [None] * 3


@pytest.mark.parametrize("wrong", [0, -1, True, "1"])
def test_invalid_timeouts_are_refused(manager, wrong):
    with pytest.raises(hangup.InvalidTimeout, match="None"):
        manager.drain(wrong)


def test_other_threads_run_while_one_drains(serve, client, manager):
    server = serve(GATED)
    running = Background(lambda: client.get(server.url))
    server.wait_heads()
    draining = Background(manager.drain)
    begin, turns = time.monotonic(), 0
    while time.monotonic() - begin < 0.2:
        turns += 1
    assert turns > 10_000 and draining.is_running
    server.release("go")
    assert running.ended().value.text == "ok" and draining.ended().error is None


@pytest.mark.parametrize("where", ["threading.main_thread().ident", "threading.get_ident()"])
def test_ctrl_c_ends_a_drain(serve, where):
    server = serve([HEAD, "stall"])
    python(
        f"""
        import signal, sys, threading, time, hangup
        client = hangup.Client(manager=hangup.Manager())
        manager = client.manager
        ended = []

        def work():
            try:
                client.get(sys.argv[1])
            except hangup.ManagerShutDown as error:
                ended.append(error)

        worker = threading.Thread(target=work)
        worker.start()
        while not manager.stats().in_use:
            time.sleep(0.01)

        def interrupt():
            time.sleep(0.3)
            signal.pthread_kill({where}, signal.SIGINT)
            time.sleep(1)

        threading.Thread(target=interrupt, daemon=True).start()
        begin = time.monotonic()
        try:
            manager.drain(30)
        except KeyboardInterrupt:
            assert time.monotonic() - begin < 5
        else:
            raise AssertionError("drained")
        assert manager.stats().in_use == 1  # what runs goes on
        manager.shutdown()
        worker.join()
        assert len(ended) == 1
        """,
        server.url,
    )
