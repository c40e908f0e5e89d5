//! Flink's MD5, SHA… and BASE64 functions: strings in, strings out, hashes in lower-case hexadecimal.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use super::Arg::{Int, Text};
use super::{Flink, Ints, Texts, answer, rows, texts};
use crate::error::Error;
use crate::sql::errors::carry;

fn text(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    Ok(DataType::Utf8)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

/// Runs a hash of DataFusion over the first argument.
fn run(function: &ScalarUDF, args: &ScalarFunctionArgs) -> Result<ArrayRef> {
    let return_type = function.return_type(&[DataType::Utf8])?;
    let hashed = function.invoke_with_args(ScalarFunctionArgs {
        args: args.args[..1].to_vec(),
        arg_fields: args.arg_fields[..1].to_vec(),
        number_rows: args.number_rows,
        return_field: Arc::new(Field::new("hash", return_type, true)),
        config_options: args.config_options.clone(),
    })?;
    hashed.to_array(rows(args))
}

/// A hash of DataFusion's in hexadecimal digits.
fn hash(function: &ScalarUDF, args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let hashed = cast(&run(function, args)?, &DataType::Binary)?;
    let bytes = hashed.as_binary::<i32>();
    texts(args, |row| bytes.is_valid(row).then(|| hex(bytes.value(row))))
}

/// The functions of this file.
pub fn functions() -> Vec<Flink> {
    use datafusion_functions::crypto;
    vec![
        // DataFusion answers MD5 in hexadecimal already.
        Flink::new("md5", &[Text], 1, text, |_, args| {
            answer(args, cast(&run(&crypto::md5(), args)?, &DataType::Utf8)?)
        }),
        Flink::new("sha1", &[Text], 1, text, |_, args| {
            let values = Texts::of(&args.args[0]);
            texts(args, |row| Some(hex(&sha1(values.get(row)?.as_bytes()))))
        }),
        Flink::new("sha224", &[Text], 1, text, |_, args| hash(&crypto::sha224(), args)),
        Flink::new("sha256", &[Text], 1, text, |_, args| hash(&crypto::sha256(), args)),
        Flink::new("sha384", &[Text], 1, text, |_, args| hash(&crypto::sha384(), args)),
        Flink::new("sha512", &[Text], 1, text, |_, args| hash(&crypto::sha512(), args)),
        // SHA2(text, bits): bits are a literal.
        Flink::new("sha2", &[Text, Int], 2, text, |_, args| {
            let bits = match &args.args[1] {
                ColumnarValue::Scalar(_) => Ints::of(&args.args[1]).get(0),
                ColumnarValue::Array(_) => None,
            };
            match bits {
                Some(224) => hash(&crypto::sha224(), args),
                Some(256) => hash(&crypto::sha256(), args),
                Some(384) => hash(&crypto::sha384(), args),
                Some(512) => hash(&crypto::sha512(), args),
                _ => Err(carry(Error::user("SHA2 wants a STRING and a literal length: 224, 256, 384 or 512"))),
            }
        }),
        Flink::new("to_base64", &[Text], 1, text, |_, args| {
            let values = Texts::of(&args.args[0]);
            texts(args, |row| Some(to_base64(values.get(row)?.as_bytes())))
        }),
        // FROM_BASE64(text): NULL if the text is not base64, or not that of UTF-8.
        Flink::new("from_base64", &[Text], 1, text, |_, args| {
            let values = Texts::of(&args.args[0]);
            texts(args, |row| String::from_utf8(from_base64(values.get(row)?)?).ok())
        }),
    ]
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn to_base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |w, b| (w << 8) | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let six = (word >> (18 - 6 * i)) & 63;
            out.push(if i <= chunk.len() { char::from(ALPHABET[six as usize]) } else { '=' });
        }
    }
    out
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if text.len() - digits.len() > 2 || digits.len() % 4 == 1 {
        return None;
    }
    let mut out = Vec::with_capacity(digits.len() * 3 / 4);
    for chunk in digits.as_bytes().chunks(4) {
        let mut word = 0u32;
        for digit in chunk {
            word = (word << 6) | ALPHABET.iter().position(|c| c == digit)? as u32;
        }
        word <<= 6 * (4 - chunk.len());
        out.extend_from_slice(&word.to_be_bytes()[1..chunk.len()]);
    }
    Some(out)
}

fn sha1(bytes: &[u8]) -> [u8; 20] {
    let mut state: [u32; 5] = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0];
    let mut message = bytes.to_vec();
    message.push(0x80);
    message.resize((message.len() + 8).next_multiple_of(64), 0);
    let end = message.len();
    message[end - 8..].copy_from_slice(&(bytes.len() as u64 * 8).to_be_bytes());
    for block in message.chunks_exact(64) {
        let mut w = [0u32; 80];
        for (word, four) in w.iter_mut().zip(block.chunks_exact(4)) {
            *word = u32::from_be_bytes(four.try_into().expect("four bytes"));
        }
        for i in 16..80 {
            w[i] = (w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16]).rotate_left(1);
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (i, word) in w.iter().enumerate() {
            let (f, k) = match i {
                0..20 => ((b & c) | (!b & d), 0x5A82_7999),
                20..40 => (b ^ c ^ d, 0x6ED9_EBA1),
                40..60 => ((b & c) | (b & d) | (c & d), 0x8F1B_BCDC),
                _ => (b ^ c ^ d, 0xCA62_C1D6u32),
            };
            let next = a.rotate_left(5).wrapping_add(f).wrapping_add(e).wrapping_add(k).wrapping_add(*word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (s, v) in state.iter_mut().zip([a, b, c, d, e]) {
            *s = s.wrapping_add(v);
        }
    }
    let mut out = [0; 20];
    for (four, s) in out.chunks_exact_mut(4).zip(state) {
        four.copy_from_slice(&s.to_be_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_hashes_and_base64() {
        assert_eq!(hex(&sha1(b"")), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
        assert_eq!(hex(&sha1(b"abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
        let long = "a".repeat(63);
        assert_eq!(hex(&sha1(long.as_bytes())), "03f09f5b158a7a8cdad920bddc29b81c18a551f5");
        for text in ["", "f", "fo", "foo", "foob", "Zürich"] {
            assert_eq!(from_base64(&to_base64(text.as_bytes())).unwrap(), text.as_bytes());
        }
        assert_eq!(to_base64(b"foob"), "Zm9vYg==");
        assert_eq!(from_base64("Zm9vYg"), Some(b"foob".to_vec()));
        assert_eq!(from_base64("Z"), None);
        assert_eq!(from_base64("Zm 9"), None);
    }
}
