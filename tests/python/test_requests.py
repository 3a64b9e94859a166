"""What is sent: the request line, header fields, query strings and bodies."""

import gc
import io
import json
import os
import pathlib
import sys
import tempfile
import zipfile

import pytest

import hangup
from running import Background, python
from testserver import HEAD, answer, forever


BOTH_FORMS = True


@pytest.fixture
def echo(serve):
    """A server that answers every request and records it."""
    return serve([forever(HEAD, {"recv": "body"}, {"send": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"})])


def head(server, number=-1):
    """The request line and the fields of a request, names in lower case."""
    line, *fields = server.heads()[number].rstrip("\r\n").split("\r\n")
    return line, [(name.lower(), value.strip()) for name, _, value in (f.partition(":") for f in fields)]


@pytest.mark.parametrize("verb", ["get", "post", "put", "patch", "delete", "head", "options"])
def test_each_verb_is_a_method(serve, client, verb):
    server = serve([forever(answer())])
    assert getattr(client, verb)(server.url).status_code == 200
    assert getattr(hangup, verb)(server.url, connection="close").status_code == 200
    wanted = f"{verb.upper()} / HTTP/1.1"
    assert [server.heads(connection)[0].splitlines()[0] for connection in (0, 1)] == [wanted, wanted]


def test_request_takes_any_method(echo, client):
    client.request("PROPFIND", echo.url)
    assert head(echo)[0] == "PROPFIND / HTTP/1.1"


@pytest.mark.parametrize(
    ("params", "query"),
    [
        ({"a": "1", "b": "x y"}, "a=1&b=x+y"),
        ({"a": [1, 2]}, "a=1&a=2"),
        ([("a", "1"), ("a", "2")], "a=1&a=2"),
        ({"t": True, "f": False, "n": None, "x": 1.5}, "t=true&f=false&n=&x=1.5"),
        ({"ü": "é&="}, "%C3%BC=%C3%A9%26%3D"),
        ({"b": b"\xff"}, "b=%FF"),
        ("ready=made", "ready=made"),
    ],
)
def test_params_become_the_query(echo, client, params, query):
    client.get(echo.url, params=params)
    assert head(echo)[0] == f"GET /?{query} HTTP/1.1"


def test_params_are_added_to_a_query_and_stand_before_a_fragment(echo, client):
    client.get(echo.url + "?a=1#part", params={"b": 2})
    client.get(echo.url, params={})
    assert [head(echo, n)[0] for n in (0, 1)] == ["GET /?a=1&b=2 HTTP/1.1", "GET / HTTP/1.1"]


def test_headers_of_the_request_replace_those_of_the_client(echo, manager):
    client = hangup.Client(manager=manager, headers={"X-A": "client", "X-B": "client"})
    client.get(echo.url, headers=[("x-a", "one"), ("x-a", b"two")])
    fields = head(echo)[1]
    assert [value for name, value in fields if name == "x-a"] == ["one", "two"]
    assert ("x-b", "client") in fields


def test_header_text_is_sent_as_utf8(echo, client):
    client.get(echo.url, headers={"X-Name": "Jürgen"})
    assert "Jürgen" in echo.heads()[0]


def test_base_url_is_joined_by_one_slash(echo, manager):
    client = hangup.Client(base_url=echo.url + "api/", manager=manager)
    client.get("/v1")
    client.get("v2")
    client.get(echo.url + "absolute")
    lines = [head(echo, number)[0].split()[1] for number in range(3)]
    assert lines == ["/api/v1", "/api/v2", "/absolute"]


def test_base_url_applies_to_relative_urls_only(echo, manager):
    client = hangup.Client(base_url=f"{echo.url}api", manager=manager)
    for url in ("login?next=http://a.test/", "users:find", "?a://b"):
        client.get(url)
    lines = [head(echo, number)[0].split()[1] for number in range(3)]
    assert lines == ["/api/login?next=http://a.test/", "/api/users:find", "/api/?a://b"]
    for url in ("//127.0.0.1:1/", "http:x", "HTTPS:/x", "\\\\127.0.0.1:1/", "/\\x", "a\\b"):
        with pytest.raises(hangup.InvalidURL):
            client.get(url)
    assert len(echo.heads()) == 3


def test_a_password_is_in_no_repr(echo, manager):
    url = echo.url.replace("://", "://us:SECRET@")
    client = hangup.Client(
        base_url=url, manager=manager, cookies=True, proxy="http://us:SECRET@127.0.0.1:1", no_proxy="127.0.0.1"
    )
    client.cookies.set(url, "a", "SECRET")
    response = client.get("path")
    assert "dXM6U0VDUkVU" in echo.heads()[0]
    for one in (client, client.cookies, client.manager, client.manager.connections(), response, response.request):
        assert "SECRET" not in repr(one), repr(one)
    assert echo.url in repr(client) and response.request.url == f"{echo.url}path"


def test_credentials_and_cookies_are_in_no_repr_of_headers():
    names = ["Authorization", "COOKIE", "Proxy-Authorization", "set-cookie"]
    headers = hangup.Headers([*((name, "SECRET") for name in names), ("X-A", "b")])
    assert "SECRET" not in repr(headers) and "('x-a', 'b')" in repr(headers)
    assert all(headers[name] == "SECRET" for name in names)


def test_json_is_compact_utf8(echo, client):
    client.post(echo.url, json={"name": "ü", "list": [1, None]})
    assert echo.bodies() == ['{"name":"ü","list":[1,null]}'.encode()]
    assert ("content-type", "application/json") in head(echo)[1]


def test_json_refuses_values_without_a_json_form(client):
    with pytest.raises(ValueError):
        client.post("http://127.0.0.1:1/", json=float("nan"))


def test_data_is_a_form(echo, client):
    client.post(echo.url, data={"a": "1 2", "b": ["x", "y"]})
    assert echo.bodies() == [b"a=1+2&b=x&b=y"]
    assert ("content-type", "application/x-www-form-urlencoded") in head(echo)[1]


def test_a_content_type_of_the_caller_stays(echo, client):
    client.post(echo.url, json={}, headers={"Content-Type": "application/vnd.x+json"})
    values = [value for name, value in head(echo)[1] if name == "content-type"]
    assert values == ["application/vnd.x+json"]


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        (b"bytes", b"bytes"),
        ("t\u00e9xt", "t\u00e9xt".encode()),
        (bytearray(b"array"), b"array"),
        (memoryview(b"view"), b"view"),
        (io.BytesIO(b"file"), b"file"),
        (b"", b""),
    ],
)
def test_content_of_known_length(echo, client, content, sent):
    if isinstance(content, io.BytesIO):
        content.seek(0)  # both forms send it
    client.post(echo.url, content=content)
    assert echo.bodies() == [sent]
    assert ("content-length", str(len(sent))) in head(echo)[1]


LARGE = 1_000_000
"""More than the size that is copied."""


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, "text"])
def test_large_content_is_sent_repeatedly_and_released(serve, client, kind):
    """Bytes are borrowed while they are sent: also over a redirect that repeats the body, and by concurrent requests."""
    moved = {"send": "HTTP/1.1 307 Moved\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"}
    ok = {"send": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"}
    server = serve([HEAD, {"recv": "body"}, moved, HEAD, {"recv": "body"}, ok, forever(HEAD, {"recv": "body"}, ok)])
    data = bytes(range(256)) * (LARGE // 256 + 1)
    content = data.decode("latin-1") if kind == "text" else kind(data)
    sent = content.encode() if kind == "text" else data
    before = sys.getrefcount(content)
    assert client.post(server.url, content=content).history
    assert client.post(server.url, content=content).text == "ok"
    assert server.bodies() == [sent] * 3
    assert sys.getrefcount(content) == before
    if kind is bytearray:
        content.clear()  # nothing holds its buffer


@pytest.mark.parametrize("script", [["rst"], [HEAD, "rst"], [HEAD, {"recv": {"bytes": 100}}, "rst"], [HEAD, "stall"]])
def test_large_content_is_released_after_a_failure(serve, client, script):
    server = serve(script)
    content = b"x" * 20 * LARGE
    before = sys.getrefcount(content)
    for _ in range(3):
        with pytest.raises(hangup.HangupError):
            client.post(server.url, content=content, timeout=hangup.Timeout(write=0.1, head=0.1))
    with pytest.raises(hangup.InvalidHeader):
        client.post(server.url, content=content, headers={"a b": "c"})
    gc.collect()  # frames of the exceptions
    assert sys.getrefcount(content) == before


def test_large_content_is_held_while_it_is_sent(serve, form):
    """The caller may drop its reference at once."""
    server = serve([HEAD, {"await": "go"}, {"recv": "body"}, {"send": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"}])
    client = form()
    sending = Background(lambda: client.post(server.url, content=bytes(range(256)) * 40_000))
    server.wait_heads()
    gc.collect()
    assert bytes(10_000_000)  # what was free is written over
    server.release("go")
    assert sending.ended().value.text == "ok"
    assert server.bodies() == [bytes(range(256)) * 40_000]


def test_large_content_is_not_copied(serve, form):
    server = serve([HEAD, "stall"])
    python(
        """
        import asyncio, sys
        import hangup

        def rss():
            return int(open("/proc/self/statm").read().split()[1]) * 4096

        async def main():
            content, size = b"x" * 100_000_000, 100_000_000
            async with hangup.AsyncClient() as client:
                await asyncio.gather(client.get("http://127.0.0.1:1/"), return_exceptions=True)
                before = rss()
                task = asyncio.create_task(client.post(sys.argv[1], content=content))
                while not any(row.bytes_out > 100_000 for row in client.manager.connections()):
                    await asyncio.sleep(0.001)
                grown = rss() - before
                task.cancel()
                assert grown < size / 2, grown

        asyncio.run(main())
        """,
        server.url,
    )


def test_an_iterator_is_sent_chunked(echo, client):
    big = b"x" * 300_000
    client.post(echo.url, content=iter([b"one", b"", bytearray(b"two"), big]))
    assert echo.bodies() == [b"onetwo" + big]
    assert ("transfer-encoding", "chunked") in head(echo)[1]


def test_a_file_is_sent_from_where_it_stands(echo, client, tmp_path):
    path = tmp_path / "upload"
    path.write_bytes(b"skipped" + b"sent" * 100_000)
    with path.open("rb") as file:
        file.seek(7)
        client.put(echo.url, content=file)
    client.put(echo.url, content=pathlib.Path(path))
    assert echo.bodies() == [b"sent" * 100_000, path.read_bytes()]
    assert ("content-length", "400000") in head(echo, 0)[1]


@pytest.mark.parametrize("module", ["gzip", "bz2", "lzma"])
def test_a_decompressing_file_is_sent_decompressed(echo, client, tmp_path, module):
    module = pytest.importorskip(module)
    whole = b"line of text\n" * 100_000
    path = tmp_path / "compressed"
    with module.open(path, "wb") as file:
        file.write(whole)
    with module.open(path, "rb") as file:
        client.post(echo.url, content=file)
    assert echo.bodies() == [whole]
    assert ("transfer-encoding", "chunked") in head(echo)[1]


def test_a_member_of_a_zip_file_is_sent(echo, client, tmp_path):
    whole = b"line of text\n" * 100_000
    with zipfile.ZipFile(tmp_path / "zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("member", whole)
        with archive.open("member") as file:
            client.post(echo.url, content=file)
    assert echo.bodies() == [whole]


@pytest.mark.parametrize("path", ["/proc/version", "/proc/filesystems", "/sys/kernel/mm/transparent_hugepage/enabled"])
def test_a_file_with_an_unreliable_size_is_sent_to_its_end(echo, client, path):
    if not os.path.exists(path):
        pytest.skip(f"no {path}")
    whole = pathlib.Path(path).read_bytes()
    assert os.stat(path).st_size != len(whole)
    with open(path, "rb") as file:
        client.put(echo.url, content=file)
    with open(path, "rb", buffering=0) as file:
        client.put(echo.url, content=file)
    client.put(echo.url, content=pathlib.Path(path))
    assert echo.bodies() == [whole] * 3


def test_a_sparse_file_and_a_pipe_are_sent(echo, client, tmp_path):
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(300_000)
    with path.open("rb") as file:
        client.put(echo.url, content=file)
    reads, writes = os.pipe()
    with open(writes, "wb") as file:
        file.write(b"through a pipe")
    with open(reads, "rb") as file:
        client.put(echo.url, content=file)
    assert echo.bodies() == [bytes(300_000), b"through a pipe"]
    assert ("content-length", "300000") in head(echo, 0)[1]
    assert ("transfer-encoding", "chunked") in head(echo, 1)[1]


def test_temporary_files_and_wrappers_of_files_have_a_length(echo, client):
    class Wrapper:
        """Like a wrapper that shows the progress of an upload: everything but `read` is the file's."""

        def __init__(self, file):
            self.file = file

        def __getattr__(self, name):
            return getattr(self.file, name)

        def read(self, size):
            return self.file.read(size)

    with tempfile.TemporaryFile() as plain, tempfile.NamedTemporaryFile() as named:
        with tempfile.SpooledTemporaryFile(max_size=1_000_000) as spooled:
            for file in (plain, named, spooled):
                file.write(b"sent" * 10_000)
                file.seek(4)
                client.put(echo.url, content=Wrapper(file) if file is plain else file)
            assert not spooled._rolled, "asking for its length does not write it to the disk"
    assert echo.bodies() == [b"sent" * 9_999] * 3
    for number in range(3):
        assert ("content-length", "39996") in head(echo, number)[1]


@pytest.mark.parametrize("size", [1, 10_000, 300_000])
def test_a_file_that_grows_while_it_is_sent_is_an_error_and_never_cut_off(echo, client, manager, tmp_path, size):
    path = tmp_path / "growing"
    path.write_bytes(b"x" * size)

    class Growing(io.FileIO):
        def read(self, room=-1):
            with open(path, "ab") as more:
                more.write(b"y")
            return super().read(room)

    with Growing(path) as file, pytest.raises(hangup.BodyFailed, match="grew") as failure:
        client.post(echo.url, content=file)
    assert (failure.value.phase, failure.value.sent) == ("write", "part")
    assert echo.bodies() == []
    assert manager.connections() == []


def test_a_failing_iterator_raises_its_own_exception(echo, client, manager):
    def body():
        yield b"some"
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        client.post(echo.url, content=body())
    assert echo.ended() is not None
    assert manager.connections() == []


@pytest.mark.parametrize("piece", ["text", 5, None])
def test_an_iterator_of_anything_else_is_a_type_error(echo, client, piece):
    with pytest.raises(TypeError, match=f"not {type(piece).__name__}"):
        client.post(echo.url, content=[piece])


def test_a_text_file_is_a_type_error(echo, client):
    with pytest.raises(TypeError, match="binary"):
        client.post(echo.url, content=io.StringIO("text"))


@pytest.mark.parametrize("content", [5, {"a": 1}])
def test_a_body_of_another_type_is_a_type_error(client, content):
    with pytest.raises(TypeError, match="a body is bytes"):
        client.post("http://127.0.0.1:1/", content=content)


def test_a_request_has_one_body(client):
    with pytest.raises(TypeError, match="content and json"):
        client.post("http://127.0.0.1:1/", content=b"", json={})


def test_text_is_not_accepted_as_a_form(client):
    with pytest.raises(TypeError, match="content="):
        client.post("http://127.0.0.1:1/", data="a=1")


def test_an_upload_callback_may_use_hangup(echo, client, serve):
    other = serve([forever(answer("inner"))])

    def body():
        yield client.get(other.url).content

    client.post(echo.url, content=body())
    assert echo.bodies() == [b"inner"]


def test_a_closed_client_refuses(client):
    client.close()
    assert client.is_closed
    with pytest.raises(hangup.InvalidState, match="closed"):
        client.get("http://127.0.0.1:1/")


def test_json_round_trip(serve, client):
    server = serve([forever(answer(json.dumps({"k": [1, "ü"]})))])
    assert client.get(server.url).json() == {"k": [1, "ü"]}
