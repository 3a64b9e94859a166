"""An open file as the body of a request: what its `read` gives, with a length where that can be known.

`os.fstat` speaks of what lies beneath: of a file that decompresses it says the compressed size, of what is in
/proc it says 0 and of what is in /sys a page. So a length is what the file object itself says of its end, and
holds only if it ends there.
"""

from __future__ import annotations

import io
import os
import stat
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from ._errors import BodyFailed

NOT_KNOWN = -1
"""The length of a body that is sent chunked."""

_LOOK = 64 * 1024
"""What is read before its length is said, of a file whose size may be made up."""


def sent(file: Any) -> bytes | tuple[Callable[[int], bytes], int]:
    """What `_native` takes for it, from where it stands to its end."""
    left = _left(file)
    if left is None:
        return _reads(file), NOT_KNOWN
    if left and not _may_be_made_up(file):
        return _ends_there(_reads(file), left), left
    # What is in /proc and the like is small, mostly.
    read = _reads(file)
    first = _up_to(read, _LOOK + 1)
    if len(first) <= _LOOK:
        return first
    read = _after(first, read)
    return (_ends_there(read, left), left) if left else (read, NOT_KNOWN)


def binary(piece: object, what: str) -> bytes:
    """That piece as bytes; a TypeError that begins so if it is none."""
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, (bytearray, memoryview)):
        return bytes(piece)
    raise TypeError(f"{what} {type(piece).__name__}")


def _left(file: Any) -> int | None:
    """How much there is from where it stands to its end; None if that can't be known, or only by reading it."""
    try:  # BytesIO and its like
        return max(0, len(file.getbuffer()) - int(file.tell()))
    except (AttributeError, OSError, ValueError):
        pass
    try:
        # Asking a spooled file for its descriptor would write it to the disk.
        spooled = isinstance(file, tempfile.SpooledTemporaryFile)
        if not spooled and not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return None
        if isinstance(file, _decompressing()):
            return None
        at = int(file.tell())
        file.seek(0, os.SEEK_END)
        try:
            return max(0, int(file.tell()) - at)
        finally:
            file.seek(at)
    except (AttributeError, OSError, TypeError, ValueError):
        return None


def _decompressing() -> tuple[type, ...]:
    """File classes that seek to their end by decompressing all of it, as far as the program has imported them."""
    names = [
        ("gzip", "GzipFile"),
        ("bz2", "BZ2File"),
        ("lzma", "LZMAFile"),
        ("zipfile", "ZipExtFile"),
        ("compression.zstd", "ZstdFile"),
    ]
    found = (getattr(sys.modules.get(module), name, None) for module, name in names)
    return tuple(one for one in found if isinstance(one, type))


def _may_be_made_up(file: Any) -> bool:
    """Whether the system says that no block of the disk holds it: what is made up when it is read has none."""
    try:
        return not isinstance(file, tempfile.SpooledTemporaryFile) and os.fstat(file.fileno()).st_blocks == 0
    except (AttributeError, OSError, ValueError):
        return False


def _reads(file: Any) -> Callable[[int], bytes]:
    def read(room: int) -> bytes:
        return binary(file.read(room), "a file that is sent must be open in binary mode: it gave")

    return read


def _up_to(read: Callable[[int], bytes], size: int) -> bytes:
    pieces: list[bytes] = []
    while size > 0 and (piece := read(size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _after(first: bytes, read: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """What was read already, and then the rest."""
    ahead = io.BytesIO(first)
    return lambda room: ahead.read(room) or read(room)


def _ends_there(read: Callable[[int], bytes], length: int) -> Callable[[int], bytes]:
    """Before the last piece is given, it is seen that nothing follows. The library notices a file that is shorter."""
    left = length

    def read_on(room: int) -> bytes:
        nonlocal left
        piece = read(room)
        left -= len(piece)
        if left < 0 or (left == 0 and piece and read(1)):
            failure = BodyFailed(f"the file grew while it was sent: it had {length} bytes before")
            failure.phase, failure.sent = "write", "part"
            raise failure
        return piece

    return read_on
