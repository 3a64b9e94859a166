"""`hangup.get(url)` and the other verbs, with a shared client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from ._client import Client, StreamBlock
from ._response import Response

if TYPE_CHECKING:
    from ._options import RequestOptions

_default: Client | None = None


def default_client() -> Client:
    """The client of the functions below: default settings and the shared manager."""
    global _default
    if _default is None:
        # No lock: two clients do no harm, and a lock could be held during a fork.
        _default = Client()
    return _default


def request(method: str, url: str, **options: Unpack[RequestOptions]) -> Response:
    """Sends a request and reads the whole response; `options` are those of RequestOptions."""
    return default_client()._request(method, url, options)


def stream(method: str, url: str, **options: Unpack[RequestOptions]) -> StreamBlock:
    """Sends a request; `with hangup.stream("GET", url) as r:`. `options` are those of RequestOptions."""
    return default_client().stream(method, url, **options)


def get(url: str, **options: Unpack[RequestOptions]) -> Response:
    """GET; `options` are those of RequestOptions, for example `timeout=5`."""
    return default_client()._request("GET", url, options)


def head(url: str, **options: Unpack[RequestOptions]) -> Response:
    """HEAD; `options` are those of RequestOptions."""
    return default_client()._request("HEAD", url, options)


def options(url: str, **options: Unpack[RequestOptions]) -> Response:
    """OPTIONS; `options` are those of RequestOptions."""
    return default_client()._request("OPTIONS", url, options)


def post(url: str, **options: Unpack[RequestOptions]) -> Response:
    """POST; `options` are those of RequestOptions, for example `json={...}`."""
    return default_client()._request("POST", url, options)


def put(url: str, **options: Unpack[RequestOptions]) -> Response:
    """PUT; `options` are those of RequestOptions."""
    return default_client()._request("PUT", url, options)


def patch(url: str, **options: Unpack[RequestOptions]) -> Response:
    """PATCH; `options` are those of RequestOptions."""
    return default_client()._request("PATCH", url, options)


def delete(url: str, **options: Unpack[RequestOptions]) -> Response:
    """DELETE; `options` are those of RequestOptions."""
    return default_client()._request("DELETE", url, options)
