"""Subscriptions to the events of a manager."""

import dataclasses
import os
import pickle
import select
import signal
import threading
import time

import pytest

import hangup
from running import Background, python, wait_until
from testserver import HEAD, answer, forever, send

OK = send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
GATED = [HEAD, {"await": "go"}, OK, forever(answer())]


def until_none(events):
    """All events so far."""
    found = []
    while (event := events.next(0)) is not None:
        found.append(event)
    return found


def what(events, phases=False):
    return [event.type for event in until_none(events) if phases or event.type != "phase"]


def test_the_life_of_a_connection(serve, client, manager):
    server = serve([forever(answer())])
    with manager.events() as events:
        first = client.get(server.url).connection
        client.get(server.url)
        manager.close(first)
        found = until_none(events)
    assert [event.type for event in found if event.type != "phase"] == [
        *("opened", "leased", "returned"),
        *("leased", "returned", "closed"),
    ]
    assert {event.connection for event in found} == {first} and {event.origin for event in found} == {server.origin}
    assert [event.number for event in found] == list(range(found[0].number, found[0].number + len(found)))
    times = [event.at for event in found]
    assert times == sorted(times) and 0 <= times[0] <= times[-1] < 30
    assert [event.reason for event in found if event.reason] == ["closed by id"] and found[-1].type == "closed"
    phases = {event.phase: event.took for event in found if event.type == "phase"}
    assert {"connect", "head"} <= set(phases) and all(0 <= took < 30 for took in phases.values())
    assert all((event.phase is None) == (event.took is None) == (event.type != "phase") for event in found)


def test_an_event_is_a_value(serve, client, manager):
    events = manager.events()
    client.get(serve([forever(answer())]).url)
    event = events.next(5)
    assert event.type == "opened" and pickle.loads(pickle.dumps(event)) == event
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.number = 5


def test_waiting_in_the_queue_is_an_event(serve):
    server = serve(GATED)
    client = hangup.Client(limits=hangup.Limits(total=1))
    with client.manager.events() as events:
        first = Background(lambda: client.get(server.url))
        server.wait_heads()
        second = Background(lambda: client.get(server.url))
        wait_until(lambda: client.manager.stats().queued == 1)
        (queued,) = [event for event in until_none(events) if event.type == "queued"]
        assert (queued.connection, queued.origin) == (None, server.origin)
        server.release("go")
        assert first.ended().value.connection == second.ended().value.connection


def test_next_waits_for_an_event(serve, client, manager):
    server = serve([forever(answer())])
    with manager.events() as events:
        assert events.next(0) is None and events.next(0.02) is None
        waiting = Background(lambda: events.next(30))
        time.sleep(0.25)
        assert waiting.is_running
        client.get(server.url)
        assert waiting.ended().value.type == "opened"
        assert what(events)[:2] == ["leased", "returned"]


def test_iteration_ends_when_it_is_closed(serve, client, manager):
    server = serve([forever(answer())])
    events = manager.events()
    seen = []

    def listen():
        for event in events:
            seen.append(event.type)

    listener = Background(listen)
    client.get(server.url)
    manager.close_idle()
    wait_until(lambda: seen[-1:] == ["closed"])
    assert listener.is_running
    events.close()
    assert listener.ended().error is None
    assert [name for name in seen if name != "phase"] == ["opened", "leased", "returned", "closed"]
    assert list(events) == [] and events.is_closed
    events.close()
    for call in (lambda: events.next(0), events.fileno, lambda: events.lost):
        with pytest.raises(hangup.InvalidState, match="closed"):
            call()


def test_close_ends_a_next_in_another_thread(manager):
    events = manager.events()
    waiting = Background(events.next)
    time.sleep(0.05)
    assert waiting.is_running
    events.close()
    assert (waiting.ended(5).value, waiting.error) == (None, None)


def test_the_oldest_are_lost_and_counted(serve, client, manager):
    server = serve([forever(answer())])
    with manager.events(capacity=4) as events:
        for _ in range(5):
            client.get(server.url)
        assert events.lost == 0
        found = until_none(events)
        assert len(found) == 4 and found[-1].type in ("returned", "phase")
        assert events.lost == found[0].number - 1 > 0
        assert events.next(0) is None


def test_each_subscription_gets_all_events_since_its_beginning(serve, client, manager):
    server = serve([forever(answer())])
    with manager.events() as early:
        client.get(server.url)
        with manager.events() as late:
            client.get(server.url)
            assert what(early) == ["opened", "leased", "returned", "leased", "returned"]
            assert what(late) == ["leased", "returned"]
        client.get(server.url)
        assert what(early) == ["leased", "returned"]


def test_the_descriptor_is_readable_while_there_are_events(serve, client, manager):
    def readable():
        return bool(select.select([events], [], [], 0)[0])

    server = serve([forever(answer())])
    with manager.events() as events:
        assert not readable()
        client.get(server.url)
        assert select.select([events], [], [], 5)[0] == [events]
        assert events.next(0) is not None and readable()
        until_none(events)
        assert not readable()
        descriptor = events.fileno()
    with pytest.raises(OSError):
        os.fstat(descriptor)


def test_an_event_loop_can_watch_it(serve, client, manager):
    import asyncio

    server = serve([forever(answer())])

    async def watch():
        heard, over = [], asyncio.Event()

        def read():
            while (event := events.next(0)) is not None:
                heard.append(event.type)
                if event.type == "closed":
                    over.set()

        with manager.events() as events:
            asyncio.get_running_loop().add_reader(events, read)
            work = Background(lambda: client.get(server.url, connection="close"))
            await asyncio.wait_for(over.wait(), 10)
            asyncio.get_running_loop().remove_reader(events)
            work.ended()
        return heard

    assert "closed" in asyncio.run(watch())


def test_one_thread_reads_at_a_time(manager):
    with manager.events() as events:
        waiting = Background(lambda: events.next(30))
        time.sleep(0.1)
        with pytest.raises(hangup.InvalidState, match="another thread"):
            events.next(0)
        assert waiting.is_running and events.lost == 0


def test_events_of_many_concurrent_threads(serve, client, manager):
    server = serve([forever(answer())])
    with manager.events(100_000) as events:
        found = []

        def read():
            for event in events:
                found.append(event)

        reader = Background(read)
        for call in [Background(lambda: [client.get(server.url) for _ in range(100)]) for _ in range(8)]:
            assert call.ended(30).error is None
        manager.shutdown()
        wait_until(lambda: sum(event.type == "closed" for event in list(found)) == manager.stats().closed)
        events.close()
        assert reader.ended().error is None
    assert [event.number for event in found] == list(range(found[0].number, found[0].number + len(found)))
    counts = {name: sum(event.type == name for event in found) for name in ("opened", "leased", "returned", "closed")}
    assert counts["leased"] == 800 >= counts["returned"] and counts["opened"] == counts["closed"]
    for connection in {event.connection for event in found} - {None}:
        mine = [event.type for event in found if event.connection == connection and event.type != "phase"]
        assert (mine[0], mine[-1]) == ("opened", "closed")


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, "1", 2**63])
def test_a_capacity_of_zero_is_refused(manager, wrong):
    with pytest.raises(hangup.InvalidArgument):
        manager.events(wrong)


@pytest.mark.parametrize("wrong", [-1, False, "1", float("inf")])
def test_invalid_timeouts_are_refused(manager, wrong):
    with manager.events() as events, pytest.raises(hangup.InvalidTimeout):
        events.next(wrong)


def test_a_dropped_subscription_is_closed(manager):
    events = manager.events()
    descriptor = events.fileno()
    del events
    with pytest.raises(OSError):
        os.fstat(descriptor)


def test_other_threads_run_while_one_waits_for_events(manager):
    with manager.events() as events:
        waiting = Background(lambda: events.next(30))
        begin, turns = time.monotonic(), 0
        while time.monotonic() - begin < 0.2:
            turns += 1
        assert turns > 10_000 and waiting.is_running


@pytest.mark.parametrize("how", ["events.next()", "events.next(30)", "list(events)"])
@pytest.mark.parametrize("where", ["threading.main_thread().ident", "threading.get_ident()"])
def test_ctrl_c_ends_the_wait_for_an_event(how, where):
    python(
        f"""
        import signal, threading, time, hangup
        events = hangup.Manager().events()

        def interrupt():
            time.sleep(0.3)
            signal.pthread_kill({where}, signal.SIGINT)
            time.sleep(1)

        threading.Thread(target=interrupt, daemon=True).start()
        begin = time.monotonic()
        try:
            {how}
        except KeyboardInterrupt:
            assert time.monotonic() - begin < 5
        else:
            raise AssertionError("it came back")
        assert events.next(0) is None  # it can be read on
        """
    )


def test_a_handler_that_raises_nothing_does_not_end_the_wait(manager):
    ran = []
    before = signal.signal(signal.SIGALRM, lambda *_: ran.append(threading.current_thread()))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        with manager.events() as events:
            assert events.next(0.5) is None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(ran) >= 3


def test_a_daemon_thread_that_waits_for_events_does_not_delay_the_exit():
    begin = time.monotonic()
    python(
        """
        import threading, time, hangup
        events = hangup.shared_manager().events()
        threading.Thread(target=lambda: list(events), daemon=True).start()
        time.sleep(0.2)
        """
    )
    assert time.monotonic() - begin < 5


def test_events_of_a_subscription_belong_to_the_parent_after_a_fork(serve):
    server = serve([forever(answer())])
    python(
        """
        import os, signal, sys, threading, time, warnings, hangup
        warnings.simplefilter("ignore")  # DeprecationWarning: fork of a process with threads
        client = hangup.Client(manager=hangup.Manager())
        manager = client.manager
        events, busy = manager.events(), manager.events()
        client.get(sys.argv[1])
        threading.Thread(target=lambda: list(busy), daemon=True).start()
        time.sleep(0.2)  # it waits, and its thread will not be in the child
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            try:
                for old in (events, busy):
                    try:
                        old.next(0)
                    except hangup.ForkedError as error:
                        assert "manager.events() again" in str(error)
                    else:
                        raise AssertionError("the parent's events were read")
                with manager.events() as own:
                    client.get(sys.argv[1])
                    assert own.next(5).type == "opened"
                events.close()
                busy.close()
                del events, busy
                os._exit(0)
            except BaseException:
                import traceback
                traceback.print_exc()
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        told = []
        while (event := events.next(0)) is not None:
            told.append(event.type)
        assert [name for name in told if name != "phase"] == ["opened", "leased", "returned"], told
        assert not busy.is_closed
        """,
        server.url,
    )
