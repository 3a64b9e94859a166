"""Prints what is known of a request that gets no answer, and of a connection that may have died: the facts of an error, and the
events "suspected", "probed", "lost" and "recovered".

    python3 lost_connections.py http://127.0.0.1:8080

The server of this example is alive and gives no answer. docs/lost-connections.md says what a dead connection looks like.
"""

import sys

import hangup


def tell_error(error: hangup.RequestError) -> None:
    """Says what became of a request that failed after a silent wait."""
    safe = "yes" if error.retry_safe else "no"
    print(f"{type(error).__name__}, safe to send again: {safe}")
    if tcp := error.tcp_facts:  # None: TCP was not asked
        rtt = f"{tcp.rtt * 1000:.1f} ms" if tcp.rtt is not None else "unknown"
        print(
            f"acknowledged: {error.acknowledged}; round-trip time {rtt}, "
            f"sent again {tcp.retransmissions} times, silent for {tcp.silence:.3f} s"
        )


def tell_events(events: hangup.Events) -> None:
    """Says which connections were suspected, and how it ended."""
    while (event := events.next(0)) is not None:
        match event.type:
            case "suspected":  # the request is not acknowledged
                print(f"connection {event.connection}: suspected")
            case "probed":  # a second connection is dialled
                print(f"connection {event.connection}: probed")
            case "lost":  # that one was made: this one is dead
                print(f"connection {event.connection}: lost")
            case "recovered":  # the peer was there after all
                print(f"connection {event.connection}: recovered")
            case "closed":
                print(f"connection {event.connection}: closed, {event.reason}")


def main() -> int | str:
    if len(sys.argv) != 2:
        return f"usage: {sys.argv[0]} BASE-URL"
    client = hangup.Client(base_url=sys.argv[1], timeout=hangup.Timeout(head=0.3))
    with client.manager.events() as events:
        # The second request is acknowledged and gets no answer.
        response = client.get("/fast")
        print(f"{response.status_code} on connection {response.connection}")
        try:
            client.get("/stall")
            return "it was answered after all"
        except hangup.TimeoutError as error:
            tell_error(error)
        tell_events(events)
    return 0


if __name__ == "__main__":
    sys.exit(main())
