"""Lists the open connections, and closes one of them during a request.

    python3 close_and_list.py http://127.0.0.1:8080
"""

import sys

import hangup


def show(manager: hangup.Manager, when: str) -> None:
    """Prints one line for each open connection."""
    connections = manager.connections()
    print(f"{when}: {len(connections)} open")
    for c in connections:
        print(f"  connection {c.id} to {c.origin}: {c.state}, {c.requests} requests, {c.bytes_in} bytes in")


def main() -> int | str:
    if len(sys.argv) != 2:
        return f"usage: {sys.argv[0]} BASE-URL"
    client = hangup.Client(base_url=sys.argv[1], timeout=5)
    manager = client.manager

    # The first response stays open, because its body never ends; the second one is read, so its connection is idle.
    with client.stream("GET", "/stall-body") as stalled:
        client.get("/fast")
        show(manager, "before")

        # Without now=True the connection would be closed after its exchange.
        manager.close(stalled.connection, now=True)
        try:
            stalled.read()
            return "the body ended after all"
        except hangup.Closed as error:
            print(f"reading on connection {stalled.connection}: {error}")
    print(f"closed {manager.close_idle()} idle")
    show(manager, "after")
    return 0


if __name__ == "__main__":
    sys.exit(main())
