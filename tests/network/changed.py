"""A machine whose address changes, as Python sees it. The server answers 200 "ok" for ever. With an idle connection the
program says "idle" and waits for a line: meanwhile the address becomes another one."""

import asyncio
import sys
import time

import hangup


def let_it_change() -> None:
    print("idle", flush=True)
    assert sys.stdin.readline() == "\n"


def check_closed(events: hangup.Events, connection: int) -> None:
    """Reads events until the connection is closed for the change, which the manager tells of first."""
    told = []
    while event := events.next(20):
        if event.type == "network changed":
            told.append((event.connection, event.origin))
        if event.type == "closed" and event.connection == connection:
            assert event.reason == "network changed", event
            break
    assert told and set(told) == {(None, "")}, told


def blocking(url: str) -> None:
    with hangup.Client() as client:
        manager = client.manager
        events = manager.events()
        assert manager.network_watch
        connection = client.get(url).connection
        let_it_change()
        check_closed(events, connection)
        manager.network_watch = False
        connection = client.get(url).connection
        let_it_change()
        time.sleep(1.2)
        assert [row.id for row in manager.connections()] == [connection]
        assert manager.network_changed() == 1
        check_closed(events, connection)
        manager.network_watch = True


async def awaited(url: str) -> None:
    async with hangup.AsyncClient() as client:
        events = client.manager.events()
        connection = (await client.get(url)).connection
        let_it_change()
        check_closed(events, connection)


blocking(sys.argv[1])
asyncio.run(awaited(sys.argv[1]))
