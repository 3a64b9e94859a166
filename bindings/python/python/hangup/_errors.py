"""Every exception of hangup: a shallow tree under `HangupError`.

The class of an exception is the kind of failure; `phase` is where it happened, `timeout` which timeout fired, and
`retry_safe` whether it is safe to send the request again. Each can be pickled: the message is its only argument, and
the rest is its `__dict__`.
"""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any, NamedTuple

from ._native import CONSTANTS
from ._rows import in_seconds, tcp_facts_of
from ._urls import without_user_info

if TYPE_CHECKING:
    from ._response import Response
    from ._tcp_facts import TcpFacts
    from ._timings import Timings


class _RequestInfoFields(NamedTuple):
    method: str
    url: str


class RequestInfo(_RequestInfoFields):
    """The request: `method`, and `url` without its user information, because exceptions and responses are logged."""

    __slots__ = ()

    def __new__(cls, method: str, url: str) -> RequestInfo:
        return super().__new__(cls, method, without_user_info(url))


class HangupError(Exception):
    """The base of all exceptions of hangup."""

    phase: str | None = None
    """The phase of the exchange: "pool", "resolve", "connect", "proxy", "tls", "write", "head", "read"; None before it
    began and after it ended."""
    timeout: str | None = None
    """Which timeout fired: the name of a phase, "total", "min_rate" or "token"; None if none did."""
    sent: str = "nothing"
    """How much of the request was sent: "nothing", "part" or "all"."""
    bytes_sent: int = 0
    """How many bytes of the request, head and body, were passed to the operating system."""
    retry_safe: bool = False
    """Whether the request can be sent again without the risk that the server processes it twice. After a redirect this
    applies to the whole call, from its first URL."""
    connection: int | None = None
    """The id of the connection; None if there was none."""
    reused: bool = False
    """Whether that connection had served a request before."""
    attempts: int = 0
    """The number of attempts to send the request: 1 without a retry, 0 if there was no attempt. After a redirect only
    the attempts of the last request count."""
    response_started: bool = False
    """Whether at least one byte of the response was received."""
    acknowledged: str | None = None
    """How much of the request the server's TCP acknowledged when the wait for the server ended: "nothing", "part" or "all";
    None if that was not looked at. It is looked at for a timeout and for `PeerSilent` in the phases "write", "head" and
    "read", on Linux and Android, but not on a Unix-domain socket. "all": the server's host is there and has the request, so
    that the server is slow or hangs. "nothing": the way to it is gone. Whether sending the request again is safe is another
    question (`retry_safe`): what is not acknowledged may have been received. For a Stream it is about what was written to
    it, and "part" says that some bytes of it are not acknowledged."""
    tcp_facts: TcpFacts | None = None
    """What TCP knew of the connection then; None if `acknowledged` is None."""
    os_code: int = 0
    """The operating system's error number (`errno`); 0 if none was involved."""
    reason: str | None = None
    """The argument of `CancelToken.cancel`."""
    resolver_code: int = 0
    """The resolver's error number (`socket.EAI_NONAME` and others); 0 if it gave none."""
    status_code: int | None = None
    """The HTTP status that was received before the failure: of the response whose body failed, of the redirect that is
    not followed, or with which a proxy refused. None if there was none."""
    retry_may_help: bool = False
    """Whether the same request may succeed if it is sent again: the failure comes from the network, from the server or
    from a limit that is reached for now, and not from the request, a setting or the program. Whether that is safe is
    `retry_safe`."""
    url: str | None = None
    """The URL that was requested, after redirects the last one, without user information and fragment."""
    origin: str | None = None
    """The origin of that URL, for example "https://example.org:443"."""
    timings: Timings | None = None
    """How long each phase took until the failure; None if there was no exchange."""
    request: RequestInfo | None = None
    """The method and the URL; None for a failure without a request."""

    def to_json(self) -> str:
        """All of it as a JSON object, with the members of C's `hangup_error_json`. An exception that did not come from
        the library has "status" and "message" only."""
        if self._json:
            return self._json
        import json

        return json.dumps({"status": type(self).__name__, "message": str(self)})

    _json: str = ""

    def __setstate__(self, state: dict[str, Any] | None) -> None:
        for name, value in (state or {}).items():
            setattr(self, name, value)
        if self.os_code and isinstance(self, OSError):
            setattr(self, "errno", self.os_code)


class InvalidArgument(HangupError, ValueError):
    """An argument is out of range; the message has the valid range."""


class InvalidURL(InvalidArgument):
    """The URL can't be requested: not http or https, no host, a space or a control character, or a host that different
    parsers read differently (a backslash, slashes too many or too few, two @, a percent-encoded host, an
    address that is not written as four decimal numbers)."""


class InvalidMethod(InvalidArgument):
    """The method is not a token (RFC 9110 section 9.1)."""


class InvalidHeader(InvalidArgument):
    """A header is malformed, or conflicts with a header that the library sends."""


class InvalidTimeout(InvalidArgument):
    """A duration is not a positive number of seconds. None means no timeout."""


class InvalidState(HangupError):
    """The call is not allowed in this state: a closed client, a body that was already read, a response that two threads
    read."""


class NotFound(HangupError, LookupError):
    """No connection with that id is open. Ids are never reused."""


class PanicError(HangupError):
    """A defect in hangup: please report it."""


class RequestError(HangupError):
    """An exchange failed."""


class TimeoutError(RequestError, builtins.TimeoutError):
    """A timeout fired; `timeout` is which one, `phase` where. A subclass, except for the deadline of a token."""


class PoolTimeout(TimeoutError):
    """Waiting for a connection slot took too long."""


class ConnectTimeout(TimeoutError):
    """Resolving, connecting or the TLS handshake took too long."""


class WriteTimeout(TimeoutError):
    """The server did not accept the request in time."""


class ReadTimeout(TimeoutError):
    """The response head, or the next piece of the body, did not arrive in time."""


class TotalTimeout(TimeoutError):
    """The request as a whole, up to the last byte of its body, took too long."""


class DrainTimeout(TimeoutError):
    """Connections were still in use when the timeout of `Manager.drain` fired."""

    open_connections: int = 0
    """How many connections are still in use."""


class Cancelled(RequestError):
    """The cancel token was fired; `reason` is the argument of `CancelToken.cancel`. Never `asyncio.CancelledError`."""


class Closed(RequestError):
    """The connection was closed during the exchange: by a method of the manager, or by `Response.close`."""


class ManagerShutDown(RequestError):
    """The manager was shut down."""


class ForkedError(RequestError):
    """The response belongs to the parent process: an exchange does not continue in a forked child."""


class QueueFull(RequestError):
    """The queue for a connection is full (`Limits.queue`); the request is refused at once."""


class ConnectError(RequestError, ConnectionError):
    """Connecting to every address of the host failed."""


class ResolveError(RequestError):
    """The host name could not be resolved."""


class TLSError(RequestError):
    """The TLS handshake failed or a certificate was refused; the message has the reason."""


class PeerClosed(RequestError, ConnectionError):
    """The server closed the connection before the end of the response."""


class PeerReset(RequestError, ConnectionResetError):
    """The server reset the connection."""


class PeerSilent(RequestError, ConnectionError):
    """The server can't be reached any more, although it closed nothing: what was sent on a connection that was kept is not
    acknowledged while a new connection to the same origin is made, large packets vanish on the path of a new one, or the
    system gave the connection up (`os_code` is ETIMEDOUT, EHOSTUNREACH, ENETUNREACH or ECONNABORTED then). The message says
    which. The server may have processed the request."""


class ProtocolError(RequestError):
    """The response is not valid HTTP/1.1."""


class TooLarge(RequestError):
    """A size limit was exceeded: the head's, or `at_most` of `Response.read`."""


class BodyFailed(RequestError):
    """The body of the request was shorter than its length, or a file grew while it was sent. An exception of the body
    is raised unchanged instead."""


class SystemFailure(RequestError, OSError):
    """A system call failed: out of file descriptors, out of memory, a file that can't be read."""


class ProxyFailed(RequestError):
    """The proxy refused the request, or its response is not that of a proxy."""


class RedirectRefused(RequestError):
    """The redirect target is not allowed, or there were too many redirects; the message names the target."""


class UnexpectedStatus(RequestError):
    """A download got a response that is not 2xx; `status_code` is its status."""


class DigestMismatch(RequestError):
    """The bytes of a download do not have the digest that the server announced (RFC 9530). Nothing is kept."""


class AuthFailed(RequestError):
    """There are no credentials to send: the callable that gives tokens failed, or the server asks for a form of digest
    authentication that is not supported."""


class HTTPStatusError(HangupError):
    """`Response.raise_for_status` was called on a response with a status of 400 or above."""

    response: Response


# HANGUP_NULL and HANGUP_BAD_HANDLE come from a defect of this binding, or from a handle that ctypes code freed.
_BY_STATUS: dict[int, type[HangupError]] = {
    CONSTANTS["HANGUP_NULL"]: InvalidArgument,
    CONSTANTS["HANGUP_BAD_HANDLE"]: InvalidArgument,
    CONSTANTS["HANGUP_INVALID_ARGUMENT"]: InvalidArgument,
    CONSTANTS["HANGUP_INVALID_URL"]: InvalidURL,
    CONSTANTS["HANGUP_INVALID_METHOD"]: InvalidMethod,
    CONSTANTS["HANGUP_INVALID_HEADER"]: InvalidHeader,
    CONSTANTS["HANGUP_INVALID_TIMEOUT"]: InvalidTimeout,
    CONSTANTS["HANGUP_INVALID_STATE"]: InvalidState,
    CONSTANTS["HANGUP_NOT_FOUND"]: NotFound,
    CONSTANTS["HANGUP_CANCELLED"]: Cancelled,
    CONSTANTS["HANGUP_TIMED_OUT"]: TimeoutError,
    CONSTANTS["HANGUP_CLOSED"]: Closed,
    CONSTANTS["HANGUP_SHUT_DOWN"]: ManagerShutDown,
    CONSTANTS["HANGUP_FORKED"]: ForkedError,
    CONSTANTS["HANGUP_QUEUE_FULL"]: QueueFull,
    CONSTANTS["HANGUP_PEER_CLOSED"]: PeerClosed,
    CONSTANTS["HANGUP_PEER_RESET"]: PeerReset,
    CONSTANTS["HANGUP_RESOLVE_FAILED"]: ResolveError,
    CONSTANTS["HANGUP_CONNECT_FAILED"]: ConnectError,
    CONSTANTS["HANGUP_TLS_FAILED"]: TLSError,
    CONSTANTS["HANGUP_PROTOCOL"]: ProtocolError,
    CONSTANTS["HANGUP_TOO_LARGE"]: TooLarge,
    CONSTANTS["HANGUP_BODY_FAILED"]: BodyFailed,
    CONSTANTS["HANGUP_SYSTEM"]: SystemFailure,
    CONSTANTS["HANGUP_PROXY_FAILED"]: ProxyFailed,
    CONSTANTS["HANGUP_REDIRECT_REFUSED"]: RedirectRefused,
    CONSTANTS["HANGUP_UNEXPECTED_STATUS"]: UnexpectedStatus,
    CONSTANTS["HANGUP_DIGEST_MISMATCH"]: DigestMismatch,
    CONSTANTS["HANGUP_PEER_SILENT"]: PeerSilent,
    CONSTANTS["HANGUP_AUTH_FAILED"]: AuthFailed,
    CONSTANTS["HANGUP_PANIC"]: PanicError,
}

_BY_TIMEOUT: dict[str, type[TimeoutError]] = {
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

_SENT = {
    CONSTANTS["HANGUP_SENT_NOTHING"]: "nothing",
    CONSTANTS["HANGUP_SENT_PART"]: "part",
    CONSTANTS["HANGUP_SENT_ALL"]: "all",
}


def from_native(
    status: int, message: str, fields: dict[str, Any], request: tuple[str, str] | None
) -> HangupError:
    """The exception for a failure of the library. Called by `_native`; not part of the interface."""
    timeout = fields["timeout"]
    kind = _BY_STATUS.get(status, HangupError)
    if kind is TimeoutError:
        kind = DrainTimeout if "open_connections" in fields else _BY_TIMEOUT.get(timeout, TimeoutError)
    error = kind(message)
    fields["phase"] = None if fields["phase"] == "none" else fields["phase"]
    fields["timeout"] = None if timeout == "none" else timeout
    fields["sent"] = _SENT.get(fields["sent"], "part")
    fields["connection"] = fields["connection"] or None
    if timings := fields.get("timings"):
        fields["timings"] = in_seconds(timings)
    if tcp_facts := fields.get("tcp_facts"):
        fields["tcp_facts"] = tcp_facts_of(tcp_facts)
    fields["request"] = request and RequestInfo(*request)
    error.__setstate__(fields)
    return error
