//! The settings of TLS: what is trusted and in addition to what, client certificates in all their formats, versions,
//! pins, the server's name, the key log, and settings of one request.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use hangup::{ConnectionMode, Error, Kind, Request, Tls, TlsVersion};
use testserver::{Certificate, Script, Server, Step, certs};

use crate::support::form::{Client, Form, in_both_forms};
use crate::support::own_process::in_own_process_with;
use crate::support::{fetch, get, request};

in_both_forms! {
    q5_a_certificate_that_is_trusted_itself_is_accepted_if_it_is_valid,
    q5_roots_are_read_from_a_directory,
    q5_roots_can_be_added_to_the_systems,
    q5_ssl_cert_dir_is_honoured,
    q5_a_request_has_tls_settings_of_its_own,
    a_request_with_the_same_tls_shares_connections,
    the_settings_that_a_client_was_given_do_not_change,
    versions_are_bounded,
    q5_a_server_with_another_key_than_the_pinned_ones_is_refused,
    the_server_name_is_sent_and_verified,
    a_redirect_to_another_origin_has_its_own_server_name,
    secrets_are_logged_where_that_was_asked_for,
    sessions_are_resumed_within_one_value_of_settings,
}

const SECRET: &[u8] = b"secret";

fn secure(which: Certificate) -> Server {
    Server::start_tls(which, Script::answering("secret"))
}

/// A client with these settings.
fn client(form: Form, change: impl FnOnce(&mut Tls) -> Result<(), Error>) -> Client {
    let mut tls = Tls::new();
    change(&mut tls).unwrap();
    let client = form.client();
    client.set_tls(tls);
    client
}

/// Settings that trust the test CA.
fn trusting() -> Tls {
    let mut tls = Tls::new();
    tls.set_roots(certs().ca().as_bytes()).unwrap();
    tls
}

/// A new directory of this test and form.
fn scratch(form: Form, name: &str) -> PathBuf {
    let name = format!("tls-{name}-{form:?}-{}", std::process::id());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

#[track_caller]
fn refused(client: &Client, url: &str, part: &str) -> Error {
    let error = fetch(client, url).unwrap_err();
    assert_eq!(error.kind(), Kind::TlsFailed, "{error:?}");
    assert!(error.message().contains(part), "{:?} does not say {part:?}", error.message());
    error
}

fn q5_a_certificate_that_is_trusted_itself_is_accepted_if_it_is_valid(form: Form) {
    let trusting = |which| client(form, |tls| tls.set_roots(certs().server(which).cert.as_bytes()));
    // That of an authority, as `openssl req -x509` makes it; a self-signed one; and one that another authority signed,
    // which is not trusted.
    for which in [Certificate::OwnAuthority, Certificate::SelfSigned, Certificate::Good] {
        let server = secure(which);
        assert_eq!(fetch(&trusting(which), &server.url("/")).unwrap(), SECRET, "{which:?}");
        // Only this very certificate is accepted.
        let other = secure(Certificate::UnknownRoot);
        refused(&trusting(which), &other.url("/"), "not trusted");
    }
    let server = secure(Certificate::OwnAuthority);
    let stranger = client(form, |tls| tls.set_roots(certs().ca().as_bytes()));
    refused(&stranger, &server.url("/"), "CA:TRUE");
    // Its validity and its names are checked as those of any other.
    let expired = secure(Certificate::ExpiredAuthority);
    refused(&trusting(Certificate::ExpiredAuthority), &expired.url("/"), "it has expired");
    let elsewhere = client(form, |tls| {
        tls.set_roots(certs().server(Certificate::OwnAuthority).cert.as_bytes())?;
        tls.set_server_name(Some("elsewhere.invalid"))
    });
    refused(&elsewhere, &server.url("/"), "another host name");
}

fn q5_roots_are_read_from_a_directory(form: Form) {
    let directory = scratch(form, "roots");
    fs::write(directory.join("one.pem"), certs().ca()).unwrap();
    fs::write(directory.join("two"), &certs().server(Certificate::SelfSigned).cert).unwrap();
    fs::write(directory.join("README"), "no certificate").unwrap();
    fs::write(directory.join("client.key"), &certs().client().key).unwrap();
    fs::write(
        directory.join("broken.pem"),
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    fs::create_dir(directory.join("below")).unwrap();
    let client = client(form, |tls| tls.set_roots_path(&directory));
    for which in [Certificate::Good, Certificate::SelfSigned] {
        assert_eq!(fetch(&client, &secure(which).url("/")).unwrap(), SECRET, "{which:?}");
    }
    refused(&client, &secure(Certificate::UnknownRoot).url("/"), "not trusted");
    let empty = scratch(form, "empty");
    let error = Tls::new().set_roots_path(&empty).unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidArgument);
    assert!(error.message().contains("no file in this directory"), "{error}");
    // The shortcut of a client takes a directory as well.
    let short = form.client();
    short.set_tls_roots_file(&directory).unwrap();
    assert_eq!(fetch(&short, &secure(Certificate::Good).url("/")).unwrap(), SECRET);
    fs::remove_dir_all(directory).unwrap();
    fs::remove_dir_all(empty).unwrap();
}

fn q5_roots_can_be_added_to_the_systems(form: Form) {
    let (one, two) = (secure(Certificate::Good), secure(Certificate::SelfSigned));
    // The child has other certificates: it gets those of this process, and the addresses, from its environment.
    let directory = scratch(form, "added");
    let (ca, own) = (directory.join("ca.pem"), directory.join("own.pem"));
    if std::env::var_os("Q5_ONE").is_none() {
        fs::write(&ca, certs().ca()).unwrap();
        fs::write(&own, &certs().server(Certificate::SelfSigned).cert).unwrap();
    }
    let env = [
        ("SSL_CERT_FILE", ca.to_str().unwrap()),
        ("Q5_OWN", own.to_str().unwrap()),
        ("Q5_ONE", &one.url("/")),
        ("Q5_TWO", &two.url("/")),
    ];
    let name = form.name("tls_settings::q5_roots_can_be_added_to_the_systems");
    in_own_process_with(&name, &env, || {
        let given = |name| std::env::var(name).unwrap();
        let own = fs::read(given("Q5_OWN")).unwrap();
        let both = client(form, |tls| tls.add_roots(&own));
        let by_path = client(form, |tls| tls.add_roots_path(given("Q5_OWN")));
        for url in [given("Q5_ONE"), given("Q5_TWO")] {
            assert_eq!(fetch(&both, &url).unwrap(), SECRET);
            assert_eq!(fetch(&by_path, &url).unwrap(), SECRET);
        }
        let only = client(form, |tls| tls.set_roots(&own));
        refused(&only, &given("Q5_ONE"), "not trusted");
        // SSL_CERT_FILE alone.
        refused(&form.client(), &given("Q5_TWO"), "not trusted");
    });
    let _ = fs::remove_dir_all(directory);
}

fn q5_ssl_cert_dir_is_honoured(form: Form) {
    let (good, own) = (secure(Certificate::Good), secure(Certificate::OwnAuthority));
    let directory = scratch(form, "env");
    if std::env::var_os("Q5_GOOD").is_none() {
        // Names by hash, as OpenSSL has them.
        fs::write(directory.join("01234567.0"), certs().ca()).unwrap();
        fs::write(directory.join("01234567.1"), &certs().server(Certificate::OwnAuthority).cert)
            .unwrap();
    }
    let env = [
        ("SSL_CERT_DIR", directory.to_str().unwrap()),
        ("Q5_GOOD", &good.url("/")),
        ("Q5_OWN", &own.url("/")),
    ];
    let name = form.name("tls_settings::q5_ssl_cert_dir_is_honoured");
    in_own_process_with(&name, &env, || {
        for name in ["Q5_GOOD", "Q5_OWN"] {
            assert_eq!(fetch(&form.client(), &std::env::var(name).unwrap()).unwrap(), SECRET);
        }
    });
    let _ = fs::remove_dir_all(directory);
}

fn q5_a_request_has_tls_settings_of_its_own(form: Form) {
    let server = secure(Certificate::Good);
    let strict = form.client();
    let mut lenient = Tls::new();
    lenient.set_dangerously_accept_any_certificate(true);
    let mut request = request("GET", &server.url("/"));
    request.set_tls(Some(Arc::new(lenient)));
    let mut response = strict.send(&mut request).unwrap();
    assert_eq!(response.read_all(100).unwrap(), SECRET);
    // Its connection is idle now, and is not for a request that verifies.
    refused(&strict, &server.url("/"), "not trusted");
    request.set_tls(None);
    assert_eq!(strict.send(&mut request).unwrap_err().kind(), Kind::TlsFailed);
    // A copy has the settings as well.
    request.set_tls(Some(Arc::new(trusting())));
    let mut copy = request.try_clone().unwrap();
    assert_eq!(strict.send(&mut copy).unwrap().read_all(100).unwrap(), SECRET);
}

fn a_request_with_the_same_tls_shares_connections(form: Form) {
    let server = secure(Certificate::Good);
    let client = form.client();
    let send = |tls: &Arc<Tls>| {
        let mut request = request("GET", &server.url("/"));
        request.set_tls(Some(Arc::clone(tls)));
        let mut response = client.send(&mut request).unwrap();
        assert_eq!(response.read_all(100).unwrap(), SECRET);
        response.reused()
    };
    let one = Arc::new(trusting());
    assert!(!send(&one));
    assert!(send(&one));
    assert!(send(&Arc::new(trusting())), "equal settings");
    let mut other = trusting();
    other.set_versions(TlsVersion::Tls13, TlsVersion::Tls13).unwrap();
    assert!(!send(&Arc::new(other)));
}

fn the_settings_that_a_client_was_given_do_not_change(form: Form) {
    let server = secure(Certificate::Good);
    let mut tls = trusting();
    let client = form.client();
    client.set_tls(tls.clone());
    tls.set_server_name(Some("elsewhere.invalid")).unwrap();
    assert_eq!(fetch(&client, &server.url("/")).unwrap(), SECRET);
    client.set_tls(tls);
    refused(&client, &server.url("/"), "another host name");
    client.set_tls(Tls::new());
    refused(&client, &server.url("/"), "not trusted");
}

fn versions_are_bounded(form: Form) {
    let (old, new) = (TlsVersion::Tls12, TlsVersion::Tls13);
    let between = |min, max| {
        client(form, |tls| {
            tls.set_roots(certs().ca().as_bytes())?;
            tls.set_versions(min, max)
        })
    };
    let (both, only_old) = (secure(Certificate::Good), secure(Certificate::Tls12));
    for (min, max, spoken) in [(old, new, new), (new, new, new), (old, old, old)] {
        let client = between(min, max);
        assert_eq!(fetch(&client, &both.url("/")).unwrap(), SECRET);
        assert_eq!(client.manager().connections()[0].tls, Some(spoken.name()));
    }
    assert_eq!(fetch(&between(old, new), &only_old.url("/")).unwrap(), SECRET);
    refused(&between(new, new), &only_old.url("/"), "version");
    let error = Tls::new().set_versions(new, old).unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidArgument);
}

/// The pin that a message names.
fn pin_in(message: &str) -> &str {
    let from = message.find("sha256//").unwrap();
    message[from..].split(' ').next().unwrap()
}

fn q5_a_server_with_another_key_than_the_pinned_ones_is_refused(form: Form) {
    const OTHER: &str = "sha256//YhKJKSzoTt2b5FP18fvpHo7fJYqQCjAa3HWY3tvRMwE=";
    let (server, twelve) = (secure(Certificate::Good), secure(Certificate::Tls12));
    let pinned = |pins: &[&str], any: bool| {
        client(form, |tls| {
            tls.set_roots(certs().ca().as_bytes())?;
            tls.set_dangerously_accept_any_certificate(any);
            pins.iter().try_for_each(|pin| tls.add_pin(pin))
        })
    };
    let error = refused(&pinned(&[OTHER], false), &server.url("/"), "pinned");
    let pin = pin_in(error.message());
    // Several pins: one by one, or as curl takes them.
    let list = format!("{OTHER};{pin}");
    for pins in [&[pin][..], &[OTHER, pin], &[&list]] {
        for server in [&server, &twelve] {
            assert_eq!(fetch(&pinned(pins, false), &server.url("/")).unwrap(), SECRET);
            assert_eq!(fetch(&pinned(pins, true), &server.url("/")).unwrap(), SECRET);
        }
    }
    // Pins count where any certificate is accepted, and replace no other check.
    refused(&pinned(&[OTHER], true), &server.url("/"), "pinned");
    let expired = secure(Certificate::Expired);
    let error = refused(&pinned(&[OTHER], true), &expired.url("/"), "pinned");
    let pin = pin_in(error.message());
    refused(&pinned(&[pin], false), &expired.url("/"), "expired");
    assert_eq!(fetch(&pinned(&[pin], true), &expired.url("/")).unwrap(), SECRET);
}

fn the_server_name_is_sent_and_verified(form: Form) {
    let server = secure(Certificate::WrongHost);
    let named = client(form, |tls| {
        tls.set_roots(certs().ca().as_bytes())?;
        tls.set_server_name(Some("elsewhere.invalid"))
    });
    assert_eq!(fetch(&named, &server.url("/")).unwrap(), SECRET);
    let host = format!("localhost:{}", server.port());
    assert!(server.heads(0)[0].to_lowercase().contains(&host), "the Host header is the URL's");
    // An address is verified and not sent (RFC 6066 section 3).
    let addressed = client(form, |tls| {
        tls.set_roots(certs().ca().as_bytes())?;
        tls.set_server_name(Some("[::1]"))
    });
    assert_eq!(fetch(&addressed, &secure(Certificate::Good).url("/")).unwrap(), SECRET);
    // The name is in the first message.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    let hello = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let mut hello = vec![0; 4096];
        let got = connection.read(&mut hello).unwrap();
        hello.truncate(got);
        hello
    });
    fetch(&named, &url).unwrap_err();
    let hello = hello.join().unwrap();
    let says = |name: &[u8]| hello.windows(name.len()).any(|part| part == name);
    assert!(says(b"elsewhere.invalid") && !says(b"localhost"));
}

fn a_redirect_to_another_origin_has_its_own_server_name(form: Form) {
    let to = secure(Certificate::Good);
    let location = to.url("/there");
    let head = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
    let from = Server::start_tls(
        Certificate::WrongHost,
        Script::every(vec![Step::head(), Step::send(&head)]),
    );
    let mut tls = trusting();
    tls.set_server_name(Some("elsewhere.invalid")).unwrap();
    let mut request = Request::new("GET", &from.url("/")).unwrap();
    request.set_tls(Some(Arc::new(tls)));
    let mut response = form.client().send(&mut request).unwrap();
    assert_eq!(response.read_all(100).unwrap(), SECRET);
}

fn secrets_are_logged_where_that_was_asked_for(form: Form) {
    let server = secure(Certificate::Good);
    let directory = scratch(form, "keys");
    let file = directory.join("keys.txt");
    let fresh = |change: fn(&mut Tls, &Path) -> Result<(), Error>| {
        client(form, |tls| {
            tls.set_roots(certs().ca().as_bytes())?;
            change(tls, &file)
        })
    };
    fetch(&fresh(|tls, file| tls.set_key_log(Some(file))), &server.url("/")).unwrap();
    let lines = fs::read_to_string(&file).unwrap();
    let labels: Vec<_> = lines.lines().filter_map(|line| line.split(' ').next()).collect();
    for label in ["CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"] {
        assert!(labels.contains(&label), "{labels:?}");
    }
    for line in lines.lines() {
        let parts: Vec<&str> = line.split(' ').collect();
        assert!(parts.len() == 3 && parts[1].len() == 64 && parts[2].len() >= 64, "{line}");
    }
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    // Another session is appended, and one of TLS 1.2 has a label of its own.
    let twelve = secure(Certificate::Tls12);
    fetch(&fresh(|tls, file| tls.set_key_log(Some(file))), &twelve.url("/")).unwrap();
    let more = fs::read_to_string(&file).unwrap();
    assert!(more.starts_with(&lines) && more.contains("\nCLIENT_RANDOM "), "{more}");
    let error = Tls::new().set_key_log(Some(&directory)).unwrap_err();
    assert_eq!(error.kind(), Kind::System);
    // SSLKEYLOGFILE alone has no effect.
    let by_env = directory.join("env.txt");
    let env = [("SSLKEYLOGFILE", by_env.to_str().unwrap())];
    let name = form.name("tls_settings::secrets_are_logged_where_that_was_asked_for");
    in_own_process_with(&name, &env, || {
        let server = secure(Certificate::Good);
        let by_env = std::env::var("SSLKEYLOGFILE").unwrap();
        let with = |change: fn(&mut Tls) -> Result<(), Error>| {
            client(form, |tls| {
                tls.set_roots(certs().ca().as_bytes())?;
                change(tls)
            })
        };
        fetch(&with(|_| Ok(())), &server.url("/")).unwrap();
        assert!(!Path::new(&by_env).exists());
        fetch(&with(Tls::set_key_log_from_env), &server.url("/")).unwrap();
        assert!(fs::read_to_string(&by_env).unwrap().contains("CLIENT_TRAFFIC_SECRET_0 "));
    });
    let _ = fs::remove_dir_all(directory);
}

fn sessions_are_resumed_within_one_value_of_settings(form: Form) {
    for (which, version) in [(Certificate::Resumed, "TLSv1.3"), (Certificate::Resumed12, "TLSv1.2")]
    {
        let server = secure(which);
        let client = form.tls_client();
        let (own, other) = (Arc::new(trusting()), Arc::new(trusting()));
        let resumed = |tls: Option<&Arc<Tls>>| {
            let mut request = request("GET", &server.url("/"));
            request.set_connection_mode(ConnectionMode::CloseAfter);
            request.set_tls(tls.map(Arc::clone));
            let mut response = client.send(&mut request).unwrap();
            assert_eq!(response.read_all(100).unwrap(), SECRET);
            let facts = response.connection_facts().tls.clone().unwrap();
            assert_eq!(facts.version, version);
            assert_eq!(facts.certificates.len(), 1, "of the session, if it was resumed");
            facts.resumed
        };
        assert!(!resumed(None));
        assert!(resumed(None), "{version}");
        // Equal settings share connections, but each value has its own sessions.
        assert!(!resumed(Some(&own)));
        assert!(resumed(Some(&own)) && resumed(Some(&own)));
        assert!(!resumed(Some(&other)));
    }
}

/// Runs openssl in a directory.
#[track_caller]
fn openssl(directory: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    let output = command.args(arguments.split(' ')).current_dir(directory).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments}: {said}");
}

/// A directory with the client's certificate and key.
fn with_client_files(name: &str) -> PathBuf {
    let directory = scratch(Form::Blocking, name);
    fs::write(directory.join("cert.pem"), &certs().client().cert).unwrap();
    fs::write(directory.join("key.pem"), &certs().client().key).unwrap();
    directory
}

#[test]
fn q5_encrypted_keys_are_decrypted_by_their_password() {
    let directory = with_client_files("encrypted");
    let server = secure(Certificate::ClientAuth);
    let chain = certs().client().cert.as_bytes();
    for how in [
        "",
        " -v2 aes128",
        " -v2 aes-256-cbc -v2prf hmacWithSHA1",
        " -v2 des3",
        " -v2 aes-256-cbc -v2prf hmacWithSHA512 -iter 10000",
        " -scrypt -scrypt_N 1024",
    ] {
        openssl(
            &directory,
            &format!("pkcs8 -topk8 -in key.pem -out out.pem -passout pass:pass{how}"),
        );
        let key = fs::read(directory.join("out.pem")).unwrap();
        let given = |password| {
            client(Form::Blocking, |tls| {
                tls.set_roots(certs().ca().as_bytes())?;
                tls.set_certificate(chain, &key, password)
            })
        };
        assert_eq!(fetch(&given(Some("pass")), &server.url("/")).unwrap(), SECRET, "{how}");
        let refused = |password| Tls::new().set_certificate(chain, &key, password).unwrap_err();
        let (missing, wrong) = (refused(None), refused(Some("wrong")));
        assert!(missing.message().contains("give its password"), "{missing}");
        assert!(wrong.message().contains("does not decrypt"), "{wrong}");
        assert_eq!((missing.kind(), wrong.kind()), (Kind::InvalidArgument, Kind::InvalidArgument));
    }
    // A password for a key that is not encrypted is not used.
    let key = certs().client().key.as_bytes();
    Tls::new().set_certificate(chain, key, Some("pass")).unwrap();
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn other_formats_of_keys_and_certificates_are_named_with_the_command_that_converts_them() {
    let directory = with_client_files("formats");
    for (arguments, what) in [
        ("ec -in key.pem -aes128 -passout pass:pass -out FILE", "old, unsafe format"),
        (
            "pkcs8 -topk8 -in key.pem -v1 PBE-SHA1-3DES -passout pass:pass -out FILE",
            "not supported",
        ),
        ("pkcs12 -export -in cert.pem -inkey key.pem -passout pass:pass -out FILE", "PKCS#12"),
        ("pkey -in key.pem -outform der -out FILE", "DER"),
        ("x509 -in cert.pem -outform der -out FILE", "DER"),
        ("crl2pkcs7 -nocrl -certfile cert.pem -out FILE", "PKCS#7"),
        ("x509 -in cert.pem -trustout -out FILE", "trusted certificates"),
    ] {
        openssl(&directory, arguments);
        let given = fs::read(directory.join("FILE")).unwrap();
        let is_key = arguments.contains("key.pem") && !arguments.starts_with("pkcs12");
        let error = match is_key {
            true => Tls::new()
                .set_certificate(certs().client().cert.as_bytes(), &given, Some("pass"))
                .unwrap_err(),
            false => Tls::new().set_roots(&given).unwrap_err(),
        };
        assert_eq!(error.kind(), Kind::InvalidArgument, "{arguments}");
        let message = error.message();
        assert!(message.contains(what), "{arguments}: {message}");
        // One of the commands in the message makes a file that is accepted.
        let passwords = ["", " -passin pass:pass", " -passin pass:pass -passout pass:pass"];
        let commands = message.split('`').skip(1).step_by(2);
        let accepted = commands.filter_map(|text| text.strip_prefix("openssl ")).any(|command| {
            let command = command.replace("KEY.p8", "FILE.pem").replace("KEY", "FILE");
            passwords.iter().any(|more| {
                let _ = fs::remove_file(directory.join("FILE.pem"));
                let mut openssl = Command::new("openssl");
                let arguments = format!("{command}{more}");
                openssl.args(arguments.split(' ')).current_dir(&directory);
                let done = openssl.stdin(std::process::Stdio::null()).output().unwrap();
                let Ok(pem) = fs::read(directory.join("FILE.pem")) else { return false };
                let cert = certs().client().cert.as_bytes();
                done.status.success()
                    && match is_key {
                        true => Tls::new().set_certificate(cert, &pem, Some("pass")).is_ok(),
                        false => Tls::new().set_roots(&pem).is_ok(),
                    }
            })
        });
        assert!(accepted, "no command of {message:?} converts it");
    }
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn bad_certificates_and_keys_are_refused_with_what_is_wrong() {
    let (cert, key) = (certs().client().cert.as_bytes(), certs().client().key.as_bytes());
    let cut = &key[..key.len() - 30];
    let other = certs().server(Certificate::Good).key.as_bytes();
    let dirty = "-----BEGIN PRIVATE KEY-----\n!!!!\n-----END PRIVATE KEY-----\n".as_bytes();
    for (chain, key, what) in [
        (cert, cert, "no private key"),
        (key, key, "no certificate"),
        (cert, cut, "cut off"),
        (cert, dirty, "base64"),
        (cert, other, "does not belong to the certificate"),
        (cert, b"".as_slice(), "no private key"),
    ] {
        let error = Tls::new().set_certificate(chain, key, None).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidArgument, "{what}");
        assert!(error.message().contains(what), "{error} does not say {what}");
    }
}

#[test]
fn a_setting_that_is_refused_changes_nothing() {
    let server = secure(Certificate::Good);
    let mut tls = trusting();
    tls.set_roots(b"nothing").unwrap_err();
    tls.add_pin("nothing").unwrap_err();
    tls.set_server_name(Some("")).unwrap_err();
    tls.set_certificate(b"", b"", None).unwrap_err();
    let client = Form::Blocking.client();
    client.set_tls(tls);
    client.set_tls_roots(b"nothing").unwrap_err();
    assert!(get(&client, &server.url("/")).unwrap().read_all(100).is_ok());
}
