"""Requests from one asyncio loop: hangup, aiohttp, httpx.

    python_async.py URL SECONDS ROUNDS [IN_FLIGHT...]
    python_async.py stream URL ROUNDS [ROOTS]

The first form, small GETs, asks two questions, turn by turn in one process; each client keeps one session for all turns,
with as many connections as requests may be in flight (default: 1, 16 and 100).

Closed loop: so many tasks, each of which sends the next request when it has its answer. Prints requests a second and
microseconds of this process's CPU a request.

Open loop: requests are sent when their time has come, at 60 % of what aiohttp did in the closed loop, whether the
answers to earlier ones are there or not. A timerfd in the loop's selector says when: the loop's own timers are late by up
to a millisecond, which would be measured instead. Prints the median and the 99th percentile of the latency, from the time at
which a request was due to its whole body.

The second form reads one large body, in the pieces that the client gives, and as a whole. ROOTS is a file of certificates for
https. Prints megabytes a second and milliseconds of this process's CPU a megabyte.
"""

import asyncio
import contextlib
import ctypes
import gc
import os
import resource
import ssl
import statistics
import sys
import time

SHARE = 0.6


def with_hangup(stack, most, roots=None):
    import hangup

    limits = hangup.Limits(total=most, per_origin=most, idle_total=most, idle_per_origin=most)
    manager = hangup.Manager(limits)
    client = hangup.AsyncClient(manager=manager, verify=roots or True)
    stack.push_async_callback(client.aclose)

    async def get(url):
        r = await client.get(url)
        return r.status_code, r.content

    async def pieces(url):
        async with client.stream("GET", url) as r:
            return sum([len(piece) async for piece in r.aiter_bytes()])

    return get, pieces


def with_aiohttp(stack, most, roots=None):
    import aiohttp

    context = ssl.create_default_context(cafile=roots) if roots else True
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=most, ssl=context))
    stack.push_async_callback(session.close)

    async def get(url):
        async with session.get(url) as r:
            return r.status, await r.read()

    async def pieces(url):
        async with session.get(url) as r:
            return sum([len(piece) async for piece in r.content.iter_any()])

    return get, pieces


def with_httpx(stack, most, roots=None):
    import httpx

    limits = httpx.Limits(max_connections=most, max_keepalive_connections=most)
    client = httpx.AsyncClient(limits=limits, verify=ssl.create_default_context(cafile=roots) if roots else True)
    stack.push_async_callback(client.aclose)

    async def get(url):
        r = await client.get(url)
        return r.status_code, r.content

    async def pieces(url):
        async with client.stream("GET", url) as r:
            return sum([len(piece) async for piece in r.aiter_raw()])

    return get, pieces


CLIENTS = [("hangup", with_hangup), ("aiohttp", with_aiohttp), ("httpx", with_httpx)]


def made(stack, most, roots=None):
    """What each installed client makes."""
    found = {}
    for name, make in CLIENTS:
        try:
            found[name] = make(stack, most, roots)
        except ImportError as error:
            print(f"python_async.py: no {name}: {error}", file=sys.stderr)
    return found


class Pace:
    """A timerfd(2) in the loop's selector. `wait` returns at that time of time.perf_counter, which is CLOCK_MONOTONIC."""

    def __init__(self):
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._waiting = None
        asyncio.get_running_loop().add_reader(self._fd, self._fire)

    async def wait(self, at):
        seconds, nanoseconds = divmod(int(at * 1e9), 10**9)
        setting = (ctypes.c_long * 4)(0, 0, seconds, nanoseconds)  # struct itimerspec
        absolute = 1  # TFD_TIMER_ABSTIME
        self._waiting = asyncio.get_running_loop().create_future()
        self._libc.timerfd_settime(self._fd, absolute, setting, None)
        await self._waiting

    def close(self):
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

    def _fire(self):
        os.read(self._fd, 8)
        self._waiting.set_result(None)


async def checked(get, url):
    status, body = await get(url)
    if status != 200 or len(body) != 3:
        sys.exit(f"status {status}, {len(body)} bytes")


async def closed_loop(get, url, in_flight, count):
    """Requests a second, and microseconds of CPU a request: in user space, and with the kernel's."""
    left = count

    async def one_after_the_other():
        nonlocal left
        while left > 0:
            left -= 1
            await checked(get, url)

    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    await asyncio.gather(*(one_after_the_other() for _ in range(in_flight)))
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    user, kernel = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    return count / wall, user / count * 1e6, (user + kernel) / count * 1e6


async def open_loop(get, url, rate, seconds):
    """Milliseconds from due to done, sorted."""
    took, running = [], set()

    async def one(due):
        await checked(get, url)
        took.append((time.perf_counter() - due) * 1e3)

    pace = Pace()
    begin = time.perf_counter()
    sent, count = 0, int(rate * seconds)
    while sent < count:
        due = int((time.perf_counter() - begin) * rate) + 1
        while sent < min(due, count):
            task = asyncio.create_task(one(begin + sent / rate))
            running.add(task)
            task.add_done_callback(running.discard)
            sent += 1
        await pace.wait(begin + sent / rate)
    await asyncio.gather(*running)
    pace.close()
    return sorted(took)


async def measure(url, seconds, rounds, in_flight):
    async with contextlib.AsyncExitStack() as stack:
        gets = {name: get for name, (get, _) in made(stack, in_flight).items()}
        rates = {name: [] for name in gets}
        # Not counted: it dials, warms up, and tells how many requests a turn has.
        counts = {}
        for name, get in gets.items():
            await closed_loop(get, url, in_flight, 2 * in_flight)
            counts[name] = in_flight + int(seconds * (await closed_loop(get, url, in_flight, 5 * in_flight))[0])
        for _ in range(rounds):
            for name, get in gets.items():
                gc.collect()
                rps, user, both = await closed_loop(get, url, in_flight, counts[name])
                rates[name].append(rps)
                print(f"{name}-{in_flight} rps={rps:.0f} user_us={user:.2f} cpu_us={both:.2f}", flush=True)
        if "aiohttp" not in gets:
            return
        rate = SHARE * statistics.median(rates["aiohttp"])
        for _ in range(rounds):
            for name, get in gets.items():
                # More than it can do only measures how long its queue gets.
                if statistics.median(rates[name]) < rate:
                    continue
                gc.collect()
                took = await open_loop(get, url, rate, 2 * seconds)
                p50, p99 = took[len(took) // 2], took[len(took) * 99 // 100]
                print(f"{name}-{in_flight} offered={rate:.0f} p50_ms={p50:.3f} p99_ms={p99:.3f}", flush=True)


async def measure_bodies(url, rounds, roots):
    async def whole(get):
        return len((await get(url))[1])

    async with contextlib.AsyncExitStack() as stack:
        clients = made(stack, 1, roots)
        for turn in range(rounds + 1):
            for form in ("pieces", "whole"):
                for name, (get, pieces) in clients.items():
                    gc.collect()
                    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
                    size = await (pieces(url) if form == "pieces" else whole(get))
                    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
                    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
                    # The first turn dials and warms up.
                    if turn > 0:
                        rate, each = size / wall / 1e6, cpu * 1e9 / size
                        print(f"{name}-{form} mb_s={rate:.0f} cpu_ms_mb={each:.3f}", flush=True)


def main():
    if sys.argv[1:2] == ["stream"] and len(sys.argv) in (4, 5):
        asyncio.run(measure_bodies(sys.argv[2], int(sys.argv[3]), sys.argv[4] if len(sys.argv) == 5 else None))
        return 0
    if len(sys.argv) < 4:
        return f"usage: {sys.argv[0]} URL SECONDS ROUNDS [IN_FLIGHT...] | stream URL ROUNDS [ROOTS]"
    url, seconds, rounds = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    for in_flight in map(int, sys.argv[4:] or ["1", "16", "100"]):
        asyncio.run(measure(url, seconds, rounds, in_flight))
    return 0


if __name__ == "__main__":
    sys.exit(main())
