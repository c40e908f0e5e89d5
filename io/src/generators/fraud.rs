//! `'connector' = 'fraud'`: card payments with labelled fraud, simulated. Our own model, drawn from no data set.
//!
//! | column | type | |
//! |---|---|---|
//! | `payment_id` | BIGINT | counts from 1 in order of arrival |
//! | `event_time` | TIMESTAMP(3) | busy by day and towards the weekend, quiet at night |
//! | `card_id`, `terminal_id` | BIGINT | from 1; a few are far busier than the rest |
//! | `amount` | DOUBLE | exact cents; also as `DECIMAL(p, 2)` |
//! | `country`, `mcc` | STRING, INT | of the terminal: ISO 3166 code, merchant category code |
//! | `is_fraud` | BOOLEAN | the label |
//! | `fraud_kind` | STRING | `high-amount`, `terminal`, `stolen-card`, or NULL |
//!
//! **The honest payments.** A card lives somewhere on a line of terminals that is cut into countries, and pays mostly
//! nearby, at times (3 %) anywhere. Its amounts follow a bell curve around the card's own mean, scaled by the kind of shop.
//!
//! **The fraud**, about 1 % of all payments. `high-amount`: 3 in 1000 payments are at least 8 times the card's mean.
//! `terminal`: of 250 terminals one is compromised at any time, for 28 days each; all its payments are labelled.
//! `stolen-card`: of 100 cards one is stolen at any time, for 14 days each; a third of its payments are five times as high,
//! made anywhere, and labelled. On spans below 112 days these periods shrink to a quarter and an eighth of the span.
//!
//! | option | default | meaning |
//! |---|---|---|
//! | `cards`, `terminals` | 5000, 1000 | how many there are |
//! | `payments-per-day` | 10000 | on average |
//! | `days` | 7 | the span; unset with `number-of-rows`, what these take |
//! | `number-of-rows` | `days` × `payments-per-day` | how many payments |
//! | `start` | 2024-01-01 | when it begins, UTC |
//! | `out-of-order` | `0s` | a quarter of the payments arrive late, by less than this: none is for a watermark of that delay |
//! | `seed` | 0 | another seed, other values |

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use pelton_engine::connector::{Connector, Options, ReadRequest, Source, Table};
use pelton_engine::error::Result;

use super::dice::{Dice, Scatter, bell, below, unit};
use super::{
    DEFAULT_START, Generated, RowMaker, at_least_one, convert, find_name, fits, has_nulls, instant_ns, no_such_column,
    seed, texts, timestamps_from_ms, whole, wrong_type,
};

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// How busy each hour of a day is (UTC), in thousandths of the busiest.
const HOURS: [u64; 24] = [
    60, 40, 25, 20, 25, 60, 150, 350, 550, 650, 700, 800, 1000, 950, 750, 700, 750, 900, 1000, 850, 600, 400, 220, 120,
];
/// How busy each day is, from Thursday on (1970 began with one), in tenths of a usual day.
const WEEKDAYS: [u64; 7] = [10, 13, 14, 8, 9, 9, 10];

/// Countries and their share of the terminals, in thousandths.
const COUNTRIES: [(&str, u64); 10] = [
    ("DE", 240),
    ("FR", 190),
    ("IT", 140),
    ("ES", 120),
    ("NL", 90),
    ("PL", 70),
    ("AT", 50),
    ("CH", 40),
    ("PT", 35),
    ("IE", 25),
];

/// Merchant categories, their share of the terminals in hundredths, and how amounts there compare, in percent.
const CATEGORIES: [(i32, u64, u64); 10] = [
    (5411, 30, 90),  // supermarkets
    (5812, 18, 80),  // restaurants
    (5541, 12, 110), // petrol stations
    (5814, 10, 40),  // fast food
    (5912, 8, 60),   // pharmacies
    (5651, 7, 130),  // clothing
    (4111, 6, 30),   // public transport
    (5311, 4, 140),  // department stores
    (5732, 3, 220),  // electronics
    (7011, 2, 240),  // hotels
];

/// Of a million payments, so many are of an amount far above the card's profile.
const HIGH_AMOUNTS_PER_MILLION: u64 = 3_000;
/// One in so many terminals is compromised at any time.
const TERMINALS_PER_COMPROMISED: u64 = 250;
/// One in so many cards is stolen at any time.
const CARDS_PER_STOLEN: u64 = 100;

/// The `fraud` connector.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fraud;

impl Connector for Fraud {
    fn name(&self) -> &'static str {
        "fraud"
    }

    fn infer_schema(&self, _options: &Options) -> Result<SchemaRef> {
        let fields =
            COLUMNS.iter().map(|(name, column)| Field::new(*name, column.made_as(), *column == Column::FraudKind));
        Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
    }

    fn bounded(&self, _options: &Options) -> Result<bool> {
        Ok(true)
    }

    fn source(&self, table: &Table, request: &ReadRequest) -> Result<Box<dyn Source>> {
        let world = World::new(&table.options)?;
        let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
        let mut columns = Vec::with_capacity(table.schema.fields().len());
        for field in table.schema.fields() {
            let found = find_name(field.name(), names.iter().copied());
            let column = COLUMNS[found.ok_or_else(|| no_such_column(table, "fraud", field.name(), &names))?].1;
            if !fits(&column.made_as(), field.data_type()) {
                return Err(wrong_type(table, field.name(), field.data_type(), &column.made_as()));
            }
            if column == Column::FraudKind && !field.is_nullable() {
                return Err(has_nulls(table, field.name(), "it is NULL for honest payments"));
            }
            columns.push((column, field.data_type().clone()));
        }
        let columns = request.columns.iter().map(|&i| columns[i].clone()).collect();
        let shapes = |key: &str| {
            matches!(
                key,
                "cards"
                    | "terminals"
                    | "payments-per-day"
                    | "days"
                    | "number-of-rows"
                    | "start"
                    | "out-of-order"
                    | "seed"
            )
        };
        Generated::open(table, request, Payments { world, columns }, shapes)
    }
}

/// The columns of a payment.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Column {
    PaymentId,
    EventTime,
    CardId,
    TerminalId,
    Amount,
    Country,
    Mcc,
    IsFraud,
    FraudKind,
}

const COLUMNS: [(&str, Column); 9] = [
    ("payment_id", Column::PaymentId),
    ("event_time", Column::EventTime),
    ("card_id", Column::CardId),
    ("terminal_id", Column::TerminalId),
    ("amount", Column::Amount),
    ("country", Column::Country),
    ("mcc", Column::Mcc),
    ("is_fraud", Column::IsFraud),
    ("fraud_kind", Column::FraudKind),
];

impl Column {
    fn made_as(self) -> DataType {
        match self {
            Column::PaymentId | Column::CardId | Column::TerminalId => DataType::Int64,
            Column::EventTime => DataType::Timestamp(TimeUnit::Millisecond, None),
            Column::Amount => DataType::Float64,
            Column::Country | Column::FraudKind => DataType::Utf8,
            Column::Mcc => DataType::Int32,
            Column::IsFraud => DataType::Boolean,
        }
    }
}

/// The wanted columns.
struct Payments {
    world: World,
    columns: Vec<(Column, DataType)>,
}

impl RowMaker for Payments {
    fn rows(&self) -> Option<u64> {
        Some(self.world.rows)
    }

    fn columns(&self, first: u64, count: usize) -> Result<Vec<ArrayRef>> {
        if self.columns.is_empty() {
            return Ok(vec![]);
        }
        let world = &self.world;
        let payments: Vec<Payment> = (first..first + count as u64).map(|row| world.payment(row)).collect();
        let made = self.columns.iter().map(|(column, declared)| -> Result<ArrayRef> {
            let rows = payments.iter();
            let made: ArrayRef = match column {
                Column::EventTime => return Ok(timestamps_from_ms(rows.map(|p| Some(p.time_ms)).collect(), declared)),
                Column::Country => {
                    return texts(
                        StringArray::from_iter_values(rows.map(|p| COUNTRIES[world.country(p.place)].0)),
                        declared,
                    );
                }
                Column::FraudKind => return texts(rows.map(|p| p.fraud.map(Scenario::name)).collect(), declared),
                Column::PaymentId => {
                    Arc::new(Int64Array::from_iter_values(first as i64 + 1..=(first as i64 + count as i64)))
                }
                Column::CardId => Arc::new(Int64Array::from_iter_values(rows.map(|p| p.card as i64 + 1))),
                Column::TerminalId => Arc::new(Int64Array::from_iter_values(rows.map(|p| p.terminal as i64 + 1))),
                Column::Amount if declared == &DataType::Float64 => {
                    Arc::new(Float64Array::from_iter_values(rows.map(|p| p.cents as f64 / 100.0)))
                }
                Column::Amount => {
                    let cents = Decimal128Array::from_iter_values(rows.map(|p| i128::from(p.cents)));
                    Arc::new(cents.with_precision_and_scale(18, 2).expect("cents fit DECIMAL(18, 2)"))
                }
                Column::Mcc => {
                    Arc::new(Int32Array::from_iter_values(rows.map(|p| CATEGORIES[world.category(p.terminal)].0)))
                }
                Column::IsFraud => Arc::new(BooleanArray::from_iter(rows.map(|p| Some(p.fraud.is_some())))),
            };
            convert(made, declared)
        });
        made.collect()
    }
}

/// How a fraud was done.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scenario {
    HighAmount,
    Terminal,
    StolenCard,
}

impl Scenario {
    fn name(self) -> &'static str {
        match self {
            Scenario::HighAmount => "high-amount",
            Scenario::Terminal => "terminal",
            Scenario::StolenCard => "stolen-card",
        }
    }
}

/// One payment. Ids count from 0 here.
#[derive(Clone, Copy, Debug)]
struct Payment {
    time_ms: i64,
    card: u64,
    terminal: u64,
    /// Where on the line of terminals it was made.
    place: u64,
    cents: u64,
    fraud: Option<Scenario>,
}

/// Cards, terminals and the calendar.
struct World {
    rows: u64,
    start_ms: i64,
    cards: u64,
    terminals: u64,
    /// Activity (see [`Calendar`]) of the whole span and before it.
    calendar: Calendar,
    activity_before: u128,
    activity: u128,
    late_ms: u64,
    compromised_ms: u64,
    stolen_ms: u64,
    card_ids: Scatter,
    terminal_ids: Scatter,
    /// Whose turn in a block it is to be in trouble.
    turns: [Scatter; 2],
    dice: Streams,
}

/// A stream of draws for each thing that is left to chance.
struct Streams {
    time: Dice,
    late: Dice,
    card: Dice,
    home: Dice,
    mean: Dice,
    near: Dice,
    category: Dice,
    amount: Dice,
    high: Dice,
    stolen_use: Dice,
    compromised: Dice,
    stolen: Dice,
}

impl World {
    fn new(options: &Options) -> Result<World> {
        let seed = seed(options)?;
        let dice = |name: &str| Dice::new(seed, name);
        let limit = |key: &str, default: u64, most: u64| match at_least_one(options, key, default)? {
            n if n > most => Err(options.bad(key, &format!("at most {most}"))),
            n => Ok(n),
        };
        let (cards, terminals) = (limit("cards", 5_000, 1 << 40)?, limit("terminals", 1_000, 1 << 40)?);
        let per_day = limit("payments-per-day", 10_000, 1 << 36)?;
        let days = match options.get("days") {
            None => None,
            Some(_) => Some(limit("days", 7, 100_000)?),
        };
        let rows = whole(options, "number-of-rows")?;
        if rows.is_some_and(|n| n > 1 << 56) {
            return Err(options.bad("number-of-rows", "at most 2 to the power of 56"));
        }
        let (rows, span_ms) = match (rows, days) {
            (None, days) => (days.unwrap_or(7) * per_day, days.unwrap_or(7) * DAY_MS),
            (Some(rows), Some(days)) => (rows, days * DAY_MS),
            (Some(rows), None) => {
                let span = u128::from(rows) * u128::from(DAY_MS) / u128::from(per_day);
                let span = u64::try_from(span).ok().filter(|ms| *ms <= 100_000 * DAY_MS);
                (
                    rows,
                    span.ok_or_else(|| {
                        options.bad("number-of-rows", "at most 100000 days of payments: raise 'payments-per-day'")
                    })?
                    .max(1),
                )
            }
        };
        let start_ms = instant_ns(options, "start", DEFAULT_START)?.div_euclid(1_000_000);
        let calendar = Calendar::new();
        let activity_before = calendar.until(start_ms);
        let activity = calendar.until(start_ms + span_ms as i64) - activity_before;
        Ok(World {
            rows,
            start_ms,
            cards,
            terminals,
            calendar,
            activity_before,
            activity,
            late_ms: u64::try_from(options.duration("out-of-order", std::time::Duration::ZERO)?.as_millis())
                .unwrap_or(u64::MAX),
            compromised_ms: (28 * DAY_MS).min(span_ms / 4).max(1),
            stolen_ms: (14 * DAY_MS).min(span_ms / 8).max(1),
            card_ids: Scatter::new(cards, dice("card ids")),
            terminal_ids: Scatter::new(terminals, dice("terminal ids")),
            turns: [CARDS_PER_STOLEN, TERMINALS_PER_COMPROMISED].map(|block| Scatter::new(block, dice("turns"))),
            dice: Streams {
                time: dice("time"),
                late: dice("late"),
                card: dice("card"),
                home: dice("home"),
                mean: dice("mean"),
                near: dice("near"),
                category: dice("category"),
                amount: dice("amount"),
                high: dice("high-amount"),
                stolen_use: dice("stolen-card use"),
                compromised: dice("terminal"),
                stolen: dice("stolen-card"),
            },
        })
    }

    fn payment(&self, row: u64) -> Payment {
        let dice = &self.dice;
        let time_ms = self.time_ms(row);

        // A share of u^1.5 for the first u of the cards: activity falls with the cube root of the rank.
        let u = unit(dice.card.at(row));
        let rank = ((u * u.sqrt() * self.cards as f64) as u64).min(self.cards - 1);
        let card = self.card_ids.at(rank);
        let stolen = self.troubled(dice.stolen, &self.turns[0], card, self.stolen_ms, time_ms)
            && below(dice.stolen_use.at(row), 3) == 0;

        let place = self.place(row, card, stolen);
        let terminal = self.terminal_ids.at(place);
        let compromised = self.troubled(dice.compromised, &self.turns[1], terminal, self.compromised_ms, time_ms);

        // The mean is 5 to 95 euros, mostly at the lower end; the deviation is half of it.
        let m = unit(dice.mean.at(card));
        let mean = 500.0 + 9_000.0 * m * m;
        let shop = CATEGORIES[self.category(terminal)].2 as f64 / 100.0;
        let usual = (mean * (1.0 + 0.5 * bell(dice.amount.at(row)))).abs() * shop;
        let mut high = dice.high.roll(row);
        let is_high = high.below(1_000_000) < HIGH_AMOUNTS_PER_MILLION;

        let (amount, fraud) = if stolen {
            (usual * 5.0, Some(Scenario::StolenCard))
        } else if compromised {
            (usual, Some(Scenario::Terminal))
        } else if is_high {
            // At least 8 times the mean; the highest honest amount is 2.73 × 2.4 = 6.6 times the mean.
            (mean * (8.0 + 12.0 * unit(high.draw())), Some(Scenario::HighAmount))
        } else {
            (usual, None)
        };
        Payment { time_ms, card, terminal, place, cents: (amount.round() as u64).max(50), fraud }
    }

    /// When it was made: the row's place in the activity of the span, for a quarter of the rows earlier by less than
    /// `late_ms`: a watermark of that delay finds none late.
    fn time_ms(&self, row: u64) -> i64 {
        // Each row has its own part of the activity and falls anywhere in it, so times ascend with the rows.
        let part = (u128::from(row) << 32) + u128::from(self.dice.time.at(row) >> 32);
        let arrival =
            self.calendar.inverse(self.activity_before + muldiv(part, self.activity, u128::from(self.rows) << 32));
        if self.late_ms == 0 {
            return arrival;
        }
        let mut late = self.dice.late.roll(row);
        let delay = if late.below(4) == 0 { late.below(self.late_ms) } else { 0 };
        arrival.saturating_sub_unsigned(delay).max(self.start_ms)
    }

    /// Where on the line of terminals a payment is made.
    fn place(&self, row: u64, card: u64, anywhere: bool) -> u64 {
        let mut near = self.dice.near.roll(row);
        if anywhere || near.below(100) < 3 {
            return near.below(self.terminals);
        }
        // Homes crowd at the start of each country, as in a capital.
        let mut home = self.dice.home.roll(card);
        let country = weighted(COUNTRIES.map(|(_, w)| w), home.below(1000));
        let (first, end) = (self.border(country), self.border(country + 1));
        let h = unit(home.draw());
        let home = first + (h * h * (end - first) as f64) as u64;
        // Up to a fiftieth of all terminals away, mostly close.
        let reach = (self.terminals / 50).max(5) as f64;
        let far = unit(near.draw()) * 2.0 - 1.0;
        let offset = (far * far.abs() * reach) as i64;
        home.saturating_add_signed(offset).min(self.terminals - 1)
    }

    /// The first place of a country.
    fn border(&self, country: usize) -> u64 {
        let share: u64 = COUNTRIES[..country].iter().map(|(_, w)| w).sum();
        (u128::from(self.terminals) * u128::from(share) / 1000) as u64
    }

    fn country(&self, place: u64) -> usize {
        (1..COUNTRIES.len()).take_while(|c| self.border(*c) <= place).last().unwrap_or(0)
    }

    fn category(&self, terminal: u64) -> usize {
        weighted(CATEGORIES.map(|(_, w, _)| w), below(self.dice.category.at(terminal), 100))
    }

    /// True if card or terminal `id` is the one of its block that is in trouble in the period around `time_ms`. Blocks
    /// change periods at different times, and all members have their turn before one has a second.
    fn troubled(&self, dice: Dice, turns: &Scatter, id: u64, period_ms: u64, time_ms: i64) -> bool {
        let (block, member) = (id / turns.len(), id % turns.len());
        let mut roll = dice.roll(block);
        let period = ((time_ms - self.start_ms) as u64 + roll.below(period_ms)) / period_ms;
        let first = roll.below(turns.len());
        turns.at((first + period) % turns.len()) == member
    }
}

/// The index that `draw`, below the sum of all weights, falls to.
fn weighted<const N: usize>(weights: [u64; N], mut draw: u64) -> usize {
    for (i, weight) in weights.iter().enumerate() {
        if draw < *weight {
            return i;
        }
        draw -= weight;
    }
    N - 1
}

/// `a * b / c` without overflow on the way, for `a <= c`, `c` up to 2⁸⁸ and `b` below 2⁶⁴.
fn muldiv(a: u128, b: u128, c: u128) -> u128 {
    match a.checked_mul(b) {
        Some(product) => product / c,
        None => {
            // Split b into halves: a·b/c = (a·hi/c)·2³² + …, keeping the remainder of the upper part.
            let (hi, lo) = (b >> 32, b & 0xffff_ffff);
            let (q, r) = (a / c * hi + a % c * hi / c, a % c * hi % c);
            (q << 32) + ((r << 32) + a * lo) / c
        }
    }
}

/// How busy the world is over time: activity counts milliseconds, each as many times as its hour and weekday are busy.
struct Calendar {
    /// Activity from the start of a week to the start of each of its hours.
    hours: Vec<u64>,
}

impl Calendar {
    fn new() -> Self {
        let mut sum = 0;
        let mut hours = vec![0];
        for hour in 0..168 {
            sum += WEEKDAYS[hour / 24] * HOURS[hour % 24] * HOUR_MS;
            hours.push(sum);
        }
        Calendar { hours }
    }

    /// Activity per week.
    fn week(&self) -> u128 {
        u128::from(self.hours[168])
    }

    /// Activity from long before 1970 to this time.
    fn until(&self, time_ms: i64) -> u128 {
        let since = (i128::from(time_ms) + EPOCH_MS) as u128;
        let (week, rest) = (since / u128::from(7 * DAY_MS), (since % u128::from(7 * DAY_MS)) as u64);
        let hour = (rest / HOUR_MS) as usize;
        let busy = (self.hours[hour + 1] - self.hours[hour]) / HOUR_MS;
        week * self.week() + u128::from(self.hours[hour] + rest % HOUR_MS * busy)
    }

    /// The time by which this activity is reached.
    fn inverse(&self, activity: u128) -> i64 {
        let (week, rest) = (activity / self.week(), (activity % self.week()) as u64);
        let hour = self.hours.partition_point(|start| *start <= rest) - 1;
        let busy = (self.hours[hour + 1] - self.hours[hour]) / HOUR_MS;
        let since =
            week * u128::from(7 * DAY_MS) + u128::from(hour as u64 * HOUR_MS + (rest - self.hours[hour]) / busy);
        (since as i128 - EPOCH_MS) as i64
    }
}

/// Whole weeks before 1970 that the calendar counts from, so that it counts up: all that nanoseconds in an `i64` can name.
const EPOCH_MS: i128 = 16_000 * 7 * DAY_MS as i128;

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use arrow::array::{AsArray, RecordBatch};
    use arrow::datatypes::{Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMillisecondType};

    use super::super::testing::*;
    use super::*;

    fn inferred(pairs: &[(&str, &str)]) -> Table {
        let schema = Fraud.infer_schema(&options(pairs)).unwrap();
        table(Schema::clone(&schema), pairs)
    }

    fn longs<'a>(batch: &'a RecordBatch, column: &str) -> &'a [i64] {
        batch.column_by_name(column).unwrap().as_primitive::<Int64Type>().values()
    }

    fn times(batch: &RecordBatch) -> &[i64] {
        batch.column(1).as_primitive::<TimestampMillisecondType>().values()
    }

    fn amounts(batch: &RecordBatch) -> &[f64] {
        batch.column(4).as_primitive::<Float64Type>().values()
    }

    fn kinds(batch: &RecordBatch) -> Vec<Option<&str>> {
        batch.column(8).as_string::<i32>().iter().collect()
    }

    #[test]
    fn rows_do_not_depend_on_chunks() {
        let table = inferred(&[("seed", "3"), ("out-of-order", "10s"), ("rows-per-second", "10")]);
        check_cuts(&Fraud, &table, 500);
        let first = read(&Fraud, &table, &all_columns(&table, 1000), 0, 1000);
        assert_eq!(digest(&first), "070979a17c4f5fc8");
    }

    #[test]
    fn time_ascends_over_the_whole_span() {
        let week = read_all(&Fraud, &inferred(&[]));
        assert_eq!(week.num_rows(), 70_000);
        let start = 1_704_067_200_000;
        let at = times(&week);
        assert!(at.is_sorted());
        assert!(at[0] >= start && at[0] < start + 3_600_000, "{}", at[0]);
        assert!(at[69_999] < start + 7 * 86_400_000 && at[69_999] > start + 7 * 86_400_000 - 3_600_000);
        let mut hours = [0; 24];
        at.iter().for_each(|t| hours[(t / 3_600_000 % 24) as usize] += 1);
        assert!(hours[12] > 10 * hours[3], "{hours:?}");
        assert_eq!(longs(&week, "payment_id")[..3], [1, 2, 3]);

        let rows = |pairs: &[(&str, &str)]| read_all(&Fraud, &inferred(pairs));
        assert_eq!(rows(&[("days", "2"), ("payments-per-day", "50")]).num_rows(), 100);
        let day = rows(&[("number-of-rows", "5000"), ("payments-per-day", "5000"), ("start", "2024-03-01T12:00:00Z")]);
        let at = times(&day);
        assert!(
            at[0] >= 1_709_294_400_000 && at[4999] < 1_709_294_400_000 + 86_400_000 && at[4999] > at[0] + 86_000_000
        );
        let long = rows(&[("number-of-rows", "5000"), ("days", "365")]);
        assert!(times(&long)[4999] > start + 364 * 86_400_000);
    }

    #[test]
    fn late_payments_keep_to_the_bound() {
        let batch =
            read_all(&Fraud, &inferred(&[("out-of-order", "5min"), ("number-of-rows", "20000"), ("days", "2")]));
        let (mut top, mut late) = (times(&batch)[0], 0);
        for t in times(&batch) {
            assert!(*t > top - 300_000);
            late += i32::from(*t < top);
            top = top.max(*t);
        }
        assert!((3000..5500).contains(&late), "{late}");
        assert!(times(&batch).iter().all(|t| *t >= 1_704_067_200_000));
    }

    #[test]
    fn about_one_payment_in_a_hundred_is_fraud() {
        for pairs in [
            &[][..],
            &[("seed", "1")],
            &[("seed", "2"), ("days", "60")],
            &[("cards", "500"), ("terminals", "250"), ("seed", "9")],
            &[("cards", "100000"), ("terminals", "20000"), ("days", "1"), ("payments-per-day", "300000")],
        ] {
            let batch = read_all(&Fraud, &inferred(pairs));
            let mut shares = BTreeMap::new();
            for kind in kinds(&batch).into_iter().flatten() {
                *shares.entry(kind.to_string()).or_insert(0.0) += 100.0 / batch.num_rows() as f64;
            }
            let total: f64 = shares.values().sum();
            assert!((0.5..1.5).contains(&total), "{pairs:?}: {shares:?}");
            assert_eq!(shares.len(), 3, "{pairs:?}: {shares:?}");
            assert!(shares.values().all(|share| (0.1..0.8).contains(share)), "{pairs:?}: {shares:?}");
            let flags = batch.column(7).as_boolean();
            assert!(kinds(&batch).iter().zip(flags.iter()).all(|(k, f)| Some(k.is_some()) == f));
        }
    }

    #[test]
    fn scenarios_are_what_they_say() {
        let batch = read_all(
            &Fraud,
            &inferred(&[
                ("seed", "4"),
                ("days", "112"),
                ("payments-per-day", "2000"),
                ("cards", "1000"),
                ("terminals", "500"),
            ]),
        );
        let (cards, terminals, at, amounts, kinds) =
            (longs(&batch, "card_id"), longs(&batch, "terminal_id"), times(&batch), amounts(&batch), kinds(&batch));
        let world = World::new(&options(&[
            ("seed", "4"),
            ("days", "112"),
            ("payments-per-day", "2000"),
            ("cards", "1000"),
            ("terminals", "500"),
        ]))
        .unwrap();
        let mean = |card: i64| {
            let m = unit(world.dice.mean.at(card as u64 - 1));
            5.0 + 90.0 * m * m
        };
        let mut honest: HashMap<i64, f64> = HashMap::new();
        let mut stolen_weeks: HashMap<i64, Vec<usize>> = HashMap::new();
        let mut bad_terminals: HashMap<i64, Vec<i64>> = HashMap::new();
        for row in 0..batch.num_rows() {
            let ratio = amounts[row] / mean(cards[row]);
            match kinds[row] {
                None => {
                    assert!(ratio < 6.7, "{ratio}");
                    let most = honest.entry(cards[row]).or_default();
                    *most = most.max(amounts[row]);
                }
                Some("high-amount") => assert!(ratio > 7.9, "{ratio}"),
                Some("terminal") => bad_terminals.entry(terminals[row]).or_default().push(at[row]),
                Some("stolen-card") => stolen_weeks.entry(cards[row]).or_default().push(row),
                Some(other) => panic!("{other}"),
            }
        }
        // Two of 500 terminals at a time, four periods of 28 days and a part of a fifth.
        assert!((6..=10).contains(&bad_terminals.len()), "{}", bad_terminals.len());
        for (terminal, bad) in &bad_terminals {
            let (first, last) = (bad[0], bad[bad.len() - 1]);
            assert!(last - first <= 28 * 86_400_000, "terminal {terminal}: {bad:?}");
            let all = (0..batch.num_rows()).filter(|r| terminals[*r] == *terminal && (first..=last).contains(&at[*r]));
            assert!(
                all.clone().all(|r| matches!(kinds[r], Some("terminal" | "stolen-card"))),
                "all its payments are labelled"
            );
        }
        let (mut used, mut misused) = (0, 0);
        for (card, rows) in
            stolen_weeks.iter().filter(|(_, rows)| at[rows[rows.len() - 1]] - at[rows[0]] < 14 * 86_400_000)
        {
            let (first, last) = (at[rows[0]], at[rows[rows.len() - 1]]);
            used += (0..batch.num_rows()).filter(|r| cards[*r] == *card && (first..=last).contains(&at[*r])).count();
            misused += rows.len();
        }
        let share = misused as f64 / used as f64;
        assert!((0.30..0.45).contains(&share), "a third of a stolen card's payments: {share}");
        let average = |list: &mut dyn Iterator<Item = f64>| {
            let list: Vec<f64> = list.collect();
            list.iter().sum::<f64>() / list.len() as f64
        };
        let kinds = &kinds;
        let rows_of = |kind: Option<&'static str>| (0..batch.num_rows()).filter(move |r| kinds[*r] == kind);
        let (usual, stolen) = (
            average(&mut rows_of(None).map(|r| amounts[r] / mean(cards[r]))),
            average(&mut rows_of(Some("stolen-card")).map(|r| amounts[r] / mean(cards[r]))),
        );
        assert!((4.0..6.0).contains(&(stolen / usual)), "{stolen} {usual}");
    }

    #[test]
    fn activity_is_skewed_and_places_are_consistent() {
        let batch = read_all(&Fraud, &inferred(&[("seed", "8")]));
        let mut per_card: HashMap<i64, usize> = HashMap::new();
        let mut place_of: HashMap<i64, (String, i32)> = HashMap::new();
        let (countries, mcc) = (batch.column(5).as_string::<i32>(), batch.column(6).as_primitive::<Int32Type>());
        let mut home: HashMap<i64, BTreeMap<String, usize>> = HashMap::new();
        for row in 0..batch.num_rows() {
            let (card, terminal) = (longs(&batch, "card_id")[row], longs(&batch, "terminal_id")[row]);
            assert!((1..=5000).contains(&card) && (1..=1000).contains(&terminal));
            *per_card.entry(card).or_default() += 1;
            let place = (countries.value(row).to_string(), mcc.value(row));
            *home.entry(card).or_default().entry(place.0.clone()).or_default() += 1;
            assert_eq!(place_of.entry(terminal).or_insert(place.clone()), &place, "a terminal stays where it is");
        }
        let mut counts: Vec<usize> = per_card.into_values().collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        assert!(counts[0] > 10 * counts[counts.len() / 2], "{} {}", counts[0], counts[counts.len() / 2]);
        assert_eq!(place_of.values().map(|p| &p.0).collect::<std::collections::BTreeSet<_>>().len(), 10);
        let at_home: usize = home.values().map(|c| c.values().max().unwrap()).sum();
        assert!(at_home * 100 > batch.num_rows() * 85, "{at_home}");
        assert!(amounts(&batch).iter().all(|a| *a >= 0.5 && (a * 100.0).round() / 100.0 == *a));
    }

    #[test]
    fn amounts_as_decimals_are_the_same_cents() {
        let schema = |t| Schema::new(vec![Field::new("AMOUNT", t, true)]);
        let pairs = [("number-of-rows", "500")];
        let doubles = read_all(&Fraud, &table(schema(DataType::Float64), &pairs));
        let decimals = read_all(&Fraud, &table(schema(DataType::Decimal128(12, 3)), &pairs));
        let decimals = decimals.column(0).as_primitive::<Decimal128Type>();
        for (double, decimal) in doubles.column(0).as_primitive::<Float64Type>().values().iter().zip(decimals.values())
        {
            assert_eq!((double * 1000.0).round() as i128, *decimal);
        }
    }

    #[test]
    fn the_calendar_inverts() {
        let calendar = Calendar::new();
        for t in (-5_000_000_000..5_000_000_000_i64).step_by(123_456_789).chain([0, 1, -1, 1_704_067_200_000]) {
            assert_eq!(calendar.inverse(calendar.until(t)), t);
        }
        assert_eq!(muldiv(7, 5, 3), 11);
        assert_eq!(muldiv(1 << 87, 1 << 63, 1 << 88), 1 << 62);
        assert_eq!(muldiv((1 << 87) + 1, (1 << 60) + 999, (1 << 87) + 1), (1 << 60) + 999);
        assert_eq!(muldiv((1 << 80) * 3, (1 << 60) + 999, (1 << 80) * 7), ((1u128 << 60) + 999) * 3 / 7);
    }

    #[test]
    fn mistakes_are_named() {
        let says = |name: &str, t: DataType, nullable: bool, pairs: &[(&str, &str)]| {
            refusal(&Fraud, &table(Schema::new(vec![Field::new(name, t, nullable)]), pairs))
        };
        let long = DataType::Int64;
        assert_eq!(
            says("card", long.clone(), true, &[]),
            "table `t`: connector 'fraud' has no column `card` | there are: payment_id, event_time, card_id, terminal_id, amount, country, mcc, is_fraud, fraud_kind"
        );
        assert_eq!(
            says("card_idd", long.clone(), true, &[]),
            "table `t`: connector 'fraud' has no column `card_idd` | did you mean `card_id`?"
        );
        assert_eq!(
            says("card_id", DataType::Utf8, true, &[]),
            "table `t`: column `card_id` is declared STRING but is made as BIGINT | declare it as BIGINT, and convert it in the query with CAST"
        );
        assert_eq!(
            says("fraud_kind", DataType::Utf8, false, &[]),
            "table `t`: column `fraud_kind` is declared NOT NULL, but it is NULL for honest payments | leave out NOT NULL"
        );
        assert_eq!(
            says("card_id", long.clone(), true, &[("cards", "0")]),
            "table `t`: option 'cards' is '0', wanted a whole number, 1 or more"
        );
        assert_eq!(
            says("card_id", long.clone(), true, &[("terminal", "5")]),
            "table `t`: unknown option 'terminal' | did you mean 'terminals'?"
        );
        assert_eq!(
            says("card_id", long, true, &[("out-of-order", "soon")]),
            "table `t`: option 'out-of-order' is 'soon', wanted a duration such as '300ms', '10s' or '1h'"
        );
    }
}
