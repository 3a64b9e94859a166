"""Downloads: the file is there when it is complete, and is continued where it broke off."""

import base64
import hashlib

import pytest

import hangup
from testserver import HEAD, forever, send

BOTH_FORMS = True

BODY = b"0123456789" * 1000
ETAG = 'ETag: "v1"\r\n'


def whole(more="", sent=len(BODY)):
    return [HEAD, send(f"HTTP/1.1 200 OK\r\n{more}Content-Length: {len(BODY)}\r\n\r\n"), {"send_hex": BODY[:sent].hex()}]


def rest(first, more=ETAG):
    head = f"HTTP/1.1 206 Partial Content\r\n{more}Content-Range: bytes {first}-{len(BODY) - 1}/{len(BODY)}\r\n"
    return [HEAD, send(f"{head}Content-Length: {len(BODY) - first}\r\n\r\n"), {"send_hex": BODY[first:].hex()}]


def test_a_file_is_written(serve, client, tmp_path):
    server = serve([forever(*whole())])
    r = client.download(server.url, tmp_path / "file")
    assert r.status_code == 200 and (tmp_path / "file").read_bytes() == BODY
    assert r.download == (len(BODY), len(BODY), 0, 0, False) and r.content == b""
    assert client.get(server.url).download is None
    assert client.download(server.url, str(tmp_path / "file"), method="POST", content=b"x").download.bytes == len(BODY)


def test_a_download_that_broke_off_is_continued(serve, client, tmp_path):
    digest = base64.b64encode(hashlib.sha256(BODY).digest()).decode()
    server = serve(whole(ETAG, 10), whole(ETAG, 20), [HEAD], rest(20, f"{ETAG}Repr-Digest: sha-256=:{digest}:\r\n"))
    with pytest.raises(hangup.PeerClosed):
        client.download(server.url, tmp_path / "file")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file.part", "file.part.state"]
    with pytest.raises(hangup.PeerClosed):
        client.download(server.url, tmp_path / "file", resume=False)
    done = client.download(server.url, tmp_path / "file", resumes=1).download
    assert done == (len(BODY), len(BODY) - 20, 20, 1, True)
    assert (tmp_path / "file").read_bytes() == BODY and len(list(tmp_path.iterdir())) == 1
    assert "range: bytes=20-" in server.heads(3)[-1].lower()


def test_what_is_wrong_has_its_exception(serve, client, tmp_path):
    missing = send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(hangup.UnexpectedStatus) as caught:
        client.download(serve([HEAD, missing]).url, tmp_path / "file")
    assert caught.value.status_code == 404
    with pytest.raises(hangup.DigestMismatch):
        client.download(serve(whole("Repr-Digest: sha-256=:AAAA:\r\n")).url, tmp_path / "file")
    with pytest.raises(hangup.TooLarge):
        client.download(serve(whole()).url, tmp_path / "file", max_bytes=9)
    with pytest.raises(hangup.SystemFailure) as caught:
        client.download(serve(whole()).url, tmp_path / "no" / "file")
    assert caught.value.errno == 2
    for options in ({"resumes": -1}, {"max_bytes": -1}, {"headers": {"Range": "bytes=0-1"}}):
        with pytest.raises(hangup.InvalidArgument):
            client.download("http://127.0.0.1:1/", tmp_path / "file", **options)
    assert list(tmp_path.iterdir()) == []
