"""Credentials for the origin of a request."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

TokenProvider = Callable[[str, str | None], str]
"""Gives a bearer token: takes the origin ("https://example.org:443"), and the token that the server has just refused, or
None before a request."""
AsyncTokenProvider = Callable[[str, str | None], Awaitable[str]]
"""The same as a coroutine function, for AsyncClient with asyncio."""

NativeAuth = tuple[Any, ...]


class Auth:
    """Credentials: BasicAuth, BearerAuth, DigestAuth, NetRCAuth or TokenAuth, for `auth=` of clients and requests.

    They go to the origin of the request's URL and never to another one: a redirect to another scheme, host or port
    drops them for the rest of the call. A request with an Authorization header of its own sends that one. Threads:
    immutable.
    """

    __slots__ = ("_native",)

    def __init__(self, native: NativeAuth) -> None:
        self._native = native

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class BasicAuth(Auth):
    """A user and a password, as UTF-8, with every request (RFC 7617): readable by all who see it, so use https. A tuple
    (user, password) is the same. A user with a colon raises InvalidArgument when it is set."""

    __slots__ = ()

    def __init__(self, user: str, password: str) -> None:
        super().__init__(("basic", user, password))


class BearerAuth(Auth):
    """A bearer token with every request (RFC 6750): visible ASCII characters, or InvalidArgument is raised when it is set."""

    __slots__ = ()

    def __init__(self, token: str) -> None:
        super().__init__(("bearer", token))


class DigestAuth(Auth):
    """A user and a password with which challenges are answered (RFC 7616): MD5, SHA-256, SHA-512-256 and their "-sess"
    forms; the quality of protection is "auth", or none as in RFC 2069.

    The first request to an origin goes out without credentials; after a 401 it is sent again on the same connection, and
    later requests of the client use the same nonce at once. The 401 is returned if the body can't be sent again, or if the
    server refuses the answer. A server that offers only other forms, "auth-int" for example, raises AuthFailed.
    """

    __slots__ = ()

    def __init__(self, user: str, password: str) -> None:
        super().__init__(("digest", user, password))


class NetRCAuth(Auth):
    """The users and passwords of a netrc file, sent as Basic credentials to the hosts that it names. The file is read when
    the client is made (for a request: with each request). None: the file that the environment variable NETRC names, or
    else `~/.netrc`, if it exists. Raises SystemFailure if it can't be read, InvalidArgument if it is malformed."""

    __slots__ = ()

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        super().__init__(("netrc", None if path is None else os.fspath(path)))


class TokenAuth(Auth):
    """Bearer tokens of a callable, which takes the origin ("https://example.org:443") and the refused token. It is called
    before each request, with None; and if the server refuses that token with 401, once more with that token, and the
    request is sent again. If it returns the same token then, or the body can't be sent again, the 401 is returned. A plain
    callable as `auth=` is the same.

    The callable runs on threads of the library, possibly on several at once; it may block: a request that is cancelled or
    times out does not wait for it. An exception is passed to `sys.unraisablehook`, and the request raises AuthFailed.

    AsyncClient with asyncio also takes a coroutine function, which runs in the loop of the request.
    """

    __slots__ = ()

    def __init__(self, provide: TokenProvider | AsyncTokenProvider) -> None:
        super().__init__(("token", provide))


AuthTypes = Auth | tuple[str, str] | TokenProvider | AsyncTokenProvider
"""What `auth=` takes."""

NO_AUTH: NativeAuth = ("none",)


def native_auth(auth: AuthTypes | None) -> NativeAuth:
    """The credentials for `_native`."""
    if auth is None:
        return NO_AUTH
    if isinstance(auth, Auth):
        return auth._native
    if isinstance(auth, tuple) and len(auth) == 2:
        return BasicAuth(*auth)._native
    if callable(auth):
        return ("token", auth)
    raise TypeError(f"auth is a tuple (user, password), an Auth, a callable or None, not {type(auth).__name__}")


def is_async(native: NativeAuth) -> bool:
    """Whether the token comes from a coroutine function."""
    if native[0] != "token":
        return False
    import inspect

    call = native[1]
    return inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(getattr(call, "__call__", None))


def in_loop(native: NativeAuth, loop: Any) -> NativeAuth:
    """The same with a callable for the library's threads that runs the coroutine function in that loop."""
    import asyncio

    if not isinstance(loop, asyncio.AbstractEventLoop):
        raise TypeError("a coroutine function for tokens needs asyncio: in trio use a plain function")
    provide = native[1]

    def call(origin: str, refused: str | None) -> str:
        token: str = asyncio.run_coroutine_threadsafe(provide(origin, refused), loop).result()
        return token

    return ("token", call)
