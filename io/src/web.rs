//! Waiting for servers: one thread for all clients of this process, and what they have in common.

use std::error::Error as _;
use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use pelton_engine::error::{Error, Result};
use tokio::runtime::{Builder, Runtime};

/// How long a server may take to be connected to.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may take to answer.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Waits for what only servers hold up. What needs a clock or a socket is to be made within (`async { … }`). Not to be called
/// from within such a wait.
pub fn wait<F: Future>(for_it: F) -> F::Output {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let made = || Builder::new_multi_thread().worker_threads(1).thread_name("pelton-web").enable_all().build();
    RUNTIME.get_or_init(|| made().expect("a thread can be started")).block_on(for_it)
}

/// A client for HTTP, with bounded waits.
pub fn client() -> Result<reqwest::Client> {
    let client = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(ANSWER_TIMEOUT);
    client.build().map_err(|e| Error::world("no HTTP client can be made").because(e))
}

/// Why something failed: the message of the innermost cause, which says more than those around it.
pub fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it takes too long".into();
    }
    let (mut last, mut inner) = (error.to_string(), error.source());
    while let Some(cause) = inner {
        (last, inner) = (cause.to_string(), cause.source());
    }
    last
}
