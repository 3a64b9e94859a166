"""`with hangup.deadline(seconds)`: one deadline for all requests inside."""

import threading
import time

import pytest

import hangup
from testserver import HEAD, answer, forever, send

BOTH_FORMS = True

LATE = 0.1


@pytest.fixture
def stalls(serve):
    return serve([HEAD, "stall"])


def timed_out(call, after, limit="total"):
    begin = time.monotonic()
    with pytest.raises(hangup.TotalTimeout) as caught:
        call()
    assert after - 0.005 <= time.monotonic() - begin <= after + LATE
    assert caught.value.timeout == limit
    return caught.value


def test_requests_share_a_deadline(stalls, client):
    with hangup.deadline(0.2):
        timed_out(lambda: client.get(stalls.url), 0.2)
        error = timed_out(lambda: client.get(stalls.url), 0)
        assert error.sent == "nothing" and error.retry_safe and error.request == ("GET", stalls.url)
    assert stalls.accepted == 1


def test_the_shorter_timeout_counts(stalls, manager, form):
    client = form(manager=manager, timeout=0.1)
    with hangup.deadline(5):
        timed_out(lambda: client.get(stalls.url), 0.1)
        timed_out(lambda: client.get(stalls.url, timeout=0.2), 0.2)
    with hangup.deadline(0.1):
        timed_out(lambda: client.get(stalls.url, timeout=5), 0.1)
    with hangup.deadline(0.1):
        timed_out(lambda: client.get(stalls.url, timeout=None), 0.1)


def test_the_earlier_of_two_nested_deadlines_counts(serve, stalls, client):
    with hangup.deadline(0.1):
        with hangup.deadline(5):
            timed_out(lambda: client.get(stalls.url), 0.1)
    with hangup.deadline(5):
        with hangup.deadline(0.1):
            timed_out(lambda: client.get(stalls.url), 0.1)
        with hangup.deadline(None):
            pass
        assert client.get(serve([forever(answer())]).url).status_code == 200
    assert client.get(serve([forever(answer())]).url).status_code == 200


def test_a_deadline_includes_the_body(serve, client):
    head = send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    server = serve([HEAD, head, {"drip": {"bytes": 1000, "every_ms": 20}}])

    def read():
        with hangup.deadline(0.2), client.stream("GET", server.url) as r:
            for _ in r.iter_bytes():
                pass

    timed_out(read, 0.2)


def test_a_deadline_does_not_apply_to_other_threads(serve, client):
    server, found = serve([HEAD, {"sleep_ms": 200}, send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")]), []
    with hangup.deadline(0.05):
        thread = threading.Thread(target=lambda: found.append(client.get(server.url).status_code))
        thread.start()
        thread.join()
    assert found == [200]


@pytest.mark.parametrize("wrong", [0, -1, True, "5"])
def test_invalid_durations_are_refused(wrong):
    with pytest.raises(hangup.InvalidTimeout):
        hangup.deadline(wrong)
