//! Group tables against a slow reference: a map from the printed cells of a row to its group.
//!
//! Checked: ids, keys, absorbed tables and types, for every key type alone and for random mixtures, with NULLs, slices,
//! row lists and dictionaries that change between batches. Not checked here: speed and memory (see `measure`).

use super::*;
use arrow::array::*;
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{Field, Float64Type, IntervalUnit, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides as u64) as usize
    }
}

fn types() -> Vec<DataType> {
    use DataType::*;
    let dictionary = |key, value| Dictionary(Box::new(key), Box::new(value));
    vec![
        Boolean,
        Int8,
        Int16,
        Int32,
        Int64,
        UInt8,
        UInt16,
        UInt32,
        UInt64,
        Float16,
        Float32,
        Float64,
        Decimal32(7, 2),
        Decimal64(15, 3),
        Decimal128(30, 4),
        Decimal256(60, 1),
        Date32,
        Date64,
        Time32(TimeUnit::Second),
        Time64(TimeUnit::Nanosecond),
        Timestamp(TimeUnit::Microsecond, None),
        Timestamp(TimeUnit::Millisecond, Some("+02:00".into())),
        Duration(TimeUnit::Second),
        Interval(IntervalUnit::MonthDayNano),
        Utf8,
        LargeUtf8,
        Utf8View,
        Binary,
        LargeBinary,
        BinaryView,
        FixedSizeBinary(3),
        dictionary(Int8, Utf8),
        dictionary(Int32, Utf8),
        dictionary(UInt16, Utf8View),
        dictionary(Int64, LargeBinary),
        dictionary(Int32, Int64),
        dictionary(UInt8, Float64),
        List(Arc::new(Field::new_list_field(Float64, true))),
        Struct(vec![Field::new("a", Utf8, true), Field::new("b", Float32, true)].into()),
        Null,
    ]
}

const WORDS: [&str; 12] = [
    "",
    "é",
    "a",
    "b",
    "ab",
    "seven77",
    "eight888",
    "fifteen-letters",
    "sixteen-letters!",
    "seventeen-letters",
    "zé",
    "\0",
];
const FLOATS: [f64; 8] = [0.0, -0.0, 1.0, -1.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 2.0];

/// `n` values, a few of them NULL, out of about a dozen or about `card` different ones.
fn column(data_type: &DataType, n: usize, card: usize, dice: &mut Dice) -> ArrayRef {
    let symbols: Vec<Option<usize>> = (0..n).map(|_| (dice.roll(7) != 0).then(|| dice.roll(card))).collect();
    let words = || -> ArrayRef {
        let word = |s: usize| if s < WORDS.len() { WORDS[s].to_owned() } else { format!("word-{s}") };
        Arc::new(symbols.iter().map(|s| s.map(word)).collect::<StringArray>())
    };
    let floats = |symbols: &[Option<usize>]| -> Float64Array {
        symbols
            .iter()
            .map(|s| s.map(|s| if s % 16 == 9 { -f64::NAN } else { FLOATS.get(s % 16).copied().unwrap_or(s as f64) }))
            .collect()
    };
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => cast(&words(), data_type).unwrap(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => cast(&words(), data_type).unwrap(),
        DataType::FixedSizeBinary(_) => {
            let values = symbols.iter().map(|s| s.map(|s| [s as u8, (s >> 8) as u8, 7]));
            Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, 3).unwrap())
        }
        DataType::Float16 | DataType::Float32 | DataType::Float64 => cast(&floats(&symbols), data_type).unwrap(),
        DataType::Boolean => Arc::new(symbols.iter().map(|s| s.map(|s| s % 2 == 1)).collect::<BooleanArray>()),
        DataType::Interval(_) => {
            let values = symbols
                .iter()
                .map(|s| s.map(|s| arrow::datatypes::IntervalMonthDayNano::new(s as i32 % 3, s as i32, 0)));
            Arc::new(values.collect::<IntervalMonthDayNanoArray>())
        }
        DataType::Null => new_null_array(data_type, n),
        DataType::List(_) => {
            let values = floats(&symbols);
            let list = |s: usize| Some(values.iter().cycle().skip(s % 5).take(s % 3).collect::<Vec<_>>());
            Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(symbols.iter().map(|s| s.and_then(list))))
        }
        DataType::Struct(fields) => {
            let columns = fields.iter().map(|field| column(field.data_type(), n, 3, dice)).collect();
            let nulls = NullBuffer::from_iter(symbols.iter().map(Option::is_some));
            Arc::new(StructArray::new(fields.clone(), columns, Some(nulls)))
        }
        DataType::Dictionary(key, value) => {
            // The entries differ from batch to batch: some NULL, some twice, some unused.
            let entries = 1 + dice.roll(card.min(100));
            let values = column(value, entries, card, dice);
            let keys: Int64Array = symbols.iter().map(|s| s.map(|s| (s % entries) as i64)).collect();
            let keys = cast(&keys, key).unwrap();
            let data = keys.to_data().into_builder().data_type(data_type.clone()).child_data(vec![values.to_data()]);
            make_array(data.build().unwrap())
        }
        number => {
            let few = matches!(number, DataType::Int8 | DataType::UInt8);
            let values: Int64Array =
                symbols.iter().map(|s| s.map(|s| (if few { s % 100 } else { s }) as i64)).collect();
            let values: Int64Array = match number {
                DataType::Int64 => values.iter().map(|v| v.map(|v| if v == 5 { i64::MIN } else { v })).collect(),
                _ => values,
            };
            // Times have no way from every integer type: through the one of their width.
            match number.primitive_width() {
                Some(4) if number.is_temporal() => cast(&cast(&values, &DataType::Int32).unwrap(), number).unwrap(),
                _ => cast(&values, number).unwrap(),
            }
        }
    }
}

/// The cell as text, equal for equal keys.
fn cell(array: &dyn Array, row: usize) -> String {
    let array = array.slice(row, 1);
    if array.logical_nulls().is_some_and(|nulls| nulls.is_null(0)) {
        return "NULL".into();
    }
    let formatter = ArrayFormatter::try_new(&array, &FormatOptions::new().with_null("NULL")).unwrap();
    format!("={}", formatter.value(0)).replace("-0.0", "0.0").replace("=-0", "=0")
}

fn row(columns: &[ArrayRef], at: usize) -> Vec<String> {
    columns.iter().map(|column| cell(column, at)).collect()
}

#[derive(Default)]
struct Reference {
    ids: HashMap<Vec<String>, u32>,
    keys: Vec<Vec<String>>,
}

impl Reference {
    fn intern(&mut self, key: Vec<String>) -> u32 {
        *self.ids.entry(key).or_insert_with_key(|key| {
            self.keys.push(key.clone());
            self.keys.len() as u32 - 1
        })
    }

    fn check(&self, table: &GroupTable) {
        assert_eq!(table.len(), self.keys.len());
        let columns = table.keys().unwrap();
        assert_eq!(columns.iter().map(|column| column.data_type().clone()).collect::<Vec<_>>(), table.output_types());
        for column in &columns {
            assert_eq!(column.len(), table.len());
            column.to_data().validate_full().unwrap();
        }
        for (id, key) in self.keys.iter().enumerate() {
            assert_eq!(&row(&columns, id), key, "group {id}");
        }
    }
}

/// Feeds a few batches to a fresh table and to the reference.
fn fed(types: &[DataType], batches: usize, card: usize, dice: &mut Dice) -> (GroupTable, Reference) {
    let (mut table, mut reference) = (GroupTable::new(types), Reference::default());
    let mut ids = vec![9; 3];
    for _ in 0..batches {
        let sizes = [0, 1, 31, 32, 33, 257, dice.roll(700)];
        let n = sizes[dice.roll(sizes.len())];
        let before = dice.roll(2) * dice.roll(40);
        let after = dice.roll(2) * dice.roll(20);
        let columns: Vec<ArrayRef> =
            types.iter().map(|data_type| column(data_type, before + n + after, card, dice).slice(before, n)).collect();
        let list: Vec<u32> = if n == 0 { vec![] } else { (0..dice.roll(2 * n)).map(|_| dice.roll(n) as u32).collect() };
        let rows = if dice.roll(2) == 0 { Rows::All(n) } else { Rows::List(&list) };
        // The same arrays twice: the second time a dictionary is known.
        for _ in 0..2 {
            table.intern(&columns, rows, &mut ids).unwrap();
            let want: Vec<u32> = (0..rows.len()).map(|i| reference.intern(row(&columns, rows.get(i)))).collect();
            assert_eq!(ids, want, "{types:?}");
        }
    }
    reference.check(&table);
    (table, reference)
}

fn feed_and_absorb(types: &[DataType], card: usize, dice: &mut Dice) {
    let (mut table, mut reference) = fed(types, 3, card, dice);
    let (other, theirs) = fed(types, 2, card, dice);
    let map = table.absorb(&other).unwrap();
    let want: Vec<u32> = theirs.keys.iter().map(|key| reference.intern(key.clone())).collect();
    assert_eq!(map, want, "{types:?}");
    reference.check(&table);
}

#[test]
fn each_type_alone() {
    for (number, data_type) in types().into_iter().enumerate() {
        for round in 0..4 {
            feed_and_absorb(
                std::slice::from_ref(&data_type),
                [3, 14, 60, 400][round],
                &mut Dice((number * 4 + round) as u64),
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_types_together(seed in any::<u64>(), picks in proptest::collection::vec(0..types().len(), 0..6), card in 1..40_usize) {
        let all = types();
        let picked: Vec<DataType> = picks.iter().map(|&pick| all[pick].clone()).collect();
        feed_and_absorb(&picked, card, &mut Dice(seed));
    }

    /// The layouts of two and four words, and NULLs with and without room in the key.
    #[test]
    fn packed_types_together(seed in any::<u64>(), picks in proptest::collection::vec(0..7_usize, 1..9), card in 1..9_usize) {
        use DataType::*;
        let dictionary = Dictionary(Box::new(Int32), Box::new(Utf8));
        let all = [Int64, Int32, Boolean, dictionary, Utf8, Float64, Decimal128(20, 2)];
        let picked: Vec<DataType> = picks.iter().map(|&pick| all[pick].clone()).collect();
        feed_and_absorb(&picked, card, &mut Dice(seed));
    }
}

#[test]
fn no_key_column_is_one_group() {
    let mut table = GroupTable::new(&[]);
    let mut ids = vec![7];
    table.intern(&[], Rows::All(0), &mut ids).unwrap();
    assert_eq!((ids.as_slice(), table.len()), ([].as_slice(), 0));
    table.intern(&[], Rows::All(3), &mut ids).unwrap();
    table.intern(&[], Rows::List(&[4, 5]), &mut ids).unwrap();
    assert_eq!((ids.as_slice(), table.len(), table.keys().unwrap().len()), ([0, 0].as_slice(), 1, 0));
    let mut other = GroupTable::new(&[]);
    assert_eq!(other.absorb(&table).unwrap(), [0]);
}

#[test]
fn growth_keeps_every_id() {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values((0..300_000).map(|i| (i % 200_000) << 20)));
    let words: ArrayRef = Arc::new(StringArray::from_iter_values((0..300_000).map(|i| format!("key-{}", i % 200_000))));
    let want: Vec<u32> = (0..300_000).map(|i| i % 200_000).collect();
    for columns in [vec![numbers.clone()], vec![words.clone()], vec![numbers.clone(), words.clone()], vec![words; 7]] {
        let types: Vec<DataType> = columns.iter().map(|column| column.data_type().clone()).collect();
        let (mut table, mut ids) = (GroupTable::new(&types), vec![]);
        table.intern(&columns, Rows::All(300_000), &mut ids).unwrap();
        assert!(ids == want);
        for (key, column) in table.keys().unwrap().iter().zip(&columns) {
            assert!(key.to_data() == column.slice(0, 200_000).to_data());
        }
    }
}

#[test]
fn text_of_other_encodings_takes_turns() {
    let words: ArrayRef = Arc::new(StringArray::from(vec![Some("x"), None, Some("é"), Some("")]));
    let mut table = GroupTable::new(&[DataType::Utf8]);
    let mut ids = vec![];
    for data_type in types().iter().filter(|t| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)) {
        table.intern(&[cast(&words, data_type).unwrap()], Rows::All(4), &mut ids).unwrap();
        assert_eq!(ids, [0, 1, 2, 3]);
    }
    let dictionary =
        cast(&words, &DataType::Dictionary(Box::new(DataType::Int16), Box::new(DataType::LargeUtf8))).unwrap();
    table.intern(&[dictionary], Rows::List(&[3, 1]), &mut ids).unwrap();
    assert_eq!((ids.as_slice(), table.len()), ([3, 1].as_slice(), 4));
}

#[test]
fn a_long_dictionary_is_not_mapped_for_a_short_batch() {
    let values: ArrayRef =
        Arc::new(StringArray::from_iter((0..5000).map(|i| (i != 4000).then(|| format!("w{}", i % 4900)))));
    let keys = Int32Array::from(vec![Some(4900), Some(0), None, Some(4000), Some(4999)]);
    let dictionary: ArrayRef = Arc::new(DictionaryArray::new(keys, values));
    for types in [vec![DataType::Utf8], vec![DataType::Utf8, DataType::Utf8]] {
        let (mut table, mut ids) = (GroupTable::new(&types), vec![]);
        table.intern(&vec![dictionary.clone(); types.len()], Rows::All(5), &mut ids).unwrap();
        assert_eq!(ids, [0, 0, 1, 1, 2]);
        assert!(table.memory_bytes() < 4096, "{} bytes", table.memory_bytes());
    }
}

#[test]
fn wrong_columns_are_refused() {
    let number: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let word: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let mut ids = vec![];
    let mut refused = |types: &[DataType], columns: &[ArrayRef]| {
        GroupTable::new(types).intern(columns, Rows::All(1), &mut ids).unwrap_err().to_string()
    };
    assert_eq!(refused(&[DataType::Int64], &[]), "0 group key columns, the table was made for 1");
    assert_eq!(
        refused(&[DataType::Int32], std::slice::from_ref(&number)),
        "a group key column has type Int64, the table was made for Int32"
    );
    assert_eq!(refused(&[DataType::Utf8], &[number]), "a group key column has type Int64, the table was made for Utf8");
    assert_eq!(
        refused(&[DataType::Binary], &[word]),
        "a group key column has type Utf8, the table was made for Binary"
    );
    let error = GroupTable::new(&[DataType::Int32]).absorb(&GroupTable::new(&[DataType::UInt32])).unwrap_err();
    assert_eq!(error.to_string(), "cannot merge group tables with different key types");
}

#[test]
fn tables_move_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<GroupTable>();
}

/// Prints ns a row: `cargo test -p pelton-kernels --lib group_table::tests::measure -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn measure() {
    const ROWS: usize = 8192;
    let dice = &mut Dice(1);
    let ints = |card: usize, dice: &mut Dice| -> Vec<i64> { (0..1 << 21).map(|_| dice.roll(card) as i64).collect() };
    let few = ints(1000, dice);
    let many = ints(1_000_000, dice);
    let dictionary: ArrayRef = Arc::new(StringArray::from_iter_values((0..1000).map(|i| format!("merchant-{i}"))));
    let i64s = |v: &[i64]| Arc::new(Int64Array::from_iter_values(v.iter().copied())) as ArrayRef;
    let i32s =
        |v: &[i64], card: i64| Arc::new(Int32Array::from_iter_values(v.iter().map(|&v| (v % card) as i32))) as ArrayRef;
    let dicts = |v: &[i64]| {
        let keys = Int32Array::from_iter_values(v.iter().map(|&v| v as i32));
        Arc::new(DictionaryArray::new(keys, dictionary.clone())) as ArrayRef
    };
    let words =
        |v: &[i64]| Arc::new(StringArray::from_iter_values(v.iter().map(|v| format!("user-{v:07}")))) as ArrayRef;
    let fresh: ArrayRef = Arc::new(StringArray::from_iter_values((0..ROWS).map(|i| format!("user-{i:07}"))));
    for rows in [1, 16, 256] {
        let columns = [fresh.slice(0, rows), i64s(&few[..rows])];
        let (mut table, mut ids) = (GroupTable::new(&[DataType::Utf8, DataType::Int64]), vec![]);
        let start = std::time::Instant::now();
        for _ in 0..100_000 {
            table.intern(&columns, Rows::All(rows), &mut ids).unwrap();
        }
        println!("utf8 i64, batches of {rows}: {:.0} ns a call", start.elapsed().as_nanos() as f64 / 1e5);
    }
    let cases: Vec<(&str, Vec<ArrayRef>)> = vec![
        ("i32, 1 K groups", vec![i32s(&few, 1000)]),
        ("i32, 10 groups", vec![i32s(&few, 10)]),
        ("i64, 1 K groups", vec![i64s(&few)]),
        ("i32 i32, 10 x 1 K", vec![i32s(&few, 1000), i32s(&many, 10)]),
        ("i64 i64, 1 K", vec![i64s(&few), i64s(&few)]),
        ("dict, 1 K", vec![dicts(&few)]),
        ("dict i32, 1 K x 10", vec![dicts(&few), i32s(&many, 10)]),
        ("dict dict, 1 K", vec![dicts(&few), dicts(&few)]),
        ("utf8, 1 K", vec![words(&few)]),
        ("utf8 i32, 1 K", vec![words(&few), i32s(&few, 10)]),
        ("i64, 1 M", vec![i64s(&many)]),
        ("i64 i64, 1 M", vec![i64s(&many), i64s(&many)]),
        ("utf8, 1 M", vec![words(&many)]),
        ("utf8 i32, 1 M", vec![words(&many), i32s(&few, 10)]),
        ("five i64 (general), 1 K", vec![i64s(&few); 5]),
    ];
    // MEASURE names one case, REPEAT makes it long enough for a profiler.
    let wanted = std::env::var("MEASURE").unwrap_or_default();
    let repeat: usize = std::env::var("REPEAT").map_or(1, |n| n.parse().expect("a number"));
    for (name, columns) in cases.into_iter().filter(|(name, _)| name.contains(&wanted)) {
        let types: Vec<DataType> = columns.iter().map(|column| column.data_type().clone()).collect();
        let batches: Vec<Vec<ArrayRef>> = (0..columns[0].len() / ROWS)
            .map(|b| columns.iter().map(|column| column.slice(b * ROWS, ROWS)).collect())
            .collect();
        let list: Vec<u32> = (0..ROWS as u32).step_by(2).collect();
        let (mut table, mut ids) = (GroupTable::new(&types), vec![]);
        let mut pass = |rows: Rows<'_>| {
            let start = std::time::Instant::now();
            for batch in &batches {
                table.intern(batch, rows, &mut ids).unwrap();
            }
            start.elapsed().as_nanos() as f64 / (batches.len() * rows.len()) as f64
        };
        let (fill, again, picked) = (
            pass(Rows::All(ROWS)),
            (0..repeat).map(|_| pass(Rows::All(ROWS))).fold(f64::MAX, f64::min),
            pass(Rows::List(&list)),
        );
        let each = table.memory_bytes() as f64 / table.len() as f64;
        println!(
            "{name:24} {fill:6.1} ns first, {again:6.1} again, {picked:6.1} by list; {:7} groups, {each:5.1} bytes each",
            table.len()
        );
    }
}
