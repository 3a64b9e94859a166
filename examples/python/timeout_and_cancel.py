"""Two ways to end a request that gets no answer: a limit that runs out, and a token that another thread fires.

    python3 timeout_and_cancel.py http://127.0.0.1:8080
"""

import sys
import threading

import hangup


def tell(error: hangup.RequestError) -> None:
    """The kind, where it was, by which clock or for what reason, and whether to send it again is safe."""
    print(f"{type(error).__name__} in phase {error.phase}", end="")
    if error.timeout:
        print(f", by the {error.timeout} timeout", end="")
    if error.reason:
        print(f", reason: {error.reason}", end="")
    print(f"; safe to send again: {'yes' if error.retry_safe else 'no'}")


def main() -> int | str:
    if len(sys.argv) != 2:
        return f"usage: {sys.argv[0]} BASE-URL"
    client = hangup.Client(base_url=sys.argv[1])

    # 200 ms for the head of the response, from the moment the request was sent.
    try:
        client.get("/stall", timeout=hangup.Timeout(head=0.2))
        return "it was answered after all"
    except hangup.ReadTimeout as error:
        tell(error)

    # No such limit now, but a token.
    token = hangup.CancelToken()
    threading.Timer(0.2, token.cancel, ["the user left"]).start()
    try:
        client.get("/stall", timeout=hangup.Timeout(head=None), cancel=token)
        return "it was answered after all"
    except hangup.Cancelled as error:
        tell(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
