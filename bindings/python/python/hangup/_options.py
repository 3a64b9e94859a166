"""`RequestOptions`: the options of one request. This module is loaded when a program uses it."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from ._auth import AuthTypes
from ._base import Connection
from ._cancel import CancelToken
from ._form import FormFiles
from ._progress import Progress
from ._request import Content, FormData, HeaderFields, QueryParams
from ._timeouts import Seconds, TimeoutLike
from ._tls import TLS, Verify


class RequestOptions(TypedDict, total=False):
    """The options of one request, by name. All are optional."""

    params: QueryParams | None
    """Added to the URL's query."""
    headers: HeaderFields | None
    """Sent in front of the client's headers; one of the same name replaces the client's, and None removes it. `Host` may be
    set; it has no influence on the connection. `Content-Length` announces the length of an iterable, which is checked."""
    content: Content | None
    """The body: bytes, a bytearray, a memoryview, text, a path, an open file, an Upload or an iterable of bytes. Large memory is
    not copied: don't change it before the request is done."""
    data: FormData | None
    """The body: the fields of a form. Only one of `content`, `data` and `json` may be given, but `data` and `files` together
    are one form."""
    files: FormFiles | None
    """The body: the files of a form (multipart/form-data), behind the fields of `data`. A file is an open file, bytes, text,
    a path or an iterable of bytes, or a tuple (file name, file) or (file name, file, content type). The boundary is random,
    or that of the request's Content-Type."""
    json: Any
    """The body: a value that is encoded as JSON."""
    timeout: TimeoutLike
    """Replaces the client's timeouts: a Timeout, a total in seconds, or None for no total."""
    cancel: CancelToken | None
    """A token that cancels the request when it is fired."""
    connection: Connection | None
    """Replaces the client's: "keep", "close" or "fresh"."""
    auth: AuthTypes | None
    """Replaces the client's credentials and the user information of the URL; None: none but that."""
    follow_redirects: bool | None
    """Replaces the client's; True follows as many as the client does, or 10 if it follows none."""
    retries: bool | None
    """Replaces the client's."""
    min_rate: tuple[int, Seconds] | None
    """The minimum rate of a response body, and the window over which it is measured: (1000, 10) is 1000 bytes a second
    over 10 seconds of waiting. Raises ReadTimeout, whose `timeout` is "min_rate". Default: none."""
    max_rate: tuple[int | None, int | None] | None
    """Replaces the client's: the maximum rates of the request's body and of the response's body, in bytes a second; None in
    the tuple: no maximum."""
    expect_continue: Seconds | Literal[False] | None
    """Replaces the client's: sends "Expect: 100-continue", and the body when the server asks for it or after that many
    seconds. After 417 the request is sent again without it. False: the body is sent at once."""
    progress: Progress | None
    """Counts the bytes of both bodies; any thread can read it."""
    decode: bool | None
    """Replaces the client's: whether content codings are requested and the body is decoded."""
    max_body: int | None
    """The maximum size in bytes of a body that comes with its response, in place of the client's; a larger one raises
    TooLarge. A response of `stream` has `read(at_most)` for that."""
    target: str | bytes | None
    """Sent as the request target instead of the URL's path and query, byte for byte: "*" for OPTIONS. Text is sent as UTF-8.
    Connection, Host, cookies and redirects follow the URL."""
    url_as_given: bool
    """Sends everything in the URL between its host and its fragment exactly as it is written: no space is encoded, no ".."
    is followed, and a backslash is sent. A URL that was signed and holds such characters stays signed."""
    verify: Verify | None
    """Replaces `verify` of the client's TLS settings: True, False (ANY certificate is accepted, for tests only), or the
    trusted certificates as a path or PEM. Connections are shared by requests with equal settings only."""
    tls: TLS | None
    """Replaces the client's TLS settings. A https proxy keeps the client's."""
