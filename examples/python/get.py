"""Gets a page twice: two requests, one connection.

    python3 get.py http://127.0.0.1:8080
"""

import sys

import hangup


def get(client: hangup.Client, url: str) -> None:
    """Gets `url`, with a total timeout of five seconds, and prints the status, the size and the connection."""
    r = client.get(url, timeout=5)
    age = "used again" if r.reused else "new"
    print(f"status {r.status_code}, {len(r.content)} bytes over connection {r.connection} ({age})")


def main() -> int | str:
    if len(sys.argv) != 2:
        return f"usage: {sys.argv[0]} BASE-URL"
    with hangup.Client(base_url=sys.argv[1]) as client:
        try:
            get(client, "/fast")
            get(client, "/fast")
        except hangup.HangupError as error:
            return str(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
