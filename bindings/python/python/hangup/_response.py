"""What came back: the head, and the body whole or as a stream."""

from __future__ import annotations

import codecs
import http
import io
import json as _json
import warnings
from collections.abc import Iterator
from datetime import timedelta
from email.message import Message
from typing import Any, NamedTuple, Protocol

from . import _native
from ._errors import HTTPStatusError, InvalidArgument, InvalidState, RequestInfo
from ._headers import Headers, decoded
from ._limits import whole
from ._manager import GRACEFUL, NOW
from ._timeouts import shown

_PIECE = 64 * 1024
_ALL = 2**64 - 1  # SIZE_MAX: as much as memory holds


class Timings(NamedTuple):
    """How long each part took, in seconds; None for a part that did not take place."""

    pool: float | None
    resolve: float | None
    connect: float | None
    proxy: float | None
    tls: float | None
    write: float | None
    head: float | None
    read: float | None
    total: float | None


class Hop(NamedTuple):
    """One redirect that was followed."""

    status_code: int
    """301, 302, 303, 307 or 308."""
    url: str
    """The URL that gave it, without user information and fragment."""


class Raw(Protocol):
    """What stands behind a response: `_native.Response`, or what a pickle kept of it."""

    @property
    def status(self) -> int: ...
    @property
    def version(self) -> int: ...
    @property
    def url(self) -> str: ...
    @property
    def connection(self) -> int: ...
    @property
    def reused(self) -> bool: ...
    @property
    def attempts(self) -> int: ...
    def history(self) -> list[tuple[int, str]]: ...
    @property
    def ended(self) -> bool: ...
    def headers(self) -> list[tuple[str, bytes]]: ...
    def timings(self) -> tuple[int, ...]: ...
    def read_all(self, at_most: int) -> bytes: ...
    def read(self, room: int) -> bytes: ...
    def close(self, how: int) -> None: ...


class Response:
    """One response. `client.get` and its like answer it with the body read; `client.stream` before that.

    The head may be asked from any thread. The body is read by one thread at a time: a second one gets
    InvalidState. `close` may be called while another thread reads, and ends that read with `Closed`. Reading
    may raise any RequestError: a body that was cut off, cancelled or closed is never reported as its end.
    """

    __slots__ = ("_raw", "_headers", "_content", "_begun", "_encoding", "request", "__weakref__")

    def __init__(self, raw: Raw, request: RequestInfo) -> None:
        self._raw = raw
        self._headers: Headers | None = None
        self._content: bytes | None = None
        self._begun = False
        self._encoding: str | None = None
        self.request = request

    # The head.

    @property
    def status_code(self) -> int:
        """The status, for example 200."""
        return self._raw.status

    @property
    def reason_phrase(self) -> str:
        """The usual phrase for the status, "" for an unknown one. What the server wrote is not kept."""
        try:
            return http.HTTPStatus(self.status_code).phrase
        except ValueError:
            return ""

    @property
    def is_success(self) -> bool:
        """The status is 2xx."""
        return 200 <= self.status_code <= 299

    @property
    def headers(self) -> Headers:
        """The header fields."""
        if self._headers is None:
            self._headers = decoded(self._raw.headers())
        return self._headers

    @property
    def url(self) -> str:
        """The URL that answered, after all redirects, without user information and fragment."""
        return self._raw.url

    @property
    def history(self) -> list[Hop]:
        """The redirects that led here, the first one first."""
        return [Hop(*hop) for hop in self._raw.history()]

    @property
    def attempts(self) -> int:
        """How often the last request of the call was sent or tried to be: 1 without a retry."""
        return self._raw.attempts

    @property
    def http_version(self) -> str:
        """ "HTTP/1.1" or "HTTP/1.0"."""
        return f"HTTP/{self._raw.version // 10}.{self._raw.version % 10}"

    @property
    def connection(self) -> int:
        """The id of the connection that served it, also after that connection was closed."""
        return self._raw.connection

    @property
    def reused(self) -> bool:
        """That connection had served a request before."""
        return self._raw.reused

    @property
    def timings(self) -> Timings:
        """How long each part took, in seconds."""
        return Timings(*(None if us < 0 else us / 1_000_000 for us in self._raw.timings()))

    @property
    def elapsed(self) -> timedelta:
        """From the call to the body's end, or until now."""
        return timedelta(seconds=self.timings.total or 0)

    def raise_for_status(self) -> Response:
        """The response itself; raises HTTPStatusError for a status of 400 and above."""
        status = self.status_code
        if status < 400:
            return self
        kind = "client error" if status < 500 else "server error"
        phrase = f" {self.reason_phrase}" if self.reason_phrase else ""
        error = HTTPStatusError(f"{kind} {status}{phrase} for {self.url}")
        error.__setstate__({"response": self, "request": self.request, "connection": self.connection})
        raise error

    # The body, whole.

    def read(self, at_most: int | None = None) -> bytes:
        """Reads the body to its end, keeps it and answers it. The connection is idle before this returns.

        With `at_most`, a body of more bytes, decoded ones, raises TooLarge, and the connection is closed. Raises
        InvalidState if a part was already taken by one of the iterators, and any RequestError.
        """
        if self._content is None:
            if self._begun:
                raise InvalidState("a part of the body was already taken by an iterator: it can't be had whole")
            self._content = self._raw.read_all(_ALL if at_most is None else whole("at_most", at_most))
        return self._content

    @property
    def content(self) -> bytes:
        """The body; of a stream it is read first, see `read`."""
        return self.read()

    @property
    def encoding(self) -> str:
        """How `text` decodes: the charset that the server named, else UTF-8. It may be set."""
        if self._encoding is None:
            self._encoding = _charset(self.headers.get("content-type", ""))
        return self._encoding

    @encoding.setter
    def encoding(self, encoding: str) -> None:
        self._encoding = codecs.lookup(encoding).name

    @property
    def text(self) -> str:
        """The body as text; what can't be decoded becomes U+FFFD."""
        return self.read().decode(self.encoding, errors="replace")

    def json(self, **options: Any) -> Any:
        """The body as JSON (UTF-8, -16 or -32); `options` go to `json.loads`. Raises json.JSONDecodeError."""
        return _json.loads(self.read(), **options)

    # The body, as a stream.

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """The body in pieces: as they come, or of exactly `chunk_size` bytes but for the last one."""
        if chunk_size is not None and chunk_size < 1:
            raise InvalidArgument(f"chunk_size is at least 1, not {shown(chunk_size)}")
        if self._content is not None or self._raw.ended and not self._begun:
            content = self.read()
            step = chunk_size or len(content) or 1
            return iter([content[at : at + step] for at in range(0, len(content), step)])
        return self._pieces() if chunk_size is None else self._chunks(chunk_size)

    def iter_text(self) -> Iterator[str]:
        """The body as text, in pieces as they come."""
        decoder = codecs.getincrementaldecoder(self.encoding)(errors="replace")
        for piece in self.iter_bytes():
            if text := decoder.decode(piece):
                yield text
        if text := decoder.decode(b"", final=True):
            yield text

    def iter_lines(self) -> Iterator[str]:
        """The lines of the text, without their ends (\\n, \\r\\n or \\r)."""
        lines = LineSplitter()
        for text in self.iter_text():
            yield from lines.feed(text)
        yield from lines.end()

    def close(self, polite: bool = True) -> None:
        """Ends the response early; after the end of the body, and the second time, it does nothing.

        Polite: reads on for at most 256 KiB or 50 ms so that the connection can be kept, and closes it
        otherwise. Not polite: closes the connection at once. A read in another thread ends with `Closed`.
        """
        self._raw.close(GRACEFUL if polite else NOW)

    @property
    def is_closed(self) -> bool:
        """The body was read to its end, failed, or was closed."""
        return self._raw.ended

    def _pieces(self) -> Iterator[bytes]:
        self._begun = True
        while piece := self._raw.read(_PIECE):
            yield piece

    def _chunks(self, size: int) -> Iterator[bytes]:
        held = bytearray()
        for piece in self._pieces():
            held += piece
            while len(held) >= size:
                yield bytes(held[:size])
                del held[:size]
        if held:
            yield bytes(held)

    def __repr__(self) -> str:
        return f"<Response {self.status_code} {self.reason_phrase}".rstrip() + ">"

    def __reduce__(self) -> tuple[Any, ...]:
        whole = self._raw.ended and not self._begun
        content = self._content
        if content is None and whole:
            try:
                content = self.read()
            except InvalidState:  # closed before it was read
                content = None
        raw = self._raw
        head = (raw.status, raw.version, raw.url, raw.connection, raw.reused, raw.attempts, raw.history())
        return _unpickled, (head, raw.headers(), raw.timings(), content, self.request)


class OpenResponse(Response):
    """A response of `client.stream`: it says so when it was forgotten open."""

    __slots__ = ()

    def __del__(self) -> None:
        raw = getattr(self, "_raw", None)
        if raw is not None and not raw.ended:
            warnings.warn(f"a stream was left open: {self!r}", ResourceWarning, stacklevel=2, source=self)


class LineSplitter:
    """Text in pieces, as lines without their ends."""

    def __init__(self) -> None:
        self._ends = io.IncrementalNewlineDecoder(None, translate=True)
        self._rest = ""

    def feed(self, text: str, final: bool = False) -> list[str]:
        """The lines that are whole now."""
        *lines, self._rest = (self._rest + self._ends.decode(text, final=final)).split("\n")
        return lines

    def end(self) -> list[str]:
        """What is left."""
        lines = self.feed("", final=True)
        return [*lines, self._rest] if self._rest else lines


class _Kept:
    """What a pickle keeps: the head, and the body if it had been read."""

    ended = True

    def __init__(self, head: tuple[Any, ...], fields: list[tuple[str, bytes]], times: tuple[int, ...]) -> None:
        self.status, self.version, self.url, self.connection, self.reused, self.attempts, self._hops = head
        self._fields, self._times = fields, times

    def history(self) -> list[tuple[int, str]]:
        return list(self._hops)

    def headers(self) -> list[tuple[str, bytes]]:
        return self._fields

    def timings(self) -> tuple[int, ...]:
        return self._times

    def read_all(self, at_most: int) -> bytes:
        raise InvalidState("the body had not been read when the response was pickled")

    def read(self, room: int) -> bytes:
        return self.read_all(room)

    def close(self, how: int) -> None:
        pass


def _unpickled(
    head: tuple[Any, ...],
    fields: list[tuple[str, bytes]],
    times: tuple[int, ...],
    content: bytes | None,
    request: RequestInfo,
) -> Response:
    response = Response(_Kept(head, fields, times), request)
    response._content = content
    return response


def _charset(content_type: str) -> str:
    message = Message()
    message["content-type"] = content_type
    try:
        return codecs.lookup(message.get_content_charset() or "utf-8").name
    except LookupError:
        return "utf-8"
