"""The package: declarations equal the header, stubs equal the module, and every name is documented."""

import ctypes
import importlib.util
import inspect
import os
import pathlib
import pickle
import subprocess
import sys
import tarfile
import textwrap

import pytest

import hangup
from hangup import _native
from running import python

BINDING = pathlib.Path(__file__).resolve().parents[2] / "bindings" / "python"


def load(name):
    spec = importlib.util.spec_from_file_location(name, BINDING / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_sys_rs_matches_the_header():
    generator = load("generate_sys")
    header = generator.HEADER.read_text(encoding="utf-8")
    assert generator.OUTPUT.read_text(encoding="utf-8") == generator.generate(header), "run generate_sys.py"


def test_the_generator_skips_nothing():
    generator = load("generate_sys")
    for unknown in ("typedef union { int a; } x;", "long hangup_x(void);", "hangup_x(int;", "extern"):
        with pytest.raises(ValueError):
            generator.generate(unknown)


def test_every_public_name_is_documented():
    for name in hangup.__all__:
        thing = getattr(hangup, name)
        assert inspect.getdoc(thing), name
        if inspect.isclass(thing):
            for method, value in vars(thing).items():
                if not method.startswith("_") and (callable(value) or isinstance(value, property)):
                    assert inspect.getdoc(value), f"{name}.{method}"


def test_the_stub_has_every_name_of_the_extension():
    stub = pathlib.Path(hangup.__file__).with_name("_native.pyi").read_text(encoding="utf-8")
    for name in (name for name in dir(_native) if not name.startswith("__")):
        assert name in stub, name
        for member in vars(getattr(_native, name)) if inspect.isclass(getattr(_native, name)) else ():
            assert member.startswith("__") or f"def {member}(" in stub, f"{name}.{member}"
    assert pathlib.Path(hangup.__file__).with_name("py.typed").exists()


def test_the_types_are_those_of_the_extension(tmp_path):
    pytest.importorskip("mypy")
    pytest.importorskip("trio")  # one module stands on it
    allowed = tmp_path / "allowed"
    # A Literal, which mypy takes for a union.
    allowed.write_text("hangup._base.Connection\nhangup._network.AddressFamily\n")
    command = [sys.executable, "-m", "mypy.stubtest", "hangup", "--allowlist", str(allowed), "--ignore-unused-allowlist"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


# They take longer to load than the package itself.
SLOW_MODULES = """
    asyncio concurrent.futures dataclasses email inspect ipaddress json logging mimetypes pathlib queue selectors socket ssl
    subprocess tempfile urllib.parse
"""


@pytest.mark.parametrize(
    "use",
    [
        "",
        "hangup.Client().close()",
        "client = hangup.Client(timeout=hangup.Timeout(connect=1), auth=('a', 'b'), manager=hangup.Manager())",
    ],
)
def test_an_import_loads_no_module_that_takes_long(use):
    done = python(
        f"""
        import sys
        before = set(sys.modules)
        import hangup
        {use}
        print(*sorted(set(sys.modules) - before))
        """,
    )
    loaded = set(done.stdout.split())
    assert "hangup._client" in loaded
    assert not loaded & set(SLOW_MODULES.split())
    assert not [name for name in loaded if name.startswith("hangup._async")], loaded


def test_the_names_that_are_loaded_late_are_like_the_others():
    python(
        """
        import copy, inspect, pickle, pydoc, sys
        import hangup
        late = set(hangup._LAZY)
        assert late < set(hangup.__all__) <= set(dir(hangup)), late - set(hangup.__all__)
        assert not late & set(vars(hangup)), "they are loaded already"
        limits = hangup.Limits(total=3)
        assert pickle.loads(pickle.dumps(limits)) == copy.copy(limits) == limits
        assert hangup.Limits is hangup.Limits is type(hangup.Manager(limits).limits)
        assert isinstance(hangup.Manager().stats(), hangup.Stats)
        text = pydoc.render_doc(hangup, renderer=pydoc.plaintext)
        for name in ("class AsyncClient(", "class Limits(", "get_include()", "class TcpFacts("):
            assert name in text, name
        from hangup import *
        assert all(globals()[name] is getattr(hangup, name) for name in hangup.__all__)
        try:
            hangup.no_such_name
        except AttributeError as error:
            assert "'hangup'" in str(error) and "'no_such_name'" in str(error)
        else:
            raise AssertionError
        try:
            from hangup import no_such_name
        except ImportError:
            pass
        else:
            raise AssertionError
        """
    )


def test_a_pickle_loads_the_module_of_its_class():
    """In a process that has used nothing of the package."""
    python(
        f"""
        import pickle
        limits = pickle.loads({pickle.dumps(hangup.Limits(total=3))!r})
        import hangup
        assert type(limits) is hangup.Limits and limits.total == 3
        """
    )


def test_a_late_class_is_the_same_after_a_purge():
    python(
        """
        import sys
        import hangup
        first = hangup.Limits, hangup.AsyncClient, hangup.Timings
        for name in [name for name in sys.modules if name.split(".")[0] == "hangup"]:
            del sys.modules[name]
        import hangup
        assert first == (hangup.Limits, hangup.AsyncClient, hangup.Timings)
        """
    )


def test_the_library_is_found():
    path = pathlib.Path(hangup.get_library())
    assert path.is_absolute() and path.name == "libhangup.so.0" and path.exists()
    header = pathlib.Path(hangup.get_include(), "hangup.h")
    assert f'HANGUP_VERSION_TEXT "{_native.version()}"' in header.read_text(encoding="utf-8")
    library = ctypes.CDLL(str(path))
    library.hangup_version.restype = ctypes.c_uint32
    assert library.hangup_version() >= 1000
    assert hangup.__version__ == _native.HEADER_VERSION


PURGED = {
    "all": "name.split('.')[0] == 'hangup'",
    "all but the extension": "name.split('.')[0] == 'hangup' and name != 'hangup._native'",
    "the package": "name == 'hangup'",
    "the package and its errors": "name in ('hangup', 'hangup._errors')",
    "the extension": "name == 'hangup._native'",
}


@pytest.mark.parametrize("which", PURGED.values(), ids=PURGED)
def test_an_import_after_a_purge_is_the_same_package(which):
    """Test runners purge sys.modules. A second copy of the exception classes would catch no exception of the first."""
    python(
        f"""
        import asyncio, importlib, sys
        import hangup
        first, errors = hangup, hangup._errors

        async def awaited():
            async with hangup.AsyncClient() as client:
                await client.get("http://127.0.0.1:1/")

        def is_whole():
            for raised in (lambda: hangup.get("http://127.0.0.1:1/"), lambda: asyncio.run(awaited())):
                try:
                    raised()
                except hangup.ConnectError:
                    pass
            try:
                hangup.get("no url")
            except hangup.InvalidURL:
                pass

        for _ in range(3):
            for name in [name for name in sys.modules if {which}]:
                del sys.modules[name]
            import hangup
            from hangup import ConnectError
            import hangup._errors
            is_whole()
            assert ConnectError is first.ConnectError and hangup._errors.ConnectError is ConnectError
            assert hangup.Client is first.Client and isinstance(hangup.shared_manager(), first.Manager)
        importlib.reload(hangup)
        assert hangup.ConnectError is first.ConnectError
        is_whole()
        """
    )


@pytest.mark.parametrize("isolated", [True, False])
@pytest.mark.parametrize("main_first", [True, False])
def test_a_sub_interpreter_gets_an_import_error(tmp_path, main_first, isolated):
    """The error names the reason, and the main interpreter is not affected."""
    told = tmp_path / "told"
    ask = textwrap.dedent(
        f"""
        try:
            import hangup
        except ImportError as error:
            with open({str(told)!r}, "a") as file:
                print(type(error).__name__, error, file=file)
        """
    )
    python(
        f"""
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        import sys
        if {main_first}:
            import hangup
        try:
            other = interpreters.create(isolated={isolated})
        except TypeError:
            other = interpreters.create("isolated" if {isolated} else "legacy")
        for _ in range(2):
            interpreters.run_string(other, {ask!r})
        interpreters.destroy(other)
        import hangup
        try:
            hangup.get("http://127.0.0.1:1/")
        except hangup.ConnectError:
            print("caught")
        """
    )
    lines = told.read_text().splitlines()
    assert len(lines) == 2 and all(line.startswith("ImportError ") for line in lines)
    assert all("main interpreter" in line and "sub-interpreter" in line for line in lines), lines


@pytest.mark.parametrize("missing", [False, True])
def test_a_library_that_is_too_old_is_an_import_error(tmp_path, missing):
    """A libhangup.so.0 of another version was loaded before, with all functions or without some."""
    generator = load("generate_sys")
    header = generator.generate(generator.HEADER.read_text(encoding="utf-8"))
    names = [line.split("fn ")[1].split("(")[0] for line in header.splitlines() if line.startswith("    pub fn ")]
    code = ["const char *hangup_version_text(void) { return \"0.0.9\"; }", "unsigned hangup_version(void) { return 9; }"]
    if not missing:
        code += [f"void {name}(void) {{}}" for name in names if not name.startswith("hangup_version")]
    source, library = tmp_path / "old.c", tmp_path / "libhangup.so.0"
    source.write_text("\n".join(code))
    compiler = os.environ.get("CC", "gcc")
    subprocess.run([compiler, "-shared", "-fPIC", source, "-Wl,-soname,libhangup.so.0", "-o", library], check=True)
    done = python(
        """
        import ctypes, sys
        ctypes.CDLL(sys.argv[1])
        try:
            import hangup
        except ImportError as error:
            print(error)
        """,
        str(library),
    )
    for part in (str(library), "0.0.9", hangup.__version__, str(pathlib.Path(hangup.__file__).parent)):
        assert part in done.stdout, done.stdout


def test_the_sdist_has_what_a_build_needs(tmp_path):
    backend = load("build_backend")
    with tarfile.open(tmp_path / backend.build_sdist(str(tmp_path))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {"pyproject.toml", "PKG-INFO", "Cargo.toml", "Cargo.lock", "src/lib.rs", "include/hangup.h"}
    needed |= {f"bindings/python/{name}" for name in ("Cargo.toml", "build.rs", "build_backend.py", "src/lib.rs")}
    needed |= {"bindings/python/python/hangup/__init__.py", "tests/server/Cargo.toml"}
    assert needed <= names
    assert not [name for name in names if name.startswith("target/") or name.endswith((".so", ".so.0"))]
