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

import sys as _sys

try:
    from . import _native
except ImportError as _error:
    from ._library import explain as _explain

    raise _explain(_error) from _error

# A process has one set of these classes: `_native` raises the exceptions of the first import. Some test runners purge
# sys.modules; then this puts the modules of the first import back.
_sys.modules.update(_native.modules)

from ._api import delete, get, head, options, patch, post, put, request, stream
from ._async_client import AsyncClient, AsyncRequestOptions, set_io_threads
from ._async_response import AsyncResponse
from ._async_stream import AsyncStream
from ._auth import Auth, BasicAuth, BearerAuth, DigestAuth, NetRCAuth, TokenAuth
from ._cancel import CancelToken
from ._client import Client, RequestOptions
from ._cookies import Cookie, Cookies
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
from ._events import Event, Events
from ._headers import Headers
from ._library import features, get_include, get_library
from ._limits import Limits
from ._manager import ConnectionInfo, Manager, Stats, shared_manager
from ._progress import Progress
from ._response import ConnectionFacts, Download, InterimResponse, Redirect, Response
from ._stream import Stream
from ._retry import RetryPolicy
from ._tcp_facts import TcpFacts
from ._timeouts import Timeout
from ._timings import Timings
from ._tls import TLS
from ._trace import TraceRecord
from ._upload import AsyncUpload, Upload

__version__ = _native.HEADER_VERSION

if not _native.modules:
    _native.modules.update({name: module for name, module in _sys.modules.items() if name.split(".")[0] == __name__})

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
