"""A client's trace: every head, the size of every piece of a body, what happens to connections; secrets are hidden."""

import re

import pytest

import hangup
from testserver import answer, forever

BOTH_FORMS = True


def test_a_trace_has_heads_bodies_and_the_connections_end(client, serve):
    server = serve([forever(answer(headers=[["Set-Cookie", "id=secret"]]))])
    records = []
    client.set_trace(records.append)
    response = client.post(server.url, content=b"hello", headers={"Authorization": "Bearer secret"})
    client.set_trace(None)
    client.get(server.url)
    assert [r.type for r in records if r.type != "info"] == ["request head", "request body", "response head", "response body"]
    head = next(r for r in records if r.type == "request head")
    assert head.data.startswith(b"POST / HTTP/1.1\r\n") and head.connection == response.connection
    assert b"[13 bytes hidden]" in head.data
    body = next(r for r in records if r.type == "request body")
    assert (body.size, body.data) == (5, b"")
    assert b"secret" not in b"".join(r.data for r in records)
    texts = [r.data.decode() for r in records if r.type == "info"]
    assert f"GET {server.url}" not in texts and texts[0].startswith(f"POST {server.url}")
    assert any(text.startswith("new connection to ") for text in texts)
    assert texts[-1] == "connection kept for the next request"
    assert all(abs(r.time - records[0].time) < 60 for r in records)


def test_bodies_on_demand_and_a_file(client, serve, tmp_path):
    server = serve([forever(answer("hello"))])
    path = tmp_path / "trace"
    client.set_trace(path, bodies=True)
    client.get(server.url)
    lines = path.read_text().splitlines()
    assert all(re.match(r"\d+\.\d{6} #\d+ [*><{}]", line) for line in lines), lines
    assert any(line.endswith("> GET / HTTP/1.1") for line in lines)
    assert any(line.endswith("< HTTP/1.1 200 OK") for line in lines)
    assert any(line.endswith("{ [5 bytes]") for line in lines) and any(line.endswith("{ hello") for line in lines)
    with pytest.raises(hangup.SystemFailure):
        client.set_trace(tmp_path / "no" / "such")


def test_an_exception_of_a_trace_is_reported_and_does_no_harm(client, serve, monkeypatch):
    server = serve([forever(answer())])
    raised = []
    monkeypatch.setattr("sys.unraisablehook", lambda found: raised.append(found.exc_value))
    client.set_trace(lambda record: 1 / 0)
    assert client.get(server.url).status_code == 200
    assert raised and all(isinstance(value, ZeroDivisionError) for value in raised)


def test_features():
    assert {"http1", "gzip", "tls"} <= hangup.features()
