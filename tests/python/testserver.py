"""`hangup-testserver control` for Python: JSON lines over its standard input and output."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
Step = dict[str, Any] | str

HEAD: Step = {"recv": "head"}


def answer(body: str = "ok", status: int = 200, headers: list[list[str]] | None = None) -> Step:
    """Reads a request and sends a response with a Content-Length."""
    return {"answer": {"status": status, "headers": headers or [], "body": body}}


def forever(*steps: Step) -> Step:
    return {"repeat": {"times": 0, "steps": list(steps)}}


def by_path(paths: dict[str, list[Step]]) -> Step:
    """Runs the steps of the next request's path: by_path({"/a": [answer()], "*": ["rst"]})."""
    return {"by_path": paths}


def send(text: str) -> Step:
    return {"send": text}


def build() -> str:
    """The path of hangup-testserver: HANGUP_TESTSERVER, or built by cargo."""
    given = os.environ.get("HANGUP_TESTSERVER")
    if given:
        return given
    command = ["cargo", "build", "--package", "testserver", "--bin", "hangup-testserver"]
    command += ["--message-format", "json-render-diagnostics"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    for line in done.stdout.splitlines():
        if executable := json.loads(line).get("executable"):
            return str(executable)
    raise RuntimeError("cargo built no hangup-testserver")


class Control:
    """The server's process. Commands run one after the other."""

    def __init__(self, program: str) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([program, "control"], stdin=pipe, stdout=pipe, text=True)
        self._one_at_a_time = threading.Lock()

    def __enter__(self) -> Control:
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def ask(self, command: str, **arguments: object) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        with self._one_at_a_time:
            self._process.stdin.write(json.dumps({command: arguments}) + "\n")
            self._process.stdin.flush()
            answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise RuntimeError(f"{command}: {answer['error']}")
        return answer

    def start(self, script: object, **options: object) -> Server:
        return Server(self, self.ask("start", script=script, **options))

    def black_hole(self) -> Server:
        """A port on which a connect never completes."""
        return Server(self, self.ask("black_hole"))

    def addresses(self, *places: tuple[str, object]) -> list[Server]:
        """One port on several addresses, each with "silent", "refuses" or {"serves": script}."""
        opened = self.ask("addresses", places=places)
        found = []
        for place in opened["places"]:
            host = f"[{place['ip']}]" if ":" in place["ip"] else place["ip"]
            url = f"http://{host}:{opened['port']}/"
            found.append(Server(self, {**place, "port": opened["port"], "url": url}))
        return found

    def proxy(self, **options: object) -> Proxy:
        """An HTTP proxy: tls, credentials, hosts, conduct, life_ms as `control` documents them."""
        return Proxy(self, self.ask("proxy", **options))

    def socks(self, **options: object) -> Socks:
        """A SOCKS5 server: credentials, hosts, conduct, life_ms as `control` documents them."""
        return Socks(self, self.ask("socks", **options))

    def origins(self, count: int, body: str = "ok") -> Origins:
        """That many ports, each of which answers every request with this body."""
        return Origins(self, self.ask("origins", count=count, body=body))

    def certs(self) -> Path:
        """A directory with ca.pem, client.pem, client.key and more."""
        return Path(self.ask("certs")["dir"])


class Server:
    """One scripted server."""

    def __init__(self, control: Control, started: dict[str, Any]) -> None:
        self._control = control
        self._id = started["id"]
        self.port: int = started.get("port", 0)
        self.url: str = started["url"]
        self.path: str = started.get("path", "")
        """Of the Unix-domain socket, if it listens on one."""

    @property
    def origin(self) -> str:
        return self.url.rstrip("/")

    def release(self, name: str) -> None:
        """Lets an {"await": name} step go on."""
        self._ask("release", name=name)

    def wait_mark(self, name: str, seconds: float = 10) -> None:
        assert self._ask("wait_mark", name=name, timeout_ms=round(seconds * 1000))["reached"]

    def wait_heads(self, count: int = 1, seconds: float = 10) -> None:
        assert self._ask("wait_heads", count=count, timeout_ms=round(seconds * 1000))["reached"]

    def wait_connections(self, count: int = 1, seconds: float = 10) -> None:
        assert self._ask("wait_connections", count=count, timeout_ms=round(seconds * 1000))["reached"]

    def wait_open(self, count: int = 0, seconds: float = 10) -> None:
        """Waits until exactly that many connections are open."""
        assert self._ask("wait_open", count=count, timeout_ms=round(seconds * 1000))["reached"]

    def ended(self, connection: int = 0, seconds: float = 10) -> str | None:
        """How a connection ended: "fin", "rst" or "by_server"; None if it is open."""
        arguments = {"connection": connection, "timeout_ms": round(seconds * 1000)}
        return self._ask("wait_ended", **arguments)["ended"]

    @property
    def accepted(self) -> int:
        """How many connections there were."""
        return self._ask("connections")["accepted"]

    @property
    def most_open(self) -> int:
        """How many connections were open at the same time, at most."""
        return self._ask("connections")["most_open"]

    @property
    def accepted_order(self) -> list[tuple[int, str]]:
        """All request heads by arrival, each with the number of its connection."""
        return [(at, head) for at, head in self._ask("accepted_order")["heads"]]

    def heads(self, connection: int = 0) -> list[str]:
        return self._ask("heads", connection=connection)["heads"]

    def bodies(self, connection: int = 0) -> list[bytes]:
        found = self._ask("received", connection=connection)
        return [bytes.fromhex(body) for body in found["bodies"]]

    def received(self, connection: int = 0) -> bytes:
        """Everything that was read from a connection, without the framing of chunks."""
        return bytes.fromhex(self._ask("received", connection=connection)["hex"])

    def stop(self) -> None:
        self._ask("stop")

    def _ask(self, command: str, **arguments: object) -> dict[str, Any]:
        return self._control.ask(command, id=self._id, **arguments)


class Proxy(Server):
    """An HTTP proxy; `heads` are those of requests to the proxy, not of what goes through tunnels."""

    @property
    def tunnels(self) -> list[str]:
        """The targets of the tunnels that were opened: "host:port"."""
        return self._ask("tunnels")["opened"]

    @property
    def open_tunnels(self) -> int:
        return self._ask("tunnels")["open"]

    def wait_tunnels(self, count: int = 1, seconds: float = 10) -> None:
        assert self._ask("wait_tunnels", count=count, timeout_ms=round(seconds * 1000))["reached"]


class Socks(Proxy):
    """A SOCKS5 server; its `url` begins with socks5."""

    @property
    def asked(self) -> list[dict[str, Any]]:
        """What clients asked for: connection, methods, credentials, command, kind, host, port."""
        return self._ask("asked")["asked"]


class Origins:
    """Very many origins."""

    def __init__(self, control: Control, started: dict[str, Any]) -> None:
        self._control = control
        self._id = started["id"]
        self.ports: list[int] = started["ports"]
        self.descriptors: int = started["descriptors"]

    def url(self, origin: int) -> str:
        return f"http://127.0.0.1:{self.ports[origin]}/"

    @property
    def counts(self) -> dict[str, int]:
        """accepted, open, most_open and requests, of all together."""
        return self._control.ask("connections", id=self._id)

    def wait_open(self, count: int = 0, seconds: float = 10) -> None:
        """Waits until exactly that many connections are open."""
        arguments = {"count": count, "timeout_ms": round(seconds * 1000)}
        assert self._control.ask("wait_open", id=self._id, **arguments)["reached"]

    def stop(self) -> None:
        self._control.ask("stop", id=self._id)
