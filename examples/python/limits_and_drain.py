"""One connection for each origin: the second request waits for it until its timeout. Then a shutdown after the requests
in progress.

    python3 limits_and_drain.py http://127.0.0.1:8080
"""

import sys

import hangup


def send_and_tell(client: hangup.Client) -> hangup.RequestError | None:
    """Sends a request that must fail, and prints the error."""
    try:
        client.get("/fast")
    except hangup.RequestError as error:
        safe = "yes" if error.retry_safe else "no"
        print(f"another request: {error}; safe to send again: {safe}")
        return error
    return None


def main() -> int | str:
    if len(sys.argv) != 2:
        return f"usage: {sys.argv[0]} BASE-URL"
    # limits= makes a new manager for this client. Without pool=0.2 a request waits up to 30 seconds for a connection.
    timeout = hangup.Timeout(5, pool=0.2)
    client = hangup.Client(base_url=sys.argv[1], timeout=timeout, limits=hangup.Limits(per_origin=1))
    manager = client.manager

    with client.stream("GET", "/fast") as busy:
        print(f"connection {busy.connection} is in use until its body is read")
        if not isinstance(send_and_tell(client), hangup.PoolTimeout):
            return "it was answered after all"
        stats = manager.stats()
        print(f"{stats.open} open, {stats.waited} had to wait")

        # Refuses new requests and waits for those in progress.
        try:
            manager.drain(0.2)
        except hangup.DrainTimeout as error:
            print(f"draining: {error.open_connections} left after 0.2 s")
        size = len(busy.read())
        manager.drain(5)
        print(f"read {size} bytes; drained")
    return 0 if isinstance(send_and_tell(client), hangup.ManagerShutDown) else "the manager goes on"


if __name__ == "__main__":
    sys.exit(main())
