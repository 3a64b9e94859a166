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


Piece = bytes | bytearray | memoryview
Reader = Callable[[Any], Any]
"""Takes the number of bytes there is room for, and returns bytes, none at the end; or takes a memoryview, fills it, and returns
the number of bytes, 0 at the end."""
FileBody = tuple[Reader, int, Callable[[], object] | None, bool]
"""A reader, the length of what it reads (-1: not known), what goes back to the beginning (None: nothing does), and whether the
reader fills memoryviews."""


def file_body(file: Any) -> bytes | FileBody:
    """The body for `_native`: from the current position of the file to its end."""
    start = _position(file)
    remaining = _remaining(file)
    if remaining is None:
        return _rewindable(file, start, _reader(file), UNKNOWN_LENGTH)
    if remaining and not _size_is_unreliable(file):
        if start is not None and _fills_memory(file):
            fill = _Filler(file, remaining)

            def rewind() -> None:
                file.seek(start)
                fill.begin()

            return fill, remaining, rewind, True
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


def as_bytes(piece: object, what: str) -> Piece:
    """The piece, of which `len` is the number of its bytes. Raises a TypeError with the message `what` and the type if it is not
    binary."""
    if isinstance(piece, (bytes, bytearray)):
        return piece
    if isinstance(piece, memoryview):
        return piece if piece.c_contiguous and piece.nbytes == len(piece) else bytes(piece)
    raise TypeError(f"{what} {type(piece).__name__}")


def _position(file: Any) -> int | None:
    """Where the file is, if it can go back there."""
    try:
        return int(file.tell()) if file.seekable() else None
    except (AttributeError, OSError, TypeError, ValueError):
        return None


def _rewindable(file: Any, start: int | None, read: Callable[[int], Piece], length: int) -> FileBody:
    """The body of that reader, which begins anew at that position of the file after a rewind."""
    if start is None:
        return read, length, None, False

    def read_on(room: int) -> Piece:
        return read(room)

    def rewind() -> None:
        nonlocal read
        file.seek(start)
        read = _reader(file) if length == UNKNOWN_LENGTH else _check_length(_reader(file), length)

    return read_on, length, rewind, False


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


def _reader(file: Any) -> Callable[[int], Piece]:
    def read(room: int) -> Piece:
        return as_bytes(file.read(room), "a file that is sent must be open in binary mode: it gave")

    return read


def _read_up_to(read: Callable[[int], Piece], size: int) -> bytes:
    pieces: list[Piece] = []
    while size > 0 and (piece := read(size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _prepend(first: bytes, read: Callable[[int], Piece]) -> Callable[[int], Piece]:
    """A reader of `first`, and then of the rest."""
    ahead = io.BytesIO(first)
    return lambda room: ahead.read(room) or read(room)


def _check_length(read: Callable[[int], Piece], length: int) -> Callable[[int], Piece]:
    """A reader that raises BodyFailed if the file is longer than `length`, before it returns the last piece. The library
    notices a file that is shorter."""
    remaining = length

    def read_on(room: int) -> Piece:
        nonlocal remaining
        piece = read(room)
        remaining -= len(piece)
        if remaining < 0 or (remaining == 0 and piece and read(1)):
            raise _has_grown(length)
        return piece

    return read_on


def _has_grown(length: int) -> BodyFailed:
    failure = BodyFailed(f"the file grew while it was sent: it had {length} bytes before")
    failure.phase, failure.sent = "write", "part"
    return failure


def _fills_memory(file: Any) -> bool:
    """Whether `readinto` of the file can be given memory of the library: it keeps no reference to it. A class of the program
    might."""
    if type(file) in (io.BufferedReader, io.BufferedRandom):
        file = file.raw
    return type(file) in (io.BytesIO, io.FileIO)


class _Filler:
    """Reads a file into memory of the library, and raises BodyFailed as `_check_length` does."""

    __slots__ = ("_file", "_length", "_left")

    def __init__(self, file: Any, length: int) -> None:
        self._file, self._length, self._left = file, length, length

    def begin(self) -> None:
        """The file is at its first byte again."""
        self._left = self._length

    def __call__(self, memory: memoryview) -> int:
        count: int = self._file.readinto(memory)
        self._left -= count
        if self._left < 0 or (self._left == 0 and count and self._file.read(1)):
            raise _has_grown(self._length)
        return count
