"""A form with files as a request's body: multipart/form-data, of which the library writes the parts."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ._errors import InvalidArgument

FileContent = Any
FileValue = FileContent | tuple[str | None, FileContent] | tuple[str | None, FileContent, str | None]
"""A file of a form: its content (bytes, text, a path, an open file or an iterable of bytes), or a tuple of its name, its
content and, if wanted, its content type. Without a file name (None) it is a field of text."""
FormFiles = Mapping[str, FileValue] | Sequence[tuple[str, FileValue]]
"""The files of a form: a mapping or pairs; a name can occur several times."""

Part = tuple[str, Any, str | None, str | None]
"""The name of a field, its body for `_native`, its file name and its content type."""


def encode_multipart(
    fields: Iterable[tuple[str, str | bytes]],
    files: FormFiles,
    encode: Callable[[Any], Any],
    boundary: str | None,
) -> tuple[str, str | None, list[Part]]:
    """The form for `_native`: the fields, and then the files. `encode` makes a body of a file's content."""
    parts: list[Part] = [
        (name, value.encode("utf-8") if isinstance(value, str) else value, None, None) for name, value in fields
    ]
    for name, value in files.items() if isinstance(files, Mapping) else files:
        parts.append(_part(name, value, encode))
    return "form", boundary, parts


def boundary_of(headers: Iterable[tuple[Any, Any]]) -> str | None:
    """The boundary that a Content-Type among these headers names."""
    for name, value in headers:
        if value is not None and _text(name).lower() == "content-type":
            found = re.search(r'boundary="?([^";]+)', _text(value))
            return found[1].strip() if found else None
    return None


def _part(name: str, value: FileValue, encode: Callable[[Any], Any]) -> Part:
    kind = None
    if isinstance(value, tuple):
        if len(value) not in (2, 3):
            raise InvalidArgument(
                f"the file {name!r} of a form is a tuple of its name, its content and its content type, and of nothing else"
            )
        file_name, content = value[0], value[1]
        kind = value[2] if len(value) == 3 else None
    else:
        content = value
        file_name = _file_name(content) or name
    if kind is None and file_name is not None:
        import mimetypes

        kind = mimetypes.guess_type(file_name)[0] or "application/octet-stream"
    return name, encode(content), file_name, kind


def _file_name(content: Any) -> str | None:
    """The file name of a path or an open file."""
    path = content if isinstance(content, os.PathLike) else getattr(content, "name", None)
    if not isinstance(path, (str, os.PathLike)):
        return None
    name = os.path.basename(os.fspath(path))
    return name if isinstance(name, str) and name and not name.startswith("<") else None


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
