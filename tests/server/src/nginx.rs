//! A real server beside the scripted one: Debian's nginx, run as a child with a configuration of
//! its own.
//!
//! For tests and benchmarks that need a server that is right and fast. It touches nothing of an
//! installed nginx's configuration and leaves nothing behind.

use crate::certs::{Certificate, certs};
use crate::scratch::Scratch;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fs, io};

/// A running nginx. Begins with `start`, when it already accepts connections; killed when dropped,
/// and with the process if that dies first.
///
/// Paths: `/small` (3 bytes), `/1mb`, `/100mb` (zeros), `/empty` (204), `/head` (200 with no body),
/// `/gzip` (1 MB of text, chunked, and gzipped if the client accepts that), `/echo` (the request line).
#[derive(Debug)]
pub struct Nginx {
    http: u16,
    https: u16,
    /// Closing it makes the keeper kill nginx.
    life: Option<Sender<()>>,
    keeper: Option<JoinHandle<()>>,
    scratch: Scratch,
}

impl Nginx {
    /// Starts nginx on two free ports of 127.0.0.1. Panics with its error log if it does not come
    /// up, and with a hint if it is not installed: a test that silently skips tests nothing.
    pub fn start() -> Nginx {
        Nginx::try_start().unwrap_or_else(|why| panic!("{why}"))
    }

    /// As `start`, with a message instead of a panic.
    pub fn try_start() -> Result<Nginx, String> {
        let binary = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"]
            .into_iter()
            .find(|path| Path::new(path).exists())
            .ok_or("install nginx: apt-get install nginx-light")?;
        let mut last = String::new();
        // Another process may take the port before nginx binds it.
        for _ in 0..3 {
            match Nginx::attempt(binary) {
                Ok(nginx) => return Ok(nginx),
                Err(why) => last = why,
            }
        }
        Err(last)
    }

    /// The URL of a path (with its slash) over plain HTTP.
    pub fn http_url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.http)
    }

    /// The URL of a path (with its slash) over TLS with the `Good` certificate.
    pub fn https_url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.https)
    }

    /// The plain port.
    pub fn http_port(&self) -> u16 {
        self.http
    }

    /// The TLS port.
    pub fn https_port(&self) -> u16 {
        self.https
    }

    /// The CA that signed nginx's certificate, as a PEM file that lives as long as this nginx.
    pub fn ca_path(&self) -> PathBuf {
        self.scratch.path().join("ca.pem")
    }

    fn attempt(binary: &str) -> Result<Nginx, String> {
        let named = |e: io::Error| format!("nginx: {e}");
        let scratch = Scratch::new().map_err(named)?;
        let (http, https) = free_ports().map_err(named)?;
        prepare(scratch.path(), http, https).map_err(named)?;

        let (life, end) = mpsc::channel();
        let (ready, up) = mpsc::channel();
        let mut command = Command::new(binary);
        command.arg("-e").arg(scratch.path().join("error.log"));
        command.arg("-p").arg(scratch.path());
        command.arg("-c").arg(scratch.path().join("nginx.conf"));
        let keeper = thread::Builder::new()
            .name("testserver-nginx".to_owned())
            .spawn(move || keep(command, http, https, &ready, &end))
            .map_err(named)?;
        let nginx = Nginx { http, https, life: Some(life), keeper: Some(keeper), scratch };
        match up.recv() {
            Ok(Ok(())) => Ok(nginx),
            Ok(Err(why)) => {
                let log = fs::read_to_string(nginx.scratch.path().join("error.log"));
                Err(format!("nginx: {why}\n{}", log.unwrap_or_default()))
            }
            Err(_) => Err("nginx: its keeper is gone".to_owned()),
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        drop(self.life.take());
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

/// Runs nginx until the other end of `end` is dropped. A thread of its own, because PDEATHSIG fires
/// when the *thread* that made the child ends (prctl(2)), and test threads end before the process
/// does.
fn keep(
    mut command: Command,
    http: u16,
    https: u16,
    ready: &Sender<Result<(), String>>,
    end: &Receiver<()>,
) {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: prctl is async-signal-safe and the closure touches no memory of the parent.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(e) => return drop(ready.send(Err(e.to_string()))),
    };
    let up = wait_up(&mut child, http).and_then(|()| wait_up(&mut child, https));
    let failed = up.is_err();
    let _ = ready.send(up);
    if !failed {
        // An error is what it waits for: the sender was dropped.
        let _ = end.recv();
    }
    let _ = child.kill();
    let _ = child.wait();
}

fn wait_up(child: &mut Child, port: u16) -> Result<(), String> {
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until {
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(());
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("it ended at once: {status}"));
        }
        thread::sleep(Duration::from_millis(5));
    }
    Err(format!("port {port} does not open"))
}

/// Both held at once, so that they differ.
fn free_ports() -> io::Result<(u16, u16)> {
    let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let second = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok((first.local_addr()?.port(), second.local_addr()?.port()))
}

fn prepare(dir: &Path, http: u16, https: u16) -> io::Result<()> {
    let files = dir.join("files");
    fs::create_dir(&files)?;
    fs::write(files.join("small"), "ok\n")?;
    fs::write(files.join("gzip"), "All work and no play makes Jack a dull boy.\n".repeat(23_832))?;
    // Sparse: a benchmark should not wait for a disk.
    fs::File::create(files.join("1mb"))?.set_len(1_000_000)?;
    fs::File::create(files.join("100mb"))?.set_len(100_000_000)?;

    let pair = certs().server(Certificate::Good);
    fs::write(dir.join("ca.pem"), certs().ca())?;
    fs::write(dir.join("good.pem"), &pair.cert)?;
    fs::write(dir.join("good.key"), &pair.key)?;

    let dir = dir.to_str().ok_or_else(|| io::Error::other("a temporary path that is no UTF-8"))?;
    let config = CONFIG.replace("@DIR@", dir);
    let config = config.replace("@HTTP@", &http.to_string()).replace("@HTTPS@", &https.to_string());
    fs::write(Path::new(dir).join("nginx.conf"), config)
}

/// One process and no master, so that one SIGKILL leaves no worker behind. keepalive_requests is
/// far above any benchmark's count: nginx's default of 1000 would measure reconnects.
const CONFIG: &str = r#"
daemon off;
master_process off;
pid @DIR@/nginx.pid;
error_log @DIR@/error.log warn;
events { worker_connections 8192; }
http {
    access_log off;
    client_body_temp_path @DIR@/body;
    proxy_temp_path @DIR@/proxy;
    fastcgi_temp_path @DIR@/fastcgi;
    uwsgi_temp_path @DIR@/uwsgi;
    scgi_temp_path @DIR@/scgi;
    keepalive_timeout 75;
    keepalive_requests 1000000;
    client_max_body_size 0;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    default_type application/octet-stream;
    server {
        listen 127.0.0.1:@HTTP@ backlog=4096;
        listen 127.0.0.1:@HTTPS@ ssl backlog=4096;
        server_name localhost;
        ssl_certificate @DIR@/good.pem;
        ssl_certificate_key @DIR@/good.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        root @DIR@/files;
        location = /empty { return 204; }
        location = /head { return 200; }
        location = /echo { return 200 "$request\n"; }
        location = /gzip { gzip on; gzip_types *; }
    }
}
"#;
