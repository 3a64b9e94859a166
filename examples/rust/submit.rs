//! A thousand requests as futures: all are begun before the first is awaited. No runtime is needed, and any will do.
//!
//!     cargo run --example submit http://127.0.0.1:8080

use std::future::Future;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use hangup::{Client, Error, Limits, Manager, Request, Timeout};

/// Sends all of them and returns how many bytes were received.
async fn fetch(client: &Client, url: &str, count: usize) -> Result<usize, Error> {
    let mut request = Request::new("GET", url)?;
    request.set_timeout(Timeout::Total, Some(Duration::from_secs(30)))?;
    // The future is ready when the whole body is here, at most 1 MiB of it.
    request.set_buffer_body(Some(1024 * 1024));
    let requests = (0..count).map(|_| request.try_clone()).collect::<Result<Vec<_>, _>>()?;
    let begun: Vec<_> = requests.into_iter().map(|request| client.submit(request)).collect();
    println!("{} requests are in progress", begun.len());
    let mut bytes = 0;
    for submission in begun {
        // The first failure drops the others, which cancels them.
        bytes += submission.await?.read_all(usize::MAX)?.len();
    }
    Ok(bytes)
}

/// Reads a body piece by piece, each as it comes.
async fn stream(client: &Client, url: &str) -> Result<usize, Error> {
    let mut response = client.submit(Request::new("GET", url)?).await?;
    let mut pieces = 0;
    while !response.read_async(64 * 1024).await?.is_empty() {
        pieces += 1;
    }
    Ok(pieces)
}

fn main() -> ExitCode {
    let Some(base) = std::env::args().nth(1) else {
        eprintln!("usage: submit BASE-URL");
        return ExitCode::from(2);
    };
    // More connections at once would not be faster; the other requests wait for their turn.
    let limits = Limits { per_origin: 32, ..Limits::default() };
    let client = Client::new(Arc::new(Manager::new(limits)));
    let story = async {
        let bytes = fetch(&client, &format!("{base}/fast"), 1000).await?;
        let connections = client.manager().connections().len();
        println!("1000 responses, {bytes} bytes, 0 failures, over {connections} connections");
        let pieces = stream(&client, &format!("{base}/stream?chunks=5&every_ms=10")).await?;
        println!("a stream came in {pieces} pieces");
        Ok::<_, Error>(())
    };
    match block_on(story) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The smallest executor there is: it parks the thread until it is woken.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
