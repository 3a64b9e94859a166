"""Content codings, and the bounds on a body's speed and a head's size."""

import gzip
import zlib

import pytest

import hangup
from testserver import HEAD, answer, forever, send

BOTH_FORMS = True

TEXT = b"hello " * 1000


def coded(coding, body, more=""):
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return [forever(HEAD, send(head), {"send_hex": body.hex()})]


# "hello " a thousand times.
BR = bytes.fromhex("1b6f17f88d946ede445586966c206f715b1c80e401200e")
ZSTD = bytes.fromhex("28b52ffd04587500003068656c6c6f2001006797be14010603f5bb")


@pytest.mark.parametrize(
    ("coding", "encode"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("br", lambda _: BR), ("zstd", lambda _: ZSTD)],
)
def test_a_coded_body_is_decoded_and_its_connection_kept(serve, client, coding, encode):
    body = encode(TEXT)
    server = serve(coded(coding, body))
    r = client.get(server.url)
    assert r.content == TEXT and r.headers["content-encoding"] == coding
    assert int(r.headers["content-length"]) == len(body)
    assert "accept-encoding: gzip, deflate, br, zstd" in server.heads()[0].lower()
    with client.stream("GET", server.url) as r:
        assert b"".join(r.iter_bytes()) == TEXT and r.reused


def test_decoding_can_be_switched_off(serve, manager):
    body = gzip.compress(TEXT)
    server = serve(coded("gzip", body))
    client = hangup.Client(manager=manager, decode=False)
    assert client.get(server.url).content == body and "accept-encoding" not in server.heads()[0].lower()


@pytest.mark.parametrize("own", [{"Accept-Encoding": "identity"}, {"Range": "bytes=0-5"}])
def test_an_accept_encoding_header_of_the_caller_is_kept(serve, client, own):
    server = serve([forever(answer())])
    client.get(server.url, headers=own)
    assert "gzip" not in server.heads()[0].lower()


def test_a_body_in_another_coding_than_announced_is_an_error(serve, client, manager):
    for body in (b"no gzip at all", gzip.compress(TEXT)[:-10]):
        with pytest.raises(hangup.ProtocolError):
            client.get(serve(coded("gzip", body)).url)


def test_more_than_two_codings_are_decoded_only_when_allowed(serve, client, manager):
    body = gzip.compress(zlib.compress(gzip.compress(TEXT)))
    server = serve(coded("gzip, deflate, gzip", body))
    with pytest.raises(hangup.ProtocolError, match="3 content codings"):
        client.get(server.url)
    assert manager.connections() == []
    for most in (3, None):
        assert hangup.Client(manager=manager, max_codings=most).get(server.url).content == TEXT
    with pytest.raises(hangup.InvalidArgument):
        hangup.Client(manager=manager, max_codings=0)


def test_a_body_that_decodes_to_nothing_is_refused(serve, client, manager):
    empty = gzip.compress(b"", mtime=0) * 200_000
    server = serve(coded("gzip, gzip", gzip.compress(empty)))
    with pytest.raises(hangup.ProtocolError, match="next to nothing"):
        client.get(server.url, timeout=60)
    assert manager.connections() == []


def test_a_bomb_stops_at_the_bound(serve, client):
    bomb = gzip.compress(bytes(50_000_000))
    with client.stream("GET", serve(coded("gzip", bomb)).url) as r, pytest.raises(hangup.TooLarge):
        r.read(at_most=100_000)


def test_a_body_that_is_too_slow(serve, client):
    head = send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    server = serve([HEAD, head, {"drip": {"bytes": 100000, "every_ms": 10}}])
    with pytest.raises(hangup.ReadTimeout) as caught:
        client.get(server.url, min_rate=(10_000, 0.2))
    assert (caught.value.timeout, caught.value.phase) == ("min_rate", "read")
    assert client.get(serve([forever(answer())]).url, min_rate=(1, 60)).text == "ok"


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        ((0, 1), hangup.InvalidArgument),
        ((-1, 1), hangup.InvalidArgument),
        ((1.5, 1), hangup.InvalidArgument),
        ((1, 0), hangup.InvalidTimeout),
        ((1, -1), hangup.InvalidTimeout),
        ((1,), ValueError),
    ],
)
def test_invalid_rates_are_refused(client, wrong, kind):
    with pytest.raises(kind):
        client.get("http://127.0.0.1:1/", min_rate=wrong)


def test_the_bound_on_a_head_can_be_changed(serve, manager):
    def server(size):
        return serve([forever(HEAD, send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: "), {"fill": {"bytes": size}}, send("\r\n\r\n"))])

    large = hangup.Client(manager=manager, max_head=200_000)
    assert len(large.get(server(100_000).url).headers["a"]) == 100_000
    small = hangup.Client(manager=manager, max_head=300)
    with pytest.raises(hangup.TooLarge):
        small.get(server(1000).url)
    for wrong in (0, 255, -1, True, "1"):
        with pytest.raises(hangup.InvalidArgument):
            hangup.Client(max_head=wrong)


def test_a_request_decides_whether_its_body_is_decoded(serve, manager, client):
    body = gzip.compress(TEXT)
    server = serve(coded("gzip", body))
    assert client.get(server.url, decode=False).content == body
    assert "accept-encoding" not in server.heads()[0].lower()
    assert hangup.Client(manager=manager, decode=False).get(server.url, decode=True).content == TEXT


def test_a_coded_body_can_be_read_raw(serve, client):
    body = gzip.compress(TEXT)
    server = serve(coded("gzip", body))
    for size in (None, 7):
        with client.stream("GET", server.url) as r:
            chunks = list(r.iter_raw(size))
            assert b"".join(chunks) == body and (size is None or {len(chunk) for chunk in chunks[:-1]} == {size})
    with client.stream("GET", server.url) as r:
        assert next(r.iter_bytes(5)) == b"hello"
        with pytest.raises(hangup.InvalidState):
            r.iter_raw()
    with pytest.raises(hangup.InvalidState):
        client.get(server.url).iter_raw()


def test_a_whole_body_has_a_bound(serve, manager):
    server = serve(coded("gzip", gzip.compress(TEXT)))
    bounded = hangup.Client(manager=manager, max_body=len(TEXT) - 1)
    with pytest.raises(hangup.TooLarge, match="max_body"):
        bounded.get(server.url)
    with bounded.stream("GET", server.url) as r, pytest.raises(hangup.TooLarge, match="max_body"):
        r.read()
    with bounded.stream("GET", server.url) as r:
        assert b"".join(r.iter_bytes()) == TEXT
    assert bounded.get(server.url, max_body=len(TEXT)).content == TEXT
    assert hangup.Client(manager=manager, max_body=None).get(server.url).content == TEXT
    with pytest.raises(hangup.TooLarge):
        hangup.Client(manager=manager).get(server.url, max_body=10)
    with pytest.raises(hangup.InvalidArgument):
        hangup.Client(max_body=-1)


@pytest.mark.parametrize("broken", ["XYZ\r\n", ""])
def test_what_came_before_a_broken_chunk_is_returned_before_the_error(serve, client, broken):
    packer = zlib.compressobj(wbits=31)
    packed = packer.compress(b"one\ntwo\nthree\xc3") + packer.flush(zlib.Z_SYNC_FLUSH)
    for coding, body in (("gzip", packed), ("identity", b"one\ntwo\nthree\xc3")):
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nTransfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n"
        server = serve([HEAD, send(head), {"send_hex": body.hex()}, send("\r\n" + broken)])
        for pieces, whole in (
            (lambda r: r.iter_bytes(), b"one\ntwo\nthree\xc3"),
            (lambda r: r.iter_bytes(6), b"one\ntwo\nthree\xc3"),
            (lambda r: r.iter_text(), "one\ntwo\nthree\ufffd"),
            (lambda r: r.iter_lines(), "onetwothree\ufffd"),
        ):
            got = []
            with client.stream("GET", server.url) as r, pytest.raises((hangup.ProtocolError, hangup.PeerClosed)):
                for piece in pieces(r):
                    got.append(piece)
            assert type(whole)().join(got) == whole
