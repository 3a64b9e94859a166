"""Python's http.client, asked for one URL per line of standard input: each answer is one line, the status and the body
in hexadecimal, or the error."""

import http.client
import sys
import urllib.parse


def ask(url):
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    try:
        connection.request("GET", parts.path)
        response = connection.getresponse()
        return f"{response.status} {response.read().hex()}"
    except (http.client.HTTPException, OSError, ValueError, MemoryError, OverflowError) as error:
        return f"error {type(error).__name__}"
    finally:
        connection.close()


for line in sys.stdin:
    print(ask(line.strip()), flush=True)
