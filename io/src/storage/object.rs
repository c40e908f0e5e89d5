//! A folder of a bucket: S3 and what speaks like it, Google Cloud Storage, Azure.
//!
//! Whole objects appear at once, so a put needs no temporary name. A lock is a lease: an object that one process creates,
//! says its own name and a time in, and renews until it lets go; after that time others may take it over. Whoever holds a
//! lease and can not renew it in time writes nothing more here.
//!
//! Where the store is and who may enter is said by the environment, as its other clients have it: `AWS_ACCESS_KEY_ID`,
//! `AWS_ENDPOINT_URL`, `GOOGLE_APPLICATION_CREDENTIALS`, `AZURE_STORAGE_ACCOUNT_NAME` and so on.

use std::error::Error as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientConfigKey, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    PutResult, RetryConfig, UpdateVersion,
};
use pelton_engine::connector::Storage;
use pelton_engine::error::{Error, Result};
use serde::{Deserialize, Serialize};

use super::local::is_gone;
use crate::web::{self, wait};

/// How often a request is repeated that failed by no fault of its own.
const RETRIES_MAX: usize = 4;
/// How long all tries of a request may take.
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a lease holds without being renewed.
const LEASE: Duration = Duration::from_secs(30);
/// How much later others believe that a lease has ended: clocks differ.
const SKEW: Duration = Duration::from_secs(5);

/// Tells apart the leases of one process.
static LEASES: AtomicU32 = AtomicU32::new(0);

/// Objects below a folder of a bucket.
pub struct ObjectStorage {
    store: Arc<dyn ObjectStore>,
    /// As it was named, for messages.
    place: String,
    prefix: Path,
    lease: Duration,
    /// The leases that are held here.
    held: Arc<Mutex<Vec<Arc<Held>>>>,
}

impl ObjectStorage {
    /// Opens the folder at a URL. Fails if there is no such bucket, if nobody answers, or if entry is denied.
    pub fn open(url: &str) -> Result<Self> {
        ObjectStorage::open_as(url, &std::env::vars().collect::<Vec<_>>())
    }

    fn open_as(url: &str, variables: &[(String, String)]) -> Result<Self> {
        let (scheme, rest) = url.split_once("://").expect("only URLs come here");
        let bucket = rest.split('/').next().unwrap_or("");
        let wrong = |why: object_store::Error| {
            Error::user(format!("'{url}' cannot be opened")).because(innermost(&why)).hint(environment(scheme))
        };
        if bucket.is_empty() {
            return Err(Error::user(format!("'{url}' names no bucket")).hint("write s3://bucket/folder"));
        }
        let root = format!("{scheme}://{bucket}");
        let store: Arc<dyn ObjectStore> = match scheme {
            "s3" | "s3a" => Arc::new(s3(&root, variables).map_err(wrong)?),
            "gs" => Arc::new(gcs(&root).map_err(wrong)?),
            "az" | "azure" | "abfs" | "abfss" => Arc::new(azure(&root).map_err(wrong)?),
            _ => {
                let error = Error::user(format!("'{url}': no storage is known for {scheme}://"));
                return Err(error.hint("there are s3://, gs://, az://, file:// and plain paths"));
            }
        };
        let folder = rest[bucket.len()..].trim_matches('/');
        let prefix = Path::parse(folder).map_err(|e| Error::user(format!("'{url}' has no proper path")).because(e))?;
        let storage = ObjectStorage::over(store, url, prefix);
        storage.look()?;
        Ok(storage)
    }

    fn over(store: Arc<dyn ObjectStore>, place: &str, prefix: Path) -> Self {
        let place = place.trim_end_matches('/').to_string();
        ObjectStorage { store, place, prefix, lease: LEASE, held: Arc::default() }
    }

    /// Asks for any object, to see whether the bucket is there.
    fn look(&self) -> Result<()> {
        let look = self.store.list_with_delimiter(Some(&self.prefix));
        wait(look).map(drop).map_err(|e| self.failed("open", "", &e))
    }

    fn at(&self, name: &str) -> Path {
        assert!(name.split('/').all(|part| part != ".."), "names stay below the root");
        self.prefix.parts().chain(Path::from(name).parts()).collect()
    }

    fn failed(&self, what: &str, name: &str, cause: &object_store::Error) -> Error {
        let place = if name.is_empty() { self.place.clone() } else { format!("{}/{name}", self.place) };
        let error = Error::world(format!("cannot {what} '{place}'")).because(innermost(cause));
        let scheme = self.place.split("://").next().unwrap_or("");
        match hint(cause, scheme) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    /// Fails once a lease that was taken here is not held any more.
    fn check_leases(&self) -> Result<()> {
        let held = self.held.lock().expect("no panic holds this lock");
        held.iter().try_for_each(|held| match held.lost() {
            None => Ok(()),
            Some(why) => Err(Error::world(format!("the lock '{}/{}' is lost: {why}", self.place, held.name))
                .hint("nothing more is written there; another run may have taken over")),
        })
    }

    fn put_as(&self, name: &str, bytes: Vec<u8>, mode: PutMode) -> object_store::Result<PutResult> {
        put_as(self.store.as_ref(), &self.at(name), bytes, mode)
    }
}

fn put_as(store: &dyn ObjectStore, at: &Path, bytes: Vec<u8>, mode: PutMode) -> object_store::Result<PutResult> {
    wait(store.put_opts(at, PutPayload::from(bytes), PutOptions { mode, ..Default::default() }))
}

/// An object and which version of it this is.
fn versioned(store: &dyn ObjectStore, at: &Path) -> object_store::Result<(UpdateVersion, Bytes)> {
    wait(async {
        let found = store.get(at).await?;
        let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
        Ok((version, found.bytes().await?))
    })
}

fn retries() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: RETRIES_MAX, retry_timeout: RETRY_TIMEOUT }
}

/// How long a client waits, where the environment does not say.
fn timeouts() -> [(ClientConfigKey, String); 2] {
    let seconds = |time: Duration| format!("{} seconds", time.as_secs());
    [
        (ClientConfigKey::ConnectTimeout, seconds(web::CONNECT_TIMEOUT)),
        (ClientConfigKey::Timeout, seconds(web::ANSWER_TIMEOUT)),
    ]
}

fn s3(root: &str, variables: &[(String, String)]) -> object_store::Result<impl ObjectStore> {
    let mut builder = AmazonS3Builder::new().with_retry(retries());
    for (key, value) in timeouts() {
        builder = builder.with_config(AmazonS3ConfigKey::Client(key), value);
    }
    // As the builder takes them from the environment.
    for (name, value) in variables.iter().filter(|(name, _)| name.starts_with("AWS_")) {
        if let Ok(key) = name.to_ascii_lowercase().parse() {
            builder = builder.with_config(key, value);
        }
    }
    builder.with_url(root).build()
}

fn gcs(root: &str) -> object_store::Result<impl ObjectStore> {
    let mut builder = GoogleCloudStorageBuilder::from_env().with_url(root).with_retry(retries());
    for (key, value) in timeouts() {
        builder = builder.with_config(GoogleConfigKey::Client(key), value);
    }
    builder.build()
}

fn azure(root: &str) -> object_store::Result<impl ObjectStore> {
    let mut builder = MicrosoftAzureBuilder::from_env().with_url(root).with_retry(retries());
    for (key, value) in timeouts() {
        builder = builder.with_config(AzureConfigKey::Client(key), value);
    }
    builder.build()
}

/// The cause that says most: the last one with words of its own.
fn innermost(error: &object_store::Error) -> String {
    let (mut last, mut inner) = (error.to_string(), error.source());
    while let Some(cause) = inner {
        (last, inner) = (cause.to_string(), cause.source());
    }
    last
}

/// Which variables say where a store is.
fn environment(scheme: &str) -> &'static str {
    match scheme {
        "gs" => "set GOOGLE_APPLICATION_CREDENTIALS or GOOGLE_SERVICE_ACCOUNT",
        "s3" | "s3a" => {
            "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION; for a store that is not Amazon's AWS_ENDPOINT_URL too, and AWS_ALLOW_HTTP=true where that is http://"
        }
        _ => "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
    }
}

/// What to do about an error, if its words tell.
fn hint(error: &object_store::Error, scheme: &str) -> Option<&'static str> {
    let mut words = error.to_string();
    let mut inner = error.source();
    while let Some(cause) = inner {
        words = format!("{words} {cause}");
        inner = cause.source();
    }
    let says = |any: &[&str]| any.iter().any(|word| words.contains(word));
    // The machine's own credentials are asked for where none are given.
    if says(&["/latest/api/token", "meta-data", "metadata.google.internal", "/metadata/identity"]) {
        return Some(environment(scheme));
    }
    match error {
        object_store::Error::NotFound { .. } => Some("make the bucket first, or correct its name"),
        _ if says(&["NoSuchBucket", "ContainerNotFound"]) => Some("make the bucket first, or correct its name"),
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            Some(environment(scheme))
        }
        _ if says(&["InvalidAccessKeyId", "SignatureDoesNotMatch"]) => Some(environment(scheme)),
        _ if says(&["onnection refused", "error trying to connect", "dns error"]) => Some(match scheme {
            "s3" | "s3a" => "is AWS_ENDPOINT_URL right, and the server running?",
            _ => "is the network up?",
        }),
        _ => None,
    }
}

impl Storage for ObjectStorage {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.check_leases()?;
        self.put_as(name, bytes.to_vec(), PutMode::Overwrite).map(drop).map_err(|e| self.failed("write", name, &e))
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let at = self.at(name);
        let got = wait(async { self.store.get(&at).await?.bytes().await });
        match got {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(self.failed("read", name, &e)),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        // Stores list by whole parts of a path: the rest of the prefix is looked at here.
        let below = prefix.rfind('/').map_or("", |at| &prefix[..at]);
        let at = self.at(below);
        let listed: object_store::Result<Vec<ObjectMeta>> = wait(self.store.list(Some(&at)).try_collect());
        let relative = |object: ObjectMeta| -> Option<String> {
            let parts = object.location.prefix_match(&self.prefix)?;
            Some(parts.map(|part| part.as_ref().to_string()).collect::<Vec<_>>().join("/"))
        };
        let listed = listed.map_err(|e| self.failed("list", below, &e))?;
        let mut names: Vec<String> = listed.into_iter().filter_map(relative).collect();
        names.retain(|name| name.starts_with(prefix));
        names.sort();
        Ok(names)
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.check_leases()?;
        let at = self.at(name);
        match wait(self.store.delete(&at)) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(self.failed("remove", name, &e)),
        }
    }

    fn local_path(&self, name: &str) -> PathBuf {
        unreachable!("'{}/{name}' has no local path: who needs one asks for a directory", self.place)
    }

    fn lock(&self, name: &str) -> Result<Option<Box<dyn Send>>> {
        let (owner, until) = (Owner::of_this_process(), Instant::now() + self.lease);
        let Some(version) = self.take_lease(name, &owner)? else { return Ok(None) };
        let held = Arc::new(Held { name: name.into(), until: Mutex::new(Ok(until)) });
        self.held.lock().expect("no panic holds this lock").push(held.clone());
        let keeper = Keeper {
            store: self.store.clone(),
            at: self.at(name),
            owner,
            version,
            held: held.clone(),
            lease: self.lease,
        };
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new().name("pelton-lease".into()).spawn(move || keeper.keep(&stopped));
        let thread = thread.map_err(|e| Error::world("no thread can be started to renew a lock").because(e))?;
        Ok(Some(Box::new(Lock { stop: Some(stop), thread: Some(thread), all: self.held.clone(), held })))
    }
}

impl ObjectStorage {
    /// Writes the lease if nobody has it; its version, or `None` if somebody does.
    fn take_lease(&self, name: &str, owner: &Owner) -> Result<Option<UpdateVersion>> {
        let failed = |e| self.failed("lock", name, &e);
        match self.put_as(name, owner.lease(self.lease), PutMode::Create) {
            Ok(put) => return Ok(Some(put.into())),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {}
            Err(e) => return Err(failed(e)),
        }
        let (version, bytes) = match versioned(self.store.as_ref(), &self.at(name)) {
            Ok(found) => found,
            // Let go of just now: whoever tries again has it.
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(e) => return Err(failed(e)),
        };
        let lease: Lease = serde_json::from_slice(&bytes).map_err(|e| {
            Error::world(format!("'{}/{name}' is no lock", self.place))
                .because(e)
                .hint("remove it, if no run is using this place")
        })?;
        if lease.owner == *owner {
            // The answer to the first try got lost.
            return Ok(Some(version));
        }
        if !lease.is_free() {
            return Ok(None);
        }
        match self.put_as(name, owner.lease(self.lease), PutMode::Update(version)) {
            Ok(put) => Ok(Some(put.into())),
            Err(object_store::Error::Precondition { .. } | object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(failed(e)),
        }
    }
}

/// What stands in a lock.
#[derive(Debug, Serialize, Deserialize)]
struct Lease {
    owner: Owner,
    /// Milliseconds since 1970; 0 once it is let go of.
    expires_ms: u64,
}

/// Who has a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    host: String,
    /// Where process numbers mean the same: one start of a machine, one container.
    processes: String,
    process: u32,
    number: u32,
}

impl Owner {
    fn of_this_process() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).map(|text| text.trim().to_string()).unwrap_or_default();
        let space = std::fs::read_link("/proc/self/ns/pid").map(|link| link.to_string_lossy().into_owned());
        Owner {
            host: read("/proc/sys/kernel/hostname"),
            processes: [read("/proc/sys/kernel/random/boot_id"), space.unwrap_or_default()].join(" "),
            process: std::process::id(),
            number: LEASES.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// A lease of this owner from now on.
    fn lease(&self, lease: Duration) -> Vec<u8> {
        let expires_ms = millis(SystemTime::now() + lease);
        serde_json::to_vec(&Lease { owner: self.clone(), expires_ms }).expect("plain values are JSON")
    }
}

impl Lease {
    /// Whether somebody else may take it: it has ended, or its owner has, here where that can be seen.
    fn is_free(&self) -> bool {
        let here = Owner::of_this_process();
        let known = !here.processes.trim().is_empty() && here.processes == self.owner.processes;
        millis(SystemTime::now()) >= self.expires_ms.saturating_add(SKEW.as_millis() as u64)
            || self.expires_ms == 0
            || (known && here.host == self.owner.host && is_gone(self.owner.process))
    }
}

fn millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// A lease that is held here.
struct Held {
    name: String,
    /// Until when it is certain, or why it is lost.
    until: Mutex<std::result::Result<Instant, String>>,
}

impl Held {
    fn lost(&self) -> Option<String> {
        match &*self.until.lock().expect("no panic holds this lock") {
            Ok(until) if Instant::now() < *until => None,
            Ok(_) => Some("it could not be renewed in time".into()),
            Err(why) => Some(why.clone()),
        }
    }
}

/// Renews a lease.
struct Keeper {
    store: Arc<dyn ObjectStore>,
    at: Path,
    owner: Owner,
    version: UpdateVersion,
    held: Arc<Held>,
    lease: Duration,
}

impl Keeper {
    /// Renews it three times as often as needed, until it is lost or let go of.
    fn keep(mut self, stopped: &std::sync::mpsc::Receiver<()>) {
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(self.lease / 3) {
            let until = Instant::now() + self.lease;
            let mode = PutMode::Update(self.version.clone());
            match put_as(self.store.as_ref(), &self.at, self.owner.lease(self.lease), mode) {
                Ok(put) => {
                    self.version = put.into();
                    *self.held.until.lock().expect("no panic holds this lock") = Ok(until);
                }
                Err(object_store::Error::Precondition { .. } | object_store::Error::NotFound { .. }) => {
                    if !self.find_again() {
                        let why = "another process has taken it".to_string();
                        *self.held.until.lock().expect("no panic holds this lock") = Err(why);
                        return;
                    }
                }
                // Tried again; the lease ends by itself if that goes on.
                Err(_) => {}
            }
        }
        let free =
            serde_json::to_vec(&Lease { owner: self.owner.clone(), expires_ms: 0 }).expect("plain values are JSON");
        let _ = put_as(self.store.as_ref(), &self.at, free, PutMode::Update(self.version));
    }

    /// Whether the lease is this one after all, of which the answer to a renewal got lost.
    fn find_again(&mut self) -> bool {
        let Ok((version, bytes)) = versioned(self.store.as_ref(), &self.at) else { return false };
        let own = serde_json::from_slice::<Lease>(&bytes).is_ok_and(|lease| lease.owner == self.owner);
        self.version = version;
        own
    }
}

/// A lock; dropped, it is let go of.
struct Lock {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    all: Arc<Mutex<Vec<Arc<Held>>>>,
    held: Arc<Held>,
}

impl Drop for Lock {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.all.lock().expect("no panic holds this lock").retain(|held| !Arc::ptr_eq(held, &self.held));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_storage;
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};

    /// A server for S3 on a port of its own, with a bucket `bucket`; dropped, it stops.
    struct Server {
        url: String,
        process: Child,
    }

    impl Server {
        fn start() -> Self {
            let python = concat!(env!("CARGO_MANIFEST_DIR"), "/../.venv/bin/python");
            let mut process = Command::new(python)
                .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", "0"])
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap_or_else(|e| panic!("{python} does not start ({e}): run ./x setup"));
            let mut said =
                BufReader::new(process.stderr.take().expect("it is piped")).lines().map_while(|line| line.ok());
            let mut before = vec![];
            let url = said.by_ref().find_map(|line| {
                before.push(line.clone());
                line.split_once("Running on ").map(|(_, url)| url.trim().to_string())
            });
            let Some(url) = url else {
                let _ = process.wait();
                panic!("moto does not start: run ./x setup\n{}", before.join("\n"));
            };
            // What it says of every request would fill the pipe.
            std::thread::spawn(move || said.for_each(drop));
            let server = Server { url, process };
            let made =
                wait(async { web::client().unwrap().put(format!("{}/bucket", server.url)).send().await }).unwrap();
            assert!(made.status().is_success(), "{made:?}");
            server
        }

        fn variables(&self) -> Vec<(String, String)> {
            let pairs = [
                ("AWS_ENDPOINT_URL", self.url.as_str()),
                ("AWS_ALLOW_HTTP", "true"),
                ("AWS_ACCESS_KEY_ID", "key"),
                ("AWS_SECRET_ACCESS_KEY", "secret"),
                ("AWS_REGION", "us-east-1"),
            ];
            pairs.map(|(name, value)| (name.to_string(), value.to_string())).to_vec()
        }

        fn open(&self, folder: &str) -> ObjectStorage {
            ObjectStorage::open_as(&format!("s3://bucket{folder}"), &self.variables()).unwrap()
        }
    }

    impl Drop for Server {
        fn drop(&mut self) {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }

    #[test]
    fn a_bucket_keeps_what_a_directory_keeps() {
        let server = Server::start();
        check_storage(&server.open("/some/folder/"));
        check_storage(&server.open(""));
        let large = vec![7; 9 << 20];
        server.open("/x").put("large", &large).unwrap();
        assert!(server.open("/x").get("large").unwrap().unwrap() == large);
        assert_eq!(server.open("").list("x/").unwrap(), ["x/large"]);
    }

    #[test]
    fn a_lease_has_one_holder_who_renews_it() {
        let server = Server::start();
        let [mut one, mut other] = [server.open("/p"), server.open("/p")];
        for storage in [&mut one, &mut other] {
            storage.lease = Duration::from_millis(900);
        }
        let held = one.lock("lock").unwrap().expect("nobody has it");
        let before = one.get("lock").unwrap();
        for _ in 0..4 {
            assert!(other.lock("lock").unwrap().is_none() && one.lock("lock").unwrap().is_none());
            std::thread::sleep(Duration::from_millis(400));
            one.put("x", b"still here").unwrap();
        }
        assert_ne!(one.get("lock").unwrap(), before, "it was renewed");
        drop(held);
        let held = other.lock("lock").unwrap().expect("it was let go of");
        assert!(one.lock("lock").unwrap().is_none());
        drop(held);
    }

    #[test]
    fn leases_that_ended_are_taken_over_and_those_who_had_them_write_no_more() {
        let server = Server::start();
        let mut storage = server.open("/p");
        storage.lease = Duration::from_millis(600);
        let stranger = Owner { host: "elsewhere".into(), processes: "another".into(), process: 1, number: 0 };
        let lease = |owner: &Owner, ends_in_s: i64| {
            let expires_ms = (millis(SystemTime::now()) as i64 + 1000 * ends_in_s) as u64;
            let text = serde_json::to_vec(&Lease { owner: owner.clone(), expires_ms }).unwrap();
            storage.put_as("lock", text, PutMode::Overwrite).unwrap();
            storage.lock("lock").unwrap()
        };
        assert!(lease(&stranger, 10).is_none(), "it holds");
        assert!(lease(&stranger, -1).is_none(), "clocks differ");
        let gone = Owner { process: u32::MAX, ..Owner::of_this_process() };
        assert!(lease(&gone, 10).is_some(), "its process is gone");
        let held = lease(&stranger, -60).expect("it ended");
        storage.put("x", b"1").unwrap();
        storage.put_as("lock", stranger.lease(LEASE), PutMode::Overwrite).unwrap();
        std::thread::sleep(Duration::from_millis(700));
        let error = storage.put("x", b"2").unwrap_err();
        assert!(
            error.to_string().contains("the lock 's3://bucket/p/lock' is lost: another process has taken it"),
            "{error}"
        );
        assert!(storage.remove("x").is_err());
        drop(held);
        let found: Lease = serde_json::from_slice(&storage.get("lock").unwrap().unwrap()).unwrap();
        assert_eq!(found.owner, stranger, "who lost it leaves it alone");
    }

    #[test]
    fn a_lease_that_cannot_be_renewed_ends() {
        let held = Held { name: "lock".into(), until: Mutex::new(Ok(Instant::now())) };
        let store = Arc::new(object_store::memory::InMemory::new());
        let storage = ObjectStorage::over(store, "memory://", Path::default());
        storage.held.lock().unwrap().push(Arc::new(held));
        assert!(storage.put("x", b"").unwrap_err().to_string().contains("could not be renewed in time"));
    }

    #[test]
    fn the_checks_hold_without_a_server_too() {
        check_storage(&ObjectStorage::over(
            Arc::new(object_store::memory::InMemory::new()),
            "memory://",
            Path::from("a/b"),
        ));
    }

    #[test]
    fn errors_say_what_to_do() {
        let server = Server::start();
        let open = |url: &str, variables: &[(String, String)]| {
            let start = Instant::now();
            let error = ObjectStorage::open_as(url, variables).map(drop).unwrap_err();
            assert!(start.elapsed() < 2 * RETRY_TIMEOUT, "{error}");
            format!("{error} / {}", error.advice().unwrap_or(""))
        };
        let missing = open("s3://nobody/x", &server.variables());
        assert!(
            missing.contains("cannot open 's3://nobody/x'") && missing.contains("make the bucket first"),
            "{missing}"
        );
        let with = |name: &str, value: &str| {
            let mut variables = server.variables();
            variables.retain(|(known, _)| known != name);
            variables.push((name.into(), value.into()));
            variables
        };
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let down = open("s3://bucket/x", &with("AWS_ENDPOINT_URL", &format!("http://{gone}")));
        assert!(down.contains("onnection refused") && down.contains("AWS_ENDPOINT_URL"), "{down}");
        let mut nobody = with("AWS_METADATA_ENDPOINT", &format!("http://{gone}"));
        nobody.retain(|(name, _)| !name.contains("KEY"));
        let nobody = open("s3://bucket/x", &nobody);
        assert!(nobody.contains("set AWS_ACCESS_KEY_ID"), "{nobody}");
        assert!(open("s3:///x", &[]).contains("names no bucket"));
        assert!(open("az://container/x", &[]).contains("AZURE_STORAGE_ACCOUNT_NAME"));
    }
}
