"""From what a person writes to what is sent: query strings, header pairs and bodies."""

from __future__ import annotations

import json as _json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urlencode

from ._headers import Headers


@runtime_checkable
class Readable(Protocol):
    """A file object that is open for reading bytes."""

    def read(self, size: int, /) -> bytes: ...


Primitive = str | bytes | int | float | bool | None
QueryParams = Mapping[str, Primitive | Sequence[Primitive]] | Sequence[tuple[str, Primitive]] | str
"""A mapping (a list as value repeats the name), pairs, or a query string that is ready to be sent."""
FormData = Mapping[str, Primitive | Sequence[Primitive]] | Sequence[tuple[str, Primitive]]
"""The fields of an HTML form: a mapping or pairs."""
HeaderFields = Mapping[str, str | bytes] | Iterable[tuple[str | bytes, str | bytes]]
"""A mapping or pairs; text is sent as UTF-8."""
Content = str | bytes | bytearray | memoryview | os.PathLike[str] | Readable | Iterable[bytes]
"""A body: bytes, text (UTF-8), a path (pathlib), an open file, or an iterable of bytes, which is sent chunked."""

Body = bytes | str | tuple[Callable[[int], bytes], int]
"""What `_native` takes: bytes, the path of a file, or a function that reads and the length (-1: not known)."""

_NOT_KNOWN = -1
_FORM = "application/x-www-form-urlencoded"


def with_params(url: str, params: QueryParams) -> str:
    """The URL with these parameters after those that it has, and before its fragment."""
    query = params if isinstance(params, str) else encoded(params)
    if not query:
        return url
    url, mark, fragment = url.partition("#")
    joint = "&" if "?" in url else "?"
    if url.endswith(("?", "&")):
        joint = ""
    return f"{url}{joint}{query}{mark}{fragment}"


def encoded(fields: FormData) -> str:
    """Fields as application/x-www-form-urlencoded: True is "true", None is empty, a list repeats the name."""
    pairs: list[tuple[str, str | bytes]] = []
    for name, value in fields.items() if isinstance(fields, Mapping) else fields:
        if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
            pairs.extend((name, _plain(one)) for one in value)
        else:
            pairs.append((name, _plain(value)))
    return urlencode(pairs)


def _plain(value: Primitive) -> str | bytes:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, (str, bytes)) else str(value)


def pairs(headers: HeaderFields) -> list[tuple[str | bytes, str | bytes]]:
    """Header fields as a list of pairs that may be added to."""
    if isinstance(headers, Headers):
        return list(headers.multi_items())
    if isinstance(headers, Mapping):
        return list(headers.items())
    return list(headers)


def body(
    content: Content | None, data: FormData | None, json: Any
) -> tuple[Body | None, str | None]:
    """The body, and the content type that goes with it unless the caller names one."""
    given = [name for name, value in (("content", content), ("data", data), ("json", json)) if value is not None]
    if len(given) > 1:
        raise TypeError(f"a request has one body, not {' and '.join(given)}")
    if content is not None:
        return _content(content), None
    if data is not None:
        if isinstance(data, (str, bytes, bytearray)) or hasattr(data, "read"):
            raise TypeError("data= takes the fields of a form (a mapping or pairs); bytes, text and files go to content=")
        return encoded(data).encode("ascii"), _FORM
    if json is not None:
        text = _json.dumps(json, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return text.encode("utf-8"), "application/json"
    return None, None


def _content(content: Content) -> Body:
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return content.encode("utf-8")
    if isinstance(content, (bytearray, memoryview)):
        return bytes(content)
    if isinstance(content, os.PathLike):
        return os.fspath(content)
    if isinstance(content, Readable):
        return _reads(content), _length(content)
    if isinstance(content, Iterable) and not isinstance(content, Mapping):
        return _pieces(iter(content)), _NOT_KNOWN
    raise TypeError(f"a body is bytes, str, a path, an open file or an iterable of bytes, not {type(content).__name__}")


def _reads(file: Readable) -> Callable[[int], bytes]:
    def read(room: int) -> bytes:
        return _bytes(file.read(room), "a file that is sent must be open in binary mode: it gave")

    return read


def _pieces(source: Iterator[bytes]) -> Callable[[int], bytes]:
    def read(room: int) -> bytes:
        for piece in source:
            if piece := _bytes(piece, "a body must be made of bytes, not"):
                return piece
        return b""

    return read


def _bytes(piece: object, what: str) -> bytes:
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, (bytearray, memoryview)):
        return bytes(piece)
    raise TypeError(f"{what} {type(piece).__name__}")


def _length(file: Any) -> int:
    """What is left of a regular file; anything else is sent chunked."""
    try:
        found = os.fstat(file.fileno())
        if stat.S_ISREG(found.st_mode):
            return max(0, found.st_size - int(file.tell()))
    except (AttributeError, OSError, ValueError):
        pass
    try:  # BytesIO and its like
        return max(0, len(file.getbuffer()) - int(file.tell()))
    except (AttributeError, OSError, ValueError):
        return _NOT_KNOWN
