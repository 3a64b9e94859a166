"""Fixtures of all tests: a scripted server, a client with a manager of its own, and a watchdog."""

from __future__ import annotations

import faulthandler
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import hangup
from awaited import AwaitedClient
from testserver import Control, Server, Step, build

WATCHDOG_SECONDS = 60
FORMS = {"sync": hangup.Client, "async": AwaitedClient}


@pytest.fixture(autouse=True)
def watchdog() -> Iterator[None]:
    """Prints the stacks of a test that hangs, and ends the run."""
    faulthandler.dump_traceback_later(WATCHDOG_SECONDS, exit=True, file=sys.__stderr__)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(scope="session")
def control() -> Iterator[Control]:
    """The test server's process."""
    with Control(build()) as running:
        yield running


@pytest.fixture
def serve(control: Control) -> Iterator[Callable[..., Server]]:
    """Starts a server from one list of steps per connection; the last list is used again and again."""
    started: list[Server] = []

    def start(*connections: list[Step], **options: object) -> Server:
        started.append(control.start(list(connections), **options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def manager() -> hangup.Manager:
    """A manager for one test."""
    return hangup.Manager()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests of a module with `BOTH_FORMS = True` run for Client and for AsyncClient."""
    if getattr(metafunc.module, "BOTH_FORMS", False) and "form" in metafunc.fixturenames:
        metafunc.parametrize("form", sorted(FORMS), indirect=True)


@pytest.fixture
def form(request: pytest.FixtureRequest) -> Any:
    """The class of client that is tested."""
    return FORMS[getattr(request, "param", "sync")]


@pytest.fixture
def client(manager: hangup.Manager, form: Any) -> Iterator[Any]:
    """A client over that manager."""
    with form(manager=manager) as client:
        yield client
    manager.shutdown()
