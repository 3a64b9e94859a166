"""hangup in five seconds: C code and Python code in one process, on one connection manager.

    make demo

Each step says what it does, does it, shows the open connections as both languages see them, and checks
itself. Ends with a summary; the exit status is 0 if every step did what it said.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import hangup

from native import GRACEFUL, NOW, Native, Outcome, Row


class Stage:
    """What is shown: steps, lines, checks and tables. Colours on a terminal only."""

    def __init__(self) -> None:
        self.colours = sys.stdout.isatty()
        self.step_count = 0
        self.failures: list[str] = []

    def paint(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self.colours else text

    def step(self, title: str, *explanation: str) -> None:
        self.step_count += 1
        print(f"\n{self.paint('1', f'{self.step_count}. {title}')}")
        for line in explanation:
            print(self.paint("2", f"   {line}"))

    def line(self, speaker: str, text: str) -> None:
        colour = {"C": "36", "Python": "33"}.get(speaker, "0")
        first, *rest = textwrap.wrap(text, 108)
        print(f"   {self.paint(colour, f'{speaker:<7}')} {first}", *rest, sep="\n           ", flush=True)

    def check(self, so: bool, what: str) -> None:
        print(f"   {self.paint('32', 'ok     ') if so else self.paint('31', 'FAILED ')} {what}", flush=True)
        if not so:
            self.failures.append(f"step {self.step_count}: {what}")

    def table(self, c: list[Row], python: list[Row]) -> None:
        """The open connections as C and as Python see them, one block under the other."""
        print()
        if not c and not python:
            print("           no open connection")
        else:
            print(f"           {'id':>3}  {'origin':<26} {'state':<8} {'age':>8}  {'requests':>8}  {'in':>7}  {'out':>6}")
        for speaker, rows in (("C", c), ("Python", python)):
            for row in rows:
                tls = f" {row.tls}" if row.tls else ""
                print(
                    f"   {self.paint('36' if speaker == 'C' else '33', f'{speaker:<7}')} {row.id:>3}  {row.origin:<26} "
                    f"{row.state:<8} {row.age_ms:>5} ms  {row.requests:>8}  {row.bytes_in:>5} B  {row.bytes_out:>4} B{tls}"
                )
        print()
        # Between the two looks a millisecond may have passed; nothing else.
        same = [(r.id, r.origin, r.state, r.requests, r.bytes_in, r.bytes_out) for r in c]
        seen = [(r.id, r.origin, r.state, r.requests, r.bytes_in, r.bytes_out) for r in python]
        self.check(same == seen, "C and Python see the same connections")


class Demo:
    """The story. Every method but the last is one step."""

    def __init__(self, native: Native, http: str, https: str, ca: str) -> None:
        self.c, self.http, self.https, self.ca = native, http, https, ca
        self.stage = Stage()
        self.client = hangup.Client(verify=ca)
        self.manager = self.client.manager

    def look(self) -> None:
        python = [
            Row(i.id, i.origin, i.state, i.tls, round(i.age * 1000), i.requests, i.bytes_in, i.bytes_out)
            for i in self.manager.connections()
        ]
        self.stage.table(self.c.connections(), python)

    def is_open(self, connection: int | None) -> bool:
        return any(info.id == connection for info in self.manager.connections())

    def wait_in_use(self, answered: bool = False) -> int:
        """Waits until a request was sent on a connection, or its response is coming; returns the connection's id."""
        before = {info.id: info.bytes_in for info in self.manager.connections() if info.state == "idle"}
        for _ in range(5000):
            for info in self.manager.connections():
                came = info.bytes_in > before.get(info.id, 0)
                if info.state == "in use" and info.bytes_out > 0 and (came or not answered):
                    return info.id
            time.sleep(0.001)
        raise SystemExit("no request came to be in use")

    def one_manager(self) -> None:
        self.stage.step("One process, two languages, one manager")
        c, python = self.c.manager_id(), self.manager.id
        self.stage.line("C", f"hangup_manager_id(...)  = {c}")
        self.stage.line("Python", f"client.manager.id       = {python}")
        self.stage.check(c == python != 0, "it is the same manager")

    def one_connection(self) -> None:
        self.stage.step("Requests from both, over one connection", "GET /fast, in turns.")
        seen = []
        for turn in range(4):
            if turn % 2 == 0:
                got = self.c.get(f"{self.http}/fast")
                speaker, status, connection, reused = "C", got.status_code, got.connection, bool(got.reused)
            else:
                r = self.client.get(f"{self.http}/fast", timeout=5)
                speaker, status, connection, reused = "Python", r.status_code, r.connection, r.reused
            seen.append((status, connection, reused))
            self.stage.line(speaker, f"{status} over connection {connection}, {'used again' if reused else 'new'}")
        first = seen[0][1]
        self.stage.check(
            seen == [(200, first, turn > 0) for turn in range(4)], "four requests, one connection"
        )
        self.look()

    def timeouts(self) -> None:
        self.stage.step(
            "A timeout says in which phase it expired, and which timeout it was",
            "GET /stall: the server takes the request and never responds. The head may take 200 ms.",
        )
        got = self.c.get(f"{self.http}/stall", head_ms=200)
        self.stage.line("C", f"{self.c.status(got)}, phase {self.c.phase(got)}, timeout {self.c.timeout(got)}, "
                             f"after {got.took_us / 1000:.1f} ms")
        good = (self.c.status(got), self.c.phase(got), self.c.timeout(got)) == ("TIMED_OUT", "head", "head")
        began = time.monotonic()
        try:
            self.client.get(f"{self.http}/stall", timeout=hangup.Timeout(head=0.2))
            self.stage.check(False, "Python's request is ended")
            return
        except hangup.TimeoutError as error:
            took = (time.monotonic() - began) * 1000
            self.stage.line("Python", f"{type(error).__name__}, phase {error.phase}, timeout {error.timeout}, after {took:.1f} ms")
            good &= (error.phase, error.timeout) == ("head", "head")
            connection = error.connection or 0
        self.stage.check(good, "both ended in phase head by the head timeout")
        self.stage.check(
            200 <= got.took_us / 1000 < 300 and 200 <= took < 300, "and at the time that was asked for"
        )
        # The response may still come, and must not be taken for that of a later request.
        self.stage.line("C", f"connection {got.connection}: {self.now(got.connection)}")
        self.stage.line("Python", f"connection {connection}: {self.now(connection)}")
        self.stage.check(
            not self.is_open(got.connection) and not self.is_open(connection),
            "the connections on which they waited are closed",
        )

    def cancel(self) -> None:
        self.stage.step(
            "A cancel from another thread, across the languages",
            "One waits for a response that never comes; the other fires the token.",
        )
        token = self.c.token()
        with thread(lambda: self.c.get(f"{self.http}/stall", token=token)) as waiting:
            self.wait_in_use()
            self.look()
            fired = self.c.fire(token, "the user left")
        got = waiting[0]
        self.c.free(token)
        took = got.ended_us - fired
        reason = got.reason.decode()
        self.stage.line("C", f"{self.c.status(got)} in phase {self.c.phase(got)}: {reason!r}, {took} us after Python fired C's token")
        good = self.c.status(got) == "CANCELLED" and reason == "the user left"

        python_token = hangup.CancelToken()
        with thread(lambda: self.python_waits(python_token)) as waiting:
            self.wait_in_use()
            fired = self.c.fire(python_token, "enough")
        error, ended = waiting[0]
        also_took = ended - fired
        self.stage.line("Python", f"{type(error).__name__} in phase {getattr(error, 'phase', None)}: "
                                  f"{getattr(error, 'reason', None)!r}, {also_took} us after C fired Python's token")
        good &= isinstance(error, hangup.Cancelled) and error.reason == "enough"
        self.stage.check(good, "both were cancelled, and know why")
        self.stage.check(max(took, also_took) < 50_000, f"latency: C {took} us, Python {also_took} us")

    def python_waits(self, token: hangup.CancelToken) -> tuple[Exception | None, int]:
        try:
            self.client.get(f"{self.http}/stall", cancel=token)
            error = None
        except hangup.HangupError as raised:
            error = raised
        return error, self.c.now_us()

    def short_and_long(self) -> None:
        self.stage.step("Short and long connections", "A short one is closed after its response, a long one kept.")
        short = self.client.get(f"{self.http}/fast", connection="close", timeout=5)
        c_short = self.c.get(f"{self.http}/fast", mode="close")
        long = self.c.get(f"{self.http}/fast")
        self.stage.line("Python", f"connection {short.connection}, short: {self.now(short.connection)}")
        self.stage.line("C", f"connection {c_short.connection}, short: {self.now(c_short.connection)}")
        self.stage.line("C", f"connection {long.connection}, long:  {self.now(long.connection)}")
        gone = not self.is_open(short.connection) and not self.is_open(c_short.connection)
        self.stage.check(gone and self.is_open(long.connection), "the short ones are gone, the long one is idle")
        self.look()

    def now(self, connection: int) -> str:
        why = self.c.why(connection)
        return why if why == "open" else f"ended, {why}"

    def close_gracefully(self) -> None:
        self.stage.step(
            "Closing a connection by its id, gracefully",
            "C reads a stream of five pieces; Python closes its connection meanwhile, after the exchange.",
        )
        with thread(lambda: self.c.get(f"{self.http}/stream?chunks=5&every_ms=80")) as reading:
            connection = self.wait_in_use()
            time.sleep(0.1)
            self.look()
            self.manager.close(connection)
            self.stage.line("Python", f"close({connection}): marked, the exchange goes on")
        got = reading[0]
        self.stage.line("C", f"{self.c.status(got)}, {got.bytes} bytes: the stream came to its end")
        self.stage.check(got.status == 0 and got.bytes == 40, "the exchange ended well")
        self.stage.check(not self.is_open(connection), f"and then connection {connection} {self.now(connection)}")

    def close_now(self) -> None:
        self.stage.step(
            "Closing a connection by its id, now",
            "Python reads a body that stops half-way; C closes its connection under it.",
        )
        with thread(self.python_reads) as reading:
            connection = self.wait_in_use(answered=True)
            # The head has come; the reader goes on to the body, which does not.
            time.sleep(0.05)
            status = self.c.close(connection, NOW)
            self.stage.line("C", f"hangup_manager_close_connection({connection}, HANGUP_CLOSE_MODE_NOW) = {status}")
        error = reading[0]
        self.stage.line("Python", f"{type(error).__name__}: {error}")
        self.stage.check(isinstance(error, hangup.Closed), "the read was ended, and says that it was closed")
        self.stage.check(self.c.close(connection, GRACEFUL) == 9, "the id is gone, and is never used again")

    def python_reads(self) -> Exception | None:
        try:
            with self.client.stream("GET", f"{self.http}/stall-body") as r:
                r.read()
            return None
        except hangup.HangupError as raised:
            return raised

    def tls(self) -> None:
        self.stage.step("https, with the server's own authority", "Both trust only this authority, so they share the connection here too.")
        got = self.c.get(f"{self.https}/fast")
        r = self.client.get(f"{self.https}/fast", timeout=5)
        self.stage.line("C", f"{got.status_code or got.message.decode()} over connection {got.connection}")
        self.stage.line("Python", f"{r.status_code} over connection {r.connection}, {'used again' if r.reused else 'new'}")
        self.stage.check(got.status_code == r.status_code == 200 and r.connection == got.connection, "one TLS connection")
        try:
            hangup.Client().get(f"{self.https}/fast", timeout=5)
            self.stage.check(False, "a client that does not know the authority refuses it")
        except hangup.TLSError as error:
            self.stage.line("Python", f"without that authority, {type(error).__name__}: {error}")
            self.stage.check(True, "a client that does not know the authority refuses it, and got no connection")
        self.look()

    def the_end(self) -> None:
        self.stage.step("The end of all connections")
        closed = self.manager.close_all()
        stats = self.manager.stats()
        self.stage.line("Python", f"close_all() = {closed}")
        self.stage.line("Python", f"since the beginning: {stats.opened} opened, {stats.closed} closed, "
                                  f"{stats.reused} requests without a new one")
        self.stage.check(stats.open == 0, "nothing is left open")
        self.look()

    def run(self) -> int:
        began = time.monotonic()
        for step in (
            self.one_manager, self.one_connection, self.timeouts, self.cancel, self.short_and_long,
            self.close_gracefully, self.close_now, self.tls, self.the_end,
        ):
            step()
        took = time.monotonic() - began
        print()
        if self.stage.failures:
            print(self.stage.paint("31;1", f"{len(self.stage.failures)} checks failed:"))
            for failure in self.stage.failures:
                print(f"  {failure}")
            return 1
        print(self.stage.paint("32;1", f"All {self.stage.step_count} steps did what they say, in {took:.1f} s."))
        print("Next: examples/c, examples/cpp, examples/python, examples/rust, and include/hangup.h.")
        return 0


@contextmanager
def thread(work: Callable[[], object]) -> Iterator[list]:
    """Runs `work` in a thread; its result is in the list after the block."""
    results: list = []
    running = threading.Thread(target=lambda: results.append(work()))
    running.start()
    try:
        yield results
    finally:
        running.join()


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--library", required=True, help="demo.c, compiled as a shared library")
    arguments.add_argument("--server", required=True, help="the program hangup-testserver")
    given = arguments.parse_args()
    native = Native(given.library, hangup.get_library())
    # It ends when its standard input does, so it never outlives this program.
    server = subprocess.Popen([given.server, "demo"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        http, https, ca = (server.stdout.readline().strip() for _ in range(3))
        print(f"hangup {hangup.__version__}: C and Python in one process, on one connection manager")
        print(f"server: {http} and {https}")
        native.begin(ca)
        try:
            return Demo(native, http, https, ca).run()
        finally:
            native.end()
    finally:
        server.stdin.close()
        server.wait(timeout=10)


if __name__ == "__main__":
    sys.exit(main())
