"""URLs as text: what is relative, and what must not be shown."""

from __future__ import annotations

import re

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
# What has a scheme, and what only looks as if: "http:x" is refused and never joined.
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://|https?(?:\+unix)?:", re.IGNORECASE)
_SEGMENT = re.compile(r"[^/?#]*")


def is_absolute(url: str) -> bool:
    """The URL is not to be appended to a base."""
    return _ABSOLUTE.match(url) is not None


def without_user_info(url: str) -> str:
    """The URL without the user information before its host. Of a malformed one rather too much is left out."""
    if "@" not in url:
        return url
    found = _SCHEME.match(url)
    after_scheme = found.end() if found else 0
    rest = url[after_scheme:].lstrip("/\\")
    begin = len(url) - len(rest)
    segment = _SEGMENT.match(rest)[0]  # type: ignore[index]  # it matches nothing, too
    # A path, unless it begins as "user:password@" would.
    if not after_scheme and (begin == 1 or (begin == 0 and ":" not in segment)):
        return url
    # A password with a slash in it ends the authority early, and looks like a port that is none.
    _, colon, port = segment.rpartition("@")[2].rpartition(":")
    whole = not colon or not port or segment.endswith("]") or (port.isascii() and port.isdigit())
    return url[:begin] + rest[(segment if whole else rest).rfind("@") + 1 :]
