"""Credentials, the retry policy, and saved cookies."""

import asyncio
import http.cookiejar
import json

import pytest

import hangup
from testserver import answer, forever


def challenge(value):
    return answer("who are you?", 401, [["WWW-Authenticate", value]])


def ok(body="in"):
    return answer(body)


def sent(server, name="authorization"):
    found = []
    for head in server.heads(0):
        fields = dict(line.split(": ", 1) for line in head.strip().split("\r\n")[1:])
        found.append({key.lower(): value for key, value in fields.items()}.get(name))
    return found


DIGEST = 'Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256'


def test_each_kind_of_credentials_goes_out(serve, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login u password p\n")
    server = serve([forever(ok())])
    with hangup.Client(auth=("client", "secret")) as client:
        for auth in (
            ("u", "p"),
            hangup.BasicAuth("u", "p"),
            hangup.BearerAuth("token"),
            hangup.NetRCAuth(netrc),
            lambda origin, refused: f"for-{origin.split(':')[0]}-{refused}",
            None,
        ):
            assert client.get(server.url, auth=auth).text == "in"
        client.get(server.url)
    basic = "Basic dTpw"
    assert sent(server) == [basic, basic, "Bearer token", basic, "Bearer for-http-None", None, "Basic Y2xpZW50OnNlY3JldA=="]
    assert "secret" not in repr(hangup.BasicAuth("u", "secret"))
    with pytest.raises(hangup.InvalidArgument):
        hangup.Client(auth=("a:b", "p"))
    with pytest.raises(TypeError):
        hangup.Client(auth=7)


def test_a_digest_challenge_is_answered(serve):
    server = serve([challenge(DIGEST), forever(ok())])
    client = hangup.Client(auth=hangup.DigestAuth("u", "p"))
    with client.manager.events() as events:
        response = client.post(f"{server.url}a", content=b"twice")
        assert (response.status_code, response.attempts) == (200, 2)
        retried = [event for event in iter(lambda: events.next(0), None) if event.type == "retried"]
    assert [(event.retry_reason, event.delay) for event in retried] == [("challenge", 0.0)]
    client.get(server.url)
    first, second, third = sent(server)
    assert first is None and 'nc=00000001' in second and 'nc=00000002' in third


def test_a_digest_form_that_is_not_supported_raises(serve):
    server = serve([challenge('Digest realm="r", nonce="n", qop="auth-int"')])
    with pytest.raises(hangup.AuthFailed, match="auth-int"):
        hangup.get(server.url, auth=hangup.DigestAuth("u", "p"))


def test_a_token_is_asked_for_again_after_a_refusal(serve):
    asked = []

    def provide(origin, refused):
        asked.append(refused)
        return f"t{len(asked)}"

    server = serve([answer("no", 401), ok()])
    assert hangup.Client(auth=hangup.TokenAuth(provide)).get(server.url).text == "in"
    assert asked == [None, "t1"] and sent(server) == ["Bearer t1", "Bearer t2"]


def test_an_exception_of_a_token_function_is_reported(serve, monkeypatch):
    import sys

    reported = []
    monkeypatch.setattr(sys, "unraisablehook", reported.append)

    def provide(origin, refused):
        raise ValueError("closed")

    server = serve([ok()])
    with pytest.raises(hangup.AuthFailed):
        hangup.get(server.url, auth=provide)
    assert [type(one.exc_value) for one in reported] == [ValueError]


def test_a_coroutine_function_gives_tokens_in_the_loop(serve):
    server = serve([answer("no", 401), forever(ok())])

    async def run():
        loop = asyncio.get_running_loop()

        async def provide(origin, refused):
            assert asyncio.get_running_loop() is loop
            await asyncio.sleep(0)
            return "second" if refused else "first"

        async with hangup.AsyncClient(auth=provide) as client:
            assert (await client.get(server.url)).text == "in"
            assert (await client.get(server.url, auth=provide)).text == "in"
            assert (await client.get(server.url, auth=None)).text == "in"

    asyncio.run(run())
    assert sent(server) == ["Bearer first", "Bearer second", "Bearer first", None]


def test_a_busy_server_is_asked_again(serve):
    busy = answer("busy", 503, [["Retry-After", "0"]])
    server = serve([busy, ok(), busy, busy])
    policy = hangup.RetryPolicy(max_attempts=2, first_delay=0.001, max_delay=1)
    client = hangup.Client(retry_policy=policy)
    with client.manager.events() as events:
        response = client.post(server.url, content=b"x")
        retried = [event for event in iter(lambda: events.next(0), None) if event.type == "retried"]
    assert (response.status_code, response.attempts) == (200, 2)
    assert [event.retry_reason for event in retried] == ["status code"]
    assert client.get(server.url, retries=False).status_code == 503
    with pytest.raises(hangup.InvalidArgument):
        hangup.Client(retry_policy=hangup.RetryPolicy(status_codes=[200]))
    for nothing in [hangup.RetryPolicy(max_attempts=0), hangup.RetryPolicy(budget=0)]:
        with pytest.raises(hangup.InvalidArgument, match="is 0"):
            hangup.Client(retry_policy=nothing)


def test_cookies_are_listed_saved_and_loaded(tmp_path):
    client = hangup.Client(cookies=True)
    client.cookies.set("https://shop.example/", "id", "7", max_age=3600, secure=True)
    client.cookies.set("https://shop.example/", "theme", "dark", domain="shop.example", path="/a")
    listed = list(client.cookies)
    assert len(client.cookies) == 2 and [cookie.name for cookie in listed] == ["id", "theme"]
    assert listed[0].secure and listed[0].host_only and listed[0].expires is not None
    assert not listed[1].host_only and listed[1].expires is None and listed[1].path == "/a"
    assert "dark" not in repr(listed[1])
    for format in ("netscape", "json"):
        path = tmp_path / format
        client.cookies.save(path, format)
        assert path.stat().st_mode & 0o077 == 0
        other = hangup.Client(cookies=True)
        other.cookies.load(path)
        assert list(other.cookies) == listed
    jar = http.cookiejar.MozillaCookieJar(tmp_path / "netscape")
    # It takes the 0 that curl and hangup write for a cookie without an expiry for a date.
    jar.load(ignore_discard=True, ignore_expires=True)
    assert sorted(cookie.name for cookie in jar) == ["id", "theme"]
    jar.save(ignore_discard=True, ignore_expires=True)
    other = hangup.Client(cookies=True)
    other.cookies.load(tmp_path / "netscape")
    assert len(other.cookies) == 2
    assert {cookie["name"] for cookie in json.loads((tmp_path / "json").read_text())} == {"id", "theme"}
    with pytest.raises(hangup.InvalidArgument):
        client.cookies.save(tmp_path / "x", "yaml")
    with pytest.raises(hangup.InvalidState):
        hangup.Client().cookies.save(tmp_path / "x")
    (tmp_path / "bad").write_text("no cookies")
    with pytest.raises(hangup.InvalidArgument, match="line 1"):
        client.cookies.load(tmp_path / "bad")


def test_secure_cookies_on_localhost_by_a_switch():
    for on in (False, True):
        client = hangup.Client(cookies=True, secure_cookies_on_localhost=on)
        if on:
            client.cookies.set("http://localhost:8000/", "id", "7", secure=True)
        else:
            with pytest.raises(hangup.InvalidArgument):
                client.cookies.set("http://localhost:8000/", "id", "7", secure=True)
        assert client.cookies.for_url("http://localhost:8000/") == ("id=7" if on else "")
        with pytest.raises(hangup.InvalidArgument):
            client.cookies.set("http://shop.example/", "id", "7", secure=True)
