"""The cookies of a client."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Literal

from . import _native
from ._errors import InvalidArgument
from ._timeouts import Seconds, milliseconds

_FORMATS = {
    "netscape": _native.CONSTANTS["HANGUP_COOKIE_FORMAT_NETSCAPE"],
    "json": _native.CONSTANTS["HANGUP_COOKIE_FORMAT_JSON"],
}
_LAST = 253402300799  # 9999-12-31T23:59:59Z

# Without the characters that end a name or a value (RFC 6265 section 4.1.1).
_NAME = re.compile(r"[^=;,\s\x00-\x1f\x7f]+")
_VALUE = re.compile(r"[^;\x00-\x1f\x7f]*")


@dataclass(frozen=True, slots=True)
class Cookie:
    """A cookie that a client keeps."""

    name: str
    value: str = field(repr=False)
    domain: str
    """The host that it is sent to, without a dot at its beginning."""
    path: str
    """It is sent with this path and all below it."""
    expires: datetime | None
    """When it expires, in UTC; None: with the client."""
    host_only: bool
    """It is sent to that host only, and not to the names below it."""
    secure: bool
    """It is sent over https only."""
    http_only: bool
    """It had the attribute HttpOnly, which has a meaning for browsers only."""


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

    def __iter__(self) -> Iterator[Cookie]:
        """The cookies that have not expired, by domain, path and name. Bytes that are not UTF-8 appear as U+FFFD."""
        return iter([_cookie(*fields) for fields in self._client.cookies()])

    def __len__(self) -> int:
        return len(self._client.cookies())

    def __bool__(self) -> bool:
        return True

    def save(self, path: str | os.PathLike[str], format: Literal["netscape", "json"] = "netscape") -> None:
        """Writes the cookies into a file that only its owner can read, those included that would be forgotten with the
        client. "netscape" is the text format of curl, wget and http.cookiejar.MozillaCookieJar; it leaves out a cookie
        whose name or path has a tab.

        Raises SystemFailure if it can't be written, InvalidState if the client was made without `cookies=True`.
        """
        try:
            number = _FORMATS[format]
        except (KeyError, TypeError):
            raise InvalidArgument(f"format is 'netscape' or 'json', not {format!r}") from None
        self._client.save_cookies(os.fspath(path), number)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Adds the cookies of a file in either format, also as curl and browsers' extensions write it. Those that have
        expired, those with more than 4096 bytes, and those for a public suffix, are passed over.

        Raises SystemFailure if it can't be read; InvalidArgument if it is neither, has a cookie with control characters, or
        is larger than 16 MiB: nothing is added then; InvalidState if the client was made without `cookies=True`.
        """
        self._client.load_cookies(os.fspath(path))

    def clear(self) -> None:
        """Removes all cookies. Later responses can set new ones."""
        self._client.clear_cookies()


def _cookie(
    name: bytes, value: bytes, domain: str, path: bytes, expires: int, flags: tuple[bool, bool, bool]
) -> Cookie:
    when = None
    if expires >= 0:
        # Later than datetime can say is its last year.
        when = datetime.fromtimestamp(min(expires, _LAST), timezone.utc)
    name_text, value_text, path_text = (raw.decode("utf-8", "replace") for raw in (name, value, path))
    return Cookie(name_text, value_text, domain, path_text, when, *flags)


def _whole_seconds(max_age: Seconds) -> int:
    """Rounded up, so that no cookie expires early."""
    if max_age == 0 and not isinstance(max_age, bool):
        return 0
    return -(-milliseconds(max_age, "max_age") // 1000)
