"""The C half of the demo (demo.c) as Python calls it, through ctypes. A call that blocks in C gives the
interpreter lock back, so other threads run meanwhile."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

NO_LIMIT = -1
MODES = {"keep": 0, "close": 1, "fresh": 2}
GRACEFUL, NOW = 0, 1


class Outcome(ctypes.Structure):
    """What came of a request of C's: `struct demo_outcome`."""

    _fields_ = [
        ("status", ctypes.c_int32),
        ("phase_number", ctypes.c_int32),
        ("timeout_number", ctypes.c_int32),
        ("status_code", ctypes.c_int32),
        ("reused", ctypes.c_int32),
        ("bytes", ctypes.c_int32),
        ("connection", ctypes.c_uint64),
        ("took_us", ctypes.c_int64),
        ("ended_us", ctypes.c_int64),
        ("message", ctypes.c_char * 256),
        ("reason", ctypes.c_char * 128),
    ]


@dataclass(frozen=True)
class Row:
    """One open connection, as C or Python lists it."""

    id: int
    origin: str
    state: str
    tls: str
    age_ms: int
    requests: int
    bytes_in: int
    bytes_out: int


class Native:
    """The functions of demo.c, and the names of hangup's numbers."""

    def __init__(self, library: str, hangup: str) -> None:
        self._demo = ctypes.CDLL(library)
        self._hangup = ctypes.CDLL(hangup)
        number, pointer, text = ctypes.c_int64, ctypes.c_void_p, ctypes.c_char_p
        demo = self._demo
        demo.demo_now_us.restype = number
        demo.demo_begin.argtypes = [text]
        demo.demo_manager_id.restype = ctypes.c_uint64
        demo.demo_get.argtypes = [text, ctypes.c_int32, number, pointer, ctypes.POINTER(Outcome)]
        demo.demo_get.restype = None
        demo.demo_token.restype = pointer
        demo.demo_fire.argtypes, demo.demo_fire.restype = [pointer, text], number
        demo.demo_token_free.argtypes, demo.demo_token_free.restype = [pointer], None
        demo.demo_close.argtypes, demo.demo_close.restype = [ctypes.c_uint64, ctypes.c_int32], ctypes.c_int32
        demo.demo_why.argtypes, demo.demo_why.restype = [ctypes.c_uint64], text
        demo.demo_connections.argtypes, demo.demo_connections.restype = [text, ctypes.c_size_t], ctypes.c_size_t
        for name in ("status", "phase", "timeout"):
            function = getattr(self._hangup, f"hangup_{name}_text")
            function.argtypes, function.restype = [ctypes.c_int32], text

    def begin(self, ca_file: str) -> None:
        if self._demo.demo_begin(ca_file.encode()) != 0:
            raise SystemExit("demo.c could not begin")

    def end(self) -> None:
        self._demo.demo_end()

    def manager_id(self) -> int:
        return self._demo.demo_manager_id()

    def now_us(self) -> int:
        return self._demo.demo_now_us()

    def get(
        self, url: str, mode: str = "keep", head_ms: int = NO_LIMIT, token: int | None = None
    ) -> Outcome:
        outcome = Outcome()
        self._demo.demo_get(url.encode(), MODES[mode], head_ms, token, ctypes.byref(outcome))
        return outcome

    def token(self) -> int:
        """A `hangup_cancel *` that C made."""
        return self._demo.demo_token()

    def fire(self, token: object, reason: str) -> int:
        """Fires a token from C, C's own or Python's, and says when, in microseconds."""
        return self._demo.demo_fire(token, reason.encode())

    def free(self, token: int) -> None:
        self._demo.demo_token_free(token)

    def close(self, connection: int, how: int) -> int:
        return self._demo.demo_close(connection, how)

    def why(self, connection: int) -> str:
        """Why a connection ended; "open" if it did not."""
        return self._demo.demo_why(connection).decode()

    def connections(self) -> list[Row]:
        """The manager's connections as C sees them."""
        room = ctypes.create_string_buffer(64 * 1024)
        self._demo.demo_connections(room, len(room))
        return [
            Row(int(id), origin, state, tls, *map(int, rest))
            for id, origin, state, tls, *rest in (
                line.split("\t") for line in room.value.decode().splitlines()
            )
        ]

    def status(self, outcome: Outcome) -> str:
        return self._hangup.hangup_status_text(outcome.status).decode()

    def phase(self, outcome: Outcome) -> str:
        return self._hangup.hangup_phase_text(outcome.phase_number).decode()

    def timeout(self, outcome: Outcome) -> str:
        return self._hangup.hangup_timeout_text(outcome.timeout_number).decode()
