//! Finds the separators of CSV, 64 bytes at once: delimiters and line breaks that are not in quotes.
//!
//! Whether a byte is in quotes is known from the number of quotes before it, even or odd, as long as these stand where
//! they should: one opens at the start of a field, and one closes at its end, or is the first of two. The index ends at
//! the first place where that is not so, or where a line ends in quotes: from there on only the slow way knows.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;
use std::ops::Range;

use pelton_kernels::cpu::Level;

use super::super::CsvSyntax;

const BLOCK_BYTES: usize = 64;

/// Where some bytes are among 64: the lowest bit is the first of them.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Found {
    delimiters: u64,
    breaks: u64,
    quotes: u64,
}

/// Looks for three bytes at once.
///
/// # Safety
/// The processor has the instructions of the type that implements it.
unsafe trait Find {
    fn find(block: &[u8; BLOCK_BYTES], delimiter: u8, quote: u8) -> Found;
}

/// No special instructions.
struct Plain;

// SAFETY: it needs nothing.
unsafe impl Find for Plain {
    #[inline(always)]
    fn find(block: &[u8; BLOCK_BYTES], delimiter: u8, quote: u8) -> Found {
        let mut found = Found { delimiters: 0, breaks: 0, quotes: 0 };
        for (at, &byte) in block.iter().enumerate() {
            found.delimiters |= u64::from(byte == delimiter) << at;
            found.breaks |= u64::from(byte == b'\n') << at;
            found.quotes |= u64::from(byte == quote) << at;
        }
        found
    }
}

/// Two halves of 32 bytes.
#[cfg(target_arch = "x86_64")]
struct Avx2;

#[cfg(target_arch = "x86_64")]
// SAFETY: it needs AVX2.
unsafe impl Find for Avx2 {
    #[inline(always)]
    fn find(block: &[u8; BLOCK_BYTES], delimiter: u8, quote: u8) -> Found {
        let (halves, _) = block.as_chunks::<32>();
        // SAFETY: the type is used where the processor has AVX2; either half is as long as a vector.
        unsafe {
            let low = _mm256_loadu_si256(halves[0].as_ptr().cast());
            let high = _mm256_loadu_si256(halves[1].as_ptr().cast());
            let places = |byte: u8| {
                let byte = _mm256_set1_epi8(byte as i8);
                let low = _mm256_movemask_epi8(_mm256_cmpeq_epi8(low, byte)) as u32;
                let high = _mm256_movemask_epi8(_mm256_cmpeq_epi8(high, byte)) as u32;
                u64::from(high) << 32 | u64::from(low)
            };
            Found { delimiters: places(delimiter), breaks: places(b'\n'), quotes: places(quote) }
        }
    }
}

/// All bytes in one.
#[cfg(target_arch = "x86_64")]
struct Avx512;

#[cfg(target_arch = "x86_64")]
// SAFETY: it needs AVX-512 BW.
unsafe impl Find for Avx512 {
    #[inline(always)]
    fn find(block: &[u8; BLOCK_BYTES], delimiter: u8, quote: u8) -> Found {
        // SAFETY: the type is used where the processor has AVX-512 BW; `block` is as long as a vector.
        unsafe {
            let bytes = _mm512_loadu_si512(block.as_ptr().cast());
            Found {
                delimiters: _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(delimiter as i8)),
                breaks: _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(b'\n' as i8)),
                quotes: _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(quote as i8)),
            }
        }
    }
}

/// Goes over text that begins with a record.
struct Walk<'a> {
    text: &'a [u8],
    at: usize,
    end: usize,
    delimiter: u8,
    quote: u8,
    /// All ones if what comes is in quotes, else none.
    inside: u64,
    /// The lowest bit says of the byte before whether a field may begin behind it, and whether it closes a quote.
    separated: u64,
    closed: u64,
    /// Something stands where it should not: nothing is known from there on.
    odd: bool,
}

/// What a block has, up to the first odd place.
struct Block {
    at: usize,
    separators: u64,
    breaks: u64,
}

impl<'a> Walk<'a> {
    fn new(text: &'a [u8], range: Range<usize>, delimiter: u8, quote: u8) -> Self {
        let (at, end) = (range.start, range.end);
        Walk { text, at, end, delimiter, quote, inside: 0, separated: 1, closed: 0, odd: false }
    }

    /// The next block; `None` at the end, or behind an odd place. Unless `QUOTING`, quotes mean nothing.
    #[inline(always)]
    fn next<F: Find, const QUOTING: bool>(&mut self) -> Option<Block> {
        if self.at >= self.end || self.odd {
            return None;
        }
        let at = self.at;
        let found = match self.text[at..].first_chunk() {
            Some(block) => F::find(block, self.delimiter, self.quote),
            None => {
                let mut block = [0; BLOCK_BYTES];
                block[..self.text.len() - at].copy_from_slice(&self.text[at..]);
                F::find(&block, self.delimiter, self.quote)
            }
        };
        self.at += BLOCK_BYTES;
        let there = u64::MAX >> BLOCK_BYTES.saturating_sub(self.end - at);
        let (ends, breaks) = ((found.delimiters | found.breaks) & there, found.breaks & there);
        match QUOTING {
            // No look at whether there are any: nobody could foretell it.
            true => Some(self.outside(at, found.quotes & there, ends, breaks)),
            false => Some(Block { at, separators: ends, breaks }),
        }
    }

    /// What of a block is not in quotes.
    #[inline(always)]
    fn outside(&mut self, at: usize, quotes: u64, ends: u64, breaks: u64) -> Block {
        // From each quote on to the next one: the parity of those up to and with it.
        let mut inside = quotes;
        for shift in [1, 2, 4, 8, 16, 32] {
            inside ^= inside << shift;
        }
        inside ^= self.inside;
        let (opening, closing) = (quotes & inside, quotes & !inside);
        let separators = ends & !inside;
        let behind_separator = separators << 1 | self.separated;
        let behind_closing = closing << 1 | self.closed;
        let mut odd = opening & !(behind_separator | behind_closing) | breaks & inside;
        let mut others = behind_closing & !(separators | opening);
        while others != 0 {
            let place = at + others.trailing_zeros() as usize;
            // Behind the last byte there is none to be wrong.
            if place < self.end && self.text.get(place..place + 2) != Some(b"\r\n") {
                odd |= others & others.wrapping_neg();
            }
            others &= others - 1;
        }
        self.inside = ((inside as i64) >> 63) as u64;
        (self.separated, self.closed) = (separators >> 63, closing >> 63);
        self.odd = odd != 0;
        // What is below the first odd place; all if there is none.
        let good = (odd & odd.wrapping_neg()).wrapping_sub(1);
        Block { at, separators: separators & good, breaks: breaks & separators & good }
    }
}

/// Places in some text.
#[derive(Default)]
pub struct Places {
    /// Room for them; those behind the first `count` mean nothing.
    room: Vec<u32>,
    count: usize,
}

impl Places {
    /// The places.
    pub fn as_slice(&self) -> &[u32] {
        &self.room[..self.count]
    }
}

/// What is to be found.
trait Sought {
    type Answer;
    fn seek<F: Find, const QUOTING: bool>(self, walk: Walk) -> Self::Answer;
}

/// All separators, up to the first odd place.
struct Separators<'a>(&'a mut Places);

impl Sought for Separators<'_> {
    type Answer = ();

    #[inline(always)]
    fn seek<F: Find, const QUOTING: bool>(self, mut walk: Walk) {
        let Places { room, count } = self.0;
        *count = 0;
        // A place more than there are may be written in each group of eight.
        room.resize(room.len().max(walk.end.saturating_sub(walk.at) + 2 * BLOCK_BYTES), 0);
        while let Some(block) = walk.next::<F, QUOTING>() {
            let (mut left, groups) = (block.separators, room[*count..].chunks_exact_mut(8));
            *count += left.count_ones() as usize;
            // Eight at once, though some may be none: mostly one group does.
            for group in groups {
                for place in group {
                    *place = (block.at + left.trailing_zeros() as usize) as u32;
                    left &= left.wrapping_sub(1);
                }
                if left == 0 {
                    break;
                }
            }
        }
    }
}

/// Where the last line ends that comes before the first odd place; else where the text begins.
struct LastLineEnd;

impl Sought for LastLineEnd {
    type Answer = usize;

    #[inline(always)]
    fn seek<F: Find, const QUOTING: bool>(self, mut walk: Walk) -> usize {
        let mut end = walk.at;
        while let Some(block) = walk.next::<F, QUOTING>() {
            if block.breaks != 0 {
                end = block.at + BLOCK_BYTES - block.breaks.leading_zeros() as usize;
            }
        }
        end
    }
}

/// Seeks in `range` of some text, which begins with a record.
#[inline(always)]
fn seek<F: Find, S: Sought>(sought: S, text: &[u8], range: Range<usize>, syntax: &CsvSyntax) -> S::Answer {
    match syntax.quote {
        Some(quote) => sought.seek::<F, true>(Walk::new(text, range, syntax.delimiter, quote)),
        None => sought.seek::<F, false>(Walk::new(text, range, syntax.delimiter, 0)),
    }
}

/// Like `seek`, with the instructions of `level`, which the processor has.
fn seek_at<S: Sought>(level: Level, sought: S, text: &[u8], range: Range<usize>, syntax: &CsvSyntax) -> S::Answer {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,bmi1,bmi2")]
        fn avx2<S: Sought>(sought: S, text: &[u8], range: Range<usize>, syntax: &CsvSyntax) -> S::Answer {
            seek::<Avx2, S>(sought, text, range, syntax)
        }
        #[target_feature(enable = "avx512f,avx512bw,avx2,bmi1,bmi2")]
        fn avx512<S: Sought>(sought: S, text: &[u8], range: Range<usize>, syntax: &CsvSyntax) -> S::Answer {
            seek::<Avx512, S>(sought, text, range, syntax)
        }
        match level {
            Level::Scalar => {}
            // SAFETY: the processor has what either level says.
            Level::Avx2 => return unsafe { avx2(sought, text, range, syntax) },
            // SAFETY: as above.
            Level::Avx512 => return unsafe { avx512(sought, text, range, syntax) },
        }
    }
    seek::<Plain, S>(sought, text, range, syntax)
}

/// The separators in `range` of the text, up to the first odd place. A record begins where the range does; the processor
/// has the instructions of `level`.
pub fn separators(text: &[u8], range: Range<usize>, syntax: &CsvSyntax, level: Level, places: &mut Places) {
    seek_at(level, Separators(places), text, range, syntax)
}

/// Where the last of the lines from `from` on ends that is whole and comes before the first odd place; else `from`. A
/// record begins at `from`; the processor has the instructions of `level`.
pub fn last_line_end(text: &[u8], from: usize, syntax: &CsvSyntax, level: Level) -> usize {
    seek_at(level, LastLineEnd, text, from..text.len(), syntax)
}

#[cfg(test)]
mod tests {
    use super::super::super::dice::Dice;
    use super::*;
    use pelton_kernels::cpu::level;

    fn levels() -> impl Iterator<Item = Level> {
        [Level::Scalar, Level::Avx2, Level::Avx512].into_iter().filter(|l| *l <= level())
    }

    /// The separators, and where the last line ends.
    fn check(text: &str, want: &[u32], end: usize) {
        for level in levels() {
            let mut got = Places::default();
            separators(text.as_bytes(), 0..text.len(), &CsvSyntax::default(), level, &mut got);
            assert_eq!(got.as_slice(), want, "{level:?} {text:?}");
            assert_eq!(last_line_end(text.as_bytes(), 0, &CsvSyntax::default(), level), end, "{level:?} {text:?}");
        }
    }

    #[test]
    fn quotes_where_they_should_be() {
        check("a,b\nc", &[1, 3], 4);
        check("\"a,b\",c\n", &[5, 7], 8);
        check("\"a\"\"\",\"\"\n", &[5, 8], 9);
        check("a,\"b\"\r\n,", &[1, 6, 7], 7);
        check("a,\"b\"", &[1], 0);
        check("", &[], 0);
    }

    #[test]
    fn quotes_where_they_should_not_be() {
        check("a,b\nc,5\" d,\ne\n", &[1, 3, 5], 4);
        check("a\n\"b\" c,d\n", &[1], 2);
        check("a\n\"b\nc\",d\n", &[1], 2);
        check("\"a\"\rb,c\n", &[], 0);
    }

    #[test]
    fn no_quoting() {
        let syntax = CsvSyntax { quote: None, ..CsvSyntax::default() };
        for level in levels() {
            let mut got = Places::default();
            separators(b"\0\"a,\n", 0..5, &syntax, level, &mut got);
            assert_eq!(got.as_slice(), [3, 4]);
        }
    }

    proptest::proptest! {
        #[test]
        fn levels_agree(seed: u64) {
            let mut dice = Dice(seed);
            let letters = dice.one(&[&b"abcdefgh,\n"[..], b"abcdefg\",\n", b"a\",\n\r"]);
            let mut text = String::new();
            while dice.below(300) > 0 {
                text += dice.one(&["\"a,b\",", "\"\"\"\",", "a,", "\"x\"\r\n", "\n"]);
                if dice.below(40) == 0 {
                    text.push(char::from(dice.one(letters)));
                }
            }
            let text = text.as_bytes();
            let start = dice.below(text.len() + 1);
            let range = start..start + dice.below(text.len() - start + 1);
            let (mut want, mut got) = (Places::default(), Places::default());
            separators(text, range.clone(), &CsvSyntax::default(), Level::Scalar, &mut want);
            let end = last_line_end(text, start, &CsvSyntax::default(), Level::Scalar);
            for level in levels() {
                separators(text, range.clone(), &CsvSyntax::default(), level, &mut got);
                assert_eq!(got.as_slice(), want.as_slice());
                assert_eq!(last_line_end(text, start, &CsvSyntax::default(), level), end);
            }
        }
    }
}
