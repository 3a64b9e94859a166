"""Calls that block, on other threads and in other processes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Background:
    """Runs a call on a thread; `ended` joins the thread and returns the outcome and its time."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self.value: Any = None
        self.error: BaseException | None = None
        self.at = 0.0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.value = self._call()
        except BaseException as error:
            self.error = error
        self.at = time.monotonic()

    def ended(self, seconds: float = 10) -> Background:
        self._thread.join(seconds)
        assert not self._thread.is_alive(), "the call still blocks"
        return self

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()


def python(
    program: str, *arguments: str, env: dict[str, str] | None = None, file: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a program in another interpreter, from a file if it has to be imported; it fails if that does."""
    program = textwrap.dedent(program)
    if file is not None:
        file.write_text(program, encoding="utf-8")
    source = ["-c", program] if file is None else [str(file)]
    command = [sys.executable, "-W", "error", *source, *arguments]
    environment = os.environ | (env or {})
    done = subprocess.run(command, capture_output=True, text=True, timeout=40, env=environment)
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def wait_until(condition: Callable[[], bool], seconds: float = 5) -> None:
    """Polls a condition that has no event until it holds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.002)
