"""Many exchanges with faults leak no connections, descriptors, threads or memory."""

import gc
import os
import random
import sys
import threading

import hangup
from running import Background, python, wait_until
from testserver import HEAD, answer, forever, send


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def test_faults_from_many_threads_leak_nothing(serve, control):
    good = serve([forever(answer("x" * 1000))])
    cut = serve([HEAD, send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")])
    stalled = serve([HEAD, "stall"])
    hole = control.black_hole()
    manager = hangup.Manager()
    client = hangup.Client(manager=manager)

    def work(seed):
        chance = random.Random(seed)
        for _ in range(40):
            url = chance.choice([good.url, good.url, cut.url, stalled.url, hole.url])
            token = hangup.CancelToken()
            timer = threading.Timer(0.01, token.cancel)
            timer.start()
            try:
                if chance.random() < 0.5:
                    client.get(url, cancel=token, timeout=chance.choice([0.005, 0.02, 1]))
                else:
                    with client.stream("GET", url, cancel=token, timeout=0.02) as r:
                        if chance.random() < 0.5:
                            r.read()
            except hangup.RequestError:
                pass
            finally:
                timer.cancel()
                timer.join()

    client.get(good.url)
    manager.close_all(now=True)
    before, threads = descriptors(), threading.active_count()
    for call in [Background(lambda seed=seed: work(seed)) for seed in range(8)]:
        assert call.ended(50).error is None, call.error
    wait_until(lambda: not manager.stats().dialling)  # a dial goes on for a moment without its exchange
    stats = manager.stats()
    assert (stats.in_use, stats.dialling, stats.open) == (0, 0, stats.idle), stats
    manager.close_all(now=True)
    assert manager.stats().open == 0 and manager.stats().opened == manager.stats().closed
    gc.collect()
    wait_until(lambda: descriptors() <= before + 1, seconds=30)  # those of idle workers go with them
    assert threading.active_count() == threads
    hole.stop()


def test_memory_does_not_grow(serve):
    """In a process of its own: many calls of every kind, of which the last rounds need no more memory than the first."""
    good = serve([forever(answer("x" * 5000))])
    cut = serve([HEAD, send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")])
    python(
        """
        import gc, sys, hangup

        good, cut = sys.argv[1:]

        def size():
            gc.collect()
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * 4  # KiB

        def once():
            token = hangup.CancelToken()
            r = hangup.get(good, headers={"a": "b"}, timeout=5, cancel=token.child())
            r.headers, r.text, r.timings, r.url
            hangup.post(good, content=iter([b"x" * 1000]))
            with hangup.stream("GET", good) as r:
                for _ in r.iter_bytes(100):
                    pass
            for url, error in ((cut, hangup.PeerClosed), ("http://127.0.0.1:1/", hangup.ConnectError), ("x", ValueError)):
                try:
                    hangup.get(url)
                except error:
                    pass
            hangup.shared_manager().connections()
            hangup.Client(headers={"a": "b"}, timeout=5)

        for _ in range(300):
            once()
        first = size()
        for _ in range(600):
            once()
        assert size() - first < 1000, (first, size())
        """,
        good.url,
        cut.url,
    )


def test_reference_counts_stay(serve, client):
    server = serve([forever(answer())])
    url, headers = server.url, {"a": "b"}
    body = b"body" * 10
    for _ in range(5):
        client.post(url, headers=headers, content=body)
    counts = [sys.getrefcount(thing) for thing in (url, headers, body)]
    for _ in range(100):
        client.post(url, headers=headers, content=body)
    assert [sys.getrefcount(thing) for thing in (url, headers, body)] == counts


def test_an_upload_releases_its_source(serve, client):
    server = serve([HEAD, {"recv": "body"}, send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")])

    pieces = iter([b"one", b"two"])
    count = sys.getrefcount(pieces)
    client.post(server.url, content=pieces)
    assert sys.getrefcount(pieces) == count
