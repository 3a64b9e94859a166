"""See the open connections, and close one of them under the request that uses it.

    python3 close_and_list.py http://127.0.0.1:8080
"""

import sys

import hangup


def show(manager: hangup.Manager, when: str) -> None:
    """One line for each open connection."""
    connections = manager.connections()
    print(f"{when}: {len(connections)} open")
    for c in connections:
        print(f"  connection {c.id} to {c.origin}: {c.state}, {c.requests} requests, {c.bytes_in} bytes in")


def main() -> int | str:
    if len(sys.argv) != 2:
        return f"usage: {sys.argv[0]} BASE-URL"
    client = hangup.Client(base_url=sys.argv[1], timeout=5)
    manager = client.manager

    # One response that stays open, because its body never ends; another that is read, so that its connection is idle.
    with client.stream("GET", "/stall-body") as stalled:
        client.get("/fast")
        show(manager, "before")

        # Without now=True it would let the exchange end first.
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
