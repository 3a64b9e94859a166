"""`Upload`: the body of a request that the program writes piece by piece."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from . import _native
from ._errors import InvalidArgument
from ._stream import as_lent
from ._timeouts import short_repr


class BaseUpload:
    """What Upload and AsyncUpload share."""

    __slots__ = ("_raw", "_is_over", "__weakref__")

    def __init__(self, length: int | None = None) -> None:
        if length is not None and (not isinstance(length, int) or length < 0):
            raise InvalidArgument(f"length is a number of bytes or None, not {short_repr(length)}")
        self._raw = _native.BodyWriter(_native.NO_LIMIT if length is None else length)
        self._is_over = False

    def try_write(self, data: bytes | bytearray | memoryview) -> int:
        """Writes as many of these bytes as there is room for, without waiting, and returns their number. 0: there is no room;
        wait until `fileno` is readable. Raises as `write` does."""
        return self._raw.try_write(as_lent(data))

    def fileno(self) -> int:
        """A descriptor that is readable while there is room for at least 32 KiB, and after the end of the exchange: for select,
        selectors and event loops, beside `try_write`. Only poll it. -1 if the process has no free descriptor."""
        return self._raw.fileno()

    def finish(self) -> None:
        """The body is complete. Never blocks: what was written is sent. Raises BodyFailed if fewer bytes than the length were
        written, which fails the request as well; the exception of the exchange, if that has failed; Closed if it ended without
        waiting for the rest; InvalidState the second time, and while a write is in progress."""
        self._raw.finish()
        self._is_over = True

    def abort(self, reason: str = "no reason was given") -> None:
        """Gives the body up: the request raises BodyFailed with this reason. The bytes that were written may have been sent.
        From any thread; never blocks. Does nothing after `finish`."""
        self._is_over = True
        self._raw.abort(reason)

    def _leave(self, error: BaseException | None) -> None:
        """The end of a `with` block."""
        if error is not None:
            self.abort(f"{type(error).__name__} in the block that wrote it".replace("\0", " "))
        elif not self._is_over:
            self.finish()


class Upload(BaseUpload):
    """The body of a request that the program writes piece by piece, while another thread sends the request.

        upload = hangup.Upload()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            sent = pool.submit(client.post, url, content=upload)
            with upload:
                for row in rows:
                    upload.write(row)
            response = sent.result()

    With a `length` the request has a Content-Length; without, the body is sent chunked. At most 64 KiB are buffered; what is
    written before the request begins is buffered, too. The end of the `with` block calls `finish`, or after an exception
    `abort`, so that the server never takes a part for the whole. It is the body of one request, and is sent once: a redirect
    or a retry that would need it again is refused. An upload that is dropped before `finish` fails its request.

    Threads: one writes at a time; a second one gets InvalidState. Any may abort.
    """

    __slots__ = ()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Writes all of the data; waits while the buffer is full. The timeouts of the request bound that: WriteTimeout if the
        server takes nothing. Before the request begins it waits for 60 seconds at most.

        Raises the exception of the exchange, if that has failed; Closed if the server responded without waiting for the
        rest; BodyFailed for more bytes than the length; WriteTimeout if no request begins; InvalidState after `finish` or
        `abort`."""
        self._raw.write_all(as_lent(data))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave(error)
