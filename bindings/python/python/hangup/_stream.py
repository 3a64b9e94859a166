"""`Stream`: a connection that a response handed over, for blocking calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from . import _native
from ._errors import InvalidArgument
from ._timeouts import UNSET, Seconds, Unset, milliseconds, short_repr

if TYPE_CHECKING:
    from ._errors import RequestInfo

READ = _native.CONSTANTS["HANGUP_TIMEOUT_READ"]
WRITE = _native.CONSTANTS["HANGUP_TIMEOUT_WRITE"]
READ_SIZE = 64 * 1024
MAX_READ = 256 * 1024


class BaseStream:
    """What Stream and AsyncStream share."""

    __slots__ = ("_raw", "request", "__weakref__")

    def __init__(self, raw: _native.Stream, request: RequestInfo) -> None:
        self._raw = raw
        self.request = request

    def close(self) -> None:
        """Closes the connection. Reads and writes in progress, in other threads or tasks, raise `Closed`. Never blocks; does
        nothing the second time. In TLS it sends close_notify if that is possible at once."""
        self._raw.close()

    def set_timeouts(
        self, *, read: Seconds | None | Unset = UNSET, write: Seconds | None | Unset = UNSET
    ) -> None:
        """Sets the time limits, in seconds, of reads and writes that begin later; None: no limit. At first they are those of
        the request (60 seconds each, unless the client or the request says otherwise). Raises InvalidTimeout."""
        for which, name, seconds in ((READ, "read", read), (WRITE, "write", write)):
            if not isinstance(seconds, Unset):
                self._raw.set_timeout(which, _native.NO_LIMIT if seconds is None else milliseconds(seconds, name))

    def fileno(self) -> int:
        """The socket, for select, selectors and event loops: when it is readable, a read does not wait. Only poll it: `close`
        closes it, and so does whatever ends the stream. Read until `buffered` is 0 before. -1 in TLS, where the socket does
        not show what can be read, and after the end."""
        return self._raw.fileno()

    @property
    def buffered(self) -> int:
        """How many bytes came together with the response head and were not read."""
        return self._raw.buffered

    @property
    def connection(self) -> int:
        """The id of the connection, as in `Manager.connections`."""
        return self._raw.connection

    @property
    def is_closing(self) -> bool:
        """Whether the owner is asked to end the stream: a graceful close of its connection, or `Manager.drain`, waits for
        that."""
        return self._raw.is_closing

    @property
    def is_closed(self) -> bool:
        """Whether the stream was closed or has failed."""
        return self._raw.is_closed

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else "open"
        return f"<{type(self).__name__} {state} on connection {self.connection}>"


class Stream(BaseStream):
    """A connection that speaks another protocol than HTTP: after 101 Switching Protocols, or a tunnel of
    `Client.connect`. Made by `Response.take_stream`; `with` closes it.

    The manager lists the connection as "upgraded", counts it as in use, and closes it as any other: by its id, its origin
    or all, at once, or by a shutdown. The token of the request cancels it. A graceful close and `Manager.drain` leave it to
    its owner. The total timeout of the request ends with the head. A read that raises ReadTimeout has lost nothing and can
    be repeated; after any other RequestError the connection is closed. Without a reference left it is closed, too.

    Threads: any; one reads and one writes at a time, also at the same time. A second one gets InvalidState.
    """

    __slots__ = ()

    def read(self, max_bytes: int = READ_SIZE) -> bytes:
        """At least one byte, as soon as there is one; b"" if the peer ended its direction. Raises any RequestError."""
        return self._raw.read(read_size(max_bytes))

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Sends all of the data. Raises any RequestError, and the connection is closed, because a part may have been sent;
        InvalidState after `shutdown_write`."""
        self._raw.write_all(as_lent(data))

    def shutdown_write(self) -> None:
        """Ends the direction of writing: the peer reads an end, and what it sends can still be read. Does nothing the second
        time."""
        self._raw.shutdown_write()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def read_size(max_bytes: int) -> int:
    """The size of a read: at most 256 KiB, as one read gets no more in the background."""
    if not isinstance(max_bytes, int) or max_bytes < 1:
        raise InvalidArgument(f"max_bytes is at least 1, not {short_repr(max_bytes)}")
    return min(max_bytes, MAX_READ)


def as_lent(data: bytes | bytearray | memoryview) -> bytes | bytearray | memoryview:
    """The data for a call that waits until it has all of it; copied only if its memory is not in one piece."""
    return bytes(data) if isinstance(data, memoryview) and not data.c_contiguous else data


def as_bytes(data: bytes | bytearray | memoryview) -> bytes:
    """The data as bytes, copied unless they are bytes: another thread can't change them while they are sent."""
    if isinstance(data, bytes):
        return data
    if isinstance(data, (bytearray, memoryview)):
        return bytes(data)
    raise TypeError(f"data is bytes, bytearray or memoryview, not {type(data).__name__}")
