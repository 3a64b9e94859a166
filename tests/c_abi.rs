//! The C ABI from outside: each program in `tests/c` is compiled against the header and the library of this
//! build, given the servers it needs, and has to exit 0. One test function per program.
//!
//! `HANGUP_SANITIZE=1` compiles them with the address and undefined-behaviour sanitizers, `HANGUP_VALGRIND=1`
//! runs them all under valgrind; three of them always run under it too. `$CC` and `$CXX` name the compilers.

#[path = "c/abi.rs"]
mod abi;

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use abi::Under;
use testserver::{
    Answer, BlackHole, Certificate, DemoServer, Options, Proxy, ProxyOptions, Script, Server, Step,
    certs, corpus,
};

/// The servers of one program, and what it is told about them.
#[derive(Default)]
struct Given {
    args: Vec<String>,
    servers: Vec<Server>,
    holes: Vec<BlackHole>,
    proxies: Vec<Proxy>,
    demo: Option<DemoServer>,
}

impl Given {
    /// A server with a script of its own, as JSON.
    fn script(self, name: &str, json: &str) -> Given {
        let script = Script::from_json(json).unwrap_or_else(|e| panic!("{name}: {e}"));
        self.server(name, script)
    }

    fn server(mut self, name: &str, script: Script) -> Given {
        let server = Server::start(script);
        self.args.push(format!("{name}={}", server.url("/")));
        self.servers.push(server);
        self
    }

    /// Answers 200 "hello", for ever.
    fn hello(self, name: &str) -> Given {
        self.server(name, Script::answering("hello"))
    }

    /// Answers with the head of the request.
    fn echo_head(self, name: &str) -> Given {
        self.server(name, Script::echoing())
    }

    /// Answers with the body of the request.
    fn echo_body(mut self, name: &str) -> Given {
        let demo = self.demo.get_or_insert_with(DemoServer::start);
        self.args.push(format!("{name}={}", demo.http_url("/echo")));
        self
    }

    /// Redirects with 307 to what answers with the body of the request.
    fn moved(mut self) -> Given {
        let demo = self.demo.get_or_insert_with(DemoServer::start);
        let to = demo.http_url("/echo");
        let answer = format!(r#"{{"answer":{{"status":307,"headers":[["Location","{to}"]]}}}}"#);
        self.script("moved", &format!(r#"[[{{"repeat":{{"times":0,"steps":[{answer}]}}}}]]"#))
    }

    /// Answers "hello" once on each connection, and closes at the second request.
    fn breaks(self) -> Given {
        self.server("breaks", Script::every(vec![Step::answer(200, "hello"), Step::head()]))
    }

    /// Lets `user:pass` through, and knows the last server as origin.test.
    fn proxy(mut self) -> Given {
        let origin = self.servers.last().expect("a server to go to").addr();
        let credentials = Some(("user".to_owned(), "pass".to_owned()));
        let hosts = [("origin.test".to_owned(), origin)].into();
        let options = ProxyOptions { credentials, hosts, ..ProxyOptions::default() };
        let proxy = Proxy::start_with(options).expect("a proxy");
        self.args.push(format!("proxy={}", proxy.url()));
        self.proxies.push(proxy);
        self
    }

    /// Accepts, and then nothing.
    fn silent(self) -> Given {
        self.script("silent", r#"[["stall"]]"#)
    }

    /// Reads the head of a request and never its body.
    fn deaf(self) -> Given {
        self.script("deaf", r#"[[{"recv":"head"},"stall"]]"#)
    }

    /// Sends a head and ten bytes of a thousand.
    fn half(self) -> Given {
        let head = r#"{"send":"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n0123456789"}"#;
        self.script("half", &format!(r#"[[{{"recv":"head"}},{head},"stall"]]"#))
    }

    /// Sends 200,000 bytes, for ever.
    fn large(self) -> Given {
        let head = r#"{"send":"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n"}"#;
        let steps = format!(r#"[{{"recv":"head"}},{head},{{"fill":{{"bytes":200000}}}}]"#);
        self.script("large", &format!(r#"[[{{"repeat":{{"times":0,"steps":{steps}}}}}]]"#))
    }

    /// Sends its head at once and its body 300 ms later, for ever.
    fn late(self) -> Given {
        let late = r#"[[{"repeat":{"times":0,"steps":[{"recv":"head"},
            {"send":"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"},{"sleep_ms":300},{"send":"done"}]}}]]"#;
        self.script("late", late)
    }

    /// Connecting hangs.
    fn hole(mut self) -> Given {
        let hole = BlackHole::new();
        self.args.push(format!("hole={}", hole.url("/")));
        self.holes.push(hole);
        self
    }

    /// Servers that hand their connections over, and send back what comes or do nothing.
    fn switching(self) -> Given {
        let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: lines\r\n\r\n";
        let early = format!("{switch}early");
        let server = |head: &str, last| Script::every(vec![Step::head(), Step::send(head), last]);
        self.server("switch", server(&early, Step::Echo))
            .server("stuck", server(switch, Step::Stall))
            .server("tunnel", server("HTTP/1.1 200 OK\r\n\r\n", Step::Echo))
    }

    /// Compiles `tests/c/<program>` and runs it with these servers.
    fn run(&self, program: &str) {
        let program = built(program);
        abi::succeed(abi::command(&program, Under::Nothing).args(&self.args));
    }

    fn run_under_valgrind(&self, program: &str) {
        let program = built(program);
        abi::succeed(abi::command(&program, Under::Valgrind).args(&self.args));
    }
}

fn source(name: &str) -> PathBuf {
    abi::root().join("tests/c").join(name)
}

/// Compiles a program into a directory of its own and answers where it is.
fn built(name: &str) -> PathBuf {
    let stem = Path::new(name).file_stem().expect("a file name").to_string_lossy().into_owned();
    let output = abi::scratch(&stem).join(&stem);
    let standard = if name.ends_with(".cpp") { "-std=c++17" } else { "-std=c11" };
    abi::compile(&[&source(name)], &output, &["-g", standard]);
    if abi::is_set("HANGUP_SANITIZE") {
        // A compiler that ignores the flag would make every program look clean.
        let symbols = abi::succeed(Command::new("nm").arg(&output)).stdout;
        assert!(
            String::from_utf8_lossy(&symbols).contains(if abi::sanitizes_threads() {
                "__tsan_init"
            } else {
                "__asan_init"
            }),
            "no sanitizer in {name}"
        );
    }
    output
}

fn for_life() -> Given {
    let two = r#"{"send":"HTTP/1.1 200 OK\r\nX-Twice: one\r\nx-empty:\r\nX-Twice: two\r\nContent-Length: 0\r\n\r\n"}"#;
    let headers = format!(r#"[[{{"repeat":{{"times":0,"steps":[{{"recv":"head"}},{two}]}}}}]]"#);
    Given::default().hello("hello").echo_head("echo").large().script("headers", &headers)
}

fn for_free_order() -> Given {
    Given::default().hello("hello").large().half().silent()
}

fn for_policy() -> Given {
    let given = Given::default().echo_head("echo");
    let echo = given.servers.last().expect("the server that echoes").url("/");
    let to = |place: &str, more: &str| {
        format!(r#"[{{"answer":{{"status":302,"headers":[["Location","{place}"]{more}]}}}}]"#)
    };
    let home = to("/there", r#",["Set-Cookie","id=7"]"#);
    let moves = format!(
        r#"[[{{"repeat":{{"times":0,"steps":[{{"by_path":{{"/":{home},"/loop":{},"/away":{},
            "/there":[{{"echo_head":true}}]}}}}]}}}}]]"#,
        to("/loop", ""),
        to(&echo, "")
    );
    let gzip = r#"[[{"repeat":{"times":0,"steps":[{"recv":"head"},
        {"send":"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 25\r\n\r\n"},
        {"send_hex":"1f8b0800000000000203cb48cdc9c9070086a6103605000000"}]}}]]"#;
    given.script("moves", &moves).script("gzip", gzip)
}

#[test]
fn life() {
    for_life().run("life.c");
}

#[test]
fn timeout() {
    let drip = r#"[[{"recv":"head"},{"send":"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"},
        {"drip":{"bytes":100000,"every_ms":20}}]]"#;
    let given = Given::default().hello("hello").hole().silent().deaf().half();
    given.script("drip", drip).run("timeout.c");
}

#[test]
fn cancel() {
    let program = built("cancel.c");
    let preload = program.with_file_name("slow_resolver.so");
    let mut compiler = Command::new(abi::cc());
    compiler.args(abi::WARNINGS).args(["-shared", "-fPIC"]).arg(source("slow_resolver.c"));
    abi::succeed(compiler.arg("-o").arg(&preload).arg("-ldl"));

    let given = Given::default().hello("hello").hole().silent().deaf().half();
    let mut command = abi::command(&program, Under::Nothing);
    abi::succeed(command.args(&given.args).env("LD_PRELOAD", preload));
}

#[test]
fn close() {
    let given = Given::default().hello("hello").hello("other").late();
    given.silent().half().hole().large().run("close.c");
}

#[test]
fn reasons() {
    let answer = r#"{"send":"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"}"#;
    let short =
        r#"{"send":"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"}"#;
    let given = Given::default()
        .hello("hello")
        .large()
        .silent()
        .half()
        .script("gone", r#"[[{"recv":"head"},"rst"]]"#)
        .script("leaves", r#"[[{"recv":"head"}]]"#)
        .script("short", &format!(r#"[[{{"recv":"head"}},{short}]]"#))
        .script("junk", r#"[[{"recv":"head"},{"send":"220 smtp.invalid ESMTP\r\n"}]]"#)
        .script("once", &format!(r#"[[{{"recv":"head"}},{answer}]]"#));
    given.run("reasons.c");
}

#[test]
fn limits() {
    Given::default().hello("hello").hello("other").run("limits.c");
}

#[test]
fn drain() {
    Given::default().hello("hello").late().half().run("drain.c");
}

#[test]
fn events() {
    Given::default().hello("hello").breaks().run("events.c");
}

#[test]
fn queue() {
    Given::default().hello("hello").large().half().silent().hole().run("queue.c");
}

#[test]
fn taker() {
    Given::default().hello("hello").large().silent().run("taker.c");
}

#[test]
fn drive() {
    Given::default().hello("hello").large().silent().run("drive.c");
}

#[test]
fn own_stack() {
    Given::default().hello("hello").run("own_stack.c");
}

#[test]
fn thread_cancel() {
    Given::default().hello("hello").silent().run("thread_cancel.c");
}

#[test]
fn callback_throws() {
    Given::default().hello("hello").silent().run("callback_throws.cpp");
}

#[test]
fn submit_read() {
    Given::default().hello("hello").large().half().echo_body("body").run("submit_read.c");
}

#[test]
fn stream() {
    Given::default().hello("hello").switching().run("stream.c");
}

#[test]
fn cpp_stream() {
    Given::default().switching().run("cpp_stream.cpp");
}

#[test]
fn codings() {
    let zeros = vec![0; 100_000_000];
    let gzip = |data: &[u8]| {
        let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        coder.write_all(data).unwrap();
        coder.finish().unwrap()
    };
    let br = |data: &[u8]| {
        let params =
            brotli::enc::BrotliEncoderParams { quality: 5, lgwin: 24, ..Default::default() };
        let mut coded = Vec::new();
        brotli::BrotliCompress(&mut &*data, &mut coded, &params).unwrap();
        coded
    };
    let zstd = |data: &[u8]| {
        use zstd_safe::{CCtx, CParameter, compress_bound};
        let mut encoder = CCtx::create();
        encoder.set_parameter(CParameter::WindowLog(23)).unwrap();
        let mut coded = Vec::with_capacity(compress_bound(data.len()));
        encoder.compress2(&mut coded, data).unwrap();
        coded
    };
    let of = |coding: &str, body: Vec<u8>| {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {length}\r\n\r\n"
        );
        Script::every(vec![Step::head(), Step::send(&head), Step::SendHex(body)])
    };
    let both = zstd(&br(&zeros));
    Given::default()
        .server("small", of("gzip", gzip(b"ok")))
        .server("gzip", of("gzip", gzip(&zeros)))
        .server("br", of("br", br(&zeros)))
        .server("zstd", of("zstd", zstd(&zeros)))
        .server("both", of("br, zstd", both))
        .run("codings.c");
}

#[test]
fn download() {
    let large = vec![
        Step::head(),
        Step::send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n"),
        Step::Fill { bytes: 100_000_000, byte: 'x' },
    ];
    Given::default().hello("hello").server("large", Script::every(large)).run("download.c");
}

#[test]
fn credentials() {
    let answer = |status: u16, name: &str, value: &str| {
        let headers = vec![(name.to_owned(), value.to_owned())];
        Step::Answer(Answer { status, headers, body: "no".to_owned() })
    };
    let then = |first: Step, rest: Step| Script::new(vec![vec![first, Step::forever(vec![rest])]]);
    let challenge = "Digest realm=\"r\", nonce=\"n\", qop=\"auth\"";
    let (echo, hello) = (Step::EchoHead(true), Step::answer(200, "hello"));
    Given::default()
        .server("digest", then(answer(401, "WWW-Authenticate", challenge), echo.clone()))
        .server("refuses", then(Step::answer(401, "no"), echo))
        .server("busy", then(answer(503, "Retry-After", "0"), hello))
        .echo_head("echo")
        .run("credentials.c");
}

#[test]
fn policy() {
    for_policy().breaks().run("policy.c");
}

#[test]
fn route() {
    Given::default().hello("hello").proxy().run("route.c");
}

#[test]
fn null() {
    Given::default().hello("hello").run("null.c");
}

#[test]
fn free_order() {
    for_free_order().run("free_order.c");
}

#[test]
fn bad_input() {
    Given::default().hello("hello").run("bad_input.c");
}

#[test]
fn bodies() {
    // It reads the rest after its answer, so that no reset overtakes that.
    let refuse = r#"[[{"recv":"head"},
        {"send":"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"},{"recv":"eof"}]]"#;
    Given::default().echo_body("echo").deaf().script("refuse", refuse).run("bodies.c");
}

#[test]
fn upload() {
    Given::default().echo_body("echo").moved().deaf().echo_head("head").run("upload.c");
}

#[test]
fn fork_exec() {
    let given = Given::default().hello("hello").half();
    given.script("gone", r#"[[{"recv":"head"},"rst"]]"#).run("fork_exec.c");
}

#[test]
fn descriptors() {
    Given::default().hello("hello").run("descriptors.c");
}

#[test]
fn cpp_test() {
    let given = for_policy().hello("hello").echo_body("body").silent().half().breaks();
    given.run("cpp_test.cpp");
    for standard in ["-std=c++17", "-std=c++20"] {
        let mut compiler = Command::new(abi::cxx());
        compiler.args(abi::WARNINGS).args(["-fsyntax-only", standard]);
        compiler.arg("-I").arg(abi::root().join("include"));
        compiler.arg("-I").arg(abi::root().join("bindings/cpp"));
        abi::succeed(compiler.arg(source("cpp_test.cpp")));
    }
}

#[test]
fn cpp_async() {
    let given = Given::default().hello("hello").large().echo_body("body").silent().half();
    given.run("cpp_async.cpp");
}

/// Every case of the corpus, in both forms, plain and over TLS.
#[test]
fn the_corpus() {
    let dir = abi::scratch("cases");
    certs().write_to(&dir).expect("the certificates");
    let cases = corpus::load(&abi::root().join("tests/corpus")).expect("the corpus");
    let program = built("corpus.c");
    std::thread::scope(|scope| {
        let runs =
            [("blocking", false), ("submitted", false), ("blocking", true), ("submitted", true)];
        for (form, tls) in runs {
            let (dir, cases, program) = (&dir, &cases, &program);
            scope.spawn(move || {
                let mut servers = Vec::new();
                let mut lines = Vec::new();
                for case in cases {
                    let tls = tls.then_some(Certificate::Good);
                    let options = Options { tls, ..Options::default() };
                    let server =
                        Server::start_with(options, case.script.clone()).expect("a server");
                    lines.extend(corpus::line(case, &server.url(&case.request.path)));
                    lines.push(b'\n');
                    servers.push((case, server));
                }
                let list = dir.join(format!("cases-{form}-{tls}"));
                fs::write(&list, lines).expect("the list of cases");
                let mut command = abi::command(program, Under::Nothing);
                command
                    .arg(format!("cases={}", list.display()))
                    .arg(format!("ca={}", dir.join("ca.pem").display()))
                    .arg(format!("form={form}"));
                abi::succeed(&mut command);
                for (case, server) in servers {
                    let url = server.url("");
                    let (_, host) = url.split_once("//").expect("a URL");
                    let agent = agent();
                    if let Some(expected) = corpus::received(case, host, &agent) {
                        let bytes = server.received(server.connections().saturating_sub(1));
                        let (bytes, expected) = (bytes.escape_ascii(), expected.escape_ascii());
                        assert_eq!(bytes.to_string(), expected.to_string());
                    }
                }
            });
        }
    });
}

fn agent() -> String {
    format!("hangup/{}", env!("CARGO_PKG_VERSION"))
}

#[test]
fn c_programs_are_clean_under_valgrind() {
    for_life().run_under_valgrind("life.c");
    for_free_order().run_under_valgrind("free_order.c");
    Given::default().hello("hello").run_under_valgrind("bad_input.c");
}

/// Every standard of C and C++ that the header is for.
const STANDARDS: [(&str, &[&str]); 2] =
    [("c", &["c99", "c11", "c17", "c2x"]), ("c++", &["c++11", "c++14", "c++17", "c++20", "c++2b"])];

/// The compilers of a language: `$CC` or `$CXX`, and clang.
fn compilers(language: &str) -> [OsString; 2] {
    abi::require("clang", "apt-get install clang, or make deps");
    match language {
        "c" => [abi::cc(), "clang".into()],
        _ => [abi::cxx(), "clang++".into()],
    }
}

/// Compiles a program of one file without linking it; the compiler's status and messages.
fn compiles(compiler: &OsString, language: &str, standard: &str, program: &str) -> Output {
    let name = format!("{}-{standard}", compiler.display()).replace('/', "_");
    let file = abi::scratch(&name).join("program.c");
    fs::write(&file, program).expect("a program");
    let mut command = Command::new(compiler);
    command.args(abi::WARNINGS).arg("-Wenum-conversion").arg(format!("-std={standard}"));
    command.arg("-I").arg(abi::root().join("include")).args(["-x", language, "-fsyntax-only"]);
    command.arg(file).output().expect("a compiler")
}

#[test]
fn the_header_compiles_as_every_c_and_cpp() {
    for (language, standards) in STANDARDS {
        for compiler in compilers(language) {
            for standard in standards {
                let output = compiles(&compiler, language, standard, INITIALISERS);
                let messages = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{compiler:?} {standard}:\n{messages}");
            }
        }
    }
}

/// Enumerations are types of their own: a constant of another one is found by C compilers and refused by C++.
#[test]
fn a_constant_of_another_enumeration_is_found() {
    const PROGRAM: &str = "#include <hangup.h>
const char *name(void);
const char *name(void) { return hangup_timeout_text(HANGUP_PHASE_TLS); }
";
    for (language, standards) in STANDARDS {
        for compiler in compilers(language) {
            for standard in standards {
                let right = PROGRAM.replace("PHASE", "TIMEOUT");
                assert!(compiles(&compiler, language, standard, &right).status.success());
                let wrong = compiles(&compiler, language, standard, PROGRAM);
                assert!(!wrong.status.success(), "{compiler:?} {standard}");
            }
        }
    }
}

/// The example at the top of the header is a program.
#[test]
fn the_example_in_the_header_compiles() {
    let header = fs::read_to_string(abi::root().join("include/hangup.h")).expect("the header");
    let (_, rest) = header.split_once("@code{.c}\n").expect("an example");
    let (example, _) = rest.split_once(" * @endcode").expect("its end");
    let line = |line: &str| line.trim_start_matches(" *").to_owned() + "\n";
    let program: String = example.lines().map(line).collect();
    let output = compiles(&abi::cc(), "c", "c99", &program);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn doxygen_reads_the_header_without_a_warning() {
    abi::require("doxygen", "apt-get install doxygen, or make deps");
    let dir = abi::scratch("doxygen");
    let settings = format!(
        "INPUT = {}\nOUTPUT_DIRECTORY = {}\nQUIET = YES\nWARN_AS_ERROR = FAIL_ON_WARNINGS\n\
         OPTIMIZE_OUTPUT_FOR_C = YES\nJAVADOC_AUTOBRIEF = YES\nMACRO_EXPANSION = YES\nPREDEFINED = __cplusplus\n\
         WARN_NO_PARAMDOC = NO\nGENERATE_HTML = NO\nGENERATE_LATEX = NO\nGENERATE_XML = YES\n",
        abi::root().join("include/hangup.h").display(),
        dir.display()
    );
    let file = dir.join("Doxyfile");
    fs::write(&file, settings).expect("the settings");
    abi::succeed(Command::new("doxygen").arg(file));
}

/// A structure with a size and no HANGUP_*_INIT is one that is forgotten.
#[test]
fn every_structure_that_is_filled_has_an_initialiser() {
    let header = fs::read_to_string(abi::root().join("include/hangup.h")).expect("the header");
    let filled: Vec<&str> = header
        .split("typedef struct {")
        .skip(1)
        .filter(|rest| rest.split('}').next().is_some_and(|fields| fields.contains(" size;")))
        .map(|rest| rest.split("} ").nth(1).and_then(|end| end.split(';').next()).expect("a name"))
        .collect();
    assert_eq!(filled.len(), 11, "{filled:?}");
    for name in filled {
        let line = format!("#define {}_INIT {{sizeof({name}), ", name.to_uppercase());
        assert!(header.contains(&line), "no {line}");
        assert!(INITIALISERS.contains(name), "{name} is not tried");
    }
}

const INITIALISERS: &str = "#include <hangup.h>
hangup_completion completion = HANGUP_COMPLETION_INIT;
hangup_connection_facts facts = HANGUP_CONNECTION_FACTS_INIT;
hangup_connection_info info = HANGUP_CONNECTION_INFO_INIT;
hangup_cookie_info cookie = HANGUP_COOKIE_INFO_INIT;
hangup_download download = HANGUP_DOWNLOAD_INIT;
hangup_download_options options = HANGUP_DOWNLOAD_OPTIONS_INIT;
hangup_event event = HANGUP_EVENT_INIT;
hangup_retry_policy policy = HANGUP_RETRY_POLICY_INIT;
hangup_stats stats = HANGUP_STATS_INIT;
hangup_tcp_facts tcp = HANGUP_TCP_FACTS_INIT;
hangup_timings timings = HANGUP_TIMINGS_INIT;
";

#[test]
fn null_c_forgets_no_function() {
    let text = fs::read_to_string(source("null.c")).expect("null.c");
    let missing: Vec<String> = abi::header_functions()
        .into_iter()
        .filter(|name| !text.contains(&format!("{name}(")))
        .collect();
    assert!(missing.is_empty(), "tests/c/null.c does not call {missing:?}");
}
