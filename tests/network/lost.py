"""A connection that the network has forgotten, as Python sees it. The server answers 200 "ok" for ever. Before each request
on an idle connection the program says "idle" and waits for a line: meanwhile the connection dies."""

import asyncio
import sys

import hangup


def let_it_die() -> None:
    print("idle", flush=True)
    assert sys.stdin.readline() == "\n"


def check_story(events: hangup.Events, connection: int) -> None:
    told = []
    while event := events.next(0):
        if event.connection == connection:
            told.append((event.type, event.reason))
    story = [("suspected", None), ("probed", None), ("lost", None), ("closed", "peer silent")]
    assert [step for step in told if step in story] == story, told


def check_told(error: hangup.HangupError) -> None:
    assert error.acknowledged == "nothing" and "no byte of the request was acknowledged within" in str(error)
    facts = error.tcp_facts
    assert facts is not None and facts.rtt is not None
    assert facts.silence >= 0.9 and facts.retransmissions_in_row > 0 and facts.unacked_bytes >= error.bytes_sent


def blocking(url: str) -> None:
    with hangup.Client() as client:
        first = client.get(url)
        assert first.text == "ok"
        events = client.manager.events()
        let_it_die()
        response = client.get(url)
        assert (response.status_code, response.text) == (200, "ok")
        assert response.attempts == 2
        check_story(events, first.connection)
        let_it_die()
        try:
            client.post(url, content=b"once")
            raise AssertionError("no error")
        except hangup.PeerSilent as error:
            assert (error.retry_safe, error.reused, error.attempts) == (False, True, 1)
            check_told(error)


async def awaited(url: str) -> None:
    async with hangup.AsyncClient() as client:
        assert (await client.get(url)).text == "ok"
        let_it_die()
        response = await client.get(url)
        assert (response.status_code, response.text) == (200, "ok")
        assert response.attempts == 2
        let_it_die()
        try:
            await client.post(url, content=b"once")
            raise AssertionError("no error")
        except hangup.PeerSilent as error:
            assert (error.retry_safe, error.reused, error.attempts) == (False, True, 1)
            check_told(error)


blocking(sys.argv[1])
asyncio.run(awaited(sys.argv[1]))
