"""`Client`: the blocking client."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Unpack

from ._base import BaseClient, Connection, download_options
from ._errors import RequestInfo
from ._response import OpenResponse, Response

if TYPE_CHECKING:
    from ._options import RequestOptions

__all__ = ["Client", "Connection", "StreamBlock"]


class Client(BaseClient):
    """Sends requests with its settings over the connections of a manager. Threads: any, at any time.

    - `base_url`: the prefix of every URL without a scheme, with one slash between them.
    - `headers`: sent with every request that has no header of the same name.
    - `timeout`: a Timeout, or a total in seconds. Default: see Timeout.
    - `follow_redirects`, `max_redirects`: at most 10 redirects are followed by default; None: any number. After
      303 the next request is a GET (HEAD stays HEAD); after 301 and 302 so is that of a POST, and any other method is
      repeated with its body, as after 307 and 308 (RFC 9110 section 15.4; the fetch standard). A redirect to a target that is not
      allowed, or beyond the maximum, raises RedirectRefused.
    - `sensitive_headers`: names of headers that a redirect to another origin does not forward, like
      Authorization, Cookie and Proxy-Authorization.
    - `retries`: retries automatically if a reused connection breaks before the first byte of the response, the body
      can be sent again, and one of these holds: the method is idempotent, the request has an Idempotency-Key, or
      no byte of it was sent.
    - `detect_lost_connections`: a request that waits for more than a second on a reused connection finds out whether that
      connection is lost: if bytes of the request are not acknowledged for longer than lost packets explain, while a
      second connection to the origin can be made, the request is sent again there as `retries` says, or PeerSilent is raised.
      A server that is slow is never called lost. On a new connection it finds out whether large packets vanish on the
      way (an MTU black hole); then the request is sent again in small ones. False: the timeouts decide.
    - `retry_policy`: a RetryPolicy; sends a request again that was not served (429, 503, connect errors). Default: none.
    - `auth`: the credentials for the origin of each request: (user, password), BasicAuth, BearerAuth, DigestAuth,
      NetRCAuth, or a callable that gives bearer tokens (see TokenAuth).
    - `secure_cookies_on_localhost`: Secure cookies are set by and sent to localhost without TLS, too.
    - `proxy_digest`: a HTTP proxy gets the user and the password of its URL as answers to its challenges (digest
      authentication), and not as Basic credentials.
    - `max_rate`: the maximum rates of each request's body and each response's body, in bytes a second: (100_000, None).
    - `expect_continue`: requests with a body wait that many seconds for "100 Continue" before they send it. Default: they
      send it at once.
    - `cookies`: stores cookies and sends them; see `Client.cookies`.
    - `decode`: requests gzip, deflate, br and zstd and decodes such bodies; the headers are not changed. It requests
      nothing if the request has its own Accept-Encoding or Range header.
    - `max_codings`: how many content codings a decoded body may have; a response with more raises ProtocolError.
      None: any number.
    - `max_body`: the maximum size in bytes of a body that is read as a whole (`client.get`, `Response.read` and
      `content`), decoded; a larger one raises TooLarge, and its connection is closed. Default 268,435,456 (256 MiB);
      None: any size. Bodies that are iterated over have no maximum.
    - `max_head`: the maximum size of a response head in bytes. Default 65,536.
    - `proxy`: the URL of a proxy (http, https, socks4, socks4a, socks5 or socks5h, with "user:password@" if it needs
      them). With socks4 and socks5 names are resolved here, with socks4a and socks5h by the proxy. None: no proxy; "env": the values of `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy` when the client is made.
    - `no_proxy`: hosts that are connected to without a proxy, as a list or separated by commas: "example.org" (with
      its subdomains), addresses, networks ("10.0.0.0/8"), each with ":port" to match that port only; "*" for all.
      Default: the value of the environment if the proxy is from there, else none.
    - `trust_env`: False is `proxy=None` instead of `proxy="env"`.
    - `local_address`: the local IP address of connections.
    - `interface`: the network interface of connections, for example "eth0"; link-local IPv6 addresses (fe80::) are
      reached through it. Linux only.
    - `address_family`: "ipv4" or "ipv6" connects to addresses of that family only. Default "any".
    - `happy_eyeballs_delay`: how long an attempt to connect to one address of a host has before the next address is
      tried beside it (RFC 8305). Default 0.25 seconds; None: until it has failed. The last address gets a second
      attempt beside the first after 0.3 seconds, or after this delay if it is longer: a SYN that was lost costs no
      more. The address that connected last is tried first for ten minutes.
    - `connect_to`: other places for origins: {"example.org:443": "192.0.2.7:8443"}. A key is "host:port", "host",
      "*:port" or "*"; the first one that is for an origin counts. A value is "host:port", "host", ":port", or
      "unix:/run/app.sock" ("unix:@name" is an abstract socket), or a tuple of that and the server name for TLS.
      Requests, URLs and the verified name stay as they are.
    - `connector`: a callable that makes the connections, for vsock, SSH tunnels or the socket pairs of a test. It
      takes the origin, and the host and port to connect to, and returns a connected stream socket, something with
      `fileno()`, or a descriptor; the library closes it. It runs on threads of the library, on several at a time, and
      may block: a request that is cancelled or times out (`connect`) does not wait for it. If it raises an OSError,
      the request raises ConnectError; any other exception does the same and is passed to `sys.unraisablehook`. TLS is
      added for https. Proxies of the environment are not used, and it connects to a proxy that is given as `proxy`.
    - `verify`: True: the system's certificates are trusted; the path of a file or a directory, or PEM (bytes or text):
      only these certificates are trusted; False: ANY certificate is accepted, for tests only.
    - `cert`: certificate and private key, as paths or PEM, for servers that request them, and the password of an
      encrypted key: (certificate, key) or (certificate, key, password); or one that holds both.
    - `tls`: a TLS, with `verify`, `cert` and all other settings of TLS, in place of these two.
    - `connection`: "keep" (default), "close" or "fresh".
    - `manager`: the manager of the connections. Default: the shared manager.
    - `limits`, `resolver`: make a new manager for the client, instead of `manager`, with these Limits and with this
      callable in place of getaddrinfo (see `Manager.set_resolver`).

    The URL of a server on a Unix-domain socket has the percent-encoded path of the socket in place of the host:
    `client.get("http+unix://%2Frun%2Fapp.sock/path")`, that of an abstract socket (Linux) `%40` and its name.

    A closed client refuses requests; exchanges in progress continue, and idle connections stay open (see
    `Manager.close_idle`). Raises InvalidTimeout, InvalidHeader, InvalidArgument, SystemFailure, OSError.
    """

    __slots__ = ()

    def request(self, method: str, url: str, **options: Unpack[RequestOptions]) -> Response:
        """Sends a request and reads the whole response. Blocks without the interpreter lock.

        Follows redirects and retries as the client is set; the total timeout includes all of that. The options are
        those of RequestOptions. Raises any HangupError but HTTPStatusError, and the exceptions of a body.
        """
        return self._request(method, url, options)

    def stream(self, method: str, url: str, **options: Unpack[RequestOptions]) -> StreamBlock:
        """Sends a request and returns when the response head has arrived: `with client.stream(...) as r:`.

        Leaving the block before the end of the body closes the connection. The total timeout includes the body; for
        long streams set `Timeout(read=...)` instead.
        """
        return StreamBlock(self, method, url, options)

    def get(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """GET; `options` are those of RequestOptions."""
        return self._request("GET", url, options)

    def head(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """HEAD; `options` are those of RequestOptions."""
        return self._request("HEAD", url, options)

    def options(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """OPTIONS; `options` are those of RequestOptions."""
        return self._request("OPTIONS", url, options)

    def post(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """POST; `options` are those of RequestOptions."""
        return self._request("POST", url, options)

    def put(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """PUT; `options` are those of RequestOptions."""
        return self._request("PUT", url, options)

    def patch(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """PATCH; `options` are those of RequestOptions."""
        return self._request("PATCH", url, options)

    def delete(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """DELETE; `options` are those of RequestOptions."""
        return self._request("DELETE", url, options)

    def download(
        self,
        url: str,
        path: str | os.PathLike[str],
        *,
        method: str = "GET",
        resume: bool = True,
        resumes: int = 0,
        max_bytes: int | None = None,
        sync: bool = True,
        **options: Unpack[RequestOptions],
    ) -> Response:
        """Sends a request and writes the body of its response to a file, which is there under its name when it is
        complete. The response that is returned has no body left; its `download` says what was done.

        - `resume`: what an earlier call received is continued, if the server still has the same version.
        - `resumes`: how many times this call asks for the rest after its connection broke.
        - `max_bytes`: the most bytes that the file may have; a larger one raises TooLarge. None: any number.
        - `sync`: file and name are flushed to the disk (fsync) before this returns, and what came every 64 MiB and before
          an error.

        The bytes go to `NAME.part` beside the file, which is renamed at the end. If the call raises, that file stays, and so
        does `NAME.part.state`, which has the validator of the response; the next call of the same URL asks for the rest with
        Range and If-Range. It begins anew if the server has another version, gave no strong ETag nor a Last-Modified that
        is older than its Date, or answers with another range; without a validator nothing is kept. Only GET is continued.
        One download at a time writes to a file.

        The length must be the announced one, and so must the digests of Repr-Digest and Content-Digest (RFC 9530, sha-256 and
        sha-512). The body is written as it arrives, without decoding, unless `decode=True` is given; such a body can't be
        continued. A file that is replaced gives its permissions to the new one. A symbolic link at the path is replaced.

        Raises UnexpectedStatus for a response that is not 2xx, DigestMismatch, SystemFailure with its `errno` if the file
        can't be written, InvalidState if another download writes to the file, and any other RequestError.
        """
        prepared = self._prepare(method, url, **options)
        how = download_options(max_bytes, resumes, resume, sync)
        return Response(self._native.download(prepared, os.fsencode(path), how), RequestInfo(method, prepared[1]))

    def connect(self, proxy: str, target: str, /, **options: Unpack[RequestOptions]) -> Response:
        """CONNECT: asks the HTTP proxy with that URL for a tunnel to `target`, a host and a port ("example.org:443").

        After a success (2xx), `response.take_stream()` returns the stream to the target; any other response is an ordinary
        one. User information in the URL is sent to the proxy as Basic credentials. To send requests through a proxy, give the
        client `proxy=` instead. Raises InvalidURL for a target that is no host and port.
        """
        prepared = self._prepare("CONNECT", proxy, tunnel=target, **options)
        return Response(self._native.send(prepared, False), RequestInfo("CONNECT", prepared[1]))

    def close(self) -> None:
        """Makes every later request raise InvalidState. Does nothing the second time."""
        self._closed = True

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _request(self, method: str, url: str, options: RequestOptions) -> Response:
        prepared = self._prepare_given(method, url, options)
        return Response(self._native.send(prepared, False), prepared[:2])

    def _open(self, method: str, url: str, options: RequestOptions) -> OpenResponse:
        prepared = self._prepare_given(method, url, options)
        return OpenResponse(self._native.send(prepared, True), prepared[:2])


class StreamBlock:
    """The result of `Client.stream`: a `with` block sends the request and gets the response with an unread body. Leaving
    the block closes the connection unless the body was read to its end."""

    __slots__ = ("_client", "_method", "_url", "_options", "_response")

    def __init__(self, client: Client, method: str, url: str, options: RequestOptions) -> None:
        self._client, self._method, self._url, self._options = client, method, url, options
        self._response: Response | None = None

    def __enter__(self) -> Response:
        self._response = self._client._open(self._method, self._url, self._options)
        return self._response

    def __exit__(self, *exception: object) -> None:
        if self._response is not None:
            self._response.close(now=True)
