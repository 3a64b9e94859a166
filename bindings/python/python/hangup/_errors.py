"""Every exception of hangup: a shallow tree under `HangupError`.

Each says what kind of failure it was (its class), where (`phase`), by which clock (`limit`), and whether it
is safe to send the request again (`retry_safe`). Each can be pickled: the message is its only argument and
the rest is its `__dict__`.
"""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any, NamedTuple

from ._urls import without_user_info

if TYPE_CHECKING:
    from ._response import Response


class _Asked(NamedTuple):
    method: str
    url: str


class RequestInfo(_Asked):
    """What was asked for: `method`, and `url` without the user information that it may have had, because
    exceptions and responses are written into logs."""

    __slots__ = ()

    def __new__(cls, method: str, url: str) -> RequestInfo:
        return super().__new__(cls, method, without_user_info(url))


class HangupError(Exception):
    """The base of all exceptions of hangup."""

    phase: str | None = None
    """Where the exchange was: "pool", "resolve", "connect", "proxy", "tls", "write", "head", "read"; None: it
    had not begun, or was over."""
    limit: str | None = None
    """Which clock ran out: one of the phases, "total", "min_rate" or "token"; None unless it is a timeout."""
    sent: str = "nothing"
    """How much of the request went out: "nothing", "part" or "all"."""
    bytes_sent: int = 0
    """How many bytes of the request, head and body, the operating system took."""
    retry_safe: bool = False
    """Sending the same request again can't make the server do it twice. After a redirect this speaks of the
    whole call, from its first URL."""
    connection: int | None = None
    """The id of the connection that was used; None if there was none yet."""
    reused: bool = False
    """That connection had served a request before."""
    attempts: int = 0
    """How often the request was sent or tried to be: 1 without a retry, 0 if it never came to that. After
    redirects this counts the last one's attempts only."""
    response_started: bool = False
    """At least one byte of the response had come."""
    os_code: int = 0
    """The operating system's error number (`errno`); 0 if none was involved."""
    reason: str | None = None
    """The reason that was given to `CancelToken.cancel`."""
    request: RequestInfo | None = None
    """The method and the URL; None if it was not about a request."""

    def __setstate__(self, state: dict[str, Any] | None) -> None:
        for name, value in (state or {}).items():
            setattr(self, name, value)
        if self.os_code and isinstance(self, OSError):
            setattr(self, "errno", self.os_code)


class InvalidArgument(HangupError, ValueError):
    """An argument is out of range; the message says what is legal."""


class InvalidURL(InvalidArgument):
    """The URL can't be requested: not http or https, no host, a space or a control character, or a host that two
    parsers would read differently (a backslash, slashes too many or too few, two @, a percent-encoded host, an
    address that is not written as four decimal numbers)."""


class InvalidMethod(InvalidArgument):
    """The method is not a token (RFC 9110 section 9.1)."""


class InvalidHeader(InvalidArgument):
    """A header is malformed, or contradicts what the library itself must say."""


class InvalidTimeout(InvalidArgument):
    """A duration that is no positive number of seconds. "No limit" is spelled None."""


class InvalidState(HangupError):
    """Legal, but not now: a closed client, a body that was already read, a response read by two threads."""


class NotFound(HangupError, LookupError):
    """No connection with that id is open. Ids are never used again."""


class PanicError(HangupError):
    """A defect in hangup: please report it."""


class RequestError(HangupError):
    """An exchange failed."""


class TimeoutError(RequestError, builtins.TimeoutError):
    """A clock ran out; `limit` says which, `phase` where. A subclass unless it was a token's deadline."""


class PoolTimeout(TimeoutError):
    """Waiting for a connection slot took too long."""


class ConnectTimeout(TimeoutError):
    """Resolving, connecting or the TLS handshake took too long."""


class WriteTimeout(TimeoutError):
    """The server did not take the request in time."""


class ReadTimeout(TimeoutError):
    """The response head, or the next piece of the body, did not come in time."""


class TotalTimeout(TimeoutError):
    """The request as a whole, up to the last byte of its body, took too long."""


class DrainTimeout(TimeoutError):
    """`Manager.drain` ran out of time."""

    left: int = 0
    """How many connections are still in use."""


class Cancelled(RequestError):
    """The cancel token was fired; `reason` says why if it was told. Never `asyncio.CancelledError`."""


class Closed(RequestError):
    """The connection was closed under the exchange: by a closer of the manager, or by `Response.close`."""


class ManagerShutDown(RequestError):
    """The manager was shut down."""


class ForkedError(RequestError):
    """The response belongs to a parent process; an exchange can't go on across fork."""


class QueueFull(RequestError):
    """The queue for a connection is as long as it may be (`Limits.queue`): refused at once."""


class ConnectError(RequestError, ConnectionError):
    """No address of the host could be connected to."""


class ResolveError(RequestError):
    """The host name could not be resolved."""


class TLSError(RequestError):
    """The TLS handshake failed or a certificate was refused; the message says why."""


class PeerClosed(RequestError, ConnectionError):
    """The server closed the connection: before the answer, inside its head or inside its body."""


class PeerReset(RequestError, ConnectionResetError):
    """The server reset the connection."""


class ProtocolError(RequestError):
    """The answer is not HTTP/1.1."""


class TooLarge(RequestError):
    """A bound was exceeded: the head's size, or `at_most` of `Response.read`."""


class BodyFailed(RequestError):
    """The body of the request was shorter than it said, or a file grew while it was sent. An exception that the body
    raised is raised as it is."""


class SystemFailure(RequestError, OSError):
    """The operating system refused: out of descriptors, out of memory, a file that can't be read."""


class ProxyFailed(RequestError):
    """The proxy refused, or did not answer as a proxy does."""

    http_status: int | None = None
    """The status that the proxy refused with; None if it did not come to that."""


class RedirectRefused(RequestError):
    """The response redirects to where can't be followed; the message names the target."""

    http_status: int | None = None
    """The status of the response that redirects."""


class HTTPStatusError(HangupError):
    """`Response.raise_for_status` met a status of 400 or above; the exchange itself went well."""

    response: Response


_BY_STATUS: dict[int, type[HangupError]] = {
    1: InvalidArgument,  # NULL: a defect of this binding, or a freed handle through ctypes
    2: InvalidArgument,  # BAD_HANDLE: the same
    3: InvalidArgument,
    4: InvalidURL,
    5: InvalidMethod,
    6: InvalidHeader,
    7: InvalidTimeout,
    8: InvalidState,
    9: NotFound,
    20: Cancelled,
    21: TimeoutError,
    22: Closed,
    23: ManagerShutDown,
    24: ForkedError,
    25: QueueFull,
    30: PeerClosed,
    31: PeerReset,
    32: ResolveError,
    33: ConnectError,
    34: TLSError,
    35: ProtocolError,
    36: TooLarge,
    37: BodyFailed,
    38: SystemFailure,
    39: ProxyFailed,
    40: RedirectRefused,
    99: PanicError,
}

_BY_LIMIT: dict[str, type[TimeoutError]] = {
    "pool": PoolTimeout,
    "resolve": ConnectTimeout,
    "connect": ConnectTimeout,
    "proxy": ConnectTimeout,
    "tls": ConnectTimeout,
    "write": WriteTimeout,
    "head": ReadTimeout,
    "read": ReadTimeout,
    "min_rate": ReadTimeout,
    "total": TotalTimeout,
}

_SENT = ("nothing", "part", "all")


def from_native(
    status: int, message: str, fields: dict[str, Any], asked: tuple[str, str] | None
) -> HangupError:
    """The exception for what the library answered. Called by `_native`; not part of the interface."""
    limit = fields["limit"]
    kind = _BY_STATUS.get(status, HangupError)
    if kind is TimeoutError:
        kind = DrainTimeout if "left" in fields else _BY_LIMIT.get(limit, TimeoutError)
    error = kind(message)
    sent = fields["sent"]
    fields["phase"] = None if fields["phase"] == "none" else fields["phase"]
    fields["limit"] = None if limit == "none" else limit
    fields["sent"] = _SENT[sent] if 0 <= sent < len(_SENT) else "part"
    fields["connection"] = fields["connection"] or None
    fields["request"] = asked and RequestInfo(*asked)
    error.__setstate__(fields)
    return error
