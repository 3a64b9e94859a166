"""The build backend (PEP 517, PEP 660): `pip install ./bindings/python` builds everything from source.

It runs cargo twice, first for libhangup.so.0 and then for the extension that is linked to it, and writes the
wheel itself. Only the standard library and cargo are needed. The two stay two files on purpose: the library
keeps its own name beside the extension, so that it is shared with C code in the same process; a tool that
grafts or renames it (`maturin`'s and `auditwheel`'s repair) would make two connection managers of one.
A wheel for PyPI needs `auditwheel repair --exclude libhangup.so.0`.

HANGUP_LIB_DIR      a directory with a libhangup.so.0 to be used instead of building one
HANGUP_PROFILE      cargo's profile: "release" (default) or "dev"
CARGO               the cargo to run
CARGO_TARGET_DIR    where cargo builds; default: target/python in the repository
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]  # of the repository, or of an unpacked sdist, which has the same layout
PACKAGE = HERE / "python" / "hangup"
SONAME = "libhangup.so.0"
EXTENSION = "_native.abi3.so"

NOT_SOURCE = {"target", "build", "dist", "__pycache__", "node_modules", "venv"}
NOT_SOURCE_ENDS = (".so", ".so.0", ".a", ".o", ".pyc", ".egg-info")


# The hooks.


def build_wheel(
    wheel_directory: str, config_settings: object = None, metadata_directory: str | None = None
) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        files = package(PACKAGE) | built(Path(scratch))
        return write_wheel(Path(wheel_directory), files)


def build_editable(
    wheel_directory: str, config_settings: object = None, metadata_directory: str | None = None
) -> str:
    """The built files go into the source tree, and the wheel only points there."""
    with tempfile.TemporaryDirectory() as scratch:
        for name, data in built(Path(scratch)).items():
            place = PACKAGE.parent / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)  # a process may have the old one mapped
            place.write_bytes(data)
    pointer = {"hangup.pth": f"{PACKAGE.parent}\n".encode()}
    return write_wheel(Path(wheel_directory), pointer)


def build_sdist(sdist_directory: str, config_settings: object = None) -> str:
    """The sources of the repository, with this pyproject.toml at its root."""
    name = f"hangup-{version()}"
    settings = (HERE / "pyproject.toml").read_text(encoding="utf-8")
    settings = settings.replace('backend-path = ["."]', 'backend-path = ["bindings/python"]')
    settings = settings.replace('readme = "README.md"', 'readme = "bindings/python/README.md"')
    extra = {"pyproject.toml": settings.encode(), "PKG-INFO": metadata().encode()}
    path = Path(sdist_directory) / f"{name}.tar.gz"
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as archive:
        for file in sources(ROOT):
            place = file.relative_to(ROOT).as_posix()
            if place not in extra:
                archive.add(file, f"{name}/{place}", recursive=False)
        for place, data in extra.items():
            entry = tarfile.TarInfo(f"{name}/{place}")
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))
    return path.name


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: object = None) -> str:
    place = Path(metadata_directory) / dist_info()
    for name, data in metadata_files().items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    return place.name


prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel


def get_requires_for_build_wheel(config_settings: object = None) -> list[str]:
    return []


get_requires_for_build_editable = get_requires_for_build_wheel
get_requires_for_build_sdist = get_requires_for_build_wheel


# Building.


def built(scratch: Path) -> dict[str, bytes]:
    """The library, its header and the extension, by their places in a wheel."""
    given = os.environ.get("HANGUP_LIB_DIR")
    library = scratch / SONAME
    shutil.copyfile(Path(given) / SONAME if given else build_library(), library)
    return {
        f"hangup/{SONAME}": library.read_bytes(),
        f"hangup/{EXTENSION}": build_extension(scratch).read_bytes(),
        "hangup/include/hangup.h": (ROOT / "include" / "hangup.h").read_bytes(),
    }


def build_library() -> Path:
    # Not in a build script: there the SONAME would leak into whatever depends on the crate. It is
    # never unloaded (nodelete), because its threads and its thread-locals may outlive a dlclose.
    linker = ["-C", f"link-arg=-Wl,-soname,{SONAME}", "-C", "link-arg=-Wl,-z,nodelete"]
    return cargo("hangup-c", {}, "--crate-type", "cdylib", "--", *linker)


def build_extension(library_directory: Path) -> Path:
    return cargo(
        "hangup-python",
        {
            "HANGUP_LIB_DIR": str(library_directory),
            "PYO3_BUILD_EXTENSION_MODULE": "1",  # not linked to libpython
            "PYO3_PYTHON": sys.executable,
        },
    )


def cargo(crate: str, environment: dict[str, str], *rest: str) -> Path:
    """Builds the shared object of one crate, and says where it is."""
    profile = os.environ.get("HANGUP_PROFILE", "release")
    command = [os.environ.get("CARGO", "cargo"), "rustc", "--locked", "--profile", profile]
    command += ["--lib", "--package", crate, "--message-format", "json-render-diagnostics", *rest]
    target = os.environ.get("CARGO_TARGET_DIR", str(ROOT / "target" / "python"))
    environment = os.environ | {"CARGO_TARGET_DIR": target} | environment
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True)
    except FileNotFoundError:
        raise SystemExit("building hangup needs cargo (https://rustup.rs), Rust 1.88 or later") from None
    except subprocess.CalledProcessError as failed:
        raise SystemExit(f"cargo could not build {crate} (exit status {failed.returncode})") from None
    for line in reversed(done.stdout.splitlines()):
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact":
            for file in message["filenames"]:
                if file.endswith(".so"):
                    return Path(file)
    raise SystemExit(f"cargo built no shared object of {crate}")


# Writing.


def write_wheel(directory: Path, files: dict[str, bytes]) -> str:
    files = files | {f"{dist_info()}/{name}": data for name, data in metadata_files().items()}
    rows = []
    path = directory / f"hangup-{version()}-{tag()}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in files.items():
            put(wheel, name, data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            rows.append(f"{name},sha256={digest},{len(data)}\n")
        record = f"{dist_info()}/RECORD"
        put(wheel, record, "".join([*rows, f"{record},,\n"]).encode())
    return path.name


def put(wheel: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))  # the same sources give the same wheel
    mode = 0o755 if name.endswith((".so", ".so.0")) else 0o644
    entry.external_attr = (0o100000 | mode) << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    wheel.writestr(entry, data)


def package(directory: Path) -> dict[str, bytes]:
    """The Python files of the package, by their places in a wheel."""
    wanted = (file for file in sorted(directory.iterdir()) if file.suffix in (".py", ".pyi", ".typed"))
    return {f"hangup/{file.name}": file.read_bytes() for file in [*wanted, directory / "py.typed"]}


def sources(directory: Path) -> Iterable[Path]:
    for file in sorted(directory.iterdir()):
        if file.name.startswith(".") or file.name in NOT_SOURCE or file.name.endswith(NOT_SOURCE_ENDS):
            continue
        if file.is_dir() and not file.is_symlink():
            yield from sources(file)
        else:
            yield file


def metadata_files() -> dict[str, bytes]:
    licenses = {f"licenses/{file.name}": file.read_bytes() for file in license_files()}
    wheel = ["Wheel-Version: 1.0", "Generator: hangup build_backend", "Root-Is-Purelib: false", f"Tag: {tag()}"]
    return {"METADATA": metadata().encode(), "WHEEL": ("\n".join(wheel) + "\n").encode()} | licenses


def license_files() -> list[Path]:
    return sorted(ROOT.glob("LICENSE*"))


def metadata() -> str:
    project = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {project['name']}",
        f"Version: {version()}",
        f"Summary: {project['description']}",
        f"License-Expression: {project['license']}",
        *(f"License-File: {file.name}" for file in license_files()),
        f"Requires-Python: {project['requires-python']}",
        *(f"Classifier: {classifier}" for classifier in project["classifiers"]),
        "Description-Content-Type: text/markdown",
    ]
    return "\n".join(lines) + "\n\n" + (HERE / "README.md").read_text(encoding="utf-8")


def version() -> str:
    """The workspace's: Rust, C and Python have one."""
    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))
    return str(manifest["workspace"]["package"]["version"])


def dist_info() -> str:
    return f"hangup-{version()}.dist-info"


def tag() -> str:
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    return f"cp311-abi3-{platform}"
