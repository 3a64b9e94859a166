"""Trusted roots and client certificates."""

import asyncio
import pathlib
import ssl
import subprocess

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


@pytest.mark.parametrize("form", ["path", "directory", "text"])
def test_the_certificate_of_openssl_req_is_trusted_as_it_is(secure, certs, manager, tmp_path, form):
    pem = certs / "own_authority.pem"
    (tmp_path / "own.pem").write_bytes(pem.read_bytes())
    verify = {"path": pem, "directory": str(tmp_path), "text": pem.read_text()}[form]
    client = hangup.Client(manager=manager, verify=verify)
    assert client.get(https(secure("own_authority"))).text == "secret"
    with pytest.raises(hangup.TLSError, match="expired"):
        hangup.Client(manager=manager, verify=certs / "expired_authority.pem").get(https(secure("expired_authority")))


def test_verify_of_one_request(secure, certs, manager):
    server = secure()
    strict = hangup.Client(manager=manager)
    for verify in (False, certs / "ca.pem", str(certs), (certs / "ca.pem").read_bytes()):
        assert strict.get(https(server), verify=verify).text == "secret"
    assert strict.get(https(server), verify=False).reused
    with pytest.raises(hangup.TLSError, match="not trusted"):
        strict.get(https(server))
    lenient = hangup.Client(manager=manager, verify=False)
    with pytest.raises(hangup.TLSError, match="not trusted"):
        lenient.get(https(server), verify=True)


def test_verify_of_one_request_keeps_the_other_settings(secure, certs, manager):
    server = secure("client_auth")
    pair = (certs / "client.pem", certs / "client.key")
    client = hangup.Client(manager=manager, tls=hangup.TLS(cert=pair, max_version="TLSv1.2"))
    r = client.get(https(server), verify=certs / "ca.pem")
    assert r.text == "secret" and manager.connections()[0].tls == "TLSv1.2"


def test_verify_of_one_request_asyncio(secure, certs, manager):
    async def main():
        async with hangup.AsyncClient(manager=manager) as client:
            server = secure()
            assert (await client.get(https(server), verify=certs / "ca.pem")).text == "secret"
            with pytest.raises(hangup.TLSError):
                await client.get(https(server))
            tls = hangup.TLS(verify=certs / "ca.pem", min_version="TLSv1.3")
            assert (await client.get(https(server), tls=tls)).text == "secret"

    asyncio.run(main())


def test_a_changed_file_is_read_again(secure, certs, manager, tmp_path):
    server = secure()
    roots = tmp_path / "roots.pem"
    roots.write_bytes((certs / "client_ca.pem").read_bytes())
    client = hangup.Client(manager=manager)
    with pytest.raises(hangup.TLSError):
        client.get(https(server), verify=roots)
    roots.unlink()
    roots.write_bytes((certs / "ca.pem").read_bytes())
    assert client.get(https(server), verify=roots).text == "secret"


def test_versions(secure, certs, manager):
    server = secure()
    for options, version in (
        ({"max_version": "TLSv1.2"}, "TLSv1.2"),
        ({"min_version": ssl.TLSVersion.TLSv1_3}, "TLSv1.3"),
    ):
        tls = hangup.TLS(verify=certs / "ca.pem", **options)
        hangup.Client(manager=manager, tls=tls).get(https(server), connection="fresh")
        assert version in {row.tls for row in manager.connections()}
    with pytest.raises(hangup.TLSError, match="version"):
        hangup.Client(manager=manager, tls=hangup.TLS(verify=certs / "ca.pem", min_version="TLSv1.3")).get(
            https(secure("tls12"))
        )
    for bad in ("TLSv1.1", "1.3", ssl.TLSVersion.TLSv1):
        with pytest.raises(hangup.InvalidArgument, match="min_version"):
            hangup.TLS(min_version=bad)
    with pytest.raises(hangup.InvalidArgument, match="greater"):
        hangup.TLS(min_version="TLSv1.3", max_version="TLSv1.2")


def test_pins_are_what_the_documented_command_writes(secure, certs, manager):
    command = (
        f"openssl x509 -in {certs}/good.pem -noout -pubkey | openssl pkey -pubin -outform der | "
        "openssl dgst -sha256 -binary | base64"
    )
    pin = "sha256//" + subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout.strip()
    other = "sha256//YhKJKSzoTt2b5FP18fvpHo7fJYqQCjAa3HWY3tvRMwE="
    server = secure()
    for pins in (pin, [other, pin], f"{other};{pin}"):
        client = hangup.Client(manager=manager, tls=hangup.TLS(verify=certs / "ca.pem", pins=pins))
        assert client.get(https(server)).text == "secret"
    with pytest.raises(hangup.TLSError) as caught:
        hangup.Client(manager=manager, tls=hangup.TLS(verify=False, pins=other)).get(https(server))
    assert pin in str(caught.value)
    with pytest.raises(hangup.InvalidArgument, match="openssl"):
        hangup.TLS(pins="nonsense")


def test_the_server_name_is_another(secure, certs, manager):
    tls = hangup.TLS(verify=certs / "ca.pem", server_name="elsewhere.invalid")
    assert hangup.Client(manager=manager).get(https(secure("wrong_host")), tls=tls).text == "secret"


def test_extra_roots_are_in_addition(secure, certs, manager):
    tls = hangup.TLS(verify=certs / "ca.pem", extra_roots=[certs / "self_signed.pem"])
    client = hangup.Client(manager=manager, tls=tls)
    for certificate in ("good", "self_signed"):
        assert client.get(https(secure(certificate))).text == "secret"


def test_secrets_are_logged_on_demand(secure, certs, manager, tmp_path, monkeypatch):
    server = secure()
    by_env = tmp_path / "env.txt"
    monkeypatch.setenv("SSLKEYLOGFILE", str(by_env))
    trusting(certs, manager).get(https(server), connection="fresh")
    assert not by_env.exists()
    for key_log, file in (("env", by_env), (tmp_path / "keys.txt", tmp_path / "keys.txt")):
        tls = hangup.TLS(verify=certs / "ca.pem", key_log=key_log)
        hangup.Client(manager=manager, tls=tls).get(https(server), connection="fresh")
        assert "CLIENT_TRAFFIC_SECRET_0 " in file.read_text()


def test_an_encrypted_key(secure, certs, manager, tmp_path):
    key = tmp_path / "encrypted.key"
    subprocess.run(
        ["openssl", "pkcs8", "-topk8", "-in", certs / "client.key", "-out", key, "-passout", "pass:word"], check=True
    )
    cert = certs / "client.pem"
    client = trusting(certs, manager, cert=(cert, key, "word"))
    assert client.get(https(secure("client_auth"))).text == "secret"
    with pytest.raises(hangup.InvalidArgument, match="give its password"):
        hangup.TLS(cert=(cert, key))
    with pytest.raises(hangup.InvalidArgument, match="does not decrypt"):
        hangup.TLS(cert=(cert, key, "wrong"))
    assert "word" not in repr(hangup.TLS(cert=(cert, key, "word")))


def test_other_libraries_contexts_are_refused_with_what_to_give_instead(certs, client):
    context = ssl.create_default_context()
    for use in (
        lambda: hangup.Client(verify=context),
        lambda: hangup.Client(cert=context),
        lambda: hangup.Client(tls=context),
        lambda: client.get("https://localhost:1/", verify=context),
        lambda: client.get("https://localhost:1/", tls=context),
        lambda: hangup.TLS(verify=context),
    ):
        with pytest.raises(TypeError, match=r"SSLContext can't be used.*hangup\.TLS"):
            use()
    with pytest.raises(hangup.InvalidArgument, match="its own verify"):
        hangup.Client(tls=hangup.TLS(), verify=False)
    with pytest.raises(TypeError, match="hangup.TLS, not int"):
        client.get("https://localhost:1/", tls=5)


def test_what_is_shown_of_settings():
    assert repr(hangup.TLS()) == "TLS()"
    assert repr(hangup.TLS(verify=False, server_name="a.test")) == "TLS(verify=False, server_name='a.test')"
