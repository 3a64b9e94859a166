"""`Client`: the verbs that block."""

from __future__ import annotations

from typing import Unpack

from ._base import BaseClient, Connection, RequestOptions
from ._errors import RequestInfo
from ._response import OpenResponse, Response

__all__ = ["Client", "Connection", "RequestOptions", "Stream"]


class Client(BaseClient):
    """Sends requests with its own defaults over a manager of connections. For any thread at any time.

    - `base_url`: what a URL without scheme is appended to, with one slash between them.
    - `headers`: for every request, unless it has one of the same name.
    - `timeout`: a Timeout, or a total in seconds. Default: see Timeout.
    - `follow_redirects`, `max_redirects`: at most 10 are followed unless it is said otherwise, None: any number.
      301, 302 and 303 become GET (HEAD stays HEAD), 307 and 308 repeat method and body. One that can't be
      followed, or is one too many, raises RedirectRefused.
    - `sensitive_headers`: names of headers that a redirect to another origin must not take along, as it never
      does with Authorization, Cookie and Proxy-Authorization.
    - `retries`: what a kept connection lost is sent again by itself, if that is safe: before the first byte of the
      response, with a body that can be sent again, and if the method is idempotent, the request has an
      Idempotency-Key, or not a byte went out.
    - `cookies`: keeps cookies and sends them; see `Client.cookies`.
    - `decode`: asks for gzip and deflate and decodes such bodies; the headers stay as they came. Nothing is asked
      for if a request has an Accept-Encoding or a Range header of its own.
    - `max_codings`: how many content codings, one over the other, a decoded body may have; a response with more
      raises ProtocolError. None: any number.
    - `max_head`: the most bytes that the head of a response may have. Default 65,536.
    - `proxy`: the URL of a proxy (http, https, socks5 or socks5h, with "user:password@" if it wants them); None
      for none; "env", what `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy` say when the client is made.
    - `no_proxy`: hosts that are reached without a proxy, as a list or separated by commas: "example.org" (itself
      and all below it), addresses, networks ("10.0.0.0/8"), each with ":port" if only that is meant; "*" for
      all. Default: what the environment says, if the proxy is from there.
    - `trust_env`: False is `proxy=None` instead of `proxy="env"`.
    - `local_address`: the IP address of this machine to connect from.
    - `verify`: True, the system's certificates are trusted; a path or PEM (bytes or text), these and no
      others; False, ANY certificate is believed: for tests against throw-away servers.
    - `cert`: certificate and private key, as paths or PEM, for servers that ask; or one for both.
    - `connection`: "keep" (default), "close" or "fresh".
    - `manager`: whose connections are used. Default: the process's own.
    - `limits`, `resolver`: give the client a manager of its own, instead of `manager`: with these Limits, and
      with this callable in place of getaddrinfo (see `Manager.set_resolver`).

    A server behind a Unix-domain socket is named by the socket's path, percent-encoded, in place of the host:
    `client.get("http+unix://%2Frun%2Fapp.sock/path")`.

    A closed client refuses requests; exchanges in progress and idle connections go on (see
    `Manager.close_idle`). Raises InvalidTimeout, InvalidHeader, InvalidArgument, SystemFailure, OSError.
    """

    __slots__ = ()

    def request(self, method: str, url: str, **options: Unpack[RequestOptions]) -> Response:
        """Sends a request and reads the whole response. Blocks; the interpreter lock is not held meanwhile.

        Redirects are followed, and what a kept connection lost is sent again, unless the client was made
        otherwise; one total limit spans all of it. The options are those of RequestOptions. Raises any HangupError but
        HTTPStatusError, and what a body raises.
        """
        return self._whole(method, url, options)

    def stream(self, method: str, url: str, **options: Unpack[RequestOptions]) -> Stream:
        """Sends a request and answers when the response's head is there: `with client.stream(...) as r:`.

        Leaving the block before the end of the body hangs up: the connection is closed. The total limit
        goes on until the body's end; for long streams set `Timeout(read=...)` instead.
        """
        return Stream(self, method, url, options)

    def get(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """GET; `options` are those of RequestOptions."""
        return self._whole("GET", url, options)

    def head(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """HEAD; `options` are those of RequestOptions."""
        return self._whole("HEAD", url, options)

    def options(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """OPTIONS; `options` are those of RequestOptions."""
        return self._whole("OPTIONS", url, options)

    def post(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """POST; `options` are those of RequestOptions."""
        return self._whole("POST", url, options)

    def put(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """PUT; `options` are those of RequestOptions."""
        return self._whole("PUT", url, options)

    def patch(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """PATCH; `options` are those of RequestOptions."""
        return self._whole("PATCH", url, options)

    def delete(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """DELETE; `options` are those of RequestOptions."""
        return self._whole("DELETE", url, options)

    def close(self) -> None:
        """Refuses every later request. Twice is once."""
        self._closed = True

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _whole(self, method: str, url: str, options: RequestOptions) -> Response:
        asked = self._prepare(method, url, **options)
        return Response(self._native.send(*asked, False), RequestInfo(method, asked[1]))

    def _open(self, method: str, url: str, options: RequestOptions) -> OpenResponse:
        asked = self._prepare(method, url, **options)
        return OpenResponse(self._native.send(*asked, True), RequestInfo(method, asked[1]))


class Stream:
    """What `Client.stream` answers: `with` it to send the request and get the response, of which the body is
    still to be read. Leaving the block hangs up unless the body was read to its end."""

    __slots__ = ("_client", "_method", "_url", "_options", "_response")

    def __init__(self, client: Client, method: str, url: str, options: RequestOptions) -> None:
        self._client, self._method, self._url, self._options = client, method, url, options
        self._response: Response | None = None

    def __enter__(self) -> Response:
        self._response = self._client._open(self._method, self._url, self._options)
        return self._response

    def __exit__(self, *exception: object) -> None:
        if self._response is not None:
            self._response.close(polite=False)
