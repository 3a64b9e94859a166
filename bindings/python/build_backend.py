"""The build backend (PEP 517, PEP 660): maturin, and libhangup.so.0 built before it.

maturin builds the extension and writes the wheel; this adds the library, which stays a file of its own beside the
extension. It keeps its name, because C code in the same process shares the library by that name: a tool that renames
it, as `auditwheel repair` does, would make two connection managers. A wheel for PyPI needs `auditwheel repair --exclude
libhangup.so.0`.

The sdist is not maturin's: that has the crate and the crates that it depends on, and the extension does not depend on
the crate of the library. This one has the whole repository.

HANGUP_LIB_DIR      a directory with a libhangup.so.0 to use instead of building one
HANGUP_PROFILE      cargo's profile: "release" (default) or "dev"
CARGO               the cargo to run
CARGO_TARGET_DIR    where cargo builds; default: target/python in the repository
"""

from __future__ import annotations

import contextlib
import fnmatch
import importlib
import io
import os
import shutil
import subprocess
import sysconfig
import tarfile
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]  # of the repository, or of an unpacked sdist, which has the same layout
PACKAGE = HERE / "python" / "hangup"
SONAME = "libhangup.so.0"
LIBRARY_DIR = os.environ.get("HANGUP_LIB_DIR")  # read once: `maturin` sets the variable for build.rs

NOT_SOURCE = ("target", "build", "dist", "venv", ".*", "__pycache__", "*.so", "*.so.*", "*.a", "*.o", "*.pyc", "*.egg-info")


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    return []


get_requires_for_build_editable = get_requires_for_build_sdist = get_requires_for_build_wheel


def prepare_metadata_for_build_wheel(directory: str, config_settings: Any = None) -> str:
    return maturin("prepare_metadata_for_build_wheel", directory, config_settings)


prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel


def build_wheel(directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    add_library()
    return maturin("build_wheel", directory, config_settings, metadata_directory)


def build_editable(directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    add_library()
    return maturin("build_editable", directory, config_settings, metadata_directory)


def build_sdist(directory: str, config_settings: Any = None) -> str:
    """The sources of the repository, with a pyproject.toml at the root that names this backend."""
    text = (HERE / "pyproject.toml").read_text(encoding="utf-8")
    for old, new in {'path = ["."]': 'path = ["bindings/python"]', '"README.md"': '"bindings/python/README.md"'}.items():
        text = text.replace(old, new)
    with tempfile.TemporaryDirectory() as scratch:
        info = prepare_metadata_for_build_wheel(scratch)
        metadata = (Path(scratch) / info / "METADATA").read_bytes()
    name = info.removesuffix(".dist-info")
    extra = {"pyproject.toml": text.encode(), "PKG-INFO": metadata}
    path = Path(directory) / f"{name}.tar.gz"
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as archive:
        archive.add(ROOT, name, filter=source_only)
        for file, data in extra.items():
            entry = tarfile.TarInfo(f"{name}/{file}")
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))
    return path.name


def source_only(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    file = Path(entry.name).name
    return None if any(fnmatch.fnmatch(file, pattern) for pattern in NOT_SOURCE) else entry


def maturin(hook: str, directory: str, *arguments: Any) -> str:
    """Calls a hook of maturin, which takes settings from the environment and pyproject.toml from the working directory."""
    # The hooks run the program maturin, which is not found in a virtual environment that is not activated.
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), sysconfig.get_path("scripts")])
    os.environ["CARGO_TARGET_DIR"] = str(target_dir())
    os.environ["HANGUP_LIB_DIR"] = str(PACKAGE)  # build.rs links the extension to the library there
    os.environ.setdefault("MATURIN_PEP517_ARGS", f"--profile {profile()}")
    directory = os.path.abspath(directory)
    with contextlib.chdir(HERE):
        return str(getattr(importlib.import_module("maturin"), hook)(directory, *arguments))


def profile() -> str:
    return os.environ.get("HANGUP_PROFILE", "release")


def target_dir() -> Path:
    return ROOT / os.environ.get("CARGO_TARGET_DIR", "target/python")


def add_library() -> None:
    """Puts the library and its header into the package, from where maturin takes them."""
    library = Path(LIBRARY_DIR) / SONAME if LIBRARY_DIR else build_library()
    for source, target in ((library, PACKAGE / SONAME), (ROOT / "include/hangup.h", PACKAGE / "include/hangup.h")):
        if not target.exists() or target.read_bytes() != source.read_bytes():
            target.parent.mkdir(exist_ok=True)
            new = target.with_name(f"{target.name}.new")
            shutil.copy(source, new)
            new.replace(target)  # a process may have the old file mapped


def build_library() -> Path:
    command = [os.environ.get("CARGO", "cargo"), "build", "--locked", "--package", "hangup-c", "--profile", profile()]
    try:
        subprocess.run([*command, "--target-dir", target_dir()], cwd=ROOT, check=True)
    except FileNotFoundError:
        raise SystemExit("building hangup needs cargo (https://rustup.rs), Rust 1.88 or later") from None
    except subprocess.CalledProcessError as failed:
        raise SystemExit(f"cargo could not build libhangup (exit status {failed.returncode})") from None
    return target_dir() / ("debug" if profile() == "dev" else profile()) / "libhangup.so"
