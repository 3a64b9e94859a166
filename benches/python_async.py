"""Small GETs from one asyncio loop, many in flight: hangup, aiohttp, httpx.

    python_async.py URL SECONDS ROUNDS [IN_FLIGHT...]

Two questions, turn by turn in one process; each client keeps one session for all turns, with as many connections as
requests may be in flight (default: 16 and 100).

Closed loop: so many tasks, each of which sends the next request when it has its answer. Prints requests a second and
microseconds of this process's CPU a request.

Open loop: requests are sent when their time has come, at 60 % of what aiohttp did in the closed loop, whether the
answers to earlier ones are there or not. Prints the median and the 99th percentile of the latency, from the time at
which a request was due to its whole body.
"""

import asyncio
import contextlib
import gc
import resource
import statistics
import sys
import time

SHARE = 0.6


def with_hangup(stack, most):
    import hangup

    limits = hangup.Limits(total=most, per_origin=most, idle_total=most, idle_per_origin=most)
    manager = hangup.Manager(limits)
    client = hangup.AsyncClient(manager=manager)
    stack.push_async_callback(client.aclose)

    async def get(url):
        r = await client.get(url)
        return r.status_code, r.content

    return get


def with_aiohttp(stack, most):
    import aiohttp

    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=most))
    stack.push_async_callback(session.close)

    async def get(url):
        async with session.get(url) as r:
            return r.status, await r.read()

    return get


def with_httpx(stack, most):
    import httpx

    limits = httpx.Limits(max_connections=most, max_keepalive_connections=most)
    client = httpx.AsyncClient(limits=limits)
    stack.push_async_callback(client.aclose)

    async def get(url):
        r = await client.get(url)
        return r.status_code, r.content

    return get


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

    begin = time.perf_counter()
    sent, count = 0, int(rate * seconds)
    while sent < count:
        due = int((time.perf_counter() - begin) * rate) + 1
        while sent < min(due, count):
            task = asyncio.create_task(one(begin + sent / rate))
            running.add(task)
            task.add_done_callback(running.discard)
            sent += 1
        await asyncio.sleep(max(0, begin + sent / rate - time.perf_counter()))
    await asyncio.gather(*running)
    return sorted(took)


async def measure(url, seconds, rounds, in_flight):
    async with contextlib.AsyncExitStack() as stack:
        gets = {}
        for name, make in [("hangup", with_hangup), ("aiohttp", with_aiohttp), ("httpx", with_httpx)]:
            try:
                gets[name] = make(stack, in_flight)
            except ImportError as error:
                print(f"python_async.py: no {name}: {error}", file=sys.stderr)
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


def main():
    if len(sys.argv) < 4:
        return f"usage: {sys.argv[0]} URL SECONDS ROUNDS [IN_FLIGHT...]"
    url, seconds, rounds = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    for in_flight in map(int, sys.argv[4:] or ["16", "100"]):
        asyncio.run(measure(url, seconds, rounds, in_flight))
    return 0


if __name__ == "__main__":
    sys.exit(main())
