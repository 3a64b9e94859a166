"""An open file as the body of a request: its `read`, and its length where that can be known.

An object that is no file says its length itself: in `len` or `__len__`, or by its position at its end.

`os.fstat` describes the file on disk: the compressed size for a file that decompresses, 0 for a file in /proc, a
page for a file in /sys. So the length is the position of the file object at its end, and it is checked that the
file ends there.
"""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Callable
from typing import Any

from ._errors import BodyFailed

UNKNOWN_LENGTH = -1
"""The length of a body that is sent chunked."""

_PROBE_SIZE = 64 * 1024
"""How much is read ahead of a file whose size is not reliable."""


FileBody = tuple[Callable[[int], bytes], int, Callable[[], object] | None]
"""A reader, the length of what it reads (-1: not known), and what goes back to the beginning; None: nothing does."""


def file_body(file: Any) -> bytes | FileBody:
    """The body for `_native`: from the current position of the file to its end."""
    start = _position(file)
    remaining = _remaining(file)
    if remaining is None:
        return _rewindable(file, start, _reader(file), UNKNOWN_LENGTH)
    if remaining and not _size_is_unreliable(file):
        return _rewindable(file, start, _check_length(_reader(file), remaining), remaining)
    # Files in /proc and /sys are usually small enough to be read at once.
    read = _reader(file)
    first = _read_up_to(read, _PROBE_SIZE + 1)
    if len(first) <= _PROBE_SIZE:
        return first
    read = _prepend(first, read)
    if remaining:
        return _rewindable(file, start, _check_length(read, remaining), remaining)
    return _rewindable(file, start, read, UNKNOWN_LENGTH)


def as_bytes(piece: object, what: str) -> bytes:
    """The piece as bytes. Raises a TypeError with the message `what` and the type if it is not binary."""
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, (bytearray, memoryview)):
        return bytes(piece)
    raise TypeError(f"{what} {type(piece).__name__}")


def _position(file: Any) -> int | None:
    """Where the file is, if it can go back there."""
    try:
        return int(file.tell()) if file.seekable() else None
    except (AttributeError, OSError, TypeError, ValueError):
        return None


def _rewindable(file: Any, start: int | None, read: Callable[[int], bytes], length: int) -> FileBody:
    """The body of that reader, which begins anew at that position of the file after a rewind."""
    if start is None:
        return read, length, None

    def read_on(room: int) -> bytes:
        return read(room)

    def rewind() -> None:
        nonlocal read
        file.seek(start)
        read = _reader(file) if length == UNKNOWN_LENGTH else _check_length(_reader(file), length)

    return read_on, length, rewind


def _remaining(file: Any) -> int | None:
    """The number of bytes up to the end; None if that is not known without reading the file."""
    try:  # BytesIO
        return max(0, len(file.getbuffer()) - int(file.tell()))
    except (AttributeError, OSError, ValueError):
        pass
    if isinstance(file, _decompressing()):
        return None
    # fileno() of a spooled file would write it to the disk.
    is_file = _is_spooled(file)
    if not is_file:
        try:
            is_file = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            if not is_file:
                return None
        except (AttributeError, OSError, TypeError, ValueError):
            pass
    if not is_file and (length := _own_length(file)) is not None:
        return length
    try:
        at = int(file.tell())
        file.seek(0, os.SEEK_END)
        try:
            return max(0, int(file.tell()) - at)
        finally:
            file.seek(at)
    except (AttributeError, NotImplementedError, OSError, TypeError, ValueError):
        return None


def _is_spooled(file: Any) -> bool:
    # There is one only if its module was imported, which takes long.
    tempfile = sys.modules.get("tempfile")
    return tempfile is not None and isinstance(file, tempfile.SpooledTemporaryFile)


def _own_length(file: Any) -> int | None:
    """What an object that is no file says of its length: in `len` (requests_toolbelt) or `__len__` (mmap)."""
    try:
        length = file.len if isinstance(getattr(file, "len", None), int) else len(file)
    except TypeError:
        return None
    try:
        return max(0, length - int(file.tell()))
    except (AttributeError, NotImplementedError, OSError, TypeError, ValueError):
        return int(length)


def _decompressing() -> tuple[type, ...]:
    """The imported file classes that decompress the whole file in order to seek to its end."""
    names = [
        ("gzip", "GzipFile"),
        ("bz2", "BZ2File"),
        ("lzma", "LZMAFile"),
        ("zipfile", "ZipExtFile"),
        ("compression.zstd", "ZstdFile"),
    ]
    found = (getattr(sys.modules.get(module), name, None) for module, name in names)
    return tuple(one for one in found if isinstance(one, type))


def _size_is_unreliable(file: Any) -> bool:
    """Whether the file has no blocks on a disk: its contents, like those of /proc, are made when it is read."""
    try:
        return not _is_spooled(file) and os.fstat(file.fileno()).st_blocks == 0
    except (AttributeError, OSError, ValueError):
        return False


def _reader(file: Any) -> Callable[[int], bytes]:
    def read(room: int) -> bytes:
        return as_bytes(file.read(room), "a file that is sent must be open in binary mode: it gave")

    return read


def _read_up_to(read: Callable[[int], bytes], size: int) -> bytes:
    pieces: list[bytes] = []
    while size > 0 and (piece := read(size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _prepend(first: bytes, read: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """A reader of `first`, and then of the rest."""
    ahead = io.BytesIO(first)
    return lambda room: ahead.read(room) or read(room)


def _check_length(read: Callable[[int], bytes], length: int) -> Callable[[int], bytes]:
    """A reader that raises BodyFailed if the file is longer than `length`, before it returns the last piece. The library
    notices a file that is shorter."""
    remaining = length

    def read_on(room: int) -> bytes:
        nonlocal remaining
        piece = read(room)
        remaining -= len(piece)
        if remaining < 0 or (remaining == 0 and piece and read(1)):
            failure = BodyFailed(f"the file grew while it was sent: it had {length} bytes before")
            failure.phase, failure.sent = "write", "part"
            raise failure
        return piece

    return read_on
