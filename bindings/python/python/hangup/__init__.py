"""hangup: an HTTP/1.1 client whose subject is the life of a connection.

    import hangup

    r = hangup.get("https://example.org", timeout=5)   # five seconds in total, the body included
    print(r.status_code, r.headers["content-type"], r.text)

    token = hangup.CancelToken()
    client = hangup.Client(timeout=hangup.Timeout(connect=2, read=10))
    client.get(url, cancel=token)                       # token.cancel() in any thread ends it at once
    client.manager.connections()                        # the open connections; close(id), close_idle(), ...

    async with hangup.AsyncClient() as client:          # asyncio; cancelling the task closes the connection
        r = await client.get(url)

The package uses the C library libhangup.so.0 and shares its connections with C and C++ code in the process.
"""

import os as _os
import sys as _sys
from typing import TYPE_CHECKING as _TYPE_CHECKING

try:
    from . import _native
except ImportError as _error:
    from ._library import explain as _explain

    raise _explain(_error) from _error

# A process has one set of these classes: `_native` raises the exceptions of the first import. Some test runners purge
# sys.modules; then this puts the modules of the first import back.
_sys.modules.update(_native.modules)

from ._api import delete, get, head, options, patch, post, put, request, stream
from ._auth import Auth, BasicAuth, BearerAuth, DigestAuth, NetRCAuth, TokenAuth
from ._cancel import CancelToken
from ._client import Client
from ._deadline import deadline
from ._errors import (
    AuthFailed,
    BodyFailed,
    Cancelled,
    Closed,
    ConnectError,
    ConnectTimeout,
    DrainTimeout,
    ForkedError,
    HangupError,
    HTTPStatusError,
    InvalidArgument,
    InvalidHeader,
    InvalidMethod,
    InvalidState,
    InvalidTimeout,
    InvalidURL,
    ManagerShutDown,
    NotFound,
    PanicError,
    PeerClosed,
    PeerReset,
    PeerSilent,
    PoolTimeout,
    ProtocolError,
    ProxyFailed,
    QueueFull,
    ReadTimeout,
    RedirectRefused,
    UnexpectedStatus,
    DigestMismatch,
    RequestError,
    RequestInfo,
    ResolveError,
    SystemFailure,
    TimeoutError,
    TLSError,
    TooLarge,
    TotalTimeout,
    WriteTimeout,
)
from ._headers import Headers
from ._manager import Manager, shared_manager
from ._progress import Progress
from ._response import Response
from ._stream import Stream
from ._timeouts import Timeout
from ._tls import TLS
from ._upload import Upload

if _TYPE_CHECKING:
    from ._async_client import AsyncClient as AsyncClient, AsyncRequestOptions as AsyncRequestOptions, set_io_threads as set_io_threads
    from ._async_response import AsyncResponse as AsyncResponse
    from ._async_stream import AsyncStream as AsyncStream
    from ._async_upload import AsyncUpload as AsyncUpload
    from ._connections import ConnectionInfo as ConnectionInfo, Stats as Stats
    from ._cookies import Cookie as Cookie, Cookies as Cookies
    from ._events import Event as Event, Events as Events
    from ._library import features as features, get_include as get_include, get_library as get_library
    from ._limits import Limits as Limits
    from ._retry import RetryPolicy as RetryPolicy
    from ._options import RequestOptions as RequestOptions
    from ._response_facts import ConnectionFacts as ConnectionFacts, Download as Download, InterimResponse as InterimResponse, Redirect as Redirect
    from ._tcp_facts import TcpFacts as TcpFacts
    from ._timings import Timings as Timings
    from ._trace_record import TraceRecord as TraceRecord

__version__ = _native.HEADER_VERSION

_LAZY = {
    "AsyncClient": "_async_client",
    "AsyncRequestOptions": "_async_client",
    "set_io_threads": "_async_client",
    "AsyncResponse": "_async_response",
    "AsyncStream": "_async_stream",
    "AsyncUpload": "_async_upload",
    "ConnectionInfo": "_connections",
    "Stats": "_connections",
    "Cookie": "_cookies",
    "Cookies": "_cookies",
    "Event": "_events",
    "Events": "_events",
    "features": "_library",
    "get_include": "_library",
    "get_library": "_library",
    "Limits": "_limits",
    "RetryPolicy": "_retry",
    "RequestOptions": "_options",
    "ConnectionFacts": "_response_facts",
    "Download": "_response_facts",
    "InterimResponse": "_response_facts",
    "Redirect": "_response_facts",
    "TcpFacts": "_tcp_facts",
    "Timings": "_timings",
    "TraceRecord": "_trace_record",
}
"""The names whose modules are loaded when they are used first, because they need modules that take long to load: asyncio,
dataclasses, pathlib."""


def _keep_modules() -> None:
    _native.modules.update({name: module for name, module in _sys.modules.items() if name.split(".")[0] == __name__})


if not _native.modules:
    _keep_modules()


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f".{_LAZY[name]}", __name__), name)
    globals()[name] = value
    _keep_modules()
    return value


def _load_before_fork() -> None:
    """The child of a fork would wait for ever for a module that another thread was importing at the fork."""
    from importlib import import_module

    for module in sorted({*_LAZY.values()}):
        import_module(f".{module}", __name__)


_os.register_at_fork(before=_load_before_fork)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})


__all__ = [
    "AsyncClient",
    "AsyncRequestOptions",
    "AsyncResponse",
    "AsyncStream",
    "AsyncUpload",
    "Auth",
    "AuthFailed",
    "BasicAuth",
    "BearerAuth",
    "BodyFailed",
    "CancelToken",
    "Cancelled",
    "Client",
    "Closed",
    "ConnectError",
    "ConnectionFacts",
    "ConnectTimeout",
    "ConnectionInfo",
    "Cookie",
    "Cookies",
    "DigestAuth",
    "DigestMismatch",
    "Download",
    "DrainTimeout",
    "Event",
    "Events",
    "ForkedError",
    "HTTPStatusError",
    "HangupError",
    "Headers",
    "InterimResponse",
    "InvalidArgument",
    "InvalidHeader",
    "InvalidMethod",
    "InvalidState",
    "InvalidTimeout",
    "InvalidURL",
    "Limits",
    "Manager",
    "ManagerShutDown",
    "NetRCAuth",
    "NotFound",
    "PanicError",
    "PeerClosed",
    "PeerReset",
    "PeerSilent",
    "PoolTimeout",
    "Progress",
    "ProtocolError",
    "ProxyFailed",
    "QueueFull",
    "ReadTimeout",
    "Redirect",
    "RedirectRefused",
    "RequestError",
    "RequestInfo",
    "RequestOptions",
    "ResolveError",
    "Response",
    "RetryPolicy",
    "Stats",
    "Stream",
    "SystemFailure",
    "TLS",
    "TLSError",
    "TcpFacts",
    "Timeout",
    "TimeoutError",
    "Timings",
    "TokenAuth",
    "TooLarge",
    "TotalTimeout",
    "TraceRecord",
    "UnexpectedStatus",
    "Upload",
    "WriteTimeout",
    "deadline",
    "delete",
    "features",
    "get",
    "get_include",
    "get_library",
    "head",
    "options",
    "patch",
    "post",
    "put",
    "request",
    "set_io_threads",
    "shared_manager",
    "stream",
]
