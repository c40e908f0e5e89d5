//! UBJSON (ubjson.org, draft 12), as XGBoost writes it: rows of numbers have their type and length before them.

use crate::document::Document;
use crate::error::{ModelError, Result};

/// How deep values may lie in each other.
const DEPTH_MAX: usize = 64;

/// Reads one value, and nothing behind it.
pub fn read(bytes: &[u8]) -> Result<Document> {
    let mut input = Input { bytes, at: 0 };
    let tag = input.tag()?;
    let document = input.value(tag, 0)?;
    match input.at == bytes.len() {
        true => Ok(document),
        false => Err(input.error("bytes are left behind the end")),
    }
}

struct Input<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Input<'b> {
    fn error(&self, what: &str) -> ModelError {
        ModelError::new(format!("no UBJSON: byte {}: {what}", self.at))
    }

    fn take(&mut self, count: usize) -> Result<&'b [u8]> {
        let rest = &self.bytes[self.at..];
        if count > rest.len() {
            return Err(self.error("the file is cut off"));
        }
        self.at += count;
        Ok(&rest[..count])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("as many as asked for"))
    }

    /// The next tag that says something.
    fn tag(&mut self) -> Result<u8> {
        loop {
            match self.take(1)?[0] {
                b'N' => {}
                tag => return Ok(tag),
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn int(&mut self, tag: u8) -> Result<i64> {
        Ok(match tag {
            b'i' => i64::from(i8::from_be_bytes(self.array()?)),
            b'U' => i64::from(self.array::<1>()?[0]),
            b'I' => i64::from(i16::from_be_bytes(self.array()?)),
            b'l' => i64::from(i32::from_be_bytes(self.array()?)),
            b'L' => i64::from_be_bytes(self.array()?),
            _ => return Err(self.error(&format!("'{}' is no type of a whole number", tag.escape_ascii()))),
        })
    }

    /// A length. `least`: bytes that each thing takes, so that a wrong one is found before memory is asked for.
    fn length(&mut self, least: usize) -> Result<usize> {
        let tag = self.tag()?;
        let length = self.int(tag)?;
        let left = self.bytes.len() - self.at;
        match usize::try_from(length) {
            Ok(length) if length.saturating_mul(least) <= left => Ok(length),
            _ => Err(self.error(&format!("a length of {length}, with {left} bytes left"))),
        }
    }

    fn text(&mut self) -> Result<String> {
        let length = self.length(1)?;
        let bytes = self.take(length)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| self.error("text that is no UTF-8"))
    }

    fn value(&mut self, tag: u8, depth: usize) -> Result<Document> {
        if depth > DEPTH_MAX {
            return Err(self.error("values lie too deep in each other"));
        }
        Ok(match tag {
            b'Z' => Document::Null,
            b'T' => Document::Bool(true),
            b'F' => Document::Bool(false),
            b'i' | b'U' | b'I' | b'l' | b'L' => Document::Int(self.int(tag)?),
            b'd' => Document::Float(f64::from(f32::from_be_bytes(self.array()?))),
            b'D' => Document::Float(f64::from_be_bytes(self.array()?)),
            b'C' => Document::Text(char::from(self.array::<1>()?[0]).to_string()),
            b'S' | b'H' => Document::Text(self.text()?),
            b'[' => self.list(depth)?,
            b'{' => self.map(depth)?,
            _ => return Err(self.error(&format!("'{}' is no type", tag.escape_ascii()))),
        })
    }

    /// `$` and the type of all, `#` and how many, each if it is there.
    fn header(&mut self) -> Result<(Option<u8>, Option<usize>)> {
        let mut all = None;
        if self.peek() == Some(b'$') {
            self.at += 1;
            all = Some(self.tag()?);
            if self.peek() != Some(b'#') {
                return Err(self.error("a type for all values, and not how many"));
            }
        }
        if self.peek() != Some(b'#') {
            return Ok((all, None));
        }
        self.at += 1;
        let least = match all {
            Some(b'Z' | b'T' | b'F') => return Err(self.error("values of a type that takes no room")),
            Some(b'I') => 2,
            Some(b'l' | b'd') => 4,
            Some(b'L' | b'D') => 8,
            _ => 1,
        };
        Ok((all, Some(self.length(least)?)))
    }

    fn list(&mut self, depth: usize) -> Result<Document> {
        let (all, count) = self.header()?;
        match (all, count) {
            (Some(b'd'), Some(count)) => {
                let bytes = self.take(count * 4)?.as_chunks().0;
                Ok(Document::Floats(bytes.iter().map(|bytes| f32::from_be_bytes(*bytes)).collect()))
            }
            (Some(tag @ (b'i' | b'U' | b'I' | b'l' | b'L')), Some(count)) => {
                Ok(Document::Ints((0..count).map(|_| self.int(tag)).collect::<Result<_>>()?))
            }
            (all, Some(count)) => {
                let value = |_| {
                    let tag = all.map_or_else(|| self.tag(), Ok)?;
                    self.value(tag, depth + 1)
                };
                Ok(Document::List((0..count).map(value).collect::<Result<_>>()?))
            }
            (_, None) => {
                let mut list = vec![];
                loop {
                    match self.tag()? {
                        b']' => return Ok(Document::List(list)),
                        tag => list.push(self.value(tag, depth + 1)?),
                    }
                }
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Document> {
        let (all, count) = self.header()?;
        let mut map = vec![];
        loop {
            if count.is_some_and(|count| map.len() == count) {
                return Ok(Document::Map(map));
            }
            while self.peek() == Some(b'N') {
                self.at += 1;
            }
            if count.is_none() && self.peek() == Some(b'}') {
                self.at += 1;
                return Ok(Document::Map(map));
            }
            let name = self.text()?;
            let tag = all.map_or_else(|| self.tag(), Ok)?;
            map.push((name, self.value(tag, depth + 1)?));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_type() {
        let mut bytes = b"{L\0\0\0\0\0\0\0\x01a[$d#U\x02".to_vec();
        bytes.extend(1.5f32.to_be_bytes());
        bytes.extend((-2.0f32).to_be_bytes());
        bytes.extend(
            b"U\x01b[i\xffI\x01\x00TFNZSU\x02hiCx]U\x01c{#U\x01U\x01dl\0\0\0\x07U\x01e[$L#U\x01\0\0\0\0\0\0\0\x09}",
        );
        let text = |text: &str| Document::Text(text.into());
        let entry = |name: &str, value| (name.to_string(), value);
        let list = vec![
            Document::Int(-1),
            Document::Int(256),
            Document::Bool(true),
            Document::Bool(false),
            Document::Null,
            text("hi"),
            text("x"),
        ];
        let want = Document::Map(vec![
            entry("a", Document::Floats(vec![1.5, -2.0])),
            entry("b", Document::List(list)),
            entry("c", Document::Map(vec![entry("d", Document::Int(7))])),
            entry("e", Document::Ints(vec![9])),
        ]);
        assert_eq!(read(&bytes), Ok(want));
        for cut in 0..bytes.len() {
            assert!(read(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn wrong_tags_and_lengths() {
        for (bytes, want) in [
            (&b"[$x#U\x01a"[..], "'x' is no type"),
            (b"[$dU\x01", "and not how many"),
            (b"[$d#L\x7f\xff\xff\xff\xff\xff\xff\xff", "a length of"),
            (b"[$T#l\x7f\xff\xff\xff", "takes no room"),
            (b"[#i\xff", "a length of -1"),
            (b"TT", "left behind the end"),
            (b"SU\x01\xff", "no UTF-8"),
            (b"", "cut off"),
        ] {
            let error = read(bytes).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
        assert!(read(&[b'['; 1 << 20]).unwrap_err().to_string().contains("too deep"));
    }

    proptest! {
        #[test]
        fn no_bytes_bring_it_down(bytes in prop::collection::vec(any::<u8>(), 0..300), tags in "[\\[\\]{}$#NZTFiUIlLdDCSH]{0,80}") {
            let _ = read(&bytes);
            let _ = read(tags.as_bytes());
            let mixed: Vec<u8> = tags.bytes().zip(bytes).flat_map(|(tag, byte)| [tag, byte]).collect();
            let _ = read(&mixed);
        }
    }
}
