"""Redirects, and retries of requests that were lost on a reused connection."""

import io
import pickle

import pytest

import hangup
from testserver import HEAD, answer, by_path, forever, send

BOTH_FORMS = True


def moved(location, status=302, headers=()):
    return [answer("moved", status, [["Location", location], *headers])]


def paths(**steps):
    """A server from paths without their slash; `there` and all others echo the request's head."""
    found = {f"/{name}": steps for name, steps in steps.items()}
    return [forever(by_path({"*": [{"echo_head": True}], **found}))]


@pytest.fixture
def server(serve):
    return serve(paths(start=moved("/there"), twice=moved("/start", 301), loop=moved("/loop")))


def test_a_redirect_is_followed_and_can_be_read(server, client):
    r = client.get(f"{server.url}twice")
    assert r.status_code == 200 and r.url == f"{server.url}there" and r.text.startswith("GET /there ")
    assert r.history == [(301, f"{server.url}twice"), (302, f"{server.url}start")]
    assert [hop.status_code for hop in r.history] == [301, 302] and isinstance(r.history[0], hangup.Redirect)
    assert r.request.url == f"{server.url}twice" and r.attempts == 1
    assert server.accepted == 1  # the next hop goes over the same connection
    again = pickle.loads(pickle.dumps(r))
    assert (again.history, again.attempts, again.url) == (r.history, 1, r.url)


def test_a_stream_is_the_last_response(server, client):
    with client.stream("GET", f"{server.url}start") as r:
        assert (r.status_code, len(r.history)) == (200, 1) and r.read().startswith(b"GET /there ")


def test_a_response_without_redirects_has_no_history(server, client):
    r = client.get(f"{server.url}there")
    assert r.history == [] and r.attempts == 1


def test_redirects_are_returned_if_following_is_off(server, manager):
    follows, hands_out = hangup.Client(manager=manager), hangup.Client(manager=manager, follow_redirects=False)
    url = f"{server.url}twice"
    for r in (hands_out.get(url), follows.get(url, follow_redirects=False)):
        assert (r.status_code, r.text, r.headers["location"], r.history) == (301, "moved", "/start", [])
        assert r.raise_for_status() is r
    for r in (follows.get(url), hands_out.get(url, follow_redirects=True), follows.get(url, follow_redirects=None)):
        assert (r.status_code, len(r.history)) == (200, 2)


@pytest.mark.parametrize(("most", "asked"), [(10, 11), (3, 4), (1, 2)])
def test_one_too_many_is_refused(server, manager, most, asked):
    client = hangup.Client(manager=manager, max_redirects=most)
    with pytest.raises(hangup.RedirectRefused, match=f"more than {most}") as caught:
        client.get(f"{server.url}loop")
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.status_code, error.attempts, error.request.url) == (302, 1, f"{server.url}loop")
    assert len(server.heads()) == asked and server.accepted == 1


def test_any_number_can_be_followed(serve, manager):
    steps = {f"/{number}": moved(f"/{number + 1}") for number in range(30)}
    server = serve([forever(by_path({**steps, "*": [answer()]}))])
    r = hangup.Client(manager=manager, max_redirects=None).get(f"{server.url}0")
    assert r.text == "ok" and len(r.history) == 30
    assert hangup.Client(manager=manager, max_redirects=0).get(f"{server.url}0").status_code == 302


@pytest.mark.parametrize("wrong", [-1, True, 1.5, "3"])
def test_invalid_numbers_are_refused(wrong):
    with pytest.raises(hangup.InvalidArgument, match="max_redirects"):
        hangup.Client(max_redirects=wrong)


@pytest.mark.parametrize(
    ("status", "method", "then", "body"),
    [
        (301, "POST", "GET", None),
        (302, "PUT", "PUT", b"body"),
        (303, "PUT", "GET", None),
        (303, "POST", "GET", None),
        (303, "HEAD", "HEAD", None),
        (307, "POST", "POST", b"body"),
        (308, "PUT", "PUT", b"body"),
    ],
)
def test_the_method_and_the_body_after_a_redirect(serve, client, status, method, then, body):
    server = serve([forever(by_path({"/": moved("/there", status), "*": [answer()]}))])
    r = client.request(method, server.url, content=None if method == "HEAD" else b"body")
    assert r.status_code == 200 and [head.split()[0] for head in server.heads()] == [method, then]
    assert ("content-length" in server.heads()[1].lower()) == (body is not None)
    assert [received for received in server.bodies() if received] == [b"body"] * (
        (method != "HEAD") + (body is not None)
    )


class Pipe(io.BytesIO):
    """A file that can't go back, like the output of a process."""

    def seekable(self):
        return False


@pytest.mark.parametrize("content", [lambda: iter([b"bo", b"dy"]), lambda: Pipe(b"body")])
def test_a_body_that_cant_be_sent_again_is_a_clear_error(serve, client, content):
    server = serve([forever(by_path({"/": moved("/there", 307), "*": [answer()]}))])
    with pytest.raises(hangup.RedirectRefused, match="read again") as caught:
        client.post(server.url, content=content())
    assert caught.value.status_code == 307 and len(server.heads()) == 1


@pytest.mark.parametrize("target", ["file:///etc/passwd", "gopher://x/", "http:////x/", "http://"])
def test_a_target_that_cant_be_followed_is_named(serve, client, target):
    server = serve([forever(by_path({"/": moved(target), "*": [answer()]}))])
    with pytest.raises(hangup.RedirectRefused) as caught:
        client.get(server.url)
    assert target in str(caught.value) and caught.value.status_code == 302


def test_private_headers_stay_with_their_origin(serve, manager):
    other = serve(paths())
    server = serve(paths(start=moved("/there"), away=moved(other.url)))
    client = hangup.Client(manager=manager, sensitive_headers=["X-Key"], headers={"X-Key": "sesame", "X-Open": "yes"})
    secret = {"Authorization": "Bearer abc", "Cookie": "id=7"}
    near = client.get(f"{server.url}start", headers=secret).text.lower()
    assert "bearer abc" in near and "id=7" in near and "sesame" in near
    away = client.get(f"{server.url}away", headers=secret).text.lower()
    assert "x-open: yes" in away
    assert "bearer" not in away and "id=7" not in away and "sesame" not in away
    with pytest.raises(hangup.InvalidHeader):
        hangup.Client(sensitive_headers=["no name"])


def test_one_total_spans_all_hops(serve, client):
    slow = [forever(by_path({"*": [HEAD, {"sleep_ms": 60}, send("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")]}))]
    server = serve(slow)
    with pytest.raises(hangup.TotalTimeout):
        client.get(server.url, timeout=0.25)
    assert len(server.heads()) >= 2


# What a kept connection lost.

BREAKS = [answer("hello"), HEAD]
"""Answers once, and closes at the second request."""


@pytest.mark.parametrize(
    ("of_client", "of_request", "again"),
    [(True, None, True), (True, False, False), (False, None, False), (False, True, True)],
)
def test_a_request_lost_on_a_reused_connection_is_retried(serve, manager, of_client, of_request, again):
    server = serve(BREAKS)
    client = hangup.Client(manager=manager, retries=of_client)
    assert client.get(server.url).attempts == 1
    if again:
        r = client.get(server.url, retries=of_request)
        assert (r.text, r.attempts) == ("hello", 2)
    else:
        with pytest.raises(hangup.PeerClosed) as caught:
            client.get(server.url, retries=of_request)
        error = pickle.loads(pickle.dumps(caught.value))
        assert (error.attempts, error.reused, error.retry_safe) == (1, True, True)
    assert manager.stats().retried == again


def test_a_post_is_not_retried(serve, client, manager):
    server = serve(BREAKS)
    client.get(server.url)
    with pytest.raises(hangup.PeerClosed) as caught:
        client.post(server.url, content=b"once")
    assert (caught.value.attempts, caught.value.retry_safe) == (1, False) and manager.stats().retried == 0
    client.get(server.url)
    r = client.post(server.url, content=b"again", headers={"Idempotency-Key": "7"})
    assert (r.text, r.attempts) == ("hello", 2)


def test_a_request_refused_before_the_dial_has_no_attempts(client):
    with pytest.raises(hangup.ResolveError) as caught:
        client.get("http://nowhere.invalid/")
    assert caught.value.attempts in (0, 1)
    with pytest.raises(hangup.InvalidURL) as caught:
        client.get("nowhere")
    assert caught.value.attempts == 0
