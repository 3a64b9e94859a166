"""Small requests from Python, blocking, on kept connections: hangup, pycurl, urllib3, requests.

    python_small.py HTTP HTTPS POST CA SECONDS ROUNDS [WORK...]

HTTP and HTTPS are the URLs of a small file; POST is one that answers a POST with a small body; CA is the certificate that
signed the server's. The works, each one request after the other on one connection, except the last one:

- get, get_tls, post_json: with one client or session;
- module_get: with the function of the module, as in `hangup.get(url)`;
- threads: GETs by 16 threads; pycurl has a handle for each, all others share one client.

Each round gives each client its turn at each work, about SECONDS long. Prints a line for each turn: requests a second, and
microseconds of this process's CPU a request.
"""

import io
import json
import resource
import sys
import threading
import time

THREADS = 16
DOCUMENT = {"name": "value", "numbers": [1, 2, 3], "nested": {"yes": True, "nothing": None}}


def with_hangup(urls, ca):
    import hangup

    client = hangup.Client(verify=ca)

    def done(r):
        return r.status_code, r.content

    return {
        "get": lambda: done(client.get(urls["http"])),
        "get_tls": lambda: done(client.get(urls["https"])),
        "post_json": lambda: done(client.post(urls["post"], json=DOCUMENT)),
        "module_get": lambda: done(hangup.get(urls["http"])),
    }


def with_pycurl(urls, ca):
    import pycurl

    def on(url, prepare=None):
        curl = pycurl.Curl()
        curl.setopt(pycurl.URL, url)
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.CAINFO, ca)
        if prepare:
            curl.setopt(pycurl.HTTPHEADER, ["Content-Type: application/json"])

        def send():
            body = io.BytesIO()
            curl.setopt(pycurl.WRITEDATA, body)
            if prepare:
                prepare(curl)
            curl.perform()
            return curl.getinfo(pycurl.RESPONSE_CODE), body.getvalue()

        return send

    def with_document(curl):
        curl.setopt(pycurl.POSTFIELDS, json.dumps(DOCUMENT))

    return {
        "get": on(urls["http"]),
        "get_tls": on(urls["https"]),
        "post_json": on(urls["post"], with_document),
        "threads": [on(urls["http"]) for _ in range(THREADS)],
    }


def with_urllib3(urls, ca):
    import urllib3

    pool = urllib3.PoolManager(ca_certs=ca, maxsize=THREADS)

    def done(r):
        return r.status, r.data

    return {
        "get": lambda: done(pool.request("GET", urls["http"])),
        "get_tls": lambda: done(pool.request("GET", urls["https"])),
        "post_json": lambda: done(pool.request("POST", urls["post"], json=DOCUMENT)),
        "module_get": lambda: done(urllib3.request("GET", urls["http"])),
    }


def with_requests(urls, ca):
    import requests

    session = requests.Session()
    session.verify, session.trust_env = ca, False  # a bundle in the environment would count more

    def done(r):
        return r.status_code, r.content

    return {
        "get": lambda: done(session.get(urls["http"])),
        "get_tls": lambda: done(session.get(urls["https"])),
        "post_json": lambda: done(session.post(urls["post"], json=DOCUMENT)),
        "module_get": lambda: done(requests.get(urls["http"])),
    }


CLIENTS = {"hangup": with_hangup, "pycurl": with_pycurl, "urllib3": with_urllib3, "requests": with_requests}
WORKS = ("get", "get_tls", "post_json", "module_get", "threads")


def repeat(send, count):
    for _ in range(count):
        status, body = send()
        if status != 200 or len(body) != 3:
            sys.exit(f"status {status}, {len(body)} bytes")


def turn(sends, count):
    """Requests a second, and microseconds of CPU a request; each of `sends` has a thread if there are several."""
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    if len(sends) == 1:
        repeat(sends[0], count)
    else:
        threads = [threading.Thread(target=repeat, args=(send, count)) for send in sends]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    total = count * len(sends)
    return total / wall, cpu / total * 1e6


def main():
    if len(sys.argv) < 7:
        return f"usage: {sys.argv[0]} HTTP HTTPS POST CA SECONDS ROUNDS [WORK...]"
    urls = dict(zip(("http", "https", "post"), sys.argv[1:4]))
    ca, seconds, rounds = sys.argv[4], float(sys.argv[5]), int(sys.argv[6])
    turns = {}
    for name, make in CLIENTS.items():
        try:
            sends = make(urls, ca)
        except ImportError as error:
            print(f"python_small.py: no {name}: {error}", file=sys.stderr)
            continue
        sends.setdefault("threads", [sends["get"]] * THREADS)
        for work in sys.argv[7:] or WORKS:
            if work in sends:
                several = sends[work] if isinstance(sends[work], list) else [sends[work]]
                # Not counted: it dials, warms up, and tells how many requests a turn has.
                count = 1 + int(seconds * turn(several, 20)[0] / len(several))
                turns[work, name] = several, count
    for _ in range(rounds):
        for (work, name), (sends, count) in sorted(turns.items()):
            rps, cpu = turn(sends, count)
            print(f"{name} {work} rps={rps:.0f} cpu_us={cpu:.2f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
