"""URLs as text: which are absolute, and how user information is removed from one."""

from __future__ import annotations

import re

# Compiled at their first use.
_SCHEME = r"[A-Za-z][A-Za-z0-9+.\-]*:"
# URLs with a scheme. "http:x" counts as one, so that it is refused and never appended to a base URL.
_ABSOLUTE = r"(?i:[a-z][a-z0-9+.\-]*://|https?(?:\+unix)?:)"
_SEGMENT = r"[^/?#]*"


def is_absolute(url: str) -> bool:
    """Whether the URL is sent as it is, and not appended to a base URL."""
    return re.match(_ABSOLUTE, url) is not None


def without_user_info(url: str) -> str:
    """The URL without the user information before its host. Of a malformed URL, more may be removed."""
    if "@" not in url:
        return url
    found = re.match(_SCHEME, url)
    after_scheme = found.end() if found else 0
    rest = url[after_scheme:].lstrip("/\\")
    begin = len(url) - len(rest)
    segment = re.match(_SEGMENT, rest)[0]  # type: ignore[index]  # it always matches
    # A relative URL, unless its first segment looks like "user:password@".
    if not after_scheme and (begin == 1 or (begin == 0 and ":" not in segment)):
        return url
    # A password that contains a slash ends the authority early; then the port is not a number.
    _, colon, port = segment.rpartition("@")[2].rpartition(":")
    is_authority = not colon or not port or segment.endswith("]") or (port.isascii() and port.isdigit())
    return url[:begin] + rest[(segment if is_authority else rest).rfind("@") + 1 :]
