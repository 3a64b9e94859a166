"""The conversion of Python values to query strings, header pairs and bodies."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from . import _native
from ._headers import Headers, ReceivedText
from ._file_body import UNKNOWN_LENGTH, FileBody, Piece, as_bytes, file_body
from ._form import FormFiles, Part, boundary_of, encode_multipart
from ._upload import BaseUpload


@runtime_checkable
class Readable(Protocol):
    """A file object that is open for reading bytes."""

    def read(self, size: int, /) -> bytes: ...


Primitive = str | bytes | int | float | bool | None
QueryParams = Mapping[str, Primitive | Sequence[Primitive]] | Sequence[tuple[str, Primitive]] | str
"""A mapping (a list as value repeats the name), pairs, or an encoded query string."""
FormData = Mapping[str, Primitive | Sequence[Primitive]] | Sequence[tuple[str, Primitive]]
"""The fields of an HTML form: a mapping or pairs."""
HeaderFields = Mapping[str, str | bytes | None] | Iterable[tuple[str | bytes, str | bytes | None]]
"""A mapping or pairs, sent with their case and in their order. A value is bytes, or text, which is sent as UTF-8; text from
a response is sent as it was received. None removes a default: {"Accept": None}."""
Content = str | bytes | bytearray | memoryview | os.PathLike[str] | Readable | Iterable[bytes] | BaseUpload
"""A body: bytes, text (UTF-8), a path (pathlib), an open file, an iterable of bytes, or an Upload. An iterable, and a file whose length
is not known, is sent chunked, or with its length if a Content-Length header says it. A large bytearray or memoryview is not
copied: don't change it before the request is done."""

HeaderPair = tuple[str | bytes, str | bytes | None]
"""A header for `_native`; None removes the default of that name."""
Body = bytes | bytearray | memoryview | str | FileBody | _native.BodyWriter | tuple[str, str | None, list[Part]]
"""A body for `_native`: bytes, the path of a file, a reader, the writer of an upload, or "form" with the boundary and the parts of a form."""

_FORM = "application/x-www-form-urlencoded"


def with_params(url: str, params: QueryParams) -> str:
    """The URL with these parameters after its own query, and before its fragment."""
    query = params if isinstance(params, str) else encode_form(params)
    if not query:
        return url
    url, mark, fragment = url.partition("#")
    joint = "&" if "?" in url else "?"
    if url.endswith(("?", "&")):
        joint = ""
    return f"{url}{joint}{query}{mark}{fragment}"


def encode_form(fields: FormData) -> str:
    """Fields as application/x-www-form-urlencoded: True is "true", None is empty, a list repeats the name."""
    from urllib.parse import urlencode

    return urlencode(_form_pairs(fields))


def _form_pairs(fields: FormData) -> list[tuple[str, str | bytes]]:
    pairs: list[tuple[str, str | bytes]] = []
    for name, value in fields.items() if isinstance(fields, Mapping) else fields:
        if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
            pairs.extend((name, _form_value(one)) for one in value)
        else:
            pairs.append((name, _form_value(value)))
    return pairs


def _form_value(value: Primitive) -> str | bytes:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, (str, bytes)) else str(value)


def header_pairs(headers: HeaderFields) -> list[HeaderPair]:
    """Header fields as a new list of pairs."""
    fields: Iterable[HeaderPair]
    if isinstance(headers, Headers):
        fields = headers.multi_items()
    elif isinstance(headers, Mapping):
        fields = headers.items()
    else:
        fields = headers
    return [(name, value.raw if isinstance(value, ReceivedText) else value) for name, value in fields]


def encode_body(
    content: Content | None, data: FormData | None, json: Any, files: FormFiles | None, headers: list[HeaderPair]
) -> tuple[Body | None, str | None]:
    """The body, and its content type for requests that don't name one; the library names that of a form with files."""
    if json is not None and content is None and data is None and files is None:
        return _json_text(json).encode("utf-8"), "application/json"
    bodies = (("content", content), ("data", data), ("json", json), ("files", files))
    given = [name for name, value in bodies if value is not None]
    if len(given) > 1 and given != ["data", "files"]:
        raise TypeError(f"a request has one body, not {' and '.join(given)}")
    if isinstance(content, BaseUpload):
        return content._raw, None
    if content is not None:
        return _encode_content(content), None
    if data is not None:
        if isinstance(data, (str, bytes, bytearray)) or hasattr(data, "read"):
            raise TypeError("data= takes the fields of a form (a mapping or pairs); bytes, text and files go to content=")
        if files is None:
            return encode_form(data).encode("ascii"), _FORM
    if files is not None:
        return encode_multipart(_form_pairs(data or ()), files, _encode_content, boundary_of(headers)), None
    return None, None


def _json_text(value: Any) -> str:
    global _json_encoder
    if _json_encoder is None:
        import json

        _json_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
    return _json_encoder(value)


_json_encoder: Callable[[Any], str] | None = None


def _encode_content(content: Content) -> Body:
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return content.encode("utf-8")
    if isinstance(content, bytearray):
        return content
    if isinstance(content, memoryview):
        return content if content.c_contiguous else bytes(content)
    if isinstance(content, os.PathLike):
        return os.fspath(content)
    if isinstance(content, Readable):
        return file_body(content)
    if isinstance(content, Iterable) and not isinstance(content, Mapping):
        return _iterable_reader(iter(content)), UNKNOWN_LENGTH, None, False
    raise TypeError(f"a body is bytes, str, a path, an open file, an Upload or an iterable of bytes, not {type(content).__name__}")


def _iterable_reader(source: Iterator[bytes]) -> Callable[[int], Piece]:
    def read(room: int) -> Piece:
        for given in source:
            if piece := as_bytes(given, "a body must be made of bytes, not"):
                return piece
        return b""

    return read
