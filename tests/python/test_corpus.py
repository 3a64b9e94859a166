"""The corpus of wire cases that the Rust, C and Python runners share (tests/corpus).

Trailers and 1xx responses are not looked at: the C ABI does not show them yet.
"""

import json
import re
from pathlib import Path

import pytest

import hangup
from hangup import _errors

BOTH_FORMS = True

CORPUS = Path(__file__).resolve().parents[1] / "corpus"
CASES = [case for file in sorted(CORPUS.glob("*.json")) for case in json.loads(file.read_text(encoding="utf-8"))]
LIMIT = hangup.Timeout(2)

def kind_of(status):
    """The exception for a HANGUP_* name, by the numbers of the header."""
    header = Path(hangup.get_include(), "hangup.h").read_text(encoding="utf-8")
    found = re.search(rf"\b{status} = (\d+)", header)
    assert found, status
    return _errors._BY_STATUS.get(int(found[1]))


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
def test_case(serve, client, control, case):
    script = case["script"]
    if isinstance(script, dict):
        server = type(serve())(control, control.ask("start", script=script))
    else:
        server = serve(*script)
    request, expect = case.get("request", {}), case["expect"]
    method, url = request.get("method", "GET"), server.origin + request.get("path", "/")
    bodies, status, fields, error = [], None, None, None
    for number in range(request.get("repeat", 1)):
        assert error is None, f"request {number - 1} failed: {error!r}"
        body = b""
        try:
            with client.stream(method, url, timeout=LIMIT, **options_of(request, expect)) as r:
                status, fields = r.status_code, r.headers
                for piece in r.iter_bytes():
                    body += piece
        except hangup.HangupError as caught:
            error = caught
        bodies.append(body)
    wanted = kind_of(expect["status"])
    assert wanted is None and error is None or wanted is not None and isinstance(error, wanted), repr(error)
    look(expect, status, fields, bodies, error)
    if expect.get("connections") is not None:
        assert server.accepted == expect["connections"]
    if expect.get("received") is not None:
        host, agent = f"127.0.0.1:{server.port}", f"hangup/{hangup.__version__}"
        expected = expect["received"].replace("{host}", host).replace("{agent}", agent).encode("latin-1")
        assert server.received(server.accepted - 1) == expected


def options_of(request, expect):
    """The options of the request's call. A client of Python asks for codings unless that is taken away."""
    headers = [(name, None) for name in request.get("without", [])]
    if expect.get("received") is not None:
        headers.append(("Accept-Encoding", None))
    headers += [(name, value.encode("latin-1")) for name, value in request.get("headers", [])]
    content = request.get("body")
    if request.get("reader"):
        content = iter([content.encode()])
    return {
        "headers": headers,
        "content": content,
        "target": request.get("target"),
        "url_as_given": request.get("as_given", False),
    }


def look(expect, status, fields, bodies, error):
    if expect.get("http_status") is not None:
        assert status == expect["http_status"]
    if expect.get("body") is not None:
        assert bodies[-1] == expect["body"].encode()
    if expect.get("bodies") is not None:
        assert bodies == [body.encode() for body in expect["bodies"]]
    if expect.get("partial") is not None:
        assert bodies[-1] == expect["partial"].encode()
    if expect.get("message") is not None:
        assert expect["message"].lower() in str(error).lower()
    for name, value in expect.get("headers", []):
        assert value in fields.get_list(name)
