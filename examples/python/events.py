"""Watch what happens to connections: opened, leased to a request, returned, closed; and how long each phase took.

    python3 events.py http://127.0.0.1:8080
"""

import sys

import hangup


def tell(events: hangup.Events) -> None:
    """Prints what has happened so far. A thread of its own would say `for event in events:`; an event loop watches
    `events` for reading, and then does the same as here."""
    while (event := events.next(0)) is not None:
        line = f"{event.at * 1000:8.3f} ms  connection {event.connection} to {event.origin}: {event.type}"
        if event.took is not None:
            line += f" {event.phase}, {event.took * 1000:.3f} ms"
        if event.reason:
            line += f", {event.reason}"
        print(line)
    print(f"{events.lost} events were lost")


def main() -> int | str:
    if len(sys.argv) != 2:
        return f"usage: {sys.argv[0]} BASE-URL"
    client = hangup.Client(base_url=sys.argv[1], timeout=5)
    # From here on, whoever uses the manager; at most 1024 events wait to be read.
    with client.manager.events(capacity=1024) as events:
        for _ in range(2):
            client.get("/fast")
        client.manager.close_idle()
        tell(events)
    return 0


if __name__ == "__main__":
    sys.exit(main())
