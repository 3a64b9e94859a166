"""One process, one manager: the same id and the same connections for Python, ctypes and C."""

import ctypes
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig

import pytest

import hangup
from running import python
from testserver import answer, forever

HERE = pathlib.Path(__file__).parent
CC = os.environ.get("CC", "gcc")


def compile(*arguments):
    done = subprocess.run([CC, "-Wall", "-Wextra", "-Werror", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def extension(tmp_path_factory):
    """The directory of a C extension module that links to the library that hangup ships."""
    directory = tmp_path_factory.mktemp("extension")
    library = pathlib.Path(hangup.get_library())
    include = sysconfig.get_path("include")
    compile(
        *("-shared", "-fPIC", HERE / "c_extension.c", "-o", directory / "c_extension.so"),
        *(f"-I{include}", f"-I{hangup.get_include()}", f"-L{library.parent}", "-l:libhangup.so.0"),
        f"-Wl,-rpath,{library.parent}",
    )
    return str(directory)


def test_python_sees_one():
    ids = {hangup.shared_manager().id, hangup.Manager.shared().id, hangup.Client().manager.id}
    assert len(ids) == 1 and 0 not in ids


def test_ctypes_sees_the_same(serve, client):
    library = ctypes.CDLL(hangup.get_library())
    library.hangup_manager_shared.restype = ctypes.c_void_p
    library.hangup_manager_id.restype = ctypes.c_uint64
    library.hangup_client_manager.restype = ctypes.c_void_p
    shared = ctypes.c_void_p(library.hangup_manager_shared())
    assert library.hangup_manager_id(shared) == hangup.shared_manager().id
    assert library.hangup_manager_id(hangup.shared_manager()) == hangup.shared_manager().id
    of_client = ctypes.c_void_p(library.hangup_client_manager(client))
    assert library.hangup_manager_id(of_client) == client.manager.id != hangup.shared_manager().id
    for share in (shared, of_client):
        library.hangup_manager_free(share)
    token = hangup.CancelToken()
    library.hangup_cancel_fire(token, b"from C")
    assert token.is_cancelled
    client.get(serve([forever(answer())]).url)
    closed = ctypes.c_size_t()
    assert library.hangup_manager_close_all(client.manager, 1, ctypes.byref(closed)) == 0
    assert closed.value == 1 and client.manager.connections() == []


@pytest.mark.parametrize("order", ["hangup, c_extension", "c_extension, hangup"])
def test_a_c_extension_sees_the_same(serve, extension, order):
    server = serve([forever(answer("from one pool"))])
    python(
        f"""
        import sys
        sys.path.insert(0, sys.argv[2])
        import {order}
        assert c_extension.shared_id() == hangup.shared_manager().id
        first = hangup.get(sys.argv[1])
        status, connection, reused = c_extension.get(sys.argv[1])
        assert (status, connection, reused) == (200, first.connection, 1)
        assert hangup.get(sys.argv[1]).connection == connection
        """,
        server.url,
        extension,
    )
    assert server.accepted == 1


def test_a_copy_that_was_loaded_before_serves_python_too(tmp_path):
    """Another file with the same SONAME, loaded with RTLD_LOCAL."""
    copy = tmp_path / "libhangup.so.0"
    shutil.copy(hangup.get_library(), copy)
    python(
        """
        import ctypes, sys
        library = ctypes.CDLL(sys.argv[1], mode=ctypes.RTLD_LOCAL)
        library.hangup_manager_shared.restype = ctypes.c_void_p
        library.hangup_manager_id.restype = ctypes.c_uint64
        seen = library.hangup_manager_id(ctypes.c_void_p(library.hangup_manager_shared()))
        import hangup
        assert hangup.get_library() == sys.argv[1], hangup.get_library()
        assert hangup.shared_manager().id == seen != 0
        """,
        str(copy.resolve()),
    )


def test_a_c_program_that_embeds_python_sees_the_same(serve, tmp_path):
    """The program links a copy in another directory; the process still has only one."""
    if not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        pytest.skip("this Python has no shared libpython to embed")
    server = serve([forever(answer())])
    own = tmp_path / "own" / "libhangup.so.0"
    own.parent.mkdir()
    shutil.copy(hangup.get_library(), own)
    program, libdir = tmp_path / "host", sysconfig.get_config_var("LIBDIR")
    compile(
        *(HERE / "c_host.c", "-o", program, f"-I{sysconfig.get_path('include')}", f"-I{hangup.get_include()}"),
        *(f"-L{own.parent}", "-l:libhangup.so.0", f"-Wl,-rpath,{own.parent}"),
        *(f"-L{libdir}", f"-lpython{sysconfig.get_config_var('LDVERSION')}", f"-Wl,-rpath,{libdir}"),
    )
    packages = str(pathlib.Path(hangup.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": packages, "PYTHONHOME": sys.base_prefix}
    done = subprocess.run([program, server.url], env=environment, capture_output=True, text=True, timeout=40)
    assert done.returncode == 0, done.stdout + done.stderr
    told = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert told["id in C"] == told["id in Python"] != "0"
    assert told["connection in C"] == told["connection in Python"] and server.accepted == 1
    assert told["library"] == str(own.resolve())
