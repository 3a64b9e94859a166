"""Two ways to end a request that gets no response: a timeout, and a token that another thread fires.

    python3 timeout_and_cancel.py http://127.0.0.1:8080
"""

import sys
import threading

import hangup


def tell(error: hangup.RequestError) -> None:
    """Prints the class of an error, its phase, its timeout or reason, and whether it is safe to send the request again."""
    print(f"{type(error).__name__} in phase {error.phase}", end="")
    if error.timeout:
        print(f", timed out by the {error.timeout} timeout", end="")
    if error.reason:
        print(f", reason: {error.reason}", end="")
    print(f"; safe to send again: {'yes' if error.retry_safe else 'no'}")


def main() -> int | str:
    if len(sys.argv) != 2:
        return f"usage: {sys.argv[0]} BASE-URL"
    client = hangup.Client(base_url=sys.argv[1])

    # 200 ms from the end of the request to the end of the response head.
    try:
        client.get("/stall", timeout=hangup.Timeout(head=0.2))
        return "it was answered after all"
    except hangup.ReadTimeout as error:
        tell(error)

    # Without that timeout, but with a token.
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
