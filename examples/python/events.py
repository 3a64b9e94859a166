"""Prints the events of connections (opened, leased, returned, closed) and the duration of each phase.

    python3 events.py http://127.0.0.1:8080
"""

import sys

import hangup


def tell(events: hangup.Events) -> None:
    """Prints the events that have arrived. A thread would write `for event in events:`; an event loop waits until
    `events` is readable and then does the same as this function."""
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
    # The events of all users of the manager, from now on; the buffer holds 1024 unread events.
    with client.manager.events(capacity=1024) as events:
        for _ in range(2):
            client.get("/fast")
        client.manager.close_idle()
        tell(events)
    return 0


if __name__ == "__main__":
    sys.exit(main())
