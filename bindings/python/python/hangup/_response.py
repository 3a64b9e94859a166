"""`Response`: the head, and the body as a whole or as a stream."""

from __future__ import annotations

import codecs
import io
import re
import warnings
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from . import _native
from ._errors import HTTPStatusError, InvalidArgument, InvalidState, PeerClosed, PeerReset, PeerSilent, ProtocolError, RequestInfo
from ._headers import Headers, decode, decode_headers
from ._limit_values import non_negative_int
from ._manager import GRACEFUL, NOW
from ._stream import Stream
from ._timeouts import short_repr
from ._rows import in_seconds

if TYPE_CHECKING:
    from ._raw_response import RawResponse
    from ._response_facts import ConnectionFacts, Download, InterimResponse, Redirect
    from ._timings import Timings

READ_SIZE = 112 * 1024
"""How many bytes of a body one call of the library reads at most: seven full records of TLS, and less than what malloc(3) asks
the system for each time."""
MIN_FULL = 16 * 1024
MAX_FULL = 64 * 1024 * 1024
"""Chunks from this size to that one are read into their own memory. Smaller ones are cut out of what one read gives."""
MAX_PIECE = 256 * 1024
"""The same for one read in the background."""
BROKEN = (PeerClosed, PeerReset, PeerSilent, ProtocolError)
"""Errors of a body that was cut off or is malformed: what came before is returned before they are raised."""
_SIZE_MAX = 2**64 - 1  # of C: any size


class Response:
    """One response. `client.get` and the other verbs return it with its body; `client.stream` before the body is read.

    Threads: any for the head; one at a time reads the body, and a second one gets InvalidState. `close` may be called
    while another thread reads; that read raises `Closed`. Reading may raise any RequestError: a body that was cut off,
    cancelled or closed is never reported as complete.
    """

    __slots__ = ("_raw", "_headers", "_content", "_started", "_encoding", "_request", "__weakref__")

    def __init__(self, raw: RawResponse, request: tuple[str, str]) -> None:
        self._raw = raw
        self._headers: Headers | None = None
        self._content: bytes | None = None
        self._started = False
        self._encoding: str | None = None
        self._request = request

    # The head.

    @property
    def request(self) -> RequestInfo:
        """The request: its `method`, and its `url` without user information."""
        if not isinstance(self._request, RequestInfo):
            self._request = RequestInfo(*self._request)
        return self._request

    @property
    def status_code(self) -> int:
        """The HTTP status, for example 200."""
        return self._raw.status

    @property
    def reason_phrase(self) -> str:
        """The phrase of the status line as the server sent it, often "": UTF-8 if it is valid, otherwise latin-1."""
        return decode(self._raw.reason())

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status_code <= 299

    @property
    def headers(self) -> Headers:
        """The header fields."""
        if self._headers is None:
            self._headers = decode_headers(self._raw.headers())
        return self._headers

    @property
    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """The header fields as bytes, in the order in which they came, names in the case in which they came."""
        return self._raw.raw_headers()

    @property
    def raw_head(self) -> bytes:
        """The head as it came, from the status line to the empty line."""
        return self._raw.raw_head()

    @property
    def content_length(self) -> int | None:
        """How many bytes the body has on the wire, before content codings are undone; None if that is not known.

        In a response to HEAD it is what Content-Length says of the body that is not sent.
        """
        return self._raw.content_length

    @property
    def interim_responses(self) -> list[InterimResponse]:
        """The interim responses (1xx) that came before this one, 100 Continue included; the first 100 are kept."""
        from . import InterimResponse

        return [InterimResponse(status, decode_headers(fields)) for status, fields in self._raw.interim()]

    @property
    def trailers(self) -> Headers:
        """The trailer fields behind the body; empty before the body was read to its end.

        They are never merged into the headers. Fields that have to be known before the content are left out: those about
        framing, routing, authentication, caching, conditions and the format of the content (RFC 9110 section 6.5.1).
        """
        return decode_headers(self._raw.trailers())

    @property
    def url(self) -> str:
        """The URL of the response, after all redirects, without user information and fragment."""
        return self._raw.url

    @property
    def history(self) -> list[Redirect]:
        """The redirects that were followed, in order."""
        from . import Redirect

        return [Redirect(*redirect) for redirect in self._raw.history()]

    @property
    def attempts(self) -> int:
        """The number of attempts to send the last request of the call: 1 without a retry."""
        return self._raw.attempts

    @property
    def http_version(self) -> str:
        """ "HTTP/1.1" or "HTTP/1.0"."""
        return f"HTTP/{self._raw.version // 10}.{self._raw.version % 10}"

    @property
    def connection(self) -> int:
        """The id of its connection, also after that connection was closed."""
        return self._raw.connection

    @property
    def reused(self) -> bool:
        """Whether that connection had served a request before."""
        return self._raw.reused

    @property
    def connection_facts(self) -> ConnectionFacts:
        """The addresses of its connection and what TLS agreed on; also after that connection was closed."""
        from . import ConnectionFacts

        return ConnectionFacts(*self._raw.connection_facts())

    @property
    def timings(self) -> Timings:
        """The duration of each phase in seconds."""
        return in_seconds(self._raw.timings())

    @property
    def elapsed(self) -> timedelta:
        """The time from the call to the end of the body, or until now."""
        return timedelta(seconds=self.timings.total or 0)

    @property
    def download(self) -> Download | None:
        """What was done, if this is the response of `client.download`."""
        done = self._raw.download()
        if done is None:
            return None
        from . import Download

        return Download(*done)

    def raise_for_status(self) -> Response:
        """Returns the response; raises HTTPStatusError for a status of 400 and above."""
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
        """Reads the body to its end, stores it and returns it. The connection is idle before this returns.

        A body of more than `at_most` decoded bytes raises TooLarge, and the connection is closed. Default: the client's
        `max_body`. Raises InvalidState if an iterator has read a part of it, and any RequestError.
        """
        if self._content is None:
            if self._started:
                raise InvalidState("an iterator has already taken a part of the body, so the whole body is not available")
            self._content = self._raw.read_all(_SIZE_MAX if at_most is None else non_negative_int("at_most", at_most))
        return self._content

    @property
    def content(self) -> bytes:
        """The body; see `read`."""
        return self.read()

    @property
    def encoding(self) -> str:
        """The encoding of `text`: the charset of the Content-Type header, else UTF-8. It may be set."""
        if self._encoding is None:
            self._encoding = _charset(self.headers.get("content-type", ""))
        return self._encoding

    @encoding.setter
    def encoding(self, encoding: str) -> None:
        self._encoding = codecs.lookup(encoding).name

    @property
    def text(self) -> str:
        """The body as text; invalid bytes become U+FFFD."""
        return self.read().decode(self.encoding, errors="replace")

    def json(self, **options: Any) -> Any:
        """The body as JSON (UTF-8, -16 or -32); `options` go to `json.loads`. Raises json.JSONDecodeError."""
        import json

        return json.loads(self.read(), **options)

    # The body, as a stream.

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """The body in pieces: as they arrive, or of exactly `chunk_size` bytes except for the last one."""
        if chunk_size is not None and chunk_size < 1:
            raise InvalidArgument(f"chunk_size is at least 1, not {short_repr(chunk_size)}")
        if self._content is not None or self._raw.ended and not self._started:
            content = self.read()
            step = chunk_size or len(content) or 1
            return iter([content[at : at + step] for at in range(0, len(content), step)])
        return self._iter_pieces(chunk_size)

    def iter_raw(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """The body as it arrives, in pieces as `iter_bytes` has them, its content codings not undone.

        For a response of `client.stream` of which nothing was read; raises InvalidState otherwise.
        """
        if chunk_size is not None and chunk_size < 1:
            raise InvalidArgument(f"chunk_size is at least 1, not {short_repr(chunk_size)}")
        self._begin_raw()
        return self._iter_pieces(chunk_size)

    def iter_text(self) -> Iterator[str]:
        """The body as text, in pieces as they arrive."""
        decoder = codecs.getincrementaldecoder(self.encoding)(errors="replace")
        try:
            for piece in self.iter_bytes():
                if text := decoder.decode(piece):
                    yield text
        except BROKEN:
            # What came before the error comes first.
            if text := decoder.decode(b"", final=True):
                yield text
            raise
        if text := decoder.decode(b"", final=True):
            yield text

    def iter_lines(self) -> Iterator[str]:
        """The lines of the text, without their ends (\\n, \\r\\n or \\r)."""
        lines = LineSplitter()
        try:
            for text in self.iter_text():
                yield from lines.feed(text)
        except BROKEN:
            # What came before the error comes first.
            yield from lines.end()
            raise
        yield from lines.end()

    def take_stream(self) -> Stream:
        """Takes the connection, if the response hands it over: 101 after a request with an `Upgrade` header, or a success
        after `Client.connect`.

        Bytes that came together with the head are read first; the response keeps its head and has an empty body. Until the
        stream is taken, the connection waits, and is closed with the response. Raises InvalidState for any other response
        and the second time, or what ended the exchange.
        """
        return Stream(self._raw.take_stream(), self.request)

    def close(self, *, now: bool = False) -> None:
        """Closes the response early. Does nothing after the end of the body, and the second time.

        Drains up to 256 KiB of the body in the background, so that the connection can be reused, and closes the
        connection if that takes longer than 50 ms or three round trips, whichever is longer, and one second at most;
        with `now` closes it at once. A read in another thread raises `Closed`.
        """
        self._raw.close(NOW if now else GRACEFUL)

    @property
    def is_closed(self) -> bool:
        """Whether the body was read to its end, failed, or was closed."""
        return self._raw.ended

    def _begin_raw(self) -> None:
        if self._content is not None or self._started:
            raise InvalidState("the body was read already: ask for raw bytes before anything else, of client.stream")
        self._raw.set_raw()

    def _iter_pieces(self, chunk_size: int | None) -> Iterator[bytes]:
        self._started = True
        if chunk_size is None:
            while piece := self._raw.read(READ_SIZE):
                yield piece
            return
        if MIN_FULL <= chunk_size <= MAX_FULL:
            # The library fills the object of each chunk.
            while piece := self._raw.read_full(chunk_size):
                yield piece
            return
        chunker = ByteChunker(chunk_size)
        try:
            while piece := self._raw.read(READ_SIZE):
                yield from chunker.feed(piece)
        except BROKEN:
            # What came before the error comes first.
            yield from chunker.end()
            raise
        yield from chunker.end()

    def __repr__(self) -> str:
        return f"<Response {self.status_code} {self.reason_phrase}".rstrip() + ">"

    def __reduce__(self) -> tuple[Any, ...]:
        is_complete = self._raw.ended and not self._started
        content = self._content
        if content is None and is_complete:
            try:
                content = self.read()
            except InvalidState:  # closed before it was read
                content = None
        raw = self._raw
        head: tuple[Any, ...] = (raw.status, raw.version, raw.url, raw.connection, raw.reused, raw.attempts, raw.history())
        head += (raw.raw_head(), raw.raw_headers(), raw.reason(), raw.content_length, raw.interim(), raw.trailers())
        head += (raw.connection_facts(),)
        return _restore_response, (head, raw.headers(), raw.timings(), content, self.request)


class OpenResponse(Response):
    """A response of `client.stream`, which warns if it is deleted before it is closed."""

    __slots__ = ()

    def __del__(self) -> None:
        raw = getattr(self, "_raw", None)
        if raw is not None and not raw.ended:
            warnings.warn(f"a stream was left open: {self!r}", ResourceWarning, stacklevel=2, source=self)


class ByteChunker:
    """Splits pieces of any size into chunks of one size; with None it returns the pieces unchanged."""

    def __init__(self, size: int | None) -> None:
        self._size = size
        self._held = bytearray()

    def feed(self, piece: bytes) -> list[bytes]:
        """The chunks that are complete with this piece."""
        if self._size is None:
            return [piece]
        if not self._held and len(piece) == self._size:
            return [piece]
        self._held += piece
        end = len(self._held) - len(self._held) % self._size
        chunks = [bytes(self._held[at : at + self._size]) for at in range(0, end, self._size)]
        del self._held[:end]
        return chunks

    def end(self) -> list[bytes]:
        """The last chunk, which may be shorter."""
        return [bytes(self._held)] if self._held else []


class LineSplitter:
    """Splits text that arrives in pieces into lines without their ends."""

    def __init__(self) -> None:
        self._newlines = io.IncrementalNewlineDecoder(None, translate=True)
        self._rest = ""

    def feed(self, text: str, final: bool = False) -> list[str]:
        """The lines that are complete with this text."""
        *lines, self._rest = (self._rest + self._newlines.decode(text, final=final)).split("\n")
        return lines

    def end(self) -> list[str]:
        """The last line, if it has no end."""
        lines = self.feed("", final=True)
        return [*lines, self._rest] if self._rest else lines


class _DetachedResponse:
    """The head of a response that was pickled. Its body, if it had been read, is in `Response`."""

    ended = True

    def __init__(self, head: tuple[Any, ...], fields: list[tuple[str, bytes]], times: tuple[int, ...]) -> None:
        self.status, self.version, self.url, self.connection, self.reused, self.attempts, self._hops = head[:7]
        self._raw_head: bytes = head[7]
        self._raw_fields: list[tuple[bytes, bytes]] = head[8]
        self._reason: bytes = head[9]
        self.content_length: int | None = head[10]
        self._interim: list[tuple[int, list[tuple[str, bytes]]]] = head[11]
        self._trailers: list[tuple[str, bytes]] = head[12]
        self._facts: tuple[str, str, str, str, str, str, bool, list[bytes]] = head[13]
        self._fields, self._times = fields, times

    def history(self) -> list[tuple[int, str]]:
        return list(self._hops)

    def headers(self) -> list[tuple[str, bytes]]:
        return self._fields

    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        return list(self._raw_fields)

    def raw_head(self) -> bytes:
        return self._raw_head

    def reason(self) -> bytes:
        return self._reason

    def interim(self) -> list[tuple[int, list[tuple[str, bytes]]]]:
        return list(self._interim)

    def trailers(self) -> list[tuple[str, bytes]]:
        return self._trailers

    def connection_facts(self) -> tuple[str, str, str, str, str, str, bool, list[bytes]]:
        return self._facts

    def timings(self) -> tuple[int, ...]:
        return self._times

    def read_all(self, at_most: int) -> bytes:
        raise InvalidState("the body had not been read when the response was pickled")

    def read(self, room: int) -> bytes:
        return self.read_all(room)

    def read_full(self, room: int) -> bytes:
        return self.read_all(room)

    def take_stream(self) -> _native.Stream:
        raise InvalidState("a response that was pickled has no connection")

    def download(self) -> None:
        return None

    def set_raw(self) -> None:
        self.read_all(0)

    def close(self, mode: int) -> None:
        pass


def _restore_response(
    head: tuple[Any, ...],
    fields: list[tuple[str, bytes]],
    times: tuple[int, ...],
    content: bytes | None,
    request: RequestInfo,
) -> Response:
    response = Response(_DetachedResponse(head, fields, times), request)
    response._content = content
    return response


def _charset(content_type: str) -> str:
    """The encoding that the parameter `charset` of a Content-Type names (RFC 9110 section 8.3.1); UTF-8 if it names none in
    which Python can read text."""
    # Each parameter is matched as a whole, so that a quoted value may contain a semicolon (section 5.6.6).
    for parameter in re.finditer(r';\s*([^\s=;"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;]*))', content_type):
        name, quoted, plain = parameter.groups()
        if name.lower() == "charset":
            try:
                encoding = codecs.lookup((plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)).strip()).name
                # There are codecs of other things than text, and those raise LookupError here.
                b" ".decode(encoding, "replace")
            except (LookupError, ValueError):
                break
            return encoding
    return "utf-8"
