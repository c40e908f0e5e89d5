//! Places to keep files: a local directory, or a bucket of an object store.

pub mod local;
pub mod object;

use std::sync::Arc;

use pelton_engine::connector::Storage;
use pelton_engine::error::{Error, Result};

pub(crate) use local::TEMPORARY;
pub use local::{LocalStorage, is_gone, put_file, reveal, sync_directory, temporary_for};
pub use object::ObjectStorage;

/// The storage at a path, or at a URL: `s3://bucket/folder`, `gs://…`, `az://container/…`, `file:///folder`.
pub fn open(place: &str) -> Result<Arc<dyn Storage>> {
    match scheme(place) {
        None => Ok(Arc::new(LocalStorage::new(place))),
        Some("file") => Ok(Arc::new(LocalStorage::new(local(place)?))),
        Some(_) => Ok(Arc::new(ObjectStorage::open(place)?)),
    }
}

/// The path of a place that must be on a local disk: a path, or a `file://` URL.
pub fn local(place: &str) -> Result<&str> {
    match (scheme(place), place.strip_prefix("file://")) {
        (None, _) => Ok(place),
        (_, Some(rest)) => {
            let path = rest.strip_prefix("localhost").unwrap_or(rest);
            let none =
                || Error::user(format!("'{place}' names no path")).hint("write file:///folder, with three slashes");
            path.starts_with('/').then_some(path).ok_or_else(none)
        }
        _ => Err(Error::user(format!("'{place}': only local paths can be written to here"))
            .hint("give a path, such as 'kept/payments': neither history nor dead letters can be kept at a URL")),
    }
}

/// The scheme of a URL; `None` for paths.
fn scheme(place: &str) -> Option<&str> {
    let (scheme, _) = place.split_once("://")?;
    let named = !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    named.then_some(scheme)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Holds an empty storage to what all of them promise.
    pub fn check_storage(storage: &dyn Storage) {
        assert_eq!(storage.list("").unwrap(), Vec::<String>::new());
        assert_eq!(storage.get("a").unwrap(), None);
        for (name, bytes) in [("b/2", b"two".as_ref()), ("a", b"one"), ("b/1", b""), ("b/c/3", b"three"), ("bb", b"")] {
            storage.put(name, bytes).unwrap();
        }
        storage.put("a", b"another").unwrap();
        assert_eq!(storage.get("a").unwrap().unwrap(), b"another");
        assert_eq!(storage.get("a/x").unwrap(), None);
        assert_eq!(storage.list("").unwrap(), ["a", "b/1", "b/2", "b/c/3", "bb"]);
        assert_eq!(storage.list("b/").unwrap(), ["b/1", "b/2", "b/c/3"]);
        assert_eq!(storage.list("b").unwrap(), ["b/1", "b/2", "b/c/3", "bb"]);
        assert_eq!(storage.list("b/c/").unwrap(), ["b/c/3"]);
        storage.remove("b/1").unwrap();
        storage.remove("b/1").unwrap();
        assert_eq!(storage.list("b/").unwrap(), ["b/2", "b/c/3"]);
        storage.remove("a").unwrap();
        for name in storage.list("").unwrap() {
            storage.remove(&name).unwrap();
        }
    }

    #[test]
    fn places_are_told_by_their_scheme() {
        assert_eq!(local("a/b").unwrap(), "a/b");
        assert_eq!(local("/a://b").unwrap(), "/a://b");
        assert_eq!(local("file:///a/b").unwrap(), "/a/b");
        assert_eq!(local("file://localhost/a").unwrap(), "/a");
        assert!(local("file://a").unwrap_err().to_string().contains("names no path"));
        let error = local("s3://bucket/a").unwrap_err();
        assert!(error.to_string().contains("only local paths") && error.exit_code() == 2, "{error}");
        let error = open("ftp://host/a").map(drop).unwrap_err();
        assert!(error.advice().unwrap().contains("s3://"), "{error}");
    }
}
