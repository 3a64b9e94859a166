"""`TLS`: the settings of TLS, and how `verify` and `cert` become them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Final

from . import _native
from ._errors import InvalidArgument

Source = str | bytes | os.PathLike[str]
"""Certificates or a key: a path, or PEM as text or bytes."""
Verify = bool | Source
"""True, False, or the trusted certificates: the path of a file or a directory, or PEM as text or bytes."""
Cert = Source | tuple[Source, Source] | tuple[Source, Source, str | None]
"""A client certificate: one source for certificate and key, or both, or both and the password of the key."""

_PEM = b"-----BEGIN"
_VERSIONS = {
    "TLSv1.2": _native.CONSTANTS["HANGUP_TLS_VERSION_TLS12"],
    "TLSv1.3": _native.CONSTANTS["HANGUP_TLS_VERSION_TLS13"],
}
_MOST_VARIANTS = 32


class TLS:
    """The settings of TLS, for `Client(tls=...)` or the option `tls` of one request. Immutable; files are read when it is
    made. Make it once: requests with the same object share connections and sessions.

    - `verify`: True: the system's root certificates are trusted, or those of SSL_CERT_FILE and SSL_CERT_DIR. The path of
      a file or a directory, or PEM (bytes or text): only these certificates are trusted. A server that presents such a
      certificate itself, as `openssl req -x509` makes it, is accepted, too. False: ANY certificate is accepted, for tests
      only.
    - `extra_roots`: certificates that are trusted in addition, in the forms of `verify`; one or several.
    - `cert`: certificate and private key for servers that request them: `(certificate, key)`, or `(certificate, key,
      password)` if the key is encrypted (PKCS#8), each a path or PEM; or one that holds both.
    - `min_version`, `max_version`: "TLSv1.2" or "TLSv1.3", or a member of `ssl.TLSVersion`. Default: both are spoken.
    - `pins`: the public keys that the server may have, each "sha256//" and the SHA-256 of its SubjectPublicKeyInfo in
      base64, as curl's `--pinnedpubkey`. They are checked in addition to all else, also if `verify` is False. `openssl x509
      -in CERTIFICATE -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64` writes the
      hash.
    - `server_name`: the name that is sent (SNI) and that the certificate must be for, in place of the URL's host. A
      redirect to another origin does not use it if it was given to a request.
    - `key_log`: the path of a file to which the secrets of each session are appended, so that Wireshark can decrypt
      captured traffic; "env": the file that SSLKEYLOGFILE names. WITH THE FILE, ALL THE TRAFFIC CAN BE READ. Default:
      nothing is written, whatever SSLKEYLOGFILE is.

    An `ssl.SSLContext` can't be used: TLS is rustls here, not OpenSSL. Raises InvalidArgument, SystemFailure, OSError.
    """

    __slots__ = ("_native", "_settings", "_variants")

    def __init__(
        self,
        *,
        verify: Verify = True,
        extra_roots: Source | Iterable[Source] = (),
        cert: Cert | None = None,
        min_version: Any = None,
        max_version: Any = None,
        pins: str | Iterable[str] = (),
        server_name: str | None = None,
        key_log: str | os.PathLike[str] | None = None,
    ) -> None:
        settings: dict[str, Any] = {
            "verify": verify,
            "extra_roots": _several(extra_roots),
            # As PEM: a variant of these settings must not depend on the files.
            "cert": None if cert is None else _read_cert(cert),
            "min_version": min_version,
            "max_version": max_version,
            "pins": (pins,) if isinstance(pins, str) else tuple(pins),
            "server_name": server_name,
            "key_log": key_log,
        }
        self._native: Final = _made(settings)
        self._settings: Final = settings
        self._variants: dict[Any, TLS] = {}

    def with_verify(self, verify: Verify) -> TLS:
        """The same settings with another `verify`. The result is kept, and made again only if the file has changed."""
        key = _verify_key(verify)
        found = self._variants.get(key)
        if found is None:
            found = TLS(**{**self._settings, "verify": verify})
            if len(self._variants) >= _MOST_VARIANTS:
                self._variants.clear()
            self._variants[key] = found
        return found

    def __repr__(self) -> str:
        shown = dict(self._settings)
        # PEM is long, and the key is secret.
        shown["cert"] = None if shown["cert"] is None else "..."
        if isinstance(shown["verify"], (str, bytes)) and _is_pem(shown["verify"]):
            shown["verify"] = "PEM"
        if shown["extra_roots"]:
            shown["extra_roots"] = "..."
        default: dict[str, Any] = {"verify": True, "extra_roots": (), "pins": ()}
        parts = [f"{name}={value!r}" for name, value in shown.items() if value != default.get(name)]
        return f"TLS({', '.join(parts)})"


_standard: TLS | None = None


def standard_tls() -> TLS:
    """The default settings, whose variants all clients without settings of their own share."""
    global _standard
    if _standard is None:
        # No lock: two do no harm, and a lock could be held during a fork.
        _standard = TLS()
    return _standard


def client_tls(tls: TLS | None, verify: Verify, cert: Cert | None) -> TLS | None:
    """The settings of a client; None for the defaults."""
    if tls is None:
        if cert is not None:
            return TLS(verify=verify, cert=cert)
        return None if verify is True else standard_tls().with_verify(verify)
    if verify is not True or cert is not None:
        raise InvalidArgument("tls= has its own verify and cert: TLS(verify=..., cert=...)")
    return checked_tls(tls)


def request_tls(of_client: TLS | None, tls: TLS | None, verify: Verify | None) -> _native.Tls | None:
    """The settings of a request; None for the client's."""
    if tls is None and verify is None:
        return None
    settings = (of_client or standard_tls()) if tls is None else checked_tls(tls)
    return (settings if verify is None else settings.with_verify(verify))._native


def checked_tls(tls: object) -> TLS:
    """The settings, or a TypeError that says what to give instead."""
    if isinstance(tls, TLS):
        return tls
    raise TypeError(_no_context(tls) or f"tls is a hangup.TLS, not {type(tls).__name__}")


def _made(settings: dict[str, Any]) -> _native.Tls:
    tls = _native.Tls()
    verify = settings["verify"]
    if verify is False:
        tls.accept_any_certificate()
    elif verify is not True:
        if not isinstance(verify, (str, bytes, os.PathLike)):
            raise TypeError(_no_context(verify) or f"verify is a bool, a path or PEM, not {type(verify).__name__}")
        _with_roots(verify, tls.set_roots, tls.set_roots_path)
    for source in settings["extra_roots"]:
        _with_roots(source, tls.add_roots, tls.add_roots_path)
    if settings["cert"] is not None:
        tls.set_certificate(*settings["cert"])
    if settings["min_version"] is not None or settings["max_version"] is not None:
        tls.set_versions(
            _version("min_version", settings["min_version"], "TLSv1.2"),
            _version("max_version", settings["max_version"], "TLSv1.3"),
        )
    for pin in settings["pins"]:
        tls.add_pin(pin)
    if settings["server_name"] is not None:
        tls.set_server_name(settings["server_name"])
    if settings["key_log"] == "env":
        tls.set_key_log_from_env()
    elif settings["key_log"] is not None:
        tls.set_key_log(os.fsdecode(settings["key_log"]))
    return tls


def _with_roots(source: Source, from_pem: Any, from_path: Any) -> None:
    if _is_pem(source):
        from_pem(_read_pem(source))
    elif isinstance(source, bytes):
        # The library says what is wrong with it.
        from_pem(source)
    else:
        from_path(os.fsdecode(source))


def _several(source: Source | Iterable[Source]) -> tuple[Source, ...]:
    return (source,) if isinstance(source, (str, bytes, os.PathLike)) else tuple(source)


def _read_cert(cert: Any) -> tuple[bytes, bytes, str | None]:
    if context := _no_context(cert):
        raise TypeError(context)
    if not isinstance(cert, tuple):
        pem = _read_pem(cert)
        return pem, pem, None
    if len(cert) not in (2, 3):
        raise InvalidArgument("cert is a path or PEM, (certificate, key) or (certificate, key, password)")
    password = cert[2] if len(cert) == 3 else None
    if isinstance(password, bytes):
        password = password.decode()
    return _read_pem(cert[0]), _read_pem(cert[1]), password


def _version(name: str, value: Any, default: str) -> int:
    if value is None:
        return _VERSIONS[default]
    # The members of ssl.TLSVersion are named "TLSv1_2".
    text = value if isinstance(value, str) else str(getattr(value, "name", value)).replace("_", ".")
    try:
        return _VERSIONS[text]
    except KeyError:
        raise InvalidArgument(f"{name} is 'TLSv1.2' or 'TLSv1.3', not {text!r}") from None


def _verify_key(verify: Any) -> Any:
    """What tells two values of `verify` apart: for a path also what it names now."""
    if isinstance(verify, bool) or isinstance(verify, bytes) or _is_pem(verify):
        return verify
    if isinstance(verify, (str, os.PathLike)):
        try:
            facts = os.stat(verify)
        except OSError:
            return os.fspath(verify)
        return os.fspath(verify), facts.st_mtime_ns, facts.st_size, facts.st_ino
    raise TypeError(_no_context(verify) or f"verify is a bool, a path or PEM, not {type(verify).__name__}")


def _no_context(value: object) -> str | None:
    """What to say about an ssl.SSLContext, or an object that wraps one; None for anything else."""
    if "ssl" not in type(value).__name__.lower() and not hasattr(value, "load_verify_locations"):
        return None
    return (
        f"{type(value).__name__} can't be used: hangup speaks TLS by rustls, not by OpenSSL; give "
        "hangup.TLS(verify=..., cert=..., min_version=..., ...) as tls=, or a path or PEM as verify="
    )


def _is_pem(value: object) -> bool:
    data = value.encode(errors="replace") if isinstance(value, str) else value
    return isinstance(data, bytes) and _PEM in data


def _read_pem(value: Source) -> bytes:
    """The PEM data, or the contents of the file with that path."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str) and _is_pem(value):
        return value.encode()
    from pathlib import Path

    return Path(value).read_bytes()
