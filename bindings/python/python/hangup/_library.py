"""The C library: its path, its header, and the message of an ImportError when it can't be used."""

from __future__ import annotations

import re
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_SONAME = "libhangup.so.0"


def get_include() -> str:
    """The directory of `hangup.h`, for the `-I` option of a compiler."""
    return str(_HERE / "include")


def get_library() -> str:
    """The full path of the `libhangup.so.0` that this process uses, for ctypes, cffi and linkers.

    Usually the package's copy; another one if the process had loaded that before.
    """
    from . import _native

    return _native.library()


def features() -> frozenset[str]:
    """What the library was built with: protocols, content codings, kinds of proxies and others, for example "http1",
    "gzip". Later versions may add names."""
    from . import _native

    return frozenset(_native.features().split())


def explain(error: ImportError) -> ImportError:
    """An ImportError that names the reason: a sub-interpreter, or a libhangup that can't be used. In the second case it
    names the library that is loaded and the version that the package was built for."""
    if "subinterpreter" in str(error):  # in the messages of CPython and of `_native`
        return ImportError(
            "hangup can be imported in the main interpreter only, and this is a sub-interpreter: its library calls back "
            "from threads of its own, which belong to the main one (in mod_wsgi: WSGIApplicationGroup %{GLOBAL})",
            name="hangup",
        )
    match = re.search(r'HANGUP_VERSION_TEXT "(.*?)"', _read(_HERE / "include" / "hangup.h"))
    built_for = match[1] if match else "unknown"
    loaded = _loaded() or "none"
    return ImportError(
        f"hangup can't use the libhangup of this process: {error}. Loaded: {loaded}; "
        f"this package was built for version {built_for}, its own copy is {_HERE / _SONAME}",
        name="hangup._native",
    )


def _loaded() -> str | None:
    """The path and version of the libhangup that is loaded in this process (Linux); None if there is none."""
    for line in _read(Path("/proc/self/maps")).splitlines():
        path = line.split(None, 5)[-1]
        if Path(path).name.startswith("libhangup.so"):
            return f"{path} (version {_version_of(path)})"
    return None


def _version_of(path: str) -> str:
    import ctypes

    try:
        text = ctypes.CDLL(path).hangup_version_text
    except (OSError, AttributeError):
        return "unknown"
    text.restype = ctypes.c_char_p
    return (text() or b"unknown").decode(errors="replace")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
