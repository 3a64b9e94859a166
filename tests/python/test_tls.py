"""Trusted roots and client certificates."""

import pathlib

import pytest

import hangup
from testserver import answer, forever


def https(server):
    return server.url.replace("http:", "https:").replace("127.0.0.1", "localhost")


@pytest.fixture(scope="module")
def certs(control):
    return control.certs()


@pytest.fixture
def secure(serve):
    def start(certificate="good"):
        return serve([{"tls": certificate}, forever(answer("secret"))])

    return start


def trusting(certs, manager, **options):
    return hangup.Client(manager=manager, verify=certs / "ca.pem", **options)


@pytest.mark.parametrize("form", ["path", "str", "text", "bytes"])
def test_own_roots(secure, certs, manager, form):
    path = certs / "ca.pem"
    verify = {"path": path, "str": str(path), "text": path.read_text(), "bytes": path.read_bytes()}[form]
    client = hangup.Client(manager=manager, verify=verify)
    server = secure()
    r = client.get(https(server))
    assert r.text == "secret" and r.timings.tls > 0 and r.url.startswith("https:")
    assert client.get(https(server)).reused
    assert manager.connections()[0].tls in ("TLSv1.2", "TLSv1.3")


@pytest.mark.parametrize("certificate", ["expired", "wrong_host", "self_signed", "unknown_root"])
def test_a_bad_certificate_is_refused(secure, certs, manager, certificate):
    with pytest.raises(hangup.TLSError) as caught:
        trusting(certs, manager).get(https(secure(certificate)))
    assert (caught.value.phase, caught.value.sent) == ("tls", "nothing")
    assert manager.connections() == []


def test_the_systems_roots_do_not_know_the_test(secure, client):
    with pytest.raises(hangup.TLSError):
        client.get(https(secure()))


def test_verify_false_accepts_any_certificate_and_shares_no_connection(secure, certs, manager):
    server = secure()
    hangup.Client(manager=manager, verify=False).get(https(server))
    assert not trusting(certs, manager).get(https(server)).reused
    with pytest.raises(hangup.TLSError):
        hangup.Client(manager=manager).get(https(server))
    assert hangup.Client(manager=manager, verify=False).get(https(secure("self_signed"))).text == "secret"


def test_a_client_certificate(secure, certs, manager):
    server = secure("client_auth")
    cert, key = certs / "client.pem", certs / "client.key"
    for pair in ((cert, str(key)), (cert.read_bytes(), key.read_text()), cert.read_text() + key.read_text()):
        assert trusting(certs, manager, cert=pair).get(https(server)).text == "secret"
    with pytest.raises(hangup.HangupError):
        trusting(certs, manager).get(https(server))


def test_invalid_certificate_files_are_errors(certs, tmp_path):
    with pytest.raises(hangup.SystemFailure):
        hangup.Client(verify=tmp_path / "missing.pem")
    with pytest.raises(hangup.InvalidArgument):
        hangup.Client(verify=b"no certificate")
    with pytest.raises(TypeError, match="bool, a path or PEM"):
        hangup.Client(verify=5)
    with pytest.raises(FileNotFoundError):
        hangup.Client(cert=(tmp_path / "missing.pem", tmp_path / "missing.key"))
    with pytest.raises(hangup.InvalidArgument):
        hangup.Client(cert=(certs / "client.pem", certs / "good.key"))
    assert isinstance(certs, pathlib.Path)
