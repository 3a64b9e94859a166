"""A thousand requests from one event loop: all are started before the first one is awaited.

    python3 thousand.py http://127.0.0.1:8080
"""

import asyncio
import sys

import hangup


async def run(url: str) -> int:
    # 32 connections; the other requests wait for one of them.
    async with hangup.AsyncClient(base_url=url, timeout=30, limits=hangup.Limits(per_origin=32)) as client:
        requests = [asyncio.create_task(client.get("/fast")) for _ in range(1000)]
        print(f"{len(requests)} requests are in progress")

        responses = await asyncio.gather(*requests, return_exceptions=True)
        well = [response for response in responses if isinstance(response, hangup.Response)]
        print(
            f"{len(well)} responses, {sum(len(response.content) for response in well)} bytes, "
            f"{len(responses) - len(well)} failures, over {client.manager.stats().opened} connections"
        )

        # Cancelling a task closes its connection: here asyncio's timeout cancels it.
        try:
            async with asyncio.timeout(0.2):
                await client.get("/stall")
        except TimeoutError:
            print("one was cut short, and its connection was closed")
    return len(responses) - len(well)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} BASE-URL")
    sys.exit(asyncio.run(run(sys.argv[1])))
