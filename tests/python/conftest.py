"""What every test has: a scripted server that misbehaves on cue, a client of its own, and a watchdog."""

from __future__ import annotations

import faulthandler
import sys
from collections.abc import Callable, Iterator

import pytest

import hangup
from testserver import Control, Server, Step, build

WATCHDOG_SECONDS = 60


@pytest.fixture(autouse=True)
def watchdog() -> Iterator[None]:
    """A test that hangs says where, and ends the run."""
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
    """A manager that no other test uses."""
    return hangup.Manager()


@pytest.fixture
def client(manager: hangup.Manager) -> Iterator[hangup.Client]:
    """A client over that manager."""
    with hangup.Client(manager=manager) as client:
        yield client
    manager.shutdown()
