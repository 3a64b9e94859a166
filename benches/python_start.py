"""How long Python takes to import a client, and to get the first response in a new process: hangup, pycurl, urllib,
urllib3, requests, httpx.

    python_start.py HTTP HTTPS CA ROUNDS

HTTP and HTTPS are the URLs of a small file; CA is the certificate that signed the server's. Each round starts a process for
each client and work, one after the other: `import` imports it, `get` sends one GET as well, `get_tls` the same over TLS.
Prints a line for each process: milliseconds from its start to its end, and of its CPU, and both without those of a process
that imports nothing, which was started in the same round.
"""

import os
import statistics
import sys
import time

PROGRAMS = {
    "hangup": ("import hangup", "assert hangup.get({url!r}{ca}).status_code == 200", ", verify={ca!r}"),
    "pycurl": (
        "import pycurl",
        "import io; c = pycurl.Curl(); b = io.BytesIO(); c.setopt(pycurl.URL, {url!r}); c.setopt(pycurl.WRITEDATA, b); {ca}"
        "c.perform(); assert c.getinfo(pycurl.RESPONSE_CODE) == 200",
        "c.setopt(pycurl.CAINFO, {ca!r}); ",
    ),
    "urllib": (
        "import urllib.request",
        "assert urllib.request.urlopen({url!r}{ca}).status == 200",
        ", context=__import__('ssl').create_default_context(cafile={ca!r})",
    ),
    "urllib3": ("import urllib3", "assert urllib3.PoolManager({ca}).request('GET', {url!r}).status == 200", "ca_certs={ca!r}"),
    "requests": ("import requests", "assert requests.get({url!r}{ca}).status_code == 200", ", verify={ca!r}"),
    "httpx": (
        "import httpx",
        "assert httpx.get({url!r}{ca}).status_code == 200",
        ", verify=__import__('ssl').create_default_context(cafile={ca!r})",
    ),
}


# The first run of a program compiles its modules, and keeps them.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def run(program):
    """Milliseconds: of time, and of CPU."""
    start = time.perf_counter()
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", program], ENVIRONMENT)
    _, status, used = os.wait4(pid, 0)
    wall = time.perf_counter() - start
    if status != 0:
        return None
    return wall * 1000, (used.ru_utime + used.ru_stime) * 1000


def main():
    if len(sys.argv) != 5:
        return f"usage: {sys.argv[0]} HTTP HTTPS CA ROUNDS"
    http, https, ca, rounds = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    programs = {}
    for name, (imports, get, with_ca) in PROGRAMS.items():
        programs[name, "import"] = imports
        programs[name, "get"] = f"{imports}; {get.format(url=http, ca='')}"
        programs[name, "get_tls"] = f"{imports}; {get.format(url=https, ca=with_ca.format(ca=ca))}"
    # Not counted: it compiles the modules and reads the files.
    for key, program in list(programs.items()):
        if run(program) is None:
            print(f"python_start.py: {key[0]} can't {key[1]}", file=sys.stderr)
            del programs[key]
    for _ in range(rounds):
        bare = [statistics.median(column) for column in zip(*(run("pass") for _ in range(3)))]
        for (name, work), program in programs.items():
            wall, cpu = run(program)
            over = f"over_ms={wall - bare[0]:.1f} over_cpu_ms={cpu - bare[1]:.1f}"
            print(f"{name} {work} ms={wall:.1f} cpu_ms={cpu:.1f} {over}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
