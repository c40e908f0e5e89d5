//! What records mean, what is bad about bad ones, and that both ways of reading agree.

use super::super::dice::{Dice, all, no_file};
use super::super::tests_of_formats::Case;
use super::*;
use arrow::datatypes::TimeUnit;

fn columns() -> Schema {
    Schema::new(vec![
        Field::new("id", DataType::Int32, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), true),
    ])
}

fn reasons(got: &super::super::tests_of_formats::Got) -> Vec<String> {
    got.bad.iter().map(|b| format!("{}: {}", b.record, b.reason)).collect()
}

#[test]
fn good_and_bad_records() {
    let mut text = "\u{feff}name,id,at,rest\n\
        a,1,2024-01-02 03:04:05,\n\
        \n\
        \"b \"\"c\"\", d\ne\",2,2024-01-02T03:04:05.5,x\r\n\
        \"\",,,\n\
        short,3\n\
        long,4,,,,\n\
        f,x5,,\n\
        g,6,noon,\n\
        h 5\" i,99999999999,,\n\
        \"unclosed,8,,\n\
        j,9,,\n\
        \"k\"x,10,,\n\
        #l,11,,\n"
        .as_bytes()
        .to_vec();
    text.extend(b"\xff,12,,\nm,13,,");
    let case = Case::new("a.csv", &text, Format::Csv).declare(columns());
    let got = case.check_every_cut();
    assert_eq!(
        got.rows,
        [
            "0: 1|a|2024-01-02T03:04:05",
            "1: 2|b \"c\", d\ne|2024-01-02T03:04:05.500",
            "2: NULL||NULL",
            "9: 9|j|NULL",
            "11: 11|#l|NULL",
            "13: 13|m|NULL",
        ]
    );
    let file = case.shown();
    assert_eq!(
        reasons(&got),
        [
            format!("3: has 2 fields instead of 4 (line 7 of '{file}')"),
            format!("4: has 6 fields instead of 4 (line 8 of '{file}')"),
            format!("5: column 'id': 'x5' is no INT (line 9 of '{file}')"),
            format!("6: column 'at': 'noon' is no TIMESTAMP(3) (line 10 of '{file}')"),
            format!("7: column 'id': '99999999999' is no INT (line 11 of '{file}')"),
            format!("8: column 'name': the quote is not closed (line 12 of '{file}')"),
            format!("10: column 'name': text after the closing quote (line 14 of '{file}')"),
            format!("12: column 'name': not UTF-8 (line 16 of '{file}')"),
        ]
    );
    assert_eq!(got.bad[0].bytes, b"short,3");
    assert_eq!(got.bad[2].bytes, b"f,x5,,");
    assert_eq!(got.records, 14);
}

#[test]
fn without_header_by_position() {
    let syntax = CsvSyntax {
        header: false,
        delimiter: b';',
        quote: Some(b'\''),
        null_literal: Some("NA".into()),
        comments: true,
    };
    let text = b"# note; with 'one quote\n1;'a;''b';2024-01-02\n2;NA;NA\n3;'NA';\n4;b\n";
    let case = Case::new("a.csv", text, Format::Csv).declare(columns()).syntax(syntax);
    let got = case.check_every_cut();
    assert_eq!(got.rows, ["0: 1|a;'b|2024-01-02T00:00:00", "1: 2|NULL|NULL", "2: 3|NA|NULL"]);
    assert_eq!(got.bad.len(), 1);
    let got =
        Case::new("a.csv", text, Format::Csv).declare(columns()).syntax(case.syntax_of()).take(&[2]).check_every_cut();
    assert_eq!(got.rows, ["0: 2024-01-02T00:00:00", "1: NULL", "2: NULL"]);
}

#[test]
fn no_columns_and_no_rows() {
    let case = Case::new("a.csv", b"id,name,at\n1,a,\n\n2\n", Format::Csv).declare(columns()).take(&[]);
    let got = case.check_every_cut();
    assert_eq!((got.rows.len(), got.bad.len()), (1, 1));
    for text in [&b""[..], b"\n\n", b"id,name,at", b"id,name,at\n"] {
        let got = Case::new("a.csv", text, Format::Csv).declare(columns()).check_every_cut();
        assert_eq!((got.rows.len(), got.records), (0, 0));
    }
}

#[test]
fn a_stray_quote_spoils_one_line() {
    let mut text = "id,name,at\n".to_string();
    for i in 0..20_000 {
        text += &if i % 5000 == 7 { format!("{i},\"open,\n") } else { format!("{i},\"x\ny\",\n") };
    }
    let got = Case::new("a.csv", text.as_bytes(), Format::Csv).declare(columns()).take(&[0]).check_every_cut();
    assert_eq!(got.bad.len(), 4, "{:?}", reasons(&got));
    assert_eq!(got.rows.len(), 19_996);
}

#[test]
fn guesses_columns() {
    let text = b"a,b,c,zip\n1,x,2024-01-02 03:04:05,01234\n2.5,\"y,\n\",,12345\n,,,\nbad\n";
    let schema = infer(&Case::new("a.csv", text, Format::Csv).file(), &CsvSyntax::default()).unwrap().unwrap();
    let found: Vec<String> = schema
        .fields()
        .iter()
        .map(|f| format!("{} {}", f.name(), super::super::convert::type_name(f.data_type())))
        .collect();
    assert_eq!(found, ["a DOUBLE", "b STRING", "c TIMESTAMP(6)", "zip STRING"]);
    let plain = CsvSyntax { header: false, ..CsvSyntax::default() };
    let schema = infer(&Case::new("a.csv", b"1,x\n2,y\n", Format::Csv).file(), &plain).unwrap().unwrap();
    assert_eq!(schema.field(1).name(), "column_2");
    assert!(infer(&Case::new("a.csv", b"", Format::Csv).file(), &plain).unwrap().is_none());
}

#[test]
fn columns_of_few_values() {
    let mut text = "n,name,country,text\n".to_string();
    for i in 0..100 {
        text += &format!("{i},n{i},{},\"a \"\"b\"\"\"\n", ["US", "DE"][i % 2]);
    }
    let field = |name: &str, t: DataType| Field::new(name, t, true);
    let schema = Schema::new(vec![
        field("n", DataType::Int64),
        field("name", DataType::Utf8),
        field("Country", DataType::Utf8),
        field("none", DataType::Utf8),
        field("text", DataType::Utf8),
    ]);
    let few = |text: &[u8]| few_values(&Case::new("a.csv", text, Format::Csv).file(), &schema, &CsvSyntax::default());
    assert_eq!(few(text.as_bytes()), [2, 4]);
    assert!(few(b"").is_empty());
}

impl Dice {
    fn syntax(&mut self) -> CsvSyntax {
        let delimiter = self.one(b",,,,,,,,;\t| .-5eT:");
        let quote = self.one(&[Some(b'"'), Some(b'"'), Some(b'"'), Some(b'"'), Some(b'\''), Some(b'1'), None]);
        CsvSyntax {
            delimiter,
            quote: quote.filter(|&quote| quote != delimiter),
            header: self.below(3) > 0,
            null_literal: self.one(&[None, None, Some("NA".into()), Some("0".into()), Some("US".into())]),
            comments: self.below(3) == 0,
        }
    }

    fn field_text(&mut self) -> String {
        let odd = ["a,b", "say \"so\"", "\"", "two\nlines", "cr\r", "#", "NA", "it's", " 7 ", "null"];
        match self.below(10) {
            0 => self.one(&odd).into(),
            1 => self.number(),
            2 => self.time(),
            _ => self.word(),
        }
    }

    /// A text that mostly fits the type.
    fn fitting_text(&mut self, t: &DataType) -> String {
        if self.below(15) == 0 {
            return self.field_text();
        }
        match t {
            t if t.is_integer() => {
                let most = self.one(&[2, 2, 2, 2, 2, 2, 2, 19]);
                self.digits(most)
            }
            t if t.is_floating() => format!("{}.{}", self.digits(4), self.digits(2)),
            DataType::Decimal128(..) => format!("{}.{}", self.digits(4), self.digits(2)),
            DataType::Boolean => self.one(&["true", "false"]).into(),
            DataType::Timestamp(..) => {
                format!("2024-01-{:02}T03:{:02}:05.{}Z", 1 + self.below(31), self.below(60), self.digits(6))
            }
            DataType::Date32 => format!("19{:02}-0{}-1{}", self.below(100), 1 + self.below(9), self.below(10)),
            _ => self.field_text(),
        }
    }

    /// A field as it is written, with quotes where they are needed or pleasing; seldom without.
    fn written(&mut self, text: &str, syntax: &CsvSyntax, wild: usize) -> String {
        let Some(quote) = syntax.quote.map(char::from) else { return text.into() };
        let special = |c: char| c == quote || c == char::from(syntax.delimiter) || matches!(c, '\n' | '\r' | '#');
        match self.below(wild) == 0 {
            false if text.contains(special) || self.below(5) == 0 => {
                format!("{quote}{}{quote}", text.replace(quote, &format!("{quote}{quote}")))
            }
            _ => text.into(),
        }
    }

    /// Records of fields of these types, and now and then a broken byte.
    fn records(&mut self, types: &[DataType], syntax: &CsvSyntax) -> Vec<u8> {
        let end = self.one(&["\n", "\n", "\r\n"]);
        let wild = self.one(&[5, 50, 1000]);
        let mut text = vec![];
        for _ in 0..self.below(60) {
            let mut fields = vec![];
            for t in types {
                let value = if self.below(12) == 0 { String::new() } else { self.fitting_text(t) };
                fields.push(self.written(&value, syntax, wild));
            }
            if self.below(wild) == 0 {
                fields.pop();
            }
            let mut line = fields.join(&char::from(syntax.delimiter).to_string()).into_bytes();
            if self.below(wild) == 0 && !line.is_empty() {
                let at = self.below(line.len());
                match self.below(4) {
                    0 => line.truncate(at),
                    1 => line[at] = self.below(256) as u8,
                    2 => line.insert(at, self.one(b" \t\n\r#,,;\"\"'\xff\xc3e0")),
                    _ => drop(line.remove(at)),
                }
            }
            text.extend(line);
            text.extend(end.bytes());
            if self.below(wild) == 0 {
                text.extend(self.one(&["\n", "  \n", "#\n", "# a \"b\n", "\r\n", "\r\r\n", "\"\n"]).bytes());
            }
        }
        if self.below(2) == 0 {
            text.truncate(text.trim_ascii_end().len());
        }
        text
    }
}

/// Where the last whole record ends, by a look at each.
fn record_end_slowly(records: &CsvRecords, text: &[u8]) -> usize {
    let (mut from, mut slots) = (0, vec![]);
    while let Found::Record { next, .. } | Found::Nothing { next } =
        records.wanted.csv.find(text, from, false, Some(records.width), &mut slots)
        && next > from
        && text[next - 1] == b'\n'
    {
        from = next;
    }
    from
}

/// The quick way gives what the slow one does, at every level.
fn check_both_ways(seed: u64) {
    let mut dice = Dice(seed);
    let syntax = dice.syntax();
    let count = dice.one(&[1, 2, 6, 6, 6]);
    let field = |i: usize| format!("{}{i}", ["a", "b", "dé"][i % 3]);
    let fields: Vec<Field> = (0..count).map(|i| Field::new(field(i), dice.scalar_type(), true)).collect();
    // With a header, fields may come in another order, and be fewer or more.
    let mut in_file = fields.clone();
    if syntax.header {
        in_file.rotate_left(dice.below(count));
        if dice.below(4) == 0 {
            in_file.pop();
        }
        if dice.below(2) == 0 || in_file.is_empty() {
            in_file.insert(dice.below(in_file.len() + 1), Field::new("other", dice.scalar_type(), true));
        }
    }
    let columns: Vec<usize> = (0..count).filter(|_| dice.below(3) > 0).collect();
    let mut wanted = Wanted::new(&Schema::new(fields), &columns, 7, Format::Csv, syntax.clone());
    wanted.kept_only = columns.iter().copied().filter(|_| dice.below(6) == 0).collect();
    let types: Vec<DataType> = in_file.iter().map(|f| f.data_type().clone()).collect();
    let body = dice.records(&types, &syntax);
    let head = in_file.iter().map(|f| f.name().as_str()).collect::<Vec<_>>();
    let head = head.join(&char::from(syntax.delimiter).to_string()) + "\n";
    let head = if syntax.header { head } else { String::new() };
    let file = no_file("t.csv");
    let mut text = TextFile::over(&file, Box::new(std::io::Cursor::new(head.into_bytes())));
    let records = records_of(&mut text, &file, &Arc::new(wanted)).unwrap();
    let slow = all(&records.decode_slowly(&body, 5));
    let prefix = &body[..dice.below(body.len() + 1)];
    let end = record_end_slowly(&records, prefix);
    let shape = records.shape.as_ref().expect("scalars only");
    for level in [Level::Scalar, Level::Avx2, Level::Avx512].into_iter().filter(|l| *l <= level()) {
        let schema = &records.wanted.schema;
        let shown = || format!("seed {seed} {level:?}\n{syntax:?}\n{schema}\n{}", String::from_utf8_lossy(&body));
        let quick = all(&records.decode_quickly(shape, &body, 5, level));
        assert_eq!(quick, slow, "{}", shown());
        assert_eq!(records.last_record_end(prefix, level), end, "{}", shown());
    }
}

proptest::proptest! {
    #[test]
    fn both_ways_agree(seed: u64) {
        for step in 0..8 {
            check_both_ways(seed.wrapping_add(step));
        }
    }
}

#[test]
fn what_is_written_comes_back() {
    use arrow::array::{Int32Array, StringArray};
    let schema =
        Arc::new(Schema::new(vec![Field::new("i,d", DataType::Int32, true), Field::new("name", DataType::Utf8, true)]));
    let names = [Some("a"), None, Some(""), Some("q\"uo,te\nline"), Some("NA"), Some("#x"), Some("cr\r")];
    let ids: Int32Array = (0..names.len() as i32).map(Some).collect();
    let batch =
        RecordBatch::try_new(schema.clone(), vec![Arc::new(ids), Arc::new(StringArray::from(names.to_vec()))]).unwrap();
    for null_literal in [None, Some("NA".to_string())] {
        let syntax = CsvSyntax { null_literal, comments: true, ..CsvSyntax::default() };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.csv");
        let into = Box::new(std::fs::File::create(&path).unwrap());
        let mut writer = super::super::writer(Format::Csv, &syntax, Default::default(), &schema, into, false).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        let text = std::fs::read(&path).unwrap();
        let got =
            Case::new("b.csv", &text, Format::Csv).declare(schema.as_ref().clone()).syntax(syntax).check_every_cut();
        let want: Vec<String> = names
            .iter()
            .enumerate()
            .map(|(i, n)| format!("{i}: {i}|{}", n.map_or("NULL".to_string(), str::to_string)))
            .collect();
        assert_eq!(got.rows, want);
    }
}
