//! A schema registry for tests: real HTTP on a port of its own, with what clients here ask for.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::{Value, json};

/// A registry; dropped, it stops.
pub struct Played {
    /// Where it is.
    pub url: String,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    /// What was registered: subject and body. The id is the index, from 1.
    schemas: Mutex<Vec<(String, Value)>>,
    /// Requests, as `GET /schemas/ids/1`.
    requests: Mutex<Vec<String>>,
    /// What the header `Authorization` must be.
    authorization: Option<String>,
    stopped: AtomicBool,
}

impl Played {
    /// Starts one, which may want a header `Authorization`.
    pub fn start(authorization: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State { authorization: authorization.map(str::to_string), ..State::default() });
        let own = state.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if own.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let _ = own.serve(stream.unwrap());
            }
        });
        Played { url, state, thread: Some(thread) }
    }

    /// Registers a schema from outside; its id.
    pub fn add(&self, subject: &str, body: Value) -> u32 {
        let mut schemas = self.state.schemas.lock().unwrap();
        schemas.push((subject.into(), body));
        schemas.len() as u32
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.state.requests.lock().unwrap().clone()
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
        let _ = self.thread.take().unwrap().join();
    }
}

impl State {
    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let (mut first, mut length, mut authorization) = (String::new(), 0, None);
        reader.read_line(&mut first)?;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "authorization" => authorization = Some(value.to_string()),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let mut words = first.split(' ');
        let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        self.requests.lock().unwrap().push(format!("{method} {path}"));
        let (status, answer) = match self.authorization == authorization || self.authorization.is_none() {
            true => self.answer(method, path, &body),
            false => (401, json!({"error_code": 401, "message": "Unauthorized"})),
        };
        let answer = answer.to_string();
        write!(
            stream,
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}",
            answer.len()
        )
    }

    fn answer(&self, method: &str, path: &str, body: &[u8]) -> (u16, Value) {
        let mut schemas = self.schemas.lock().unwrap();
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let unknown = (404, json!({"error_code": 40403, "message": "Schema not found"}));
        match (method, parts.as_slice()) {
            ("GET", ["schemas", "ids", id]) => {
                let at = id.parse::<usize>().unwrap().wrapping_sub(1);
                schemas.get(at).map_or(unknown, |(_, body)| (200, body.clone()))
            }
            ("GET", ["subjects", subject, "versions", version]) => {
                let of: Vec<&Value> = schemas.iter().filter(|(s, _)| s == subject).map(|(_, body)| body).collect();
                of.get(version.parse::<usize>().unwrap() - 1).map_or(unknown, |body| (200, (*body).clone()))
            }
            ("POST", ["subjects", subject, "versions"]) => {
                let body: Value = serde_json::from_slice(body).unwrap();
                if body["schema"].as_str().unwrap().contains("incompatible") {
                    return (409, json!({"error_code": 409, "message": "Schema being registered is incompatible"}));
                }
                let found = schemas.iter().position(|(_, known)| *known == body);
                let at = found.unwrap_or_else(|| {
                    schemas.push((subject.to_string(), body));
                    schemas.len() - 1
                });
                (200, json!({"id": at + 1}))
            }
            _ => (404, json!({"error_code": 404, "message": "HTTP 404 Not Found"})),
        }
    }
}
