"""The cookies of a client."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ._errors import InvalidArgument
from ._timeouts import Seconds, milliseconds

if TYPE_CHECKING:
    from . import _native

# Without the characters that end a name or a value (RFC 6265 section 4.1.1).
_NAME = re.compile(r"[^=;,\s\x00-\x1f\x7f]+")
_VALUE = re.compile(r"[^;\x00-\x1f\x7f]*")


class Cookies:
    """The cookie jar of a client (`Client(cookies=True).cookies`). Threads: any, at any time.

    The cookies of every response, redirects included, are stored and sent as RFC 6265 requires. A request with
    its own Cookie header sends only that header. At most 3000 cookies are stored, and 180 of one site (a registrable
    domain and its subdomains); the least recently used ones are removed first.
    """

    __slots__ = ("_client",)

    def __init__(self, client: _native.Client) -> None:
        self._client = client

    def set(
        self,
        url: str,
        name: str,
        value: str,
        *,
        domain: str | None = None,
        path: str | None = None,
        max_age: Seconds | None = None,
        secure: bool = False,
    ) -> None:
        """Stores a cookie as if a response from that URL had set it.

        - `domain`: sent to this domain and its subdomains; default: to the URL's host only.
        - `path`: sent for this path and the paths below it; default: the URL's path up to its last slash.
        - `max_age`: its lifetime; 0 removes the cookie. Default: the lifetime of the client.
        - `secure`: sent over https only.

        Raises InvalidURL; InvalidArgument for a cookie that a response can't set; InvalidState if the client was
        made without `cookies=True`.
        """
        if not _NAME.fullmatch(name):
            raise InvalidArgument(f"a cookie can't be named {name!r}")
        parts = [f"{name}={value}"]
        if domain is not None:
            parts.append(f"Domain={domain}")
        if path is not None:
            parts.append(f"Path={path}")
        if max_age is not None:
            parts.append(f"Max-Age={_whole_seconds(max_age)}")
        if secure:
            parts.append("Secure")
        for part in parts:
            if not _VALUE.fullmatch(part):
                what = part.partition("=")[0]
                raise InvalidArgument(f"a semicolon or a control character in a cookie: see {what!r}")
        self._client.add_cookie(url, "; ".join(parts))

    def for_url(self, url: str) -> str:
        """The Cookie header of a request for that URL, for example "id=7; theme=dark"; "" for none. Bytes that are
        not UTF-8 appear as U+FFFD; they are sent as they were received.

        Raises InvalidURL.
        """
        return self._client.cookies_for(url)

    def clear(self) -> None:
        """Removes all cookies. Later responses can set new ones."""
        self._client.clear_cookies()


def _whole_seconds(max_age: Seconds) -> int:
    """Rounded up, so that no cookie expires early."""
    if max_age == 0 and not isinstance(max_age, bool):
        return 0
    return -(-milliseconds(max_age, "max_age") // 1000)
