"""Responses: the head, the body buffered and in pieces, and pickling."""

import json
import pickle
from datetime import timedelta

import pytest

import hangup
from running import Background, python
from testserver import HEAD, answer, forever, send


BOTH_FORMS = True


def raw(text):
    return [forever(HEAD, send(text))]


def chunked(*pieces):
    text = "".join(f"{len(p.encode()):x}\r\n{p}\r\n" for p in pieces)
    return raw(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{text}0\r\n\r\n")


def test_the_head(serve, client):
    server = serve([forever(answer("hello", 201, [["X-One", "1"], ["Set-Cookie", "a=1"], ["set-cookie", "b=2"]]))])
    r = client.get(server.url + "path?q=1#fragment")
    assert (r.status_code, r.reason_phrase, r.is_success, r.http_version) == (201, "Created", True, "HTTP/1.1")
    assert r.url == server.url + "path?q=1"
    assert r.headers["x-one"] == r.headers["X-ONE"] == "1"
    assert r.headers.get_list("Set-Cookie") == ["a=1", "b=2"]
    assert r.headers["set-cookie"] == "a=1, b=2"
    assert "missing" not in r.headers and r.headers.get("missing", "no") == "no"
    assert [item for item in r.headers.multi_items() if item[0] == "set-cookie"] == [
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
    ]
    assert len(r.headers) == len(set(name for name, _ in r.headers.multi_items()))
    assert r.request == ("GET", server.url + "path?q=1#fragment")
    assert repr(r) == "<Response 201 Created>"
    assert r.connection > 0 and not r.reused


def test_the_phrase_is_that_of_the_server(serve, client):
    phrases = [b"Fine", b"", "Très bien".encode(), "Très bien".encode("latin-1")]
    steps = [[HEAD, send("HTTP/1.1 200 "), {"send_hex": p.hex()}, send("\r\nContent-Length: 0\r\n\r\n")] for p in phrases]
    server = serve([step for one in steps for step in one])
    assert [client.get(server.url).reason_phrase for _ in phrases] == ["Fine", "", "Très bien", "Très bien"]
    r = client.get(serve([HEAD, send("HTTP/1.1 799\r\nContent-Length: 0\r\n\r\n")]).url)
    assert (r.reason_phrase, repr(r)) == ("", "<Response 799>")


def test_the_head_as_it_came(serve, client):
    head = b"HTTP/1.1 200 OK\r\nX-B: 1\r\nx-a: caf\xe9\r\nTransfer-Encoding: chunked\r\n\r\n"
    hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    rest = "2\r\nok\r\n0\r\nX-Sum: 1\r\nContent-Length: 2\r\n\r\n"
    server = serve([HEAD, send(hints), {"send_hex": head.hex()}, send(rest)])
    r = client.get(server.url)
    assert r.raw_head == head and r.content_length is None
    assert r.raw_headers == [(b"X-B", b"1"), (b"x-a", b"caf\xe9"), (b"Transfer-Encoding", b"chunked")]
    assert [(interim.status_code, interim.headers["link"]) for interim in r.interim_responses] == [(103, "</a>")]
    assert r.content == b"ok" and r.trailers.multi_items() == [("x-sum", "1")]
    again = pickle.loads(pickle.dumps(r))
    for name in ("raw_head", "raw_headers", "reason_phrase", "content_length", "interim_responses", "trailers", "connection_facts"):
        assert getattr(again, name) == getattr(r, name), name


def test_the_facts_of_the_connection(serve, control, manager, form):
    plain, secure = serve([forever(answer())]), serve([forever(answer())], tls="good")
    with form(manager=manager, verify=str(control.certs() / "ca.pem")) as client:
        r, s = client.get(plain.url), client.get(secure.url)
    manager.close_all()
    assert r.connection_facts.peer == f"127.0.0.1:{plain.port}"
    assert r.connection_facts.local.startswith("127.0.0.1:")
    assert r.connection_facts[2:] == ("", "", "", "", False, [])
    facts = s.connection_facts
    assert facts.tls_version == "TLSv1.3" and facts.cipher.startswith("TLS_") and facts.key_exchange and not facts.resumed
    assert facts.certificates[0][:1] == b"\x30"


def test_header_bytes_are_utf8_or_latin1(serve, client):
    server = serve([HEAD, send("HTTP/1.1 200 OK\r\nA: ü\r\nB: "), {"send_hex": "fc"}, send("\r\nContent-Length: 0\r\n\r\n")])
    r = client.get(server.url)
    assert (r.headers["a"], r.headers["b"]) == ("ü", "ü")


def test_the_buffered_body(serve, client):
    r = client.get(serve([forever(answer("grüße", headers=[["Content-Type", "text/plain; charset=UTF-8"]]))]).url)
    assert r.content == "grüße".encode() and r.content is r.content is r.read()
    assert (r.text, r.encoding, r.is_closed) == ("grüße", "utf-8", True)
    assert b"".join(r.iter_bytes()) == r.content
    assert list(r.iter_bytes(3)) == [r.content[:3], r.content[3:6], r.content[6:]]


@pytest.mark.parametrize(
    ("kind", "data", "text"),
    [
        ("text/plain; charset=latin-1", "fc", "ü"),
        ("text/plain", "fc", "\ufffd"),
        ('text/plain; charset="utf-16-le"', "6100", "a"),
        ('text/plain; title="a; charset=utf-16-le"; Charset = latin-1 ; charset=ascii', "fc", "ü"),
        ("text/plain; charset", "61", "a"),
        ('text/plain; charset="latin-1', "61", "a"),
        ("text/plain; charset=hex", "61", "a"),
        ("text/plain; charset=undefined", "61", "a"),
        ("text/plain; charset=nonsense", "61", "a"),
        ("nonsense;;;=", "61", "a"),
    ],
)
def test_text_is_decoded_in_the_charset_of_the_response(serve, client, kind, data, text):
    length = len(data) // 2
    script = [HEAD, send(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"), {"send_hex": data}]
    r = client.get(serve(script).url)
    assert r.text == text
    r.encoding = "latin-1"
    assert r.text == bytes.fromhex(data).decode("latin-1")
    with pytest.raises(LookupError):
        r.encoding = "nonsense"


def test_a_body_that_is_not_json(serve, client):
    with pytest.raises(json.JSONDecodeError):
        client.get(serve([forever(answer("{"))]).url).json()


def test_elapsed_and_timings(serve, client):
    server = serve([forever(HEAD, {"sleep_ms": 50}, send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))])
    first, second = client.get(server.url), client.get(server.url)
    assert timedelta(seconds=0.05) <= first.elapsed < timedelta(seconds=5)
    assert first.timings.connect is not None and first.timings.tls is None
    assert first.timings.head >= 0.04 and first.timings.total >= first.timings.head
    assert second.reused and second.timings.connect is None


def test_raise_for_status(serve, client):
    server = serve([answer(status=204), answer("gone", status=404), answer(status=500)])
    ok = client.get(server.url)
    assert ok.raise_for_status() is ok
    with pytest.raises(hangup.HTTPStatusError, match="client error 404 Not Found") as caught:
        client.get(server.url).raise_for_status()
    assert caught.value.response.text == "gone" and caught.value.request.method == "GET"
    with pytest.raises(hangup.HTTPStatusError, match="server error 500"):
        client.get(server.url).raise_for_status()


# Streams.


def test_a_stream_yields_pieces_as_they_arrive(serve, client):
    script = [HEAD, send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none"), {"await": "go"}, send("two"), forever(answer())]
    server = serve(script)
    with client.stream("GET", server.url) as r:
        pieces = r.iter_bytes()
        assert next(pieces) == b"one" and not r.is_closed
        server.release("go")
        assert list(pieces) == [b"two"] and r.is_closed
    assert client.get(server.url).reused


def test_chunks_have_the_requested_size(serve, client):
    server = serve(chunked("ab", "cdefg", "h"))
    with client.stream("GET", server.url) as r:
        assert list(r.iter_bytes(3)) == [b"abc", b"def", b"gh"]
    with client.stream("GET", server.url) as r, pytest.raises(ValueError, match="at least 1"):
        r.iter_bytes(0)


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("size", [1000, 16_384, 100_000, 1_000_000, 3_000_000])
def test_large_chunks_have_the_requested_size(serve, client, size, length):
    whole = 1_234_567
    head = f"HTTP/1.1 200 OK\r\n{f'Content-Length: {whole}' if length else 'Connection: close'}\r\n\r\n"
    url = serve([HEAD, send(head), {"fill": {"bytes": whole, "byte": "z"}}, "close"]).url
    with client.stream("GET", url) as r:
        chunks = list(r.iter_bytes(size))
    assert r.is_closed and b"".join(chunks) == b"z" * whole
    assert {len(chunk) for chunk in chunks[:-1]} <= {size} and len(chunks[-1]) == whole - size * (len(chunks) - 1)


@pytest.mark.parametrize("how", ["length", "chunked"])
@pytest.mark.parametrize("size", [1000, 16_384])
def test_what_came_of_a_chunk_comes_before_the_error_of_a_cut_body(serve, client, size, how):
    framing = "Content-Length: 100000" if how == "length" else "Transfer-Encoding: chunked"
    begin = "" if how == "length" else "186a0\r\n"
    url = serve([HEAD, send(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{begin}"), {"fill": {"bytes": 20_000}}, "close"]).url
    came = []
    with client.stream("GET", url) as r, pytest.raises(hangup.PeerClosed):
        for chunk in r.iter_bytes(size):
            came.append(len(chunk))
    assert came == [size] * (20_000 // size) + [20_000 % size] * bool(20_000 % size)
    assert r.is_closed


def test_pieces_of_a_body_are_in_memory_once(serve):
    """Each piece is read into its own memory, also while another one is kept."""
    size = 50_000_000
    url = serve([HEAD, send(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n"), {"fill": {"bytes": size}}, "close"]).url
    done = python(
        f"""
        import hangup

        def peak():
            with open("/proc/self/status") as status:
                return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

        with hangup.stream("GET", {url!r}) as r:
            before = peak()
            chunks = list(r.iter_bytes(10_000_000))
        assert [len(chunk) for chunk in chunks] == [10_000_000] * 5
        print((peak() - before) / {size})
        """
    )
    assert float(done.stdout) < 1.1, done.stdout


def test_text_is_decoded_across_pieces(serve, client):
    server = serve([HEAD, send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na"), {"send_hex": "c3"}, {"sleep_ms": 20}, {"send_hex": "bc"}, send("b")])
    with client.stream("GET", server.url) as r:
        assert "".join(r.iter_text()) == "aüb"


def test_lines_end_in_any_of_three_ways(serve, client):
    server = serve(chunked("a\r", "\nb\n\nc\rd", "e"))
    with client.stream("GET", server.url) as r:
        assert list(r.iter_lines()) == ["a", "b", "", "c", "de"]


def test_a_stream_can_be_read_to_its_end(serve, client):
    server = serve(chunked("one", "two"))
    with client.stream("GET", server.url) as r:
        assert r.read() == b"onetwo" == r.content
        assert list(r.iter_bytes()) == [b"onetwo"]
    assert r.text == "onetwo"


def test_a_stream_that_was_begun_has_no_content(serve, client):
    with client.stream("GET", serve(chunked("one", "two")).url) as r:
        next(r.iter_bytes(1))
        with pytest.raises(hangup.InvalidState, match="already taken"):
            r.read()


def test_read_is_bounded_by_at_most(serve, client, manager):
    server = serve([forever(answer("x" * 100_000))])
    with client.stream("GET", server.url) as r, pytest.raises(hangup.TooLarge):
        r.read(at_most=99)
    assert server.ended() is not None and manager.connections() == []
    with client.stream("GET", server.url) as r:
        assert len(r.read(at_most=100_000)) == 100_000


def test_leaving_a_stream_early_closes_the_connection(serve, client, manager):
    server = serve([HEAD, send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"), "stall"])
    with client.stream("GET", server.url) as r:
        assert next(r.iter_bytes()) == b"abc"
    assert r.is_closed and server.ended() is not None
    assert manager.connections() == []


def test_an_exception_in_the_block_closes_the_connection(serve, client):
    server = serve([HEAD, send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"), "stall"])
    with pytest.raises(KeyError), client.stream("GET", server.url):
        raise KeyError
    assert server.ended() is not None


def test_reading_a_closed_stream_raises(serve, client):
    server = serve([HEAD, send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"), "stall"])
    with client.stream("GET", server.url) as r:
        pieces = r.iter_bytes()
        next(pieces)
        r.close()
        with pytest.raises(hangup.HangupError):
            next(pieces)


def test_a_draining_close_keeps_the_connection(serve, client, manager):
    server = serve([forever(answer("x" * 1000))])
    with client.stream("GET", server.url) as r:
        r.close()
        r.close()
    assert client.get(server.url).reused and server.accepted == 1


def test_a_stream_left_open_is_a_resource_warning(serve, client):
    server = serve([HEAD, send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"), "stall"])
    response = client.stream("GET", server.url).__enter__()
    with pytest.warns(ResourceWarning, match="left open"):
        del response
    assert server.ended() is not None


# Pickles.


def test_a_response_can_be_pickled(serve, client):
    r = client.get(serve([forever(answer("body", 404, [["X-A", "1"]]))]).url)
    again = pickle.loads(pickle.dumps(r))
    assert (again.status_code, again.content, again.headers) == (404, b"body", r.headers)
    assert (again.url, again.connection, again.timings) == (r.url, r.connection, r.timings)
    assert again.is_closed and again.request == r.request
    again.close()


def test_an_unread_response_keeps_its_head_in_a_pickle(serve, client):
    with client.stream("GET", serve(chunked("one")).url) as r:
        again = pickle.loads(pickle.dumps(r))
        assert again.status_code == 200
        with pytest.raises(hangup.InvalidState, match="pickled"):
            again.read()
        assert r.read() == b"one"


@pytest.mark.parametrize("how", ["get", "stream", "pieces", "async get", "async stream"])
def test_a_body_that_was_read_is_stored_once(serve, how):
    """The body is stored in the library until it is read, and then as bytes."""
    size = 64_000_000
    server = serve([HEAD, send(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n"), {"fill": {"bytes": size}}, "stall"])
    python(
        """
        import asyncio, sys
        import hangup

        def rss():
            return int(open("/proc/self/statm").read().split()[1]) * 4096

        def read(url):
            client = hangup.Client()
            if how == "get":
                return client.get(url)
            return client.stream("GET", url).__enter__()

        async def aread(url):
            client = hangup.AsyncClient()
            if how == "async get":
                return await client.get(url)
            response = await client.stream("GET", url).__aenter__()
            await response.aread()
            return response

        how, url, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
        before = rss()
        response = asyncio.run(aread(url)) if how.startswith("async") else read(url)
        if how == "pieces":
            pieces = list(response.iter_bytes())
        else:
            content = response.content
            assert len(content) == size and content is response.content
        grown = rss() - before
        assert size * 0.9 < grown < size * 1.5, grown
        """,
        how,
        server.url,
        str(size),
    )


def test_many_threads_ask_for_one_body(serve):
    size = 3_000_000
    server = serve([forever(HEAD, send(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n"), {"fill": {"bytes": size}})])
    for _ in range(20):
        response = hangup.Client().get(server.url)
        asking = [Background(lambda: response._raw.read_all(2**63)) for _ in range(8)]
        found = [one.ended().value for one in asking]
        assert all(one is found[0] and len(one) == size for one in found)


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 131072, 1_000_000, 20_000_000])
def test_a_whole_body_is_what_the_server_sent(serve, client, size, length):
    head = f"HTTP/1.1 200 OK\r\n{f'Content-Length: {size}' if length else 'Connection: close'}\r\n\r\n"
    url = serve([{"recv": "head"}, {"send": head}, {"fill": {"bytes": size, "byte": "z"}}, "close"]).url
    body = b"z" * size
    r = client.get(url)
    assert r.content == body and r.content is r.read() and r.is_closed
    with client.stream("GET", url) as r:
        assert r.read() == body and r.content is r.read() and r.is_closed
    with client.stream("GET", url) as r:
        assert b"".join(r.iter_bytes()) == body


@pytest.mark.parametrize("length", [True, False])
def test_the_bound_of_a_whole_body_holds_for_every_framing(serve, length):
    size = 300_000
    head = f"HTTP/1.1 200 OK\r\n{f'Content-Length: {size}' if length else 'Connection: close'}\r\n\r\n"
    url = serve([{"recv": "head"}, {"send": head}, {"fill": {"bytes": size}}, "close"]).url
    with hangup.Client(max_body=size, manager=hangup.Manager()) as client:
        assert len(client.get(url).content) == size
        for bound, call in (
            ("max_body", lambda: client.get(url, max_body=size - 1)),
            ("this call", lambda: client.stream("GET", url).__enter__().read(at_most=size - 1)),
        ):
            with pytest.raises(hangup.TooLarge) as caught:
                call()
            assert f"{size - 1} bytes" in str(caught.value) and caught.value.phase == "read"


@pytest.mark.parametrize("length", [True, False])
def test_a_whole_body_is_in_memory_once(serve, length):
    """And a false Content-Length takes none."""
    size = 50_000_000
    framing = f"Content-Length: {size}" if length else "Connection: close"
    sends = [{"recv": "head"}, {"send": f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n"}, {"fill": {"bytes": size}}, "close"]
    lies = [{"recv": "head"}, {"send": f"HTTP/1.1 200 OK\r\nContent-Length: {4 * size}\r\n\r\nabc"}, "close"]
    done = python(
        f"""
        import sys
        import hangup

        def peak():
            with open("/proc/self/status") as status:
                return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

        hangup.get({serve([forever(answer("warm"))]).url!r})
        before = peak()
        try:
            hangup.get({serve(lies).url!r})
        except hangup.PeerClosed:
            assert peak() - before < {size} / 10, peak() - before
        for _ in range(2):
            assert len(hangup.get({serve(sends).url!r}).content) == {size}
        print((peak() - before) / {size})
        """
    )
    assert float(done.stdout) < 1.1, done.stdout
