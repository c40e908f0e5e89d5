//! The bytes of one message, taken from the front. Whatever they are, taking them ends, with a reason where it fails.

use super::grown::Wrong;

/// Items without bytes (NULLs, empty rows) that a message may hold beyond one for each of its bytes.
const EMPTY_ITEMS_MAX: usize = 1024;

/// What is left of a message.
pub struct Wire<'a> {
    left: &'a [u8],
    /// Items of lists that may still come: no few bytes can ask for millions.
    items: usize,
}

impl<'a> Wire<'a> {
    /// All of a message.
    pub fn new(bytes: &'a [u8]) -> Self {
        Wire { left: bytes, items: bytes.len() + EMPTY_ITEMS_MAX }
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.left.len()
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Wrong> {
        let Some((taken, left)) = self.left.split_at_checked(count) else {
            return Err(format!("the message ends in the middle: {count} bytes wanted, {} left", self.left.len()));
        };
        self.left = left;
        Ok(taken)
    }

    /// The next bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Wrong> {
        Ok(self.take(N)?.try_into().expect("as many as were taken"))
    }

    /// A number of 64 bits, seven of them a byte, the lowest first.
    pub fn varint(&mut self) -> Result<u64, Wrong> {
        let mut value = 0;
        for at in 0..10 {
            let Some(&byte) = self.left.get(at) else {
                return Err("the message ends in the middle of a number".into());
            };
            if at == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                self.left = &self.left[at + 1..];
                return Ok(value);
            }
        }
        Err("a number of more than 64 bits".into())
    }

    /// The same with its sign in the lowest bit.
    pub fn zigzag(&mut self) -> Result<i64, Wrong> {
        self.varint().map(unzigzag)
    }

    /// Counts items that are said to follow.
    pub fn items(&mut self, count: u64) -> Result<(), Wrong> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        match self.items.checked_sub(count) {
            Some(items) => self.items = items,
            None => return Err(format!("a list of {count} items in a message that is too short for them")),
        }
        Ok(())
    }
}

/// The number behind an unsigned one.
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Appends a number, seven bits a byte.
pub fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a number with its sign in the lowest bit.
pub fn put_zigzag(value: i64, out: &mut Vec<u8>) {
    put_varint(((value << 1) ^ (value >> 63)) as u64, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for value in [0, 1, -1, 63, 64, -64, -65, 8191, 8192, i64::MAX, i64::MIN] {
            let mut bytes = vec![];
            put_zigzag(value, &mut bytes);
            let mut wire = Wire::new(&bytes);
            assert_eq!((wire.zigzag(), wire.left()), (Ok(value), 0));
            let mut short = Wire::new(&bytes[..bytes.len() - 1]);
            assert!(short.zigzag().is_err());
        }
        assert!(Wire::new(&[0xff; 10]).varint().unwrap_err().contains("64 bits"));
        assert!(Wire::new(&[1]).items(2000).is_err());
    }
}
