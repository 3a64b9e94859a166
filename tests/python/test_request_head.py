"""The head of a request as it was given, and the length of its body."""

import io
import mmap
import pickle

import pytest

import hangup
from testserver import HEAD, answer, forever, send

BOTH_FORMS = True


@pytest.fixture
def server(serve):
    return serve([forever(answer("ok"))])


def lines(server):
    """The lines of the last request, without those that a client adds."""
    own = (b"host:", b"user-agent:", b"accept:", b"accept-encoding:")
    received = server.received(server.accepted - 1).split(b"\r\n\r\n")[-2]
    return [line for line in received.split(b"\r\n")[1:] if not line.lower().startswith(own)]


def target(server):
    return server.received(server.accepted - 1).rpartition(b" HTTP/1.1\r\n")[0].split(b" ")[-1]


def test_header_fields_are_sent_as_given(server, client):
    fields = [("X-One", "1"), (b"y-TWO", b"caf\xe9"), ("X-One", "3"), ("X-Text", "é"), ("x-tab", "a\tb")]
    client.get(server.url, headers=fields)
    assert lines(server) == [b"X-One: 1", b"y-TWO: caf\xe9", b"X-One: 3", b"X-Text: \xc3\xa9", b"x-tab: a\tb"]
    client.get(server.url, headers={"HOST": "example.org", "ACCEPT": "a/b"})
    assert b"\r\nHOST: example.org\r\nACCEPT: a/b\r\n" in server.received(0)
    for name, value in (("Host", "a b"), ("X", "a\nb"), ("X", b"a\0b"), ("X Y", "a"), ("X", b"\x7f")):
        with pytest.raises(hangup.InvalidHeader):
            client.get(server.url, headers={name: value})


def test_none_takes_a_default_away(server, manager, form):
    names = ("Accept", "user-agent", "ACCEPT-ENCODING")
    with form(manager=manager) as client:
        client.get(server.url, headers=dict.fromkeys(names))
    bare = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % server.port
    assert server.received(0) == bare
    with form(manager=manager, headers={**dict.fromkeys(names), "X-A": b"\xff"}) as client:
        client.get(server.url)
        assert server.received(0) == bare + bare[:-2] + b"X-A: \xff\r\n\r\n"
        client.post(server.url, json={}, headers=[("X-A", None), ("Content-Type", None)])
    assert lines(server) == [b"Content-Length: 2"]
    with pytest.raises(hangup.InvalidHeader):
        form(manager=manager, headers={"Host": None})


def test_a_received_value_is_sent_back_as_it_was(serve, client):
    head = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
    latin1 = {"send_hex": (head.encode() + b'ETag: "caf\xe9"\r\n\r\n').hex()}
    utf8 = send(head + 'ETag: "café"\r\nX-Two: é\r\nX-Two: b\r\n\r\n')
    server = serve([HEAD, latin1, HEAD, utf8, HEAD, send(head + "\r\n"), forever(answer())])
    tags = [client.get(server.url).headers["etag"] for _ in range(2)]
    assert tags == ['"café"', '"café"']
    for tag, sent in zip(tags, (b'"caf\xe9"', b'"caf\xc3\xa9"')):
        client.get(server.url, headers={"If-None-Match": tag})
        assert lines(server) == [b"If-None-Match: " + sent]
        client.get(server.url, headers={"If-None-Match": pickle.loads(pickle.dumps(tag))})
        assert lines(server) == [b"If-None-Match: " + sent]


def test_a_target_and_a_url_as_given(server, client):
    client.get(server.url, target="/a/../b?x='%2e%2e\\")
    assert target(server) == b"/a/../b?x='%2e%2e\\"
    client.get(server.url, target=b"/\xff")
    assert target(server) == b"/\xff"
    client.request("OPTIONS", server.url, target="*")
    assert target(server) == b"*"
    client.get(server.origin + "/a\\b/../c?q=it's#f", url_as_given=True, params={"a": "b c"})
    assert target(server) == b"/a\\b/../c?q=it's&a=b+c"
    for path, sent in (("/?q=it's", b"/?q=it's"), ("/a/%2e%2e/b", b"/a/%2e%2e/b"), ("/a b?c d", b"/a%20b?c%20d")):
        client.get(server.origin + path)
        assert target(server) == sent
    for wrong in ("", "/a b", "/\n", b"/\x7f", "/\0"):
        with pytest.raises(hangup.InvalidArgument):
            client.get(server.url, target=wrong)
    with pytest.raises(hangup.InvalidURL):
        client.get(server.origin + "/a b", url_as_given=True)


def pieces(*items):
    yield from items


def test_the_length_of_an_iterable(server, client, form):
    client.put(server.url, content=pieces(b"ab", b"", b"cd"), headers={"Content-Length": "4"})
    assert lines(server) == [b"Content-Length: 4"] and server.bodies()[-1] == b"abcd"
    for length in ("3", "5", "0"):
        with pytest.raises(hangup.BodyFailed):
            client.put(server.url, content=pieces(b"ab", b"cd"), headers={"Content-Length": length})
    with pytest.raises(hangup.InvalidHeader):
        client.put(server.url, content=b"abc", headers={"Content-Length": "4"})
    with pytest.raises(hangup.InvalidHeader):
        client.put(server.url, content=pieces(b"a"), headers={"Content-Length": "x"})


def test_the_length_of_an_async_iterable(server, manager):
    import asyncio

    async def source(*items):
        for item in items:
            yield item

    async def run():
        async with hangup.AsyncClient(manager=manager) as client:
            await client.put(server.url, content=source(b"ab", b"cd"), headers={"Content-Length": "4"})
            for length in ("3", "5"):
                with pytest.raises(hangup.BodyFailed):
                    await client.put(server.url, content=source(b"ab", b"cd"), headers={"Content-Length": length})

    asyncio.run(run())
    assert b"\r\nContent-Length: 4\r\n" in server.received(0) and server.bodies() == [b"abcd"]


class Encoder:
    """Like the MultipartEncoder of requests_toolbelt: no file, but `len` and `read`."""

    def __init__(self, content, length=None):
        self._file = io.BytesIO(content)
        self.len = len(content) if length is None else length

    def read(self, size=-1):
        return self._file.read(size)


class Sized:
    """`__len__` and `read`."""

    def __init__(self, content):
        self._file = io.BytesIO(content)

    def __len__(self):
        return 5

    def read(self, size=-1):
        return self._file.read(size)


class Seekable:
    """No file, but a position."""

    def __init__(self, content):
        self._file = io.BytesIO(content)
        self.read, self.seek, self.tell = self._file.read, self._file.seek, self._file.tell


def test_readers_with_a_known_length(server, client, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"..hello")
    mapped = mmap.mmap(-1, 7)
    mapped.write(b"..hello")
    with path.open("rb") as file:
        moved = [io.BytesIO(b"..hello"), file, mapped, Seekable(b"..hello"), io.BufferedReader(io.BytesIO(b"..hello"))]
        for reader in moved:
            reader.seek(2)
        for reader in [*moved, Encoder(b"hello"), Sized(b"hello")]:
            client.post(server.url, content=reader)
            assert lines(server) == [b"Content-Length: 5"] and server.bodies()[-1] == b"hello", reader
    for length in (4, 6):
        with pytest.raises(hangup.BodyFailed):
            client.post(server.url, content=Encoder(b"hello", length))
