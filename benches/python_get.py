"""Small GETs from Python, one at a time, on one kept connection: hangup, pycurl, requests, httpx.

    python_get.py URL SECONDS ROUNDS

Each round gives each of them, in turn, about SECONDS of requests; each keeps one session for all rounds. What a
caller does is the same: send, look at the status, have the body as bytes. Prints a line for each turn: requests a
second and microseconds of this process's CPU a request.
"""

import io
import resource
import sys
import time


def with_hangup(url):
    import hangup

    client = hangup.Client()

    def get():
        r = client.get(url)
        return r.status_code, r.content

    return get


def with_pycurl(url):
    import pycurl

    curl = pycurl.Curl()
    curl.setopt(pycurl.URL, url)
    curl.setopt(pycurl.NOSIGNAL, 1)

    def get():
        body = io.BytesIO()
        curl.setopt(pycurl.WRITEDATA, body)
        curl.perform()
        return curl.getinfo(pycurl.RESPONSE_CODE), body.getvalue()

    return get


def with_requests(url):
    import requests

    session = requests.Session()

    def get():
        r = session.get(url)
        return r.status_code, r.content

    return get


def with_httpx(url):
    import httpx

    client = httpx.Client()

    def get():
        r = client.get(url)
        return r.status_code, r.content

    return get


def turn(get, count):
    """Requests a second, and microseconds of CPU a request: in user space, and with the kernel's."""
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    for _ in range(count):
        status, body = get()
        if status != 200 or len(body) != 3:
            sys.exit(f"status {status}, {len(body)} bytes")
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    user, kernel = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    return count / wall, user / count * 1e6, (user + kernel) / count * 1e6


def main():
    if len(sys.argv) != 4:
        return f"usage: {sys.argv[0]} URL SECONDS ROUNDS"
    url, seconds, rounds = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    gets = {}
    for name, make in [
        ("hangup", with_hangup),
        ("pycurl", with_pycurl),
        ("requests", with_requests),
        ("httpx", with_httpx),
    ]:
        try:
            gets[name] = make(url)
        except ImportError as error:
            print(f"python_get.py: no {name}: {error}", file=sys.stderr)
    # Not counted: it dials, warms up, and tells how many requests a turn has.
    counts = {name: 1 + int(seconds * turn(get, 100)[0]) for name, get in gets.items()}
    for _ in range(rounds):
        for name, get in gets.items():
            rps, user, both = turn(get, counts[name])
            print(f"{name} rps={rps:.0f} user_us={user:.2f} cpu_us={both:.2f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
