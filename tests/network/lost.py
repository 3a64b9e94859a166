"""A connection that the network has forgotten, as Python sees it. The server answers 200 "ok" for ever. Before each request
on an idle connection the program says "idle" and waits for a line: meanwhile the connection dies."""

import asyncio
import sys

import hangup


def let_it_die() -> None:
    print("idle", flush=True)
    assert sys.stdin.readline() == "\n"


def blocking(url: str) -> None:
    with hangup.Client() as client:
        assert client.get(url).text == "ok"
        let_it_die()
        response = client.get(url)
        assert (response.status, response.text) == (200, "ok")
        assert response.attempts == 2
        let_it_die()
        try:
            client.post(url, body=b"once")
            raise AssertionError("no error")
        except hangup.PeerSilent as error:
            assert (error.retry_safe, error.reused, error.attempts) == (False, True, 1)


async def awaited(url: str) -> None:
    async with hangup.AsyncClient() as client:
        assert (await client.get(url)).text == "ok"
        let_it_die()
        response = await client.get(url)
        assert (response.status, response.text) == (200, "ok")
        assert response.attempts == 2
        let_it_die()
        try:
            await client.post(url, body=b"once")
            raise AssertionError("no error")
        except hangup.PeerSilent as error:
            assert (error.retry_safe, error.reused, error.attempts) == (False, True, 1)


blocking(sys.argv[1])
asyncio.run(awaited(sys.argv[1]))
