"""Bodies of requests: files that are rewound, forms with files, bodies that are written piece by piece, progress, rates, and Expect."""

import asyncio
import concurrent.futures
import gzip
import io
import select
import time

import pytest

import hangup
from running import python, wait_until
from testserver import HEAD, answer, by_path, forever, send

BOTH_FORMS = True

MOVED = [answer("moved", 307, [["Location", "/end"]])]


@pytest.fixture
def moving(serve):
    return serve([forever(by_path({"*": [answer("end")], "/start": MOVED}))])


def files(tmp_path):
    path = tmp_path / "pay"
    path.write_bytes(b"..PAYLOAD")
    with gzip.open(tmp_path / "pay.gz", "wb") as packed:
        packed.write(b"..PAYLOAD")
    for file in (path.open("rb"), io.BytesIO(b"..PAYLOAD"), gzip.open(tmp_path / "pay.gz")):
        with file:
            file.seek(2)
            yield file


def test_a_file_is_sent_again_from_its_position_after_a_redirect(moving, client, tmp_path):
    for nth, file in enumerate(files(tmp_path)):
        r = client.put(f"{moving.url}start", content=file)
        assert (r.status_code, len(r.history)) == (200, 1)
        assert moving.bodies()[2 * nth :] == [b"PAYLOAD", b"PAYLOAD"]


def test_a_file_is_sent_again_when_a_kept_connection_was_lost(serve, client, tmp_path):
    for file in files(tmp_path):
        lost = [answer("warm"), HEAD, {"recv": "body"}]
        server = serve(lost, [forever(answer("end"))])
        client.get(server.url)
        r = client.put(server.url, content=file)
        assert (r.status_code, r.attempts, server.bodies(1)) == (200, 2, [b"PAYLOAD"])


def test_an_exception_of_seek_is_raised(moving, client):
    class Stuck(io.BytesIO):
        def seek(self, *where):
            raise KeyError("stuck")

        def getbuffer(self):
            raise AttributeError

        def fileno(self):
            raise OSError

    with pytest.raises(KeyError, match="stuck"):
        client.put(f"{moving.url}start", content=Stuck(b"PAYLOAD"))


@pytest.mark.parametrize("size", [0, 10, 300_000, 3_000_000])
def test_memory_of_any_kind_is_sent(serve, client, size):
    server = serve([forever(answer())])
    body = bytes(range(256)) * (size // 256) + b"." * (size % 256)
    array = bytearray(body)
    given = [array, memoryview(array), memoryview(body), memoryview(body[: size // 8 * 8]).cast("Q"), memoryview(array)[::-1]]
    for content in given:
        client.post(server.url, content=content)
    given.clear()
    content = None
    assert server.bodies() == [body, body, body, body[: size // 8 * 8], body[::-1]]
    # Nothing refers to the memory any more, so that its size can change.
    wait_until(lambda: resizes(array))


def resizes(array):
    try:
        array.append(0)
    except BufferError:
        return False
    return True


def test_the_memory_of_a_body_is_not_copied(serve):
    """A file is sent in pieces, too."""
    server = serve([forever(answer())])
    done = python(
        f"""
        import asyncio, io
        import hangup

        def peak():
            with open("/proc/self/status") as status:
                return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

        async def send(content):
            async with hangup.AsyncClient() as client:
                assert (await client.post({server.url!r}, content=content)).status_code == 200

        size = 50_000_000
        array = bytearray(size)
        file = io.BytesIO(array)
        hangup.post({server.url!r}, content=b"warm")
        asyncio.run(send(b"warm"))
        before = peak()
        for content in (array, memoryview(array), file):
            assert hangup.post({server.url!r}, content=content).status_code == 200
            file.seek(0)
            asyncio.run(send(content))
        assert hangup.post({server.url!r}, files={{"file": ("name", array)}}).status_code == 200
        print((peak() - before) / size)
        """
    )
    assert float(done.stdout) < 0.1, done.stdout


def test_an_iterator_may_use_its_memory_again(serve, client):
    server = serve([forever(answer())])

    def pieces():
        array = bytearray(100_000)
        for nth in range(5):
            array[:] = bytes([nth]) * len(array)
            yield array
        yield memoryview(array)[::2]
        yield memoryview(array).cast("I")

    client.post(server.url, content=pieces())
    assert server.bodies()[0] == b"".join(bytes([nth]) * 100_000 for nth in range(5)) + bytes([4]) * 150_000


def test_what_is_read_of_a_buffered_file_first_is_not_sent(serve, client, tmp_path):
    server = serve([forever(answer())])
    body = bytes(range(256)) * 4000
    path = tmp_path / "body"
    path.write_bytes(body)
    for mode, buffering in (("rb", -1), ("rb", 0), ("r+b", -1)):
        with path.open(mode, buffering=buffering) as file:
            assert file.read(10) == body[:10]
            client.post(server.url, content=file)
            assert file.tell() == len(body)
    assert server.bodies() == [body[10:]] * 3


def test_an_iterable_is_sent_once(moving, client):
    with pytest.raises(hangup.RedirectRefused):
        client.put(f"{moving.url}start", content=iter([b"PAY", b"LOAD"]))


def test_a_form_with_files(moving, client, tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"in a file")
    with path.open("rb") as file:
        r = client.post(
            f"{moving.url}start",
            data={"name": "Zoë", "many": [1, 2]},
            files=[
                ("path", path),
                ("file", file),
                ("bytes", ("q\"\n.json", b"{}")),
                ("typed", ("b.bin", io.BytesIO(b"typed"), "image/x-b")),
                ("text", (None, "no file")),
                ("plain", b"plain"),
            ],
            headers={"Content-Type": "multipart/form-data; boundary=limit"},
        )
    assert r.status_code == 200 and len(r.history) == 1

    def part(head, content):
        return f"--limit\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n"

    text = "Content-Type: text/plain"
    expected = (
        part('name="name"', "Zoë")
        + part('name="many"', "1")
        + part('name="many"', "2")
        + part(f'name="path"; filename="a.txt"\r\n{text}', "in a file")
        + part(f'name="file"; filename="a.txt"\r\n{text}', "in a file")
        + part('name="bytes"; filename="q%22%0A.json"\r\nContent-Type: application/json', "{}")
        + part('name="typed"; filename="b.bin"\r\nContent-Type: image/x-b', "typed")
        + part('name="text"', "no file")
        + part('name="plain"; filename="plain"\r\nContent-Type: application/octet-stream', "plain")
        + "--limit--\r\n"
    )
    assert [body.decode() for body in moving.bodies()] == [expected, expected]


def test_large_memory_in_a_form_is_sent_again_after_a_redirect(moving, client):
    array = bytearray(bytes(range(256)) * 4000)
    r = client.post(f"{moving.url}start", files=[("a", ("a", array)), ("b", ("b", memoryview(array)))])
    assert (r.status_code, len(r.history)) == (200, 1)
    first, second = moving.bodies()
    assert first == second and first.count(bytes(array)) == 2
    array.append(0)  # nothing refers to its memory


def test_a_form_has_a_random_boundary_and_a_length(serve, client):
    server = serve([forever(answer())])
    for _ in range(2):
        client.post(server.url, files={"a": b"1"})
    first, second = ({k.lower(): v for k, v in (line.split(": ", 1) for line in head.split("\r\n")[1:] if line)} for head in server.heads())
    assert first["content-type"].startswith("multipart/form-data; boundary=hangup-")
    assert first["content-type"] != second["content-type"]
    assert int(first["content-length"]) == len(server.bodies()[0])


def test_a_form_with_an_iterable_is_chunked_and_sent_once(moving, client):
    r = client.post(f"{moving.url}end", files={"a": ("a", iter([b"PAY", b"LOAD"]))})
    assert r.status_code == 200 and b"\r\n\r\nPAYLOAD\r\n" in moving.bodies()[0]
    assert "transfer-encoding: chunked" in moving.heads()[0].lower()
    with pytest.raises(hangup.RedirectRefused):
        client.post(f"{moving.url}start", files={"a": ("a", iter([b"PAY", b"LOAD"]))})


def test_arguments_of_forms_are_checked(moving, client):
    with pytest.raises(TypeError, match="one body"):
        client.post(moving.url, content=b"x", files={"a": b"1"})
    with pytest.raises(hangup.InvalidArgument, match="tuple of its name"):
        client.post(moving.url, files={"a": ("a", b"1", "text/plain", {"X": "y"})})


def test_an_exception_of_a_part_is_raised(moving, client):
    def pieces():
        yield b"one"
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        client.post(moving.url, files={"a": ("a", pieces())})


def test_progress_counts_both_bodies(serve, client):
    server = serve([forever(answer("x" * 1000))])
    progress = hangup.Progress()
    assert (progress.bytes_sent, progress.bytes_to_send, progress.bytes_to_receive) == (0, None, None)
    client.put(server.url, content=b"u" * 500, progress=progress)
    assert (progress.bytes_sent, progress.bytes_to_send) == (500, 500)
    assert (progress.bytes_received, progress.bytes_to_receive) == (1000, 1000)
    assert repr(progress) == "<Progress sent 500 of 500, received 1000 of 1000>"


def test_a_maximum_rate_slows_both_bodies(serve, client):
    server = serve([forever(answer("x" * 2000))])
    for rate, slow in (((2000, None), True), ((None, 2000), True), ((None, None), False)):
        begun = time.monotonic()
        client.put(server.url, content=b"u" * 2000, max_rate=rate)
        assert not slow or time.monotonic() - begun > 0.8
    with pytest.raises(hangup.InvalidArgument):
        client.put(server.url, content=b"u", max_rate=(0, None))
    with pytest.raises(TypeError, match="pair"):
        client.put(server.url, content=b"u", max_rate=5)


def test_expect_waits_and_is_sent_without_it_after_417(serve, client):
    asked = serve([HEAD, send("HTTP/1.1 100 Continue\r\n\r\n"), {"recv": "body"}, send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")])
    assert client.put(asked.url, content=b"body", expect_continue=20).status_code == 200
    assert "100-continue" in asked.heads()[0] and asked.bodies() == [b"body"]
    refusal = [HEAD, send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n"), "stall"]
    refused = serve(refusal, [forever(answer())])
    r = client.put(refused.url, content=b"body", expect_continue=20)
    assert (r.status_code, r.attempts) == (200, 2) and "100-continue" not in refused.heads(1)[0]


def test_a_client_has_rates_and_expect_for_all_its_requests(serve, manager):
    server = serve([forever(answer())])
    client = hangup.Client(manager=manager, max_rate=(10_000_000, None), expect_continue=0.01)
    client.put(server.url, content=b"body")
    client.put(server.url, content=b"body", expect_continue=False)
    assert ["100-continue" in head for head in server.heads()] == [True, False]


class Awaited:
    """An AsyncUpload whose writes wait, for tests that write Upload, too."""

    def __init__(self, upload, loop):
        self.upload, self.loop = upload, loop

    def write(self, data):
        asyncio.run_coroutine_threadsafe(self.upload.write(data), self.loop).result(30)

    def __getattr__(self, name):
        return getattr(self.upload, name)


def uploading(form, manager, url, write, length=None):
    """Writes a body while it is sent; returns the response, or raises what the request raised."""
    if form is hangup.Client:
        with concurrent.futures.ThreadPoolExecutor() as pool, hangup.Client(manager=manager) as client:
            upload = hangup.Upload(length)
            sent = pool.submit(client.put, url, content=upload)
            write(upload)
            return sent.result(30)

    async def main():
        async with hangup.AsyncClient(manager=manager) as client:
            upload = hangup.AsyncUpload(length)
            sent = asyncio.create_task(client.put(url, content=upload))
            await asyncio.to_thread(write, Awaited(upload, asyncio.get_running_loop()))
            return await asyncio.wait_for(sent, 30)

    return asyncio.run(main())


@pytest.mark.parametrize("length", [None, 300_000])
def test_a_body_is_written_while_it_is_sent(serve, form, manager, length):
    server = serve([forever(answer())])

    def write(upload):
        for piece in (b"a" * 100_000, bytearray(b"b" * 100_000), memoryview(b"c" * 100_000)):
            upload.write(piece)
        upload.finish()

    assert uploading(form, manager, server.url, write, length).status_code == 200
    assert server.bodies() == [b"a" * 100_000 + b"b" * 100_000 + b"c" * 100_000]
    framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    assert framing in server.heads()[0].lower()


def test_a_body_that_is_given_up_fails_its_request(serve, form, manager):
    server = serve([HEAD, "stall"])

    def write(upload):
        upload.write(b"begun")
        upload.abort("the tape broke")
        for _ in range(2):
            with pytest.raises(hangup.InvalidState, match="the tape broke"):
                upload.write(b"x")

    with pytest.raises(hangup.BodyFailed, match="the tape broke"):
        uploading(form, manager, server.url, write)


def test_a_body_of_another_length_is_refused(serve, form, manager):
    server = serve([HEAD, "stall"])

    def write(upload):
        upload.write(b"12")
        with pytest.raises(hangup.BodyFailed, match="longer"):
            upload.write(b"34")
        with pytest.raises(hangup.BodyFailed, match="short"):
            upload.finish()

    with pytest.raises(hangup.BodyFailed, match="2 of 3"):
        uploading(form, manager, server.url, write, length=3)


def test_the_writer_gets_the_failure_of_the_exchange(serve, form, manager):
    server = serve([HEAD, "rst"])
    seen = []

    def write(upload):
        try:
            while True:
                upload.write(b"x" * 100_000)
        except hangup.RequestError as error:
            seen.append(error)

    with pytest.raises(hangup.RequestError) as failed:
        uploading(form, manager, server.url, write)
    assert type(seen[0]) is type(failed.value) and seen[0].request.url == server.url


def test_an_upload_is_the_body_of_one_request(serve, client):
    server = serve([forever(answer())])
    upload = hangup.Upload()
    with upload:
        upload.write(b"all of it is buffered")
    assert client.put(server.url, content=upload).status_code == 200
    with pytest.raises(hangup.InvalidState, match="make another one"):
        client.put(server.url, content=upload)
    with pytest.raises(hangup.InvalidState):
        upload.finish()
    upload.abort()
    assert server.bodies() == [b"all of it is buffered"]
    for wrong in (-1, "5"):
        with pytest.raises(hangup.InvalidArgument):
            hangup.Upload(wrong)
    with pytest.raises(TypeError):
        hangup.Upload().write("text")
    with pytest.raises(TypeError):
        client.post(server.url, files={"a": hangup.Upload()})


def test_the_end_of_the_block_gives_the_body_up_after_an_exception(serve, client):
    server = serve([HEAD, "stall"])
    for upload in (hangup.Upload(), hangup.AsyncUpload()):
        with pytest.raises(LookupError):
            if isinstance(upload, hangup.Upload):
                with upload:
                    raise LookupError("no more")
            else:

                async def block():
                    async with upload:  # noqa: B023
                        raise LookupError("no more")

                asyncio.run(block())
        with pytest.raises(hangup.BodyFailed, match="LookupError"):
            client.put(server.url, content=upload)


def test_an_event_loop_writes_as_there_is_room(serve, form, manager):
    server = serve([forever(answer())])

    def write(upload):
        left = memoryview(b"r" * 500_000)
        while left:
            select.select([upload], [], [], 30)
            left = left[upload.try_write(left) :]
        upload.finish()

    assert uploading(form, manager, server.url, write).status_code == 200
    assert server.bodies() == [b"r" * 500_000]


def test_a_cancelled_write_gives_the_body_up(serve, manager):
    server = serve([HEAD, "stall"])

    async def main():
        async with hangup.AsyncClient(manager=manager) as client:
            upload = hangup.AsyncUpload()
            writing = asyncio.create_task(upload.write(b"x" * 100_000))  # more than is buffered, and no request
            await asyncio.sleep(0)
            writing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await writing
            with pytest.raises(hangup.BodyFailed, match="cancelled"):
                await client.put(server.url, content=upload)

    asyncio.run(main())
