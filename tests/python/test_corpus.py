"""The corpus of wire cases that the Rust, C and Python runners share (tests/corpus), in both forms, plain and over TLS."""

import json
import re
from pathlib import Path

import pytest

import hangup
from hangup import _errors
from testserver import Server

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


@pytest.fixture
def over(request, manager, form, control):
    """A client, and the options of its servers, for plain text or TLS."""
    if request.param == "plain":
        settings, options = {}, {}
    else:
        settings, options = {"verify": str(control.certs() / "ca.pem")}, {"tls": "good"}
    with form(manager=manager, **settings) as client:
        yield client, options
    manager.shutdown()


@pytest.mark.parametrize("over", ["plain", "tls"], indirect=True)
@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
def test_case(over, control, case):
    client, options = over
    server = Server(control, control.ask("start", script=case["script"], **options))
    request, expect = case.get("request", {}), case["expect"]
    method, url = request.get("method", "GET"), server.origin + request.get("path", "/")
    bodies, seen, error = [], None, None
    for number in range(request.get("repeat", 1)):
        assert error is None, f"request {number - 1} failed: {error!r}"
        body = b""
        try:
            with client.stream(method, url, timeout=LIMIT, **options_of(request, expect)) as seen:
                for piece in seen.iter_bytes():
                    body += piece
        except hangup.HangupError as caught:
            error = caught
        bodies.append(body)
    wanted = kind_of(expect["status"])
    assert wanted is None and error is None or wanted is not None and isinstance(error, wanted), repr(error)
    look(expect, seen, bodies, error)
    if expect.get("connections") is not None:
        assert server.accepted == expect["connections"]
    if expect.get("received") is not None:
        host, agent = server.origin.split("//")[1], f"hangup/{hangup.__version__}"
        expected = expect["received"].replace("{host}", host).replace("{agent}", agent).encode("latin-1")
        assert server.received(server.accepted - 1) == expected
    server.stop()


def options_of(request, expect):
    """The options of the request's call. A client of Python asks for codings unless that is taken away."""
    headers = [(name, None) for name in request.get("without", [])]
    if expect.get("received") is not None:
        headers.append(("Accept-Encoding", None))
    headers += [(name, value.encode("latin-1")) for name, value in request.get("headers", [])]
    content = request.get("body")
    if request.get("reader"):
        content = iter([content.encode()])
    files = None
    if request.get("form"):
        fields = [line.split("|") for line in content.split("\n")]
        files = [(name, (file or None, text, "text/plain" if file else None)) for name, file, text in fields]
        headers.append(("Content-Type", "multipart/form-data; boundary=limit"))
        content = None
    if request.get("pushed"):
        upload = hangup.Upload()
        with upload:
            for character in content:
                upload.write(character.encode())
        content = upload
    return {
        "files": files,
        "expect_continue": 60 if request.get("expect_continue") else None,
        "headers": headers,
        "content": content,
        "target": request.get("target"),
        "url_as_given": request.get("as_given", False),
        "decode": request.get("decode", False),
    }


def look(expect, seen, bodies, error):
    if expect.get("http_status") is not None:
        assert seen.status_code == expect["http_status"]
    if expect.get("body") is not None:
        assert bodies[-1] == expect["body"].encode()
    if expect.get("bodies") is not None:
        assert bodies == [body.encode() for body in expect["bodies"]]
    if expect.get("partial") is not None:
        assert bodies[-1] == expect["partial"].encode()
    if expect.get("message") is not None:
        assert expect["message"].lower() in str(error).lower()
    for name, value in expect.get("headers", []):
        assert value in seen.headers.get_list(name)
    if expect.get("reason") is not None:
        assert seen.reason_phrase == expect["reason"]
    if expect.get("version") is not None:
        assert seen.http_version == f"HTTP/{expect['version'] / 10}"
    if expect.get("raw_headers") is not None:
        assert seen.raw_headers == [(name.encode(), value.encode()) for name, value in expect["raw_headers"]]
    if expect.get("content_length") is not None:
        assert (-1 if seen.content_length is None else seen.content_length) == expect["content_length"]
    if expect.get("informational") is not None:
        assert [interim.status_code for interim in seen.interim_responses] == expect["informational"]
    if expect.get("trailers") is not None:
        assert seen.trailers.multi_items() == [tuple(field) for field in expect["trailers"]]
