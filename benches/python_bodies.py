"""Large bodies from Python, blocking, on one kept connection: hangup, pycurl, urllib3, requests, httpx.

    python_bodies.py HTTP HTTPS CA ROUNDS [WORK...]
    python_bodies.py peak CLIENT WORK HTTP HTTPS CA

HTTP and HTTPS are the two origins of one server, which has 100 MB at /large, with a length, and at /chunked; CA is the
certificate that signed the server's. The works:

- content, content_chunked, content_tls: a whole body as bytes;
- stream, stream_tls: pieces as they come; chunks: pieces of exactly 100,000 bytes;
- bytes, bytearray, file, iterator: a POST of 100 MB from memory, from an open file, from a generator of pieces of 64 KiB.
  A child process takes them: it reads and answers.

Each round gives each client its turn at each work. Prints a line for each turn: MB a second, and milliseconds of this
process's CPU. The last lines are of fresh processes: by how much the largest memory of one grew while it received a whole
body, over the size of that body.
"""

import io
import os
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time

SIZE = 100_000_000
PIECE = 64 * 1024


def with_hangup(ca):
    import hangup

    client = hangup.Client(verify=ca, max_body=None, timeout=None)

    def content(url):
        return client.get(url).content

    def stream(url):
        with client.stream("GET", url) as r:
            return sum(map(len, r.iter_bytes()))

    def chunks(url):
        with client.stream("GET", url) as r:
            return sum(map(len, r.iter_bytes(100_000)))

    def post(url, body, length):
        headers = None if length is None else {"Content-Length": str(length)}
        return client.post(url, content=body, headers=headers).status_code

    return content, stream, chunks, post


def with_pycurl(ca):
    import pycurl

    curl = pycurl.Curl()

    def begin(url):
        curl.reset()
        curl.setopt(pycurl.URL, url)
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.CAINFO, ca)
        curl.setopt(pycurl.BUFFERSIZE, 512 * 1024)  # the largest

    def content(url):
        begin(url)
        body = io.BytesIO()
        curl.setopt(pycurl.WRITEDATA, body)
        curl.perform()
        return body.getvalue()

    def stream(url):
        begin(url)
        total = 0

        def take(piece):
            nonlocal total
            total += len(piece)

        curl.setopt(pycurl.WRITEFUNCTION, take)
        curl.perform()
        return total

    def post(url, body, length):
        begin(url)
        curl.setopt(pycurl.WRITEDATA, io.BytesIO())
        curl.setopt(pycurl.POST, 1)
        curl.setopt(pycurl.HTTPHEADER, ["Expect:"])
        curl.setopt(pycurl.UPLOAD_BUFFERSIZE, 2 * 1024 * 1024)  # the largest
        if isinstance(body, bytes):
            curl.setopt(pycurl.POSTFIELDS, body)
        else:
            if isinstance(body, bytearray):
                body = io.BytesIO(body)
            if hasattr(body, "read"):
                read = body.read
            else:
                pieces = iter(body)

                def read(room):
                    return next(pieces, b"")

            curl.setopt(pycurl.POSTFIELDSIZE_LARGE, SIZE)
            curl.setopt(pycurl.READFUNCTION, read)
        curl.perform()
        return curl.getinfo(pycurl.RESPONSE_CODE)

    return content, stream, None, post


def with_urllib3(ca):
    import urllib3

    pool = urllib3.PoolManager(ca_certs=ca)

    def content(url):
        return pool.request("GET", url).data

    def pieces(url, size):
        r = pool.request("GET", url, preload_content=False)
        total = sum(map(len, r.stream(size)))
        r.release_conn()
        return total

    def post(url, body, length):
        return pool.request("POST", url, body=body, headers={"Content-Length": str(SIZE)}).status

    return content, lambda url: pieces(url, PIECE), lambda url: pieces(url, 100_000), post


def with_requests(ca):
    import requests

    session = requests.Session()
    session.verify, session.trust_env = ca, False  # a bundle in the environment would count more

    def content(url):
        return session.get(url).content

    def pieces(url, size):
        with session.get(url, stream=True) as r:
            return sum(map(len, r.iter_content(size)))

    def post(url, body, length):
        return session.post(url, data=body).status_code

    return content, lambda url: pieces(url, PIECE), lambda url: pieces(url, 100_000), post


def with_httpx(ca):
    import ssl

    import httpx

    client = httpx.Client(verify=ssl.create_default_context(cafile=ca), timeout=None)

    def content(url):
        return client.get(url).content

    def stream(url):
        with client.stream("GET", url) as r:
            return sum(map(len, r.iter_bytes()))

    def chunks(url):
        with client.stream("GET", url) as r:
            return sum(map(len, r.iter_bytes(100_000)))

    def post(url, body, length):
        if isinstance(body, bytearray):
            body = bytes(body)  # it takes no other
        headers = None if length is None else {"Content-Length": str(length)}
        return client.post(url, content=body, headers=headers).status_code

    return content, stream, chunks, post


CLIENTS = {
    "hangup": with_hangup,
    "pycurl": with_pycurl,
    "urllib3": with_urllib3,
    "requests": with_requests,
    "httpx": with_httpx,
}
DOWNLOADS = ("content", "content_chunked", "content_tls", "stream", "stream_tls", "chunks")
UPLOADS = ("bytes", "bytearray", "file", "iterator")


def sink(server):
    """Takes requests for ever, on any number of connections."""
    while True:
        connection, _ = server.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=take_requests, args=(connection,), daemon=True).start()


def take_requests(connection):
    """Requests with a Content-Length or a chunked body."""
    room = bytearray(1024 * 1024)
    while True:
        got = b""
        while b"\r\n\r\n" not in got:
            piece = connection.recv(64 * 1024)
            if not piece:
                return
            got += piece
        head, _, body = got.partition(b"\r\n\r\n")
        chunked = b"chunked" in head.lower()
        size, tail = len(body), body[-5:]
        while tail != b"0\r\n\r\n" if chunked else size < SIZE:
            count = connection.recv_into(room)
            if count == 0:
                return
            size += count
            tail = (tail + bytes(room[max(0, count - 5) : count]))[-5:]
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def pieces_of(body):
    for at in range(0, SIZE, PIECE):
        yield body[at : at + PIECE]


def works(client, urls, sink_url, body, path):
    """The functions of one client by the name of the work; each returns whether all came."""
    content, stream, chunks, post = client

    def upload(make, length=None):
        def run():
            return post(sink_url, make(), length) == 200

        return run

    def upload_file():
        with open(path, "rb") as file:
            return post(sink_url, file, None) == 200

    def download(read, url):
        def run():
            came = read(url)
            return (came if isinstance(came, int) else len(came)) == SIZE

        return run

    plain, chunked, tls = urls
    run = {
        "content": download(content, plain),
        "content_chunked": download(content, chunked),
        "content_tls": download(content, tls),
        "stream": download(stream, plain),
        "stream_tls": download(stream, tls),
        "bytes": upload(lambda: body),
        "bytearray": upload(lambda: bytearray_of(body)),
        "file": upload_file,
        # Of a known length, as not every client can send chunks of an iterator.
        "iterator": upload(lambda: pieces_of(body), SIZE),
    }
    if chunks:
        run["chunks"] = download(chunks, plain)
    return run


_kept = []


def bytearray_of(body):
    """The same one each time: making it is no client's work."""
    if not _kept:
        _kept.append(bytearray(body))
    return _kept[0]


def turn(run):
    """MB a second, and milliseconds of CPU."""
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    if not run():
        sys.exit("a body was not whole")
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return SIZE / 1e6 / wall, cpu * 1000


def peak(client, work, http, https, ca):
    """By how much the largest memory of this process grew over the size of the body that it received."""
    read = dict(zip(("content", "stream"), CLIENTS[client](ca)))["content"]
    url = {"content": f"{http}/large", "content_chunked": f"{http}/chunked", "content_tls": f"{https}/large"}[work]
    read(f"{http}/small")
    before = largest_memory()
    came = len(read(url))
    print(f"{(largest_memory() - before) / came:.3f}")
    return 0


def largest_memory():
    """Of this program: getrusage(2) counts that of the process which started it, too."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def main():
    if sys.argv[1:2] == ["peak"] and len(sys.argv) == 7:
        return peak(*sys.argv[2:])
    if len(sys.argv) < 5:
        return f"usage: {sys.argv[0]} HTTP HTTPS CA ROUNDS [WORK...]"
    http, https, ca, rounds = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    wanted = sys.argv[5:] or [*DOWNLOADS, *UPLOADS]
    server = socket.create_server(("127.0.0.1", 0))
    child = os.fork()
    if child == 0:
        try:
            sink(server)
        finally:
            os._exit(0)
    sink_url = f"http://127.0.0.1:{server.getsockname()[1]}/"
    server.close()
    # Not of zeros, which would all be the same page of memory.
    body = b"x" * SIZE
    urls = (f"{http}/large", f"{http}/chunked", f"{https}/large")
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        clients = {}
        for name, make in CLIENTS.items():
            try:
                clients[name] = works(make(ca), urls, sink_url, body, file.name)
            except ImportError as error:
                print(f"python_bodies.py: no {name}: {error}", file=sys.stderr)
        try:
            # The first turn of each work is not counted: it opens connections and touches memory for the first time.
            for run in clients.values():
                for work in wanted:
                    if work in run:
                        turn(run[work])
            for _ in range(rounds):
                for work in wanted:
                    for name, run in clients.items():
                        if work in run:
                            mbps, cpu = turn(run[work])
                            print(f"{name} {work} mbps={mbps:.0f} cpu_ms={cpu:.1f}", flush=True)
        finally:
            os.kill(child, 9)
            os.waitpid(child, 0)
    for work in wanted:
        for name in clients:
            if work.startswith("content"):
                command = [sys.executable, __file__, "peak", name, work, http, https, ca]
                ratio = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
                print(f"{name} {work} peak_over_body={ratio}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
