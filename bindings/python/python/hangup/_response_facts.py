"""What a response tells beside its head and its body. This module is loaded when a program uses it."""

from __future__ import annotations

from typing import NamedTuple

from ._headers import Headers


class Redirect(NamedTuple):
    """One redirect that was followed."""

    status_code: int
    """301, 302, 303, 307 or 308."""
    url: str
    """The URL of the response that redirected, without user information and fragment."""


class Download(NamedTuple):
    """What a download did."""

    bytes: int
    """How many bytes the file has."""
    received: int
    """How many bytes were received by this call."""
    resumed_at: int
    """How many bytes of an earlier call were used; 0 if the file was received from its beginning."""
    resumes: int
    """How many times the call asked for the rest after its connection broke."""
    verified: bool
    """Whether the server announced a digest (RFC 9530) of a known algorithm, and it matched."""


class InterimResponse(NamedTuple):
    """One interim response (1xx), for example 103 Early Hints."""

    status_code: int
    """100, or 102 to 199."""
    headers: Headers
    """Its header fields."""


class ConnectionFacts(NamedTuple):
    """What is known of a connection since it was made. TLS is that with the origin: TLS with a proxy does not count."""

    peer: str
    """The address and port of the origin, or of the proxy if there is one; "" for a Unix-domain socket."""
    local: str
    """The local address and port; "" for a Unix-domain socket."""
    tls_version: str
    """"TLSv1.2" or "TLSv1.3"; "" without TLS."""
    cipher: str
    """The cipher suite by its name in the IANA registry, for example "TLS_AES_128_GCM_SHA256"; "" without TLS."""
    key_exchange: str
    """The key exchange by its name in the IANA registry, for example "X25519"; "" without TLS."""
    alpn: str
    """The protocol that ALPN selected, for example "http/1.1"; "" if none was."""
    resumed: bool
    """Whether the TLS handshake resumed an earlier session."""
    certificates: list[bytes]
    """The certificates that the peer sent, DER, its own one first."""
