"""The cookies of a client."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ._errors import InvalidArgument
from ._timeouts import Seconds, milliseconds

if TYPE_CHECKING:
    from . import _native

# What would end a name or a value, and begin an attribute (RFC 6265 section 4.1.1).
_NAME = re.compile(r"[^=;,\s\x00-\x1f\x7f]+")
_VALUE = re.compile(r"[^;\x00-\x1f\x7f]*")


class Cookies:
    """The jar of a client (`Client(cookies=True).cookies`). For any thread at any time.

    The cookies of every response, redirects included, are kept and sent where RFC 6265 says so. A request that
    has a Cookie header of its own sends that one, and nothing that was kept. At most 3000 are kept, and 180 of a
    site (a registrable domain and all below it); the least recently used ones go first.
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
        """Keeps a cookie as if a response from that URL had set it.

        - `domain`: sent to this domain and all below it; default: to the URL's host only.
        - `path`: sent for this path and all below it; default: that of the URL up to its last slash.
        - `max_age`: for how long; 0 takes the cookie away. Default: for as long as the client lives.
        - `secure`: sent over https only.

        Raises InvalidURL; InvalidArgument for a cookie that a response couldn't set; InvalidState if cookies are
        not kept.
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
        self._client.set_cookie(url, "; ".join(parts))

    def for_url(self, url: str) -> str:
        """The Cookie header that a request for that URL would have, for example "id=7; theme=dark"; "" for none.
        Bytes that are no UTF-8 are shown as U+FFFD; they are sent as they came.

        Raises InvalidURL.
        """
        return self._client.cookies_for(url)

    def clear(self) -> None:
        """Forgets all of them; more are kept if they were before."""
        self._client.clear_cookies()


def _whole_seconds(max_age: Seconds) -> int:
    """Rounded up: no cookie ends before its time."""
    if max_age == 0 and not isinstance(max_age, bool):
        return 0
    return -(-milliseconds(max_age, "max_age") // 1000)
