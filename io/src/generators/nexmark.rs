//! `'connector' = 'nexmark'`: the auction site of the Nexmark benchmark: persons, auctions and bids in one stream.
//!
//! Proportions, hot keys, id ranges, prices, sizes and event times follow the generator of github.com/nexmark/nexmark (and
//! Apache Beam before it); the random numbers are our own. A table has either the columns of the official DDL,
//! `event_type`, `person ROW<…>`, `auction ROW<…>`, `bid ROW<…>` with NULL for the two that an event is not, and besides
//! `dateTime`, the time of the event whatever it is; or, with `'nexmark.table' = 'person' | 'auction' | 'bid'`, just the
//! events of one kind with their flat columns. Tables with the same options agree: the bids of one are the bids of the other.
//!
//! | option | default | meaning |
//! |---|---|---|
//! | `events.num` | 0: no end | events of all three kinds together |
//! | `nexmark.table` | `all` | one kind of event, flat |
//! | `first-event.rate`, `next-event.rate` | 10000, the first | events per second of event time; two different rates alternate |
//! | `rate.period` | `10 min` | how long both rates together last |
//! | `base-time` | 2015-07-15 | time of the first event; a number is milliseconds since 1970 |
//! | `person.proportion`, `auction.proportion`, `bid.proportion` | 1, 3, 46 | |
//! | `person.avg-size`, `auction.avg-size`, `bid.avg-size` | 200, 500, 100 | bytes of an event; `extra` fills it up |
//! | `bid.hot-ratio.auctions`, `bid.hot-ratio.bidders`, `auction.hot-ratio.sellers` | 2, 4, 4 | 1 in so many is *not* for a hot key |
//! | `people.active`, `auctions.in-flight` | 1000, 100 | how far back bidders, sellers and auctions are chosen |
//! | `out-of-order.group-size` | 1: in order | events are shuffled within groups of this many |
//! | `seed` | 0 | another seed, other values |
//!
//! Differences from the official generator: runs repeat (it starts at the wall clock with unseeded random numbers), and a
//! bidder is the id of a person (it adds the first id, 1000, twice).

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, StringBuilder, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use pelton_engine::connector::{Connector, Options, ReadRequest, Source, Table};
use pelton_engine::error::{Error, Result};

use super::dice::{Dice, PowersOfTen, Roll};
use super::{
    Generated, RowMaker, at_least_one, convert, find_name, fits, has_nulls, instant_ns, no_such_column, seed, texts,
    timestamps_from_ms, whole, wrong_type,
};

const FIRST_PERSON_ID: i64 = 1000;
const FIRST_AUCTION_ID: i64 = 1000;
const FIRST_CATEGORY_ID: u64 = 10;
const CATEGORIES: u64 = 5;
/// Persons and auctions may be named this many before they appear.
const ID_LEAD: i64 = 10;
/// Of so many persons or auctions in a row, one is hot.
const HOT_STRIDE: i64 = 100;
const CHANNELS: u64 = 10_000;
const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];
const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];
const CITIES: [&str; 10] =
    ["Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle", "Kent", "Cheyenne"];
const FIRST_NAMES: [&str; 11] =
    ["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"];
const LAST_NAMES: [&str; 9] = ["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];
/// The start of Apache Beam's Nexmark suite.
const BASE_TIME: &str = "2015-07-15T00:00:00Z";

/// The `nexmark` connector.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nexmark;

impl Connector for Nexmark {
    fn name(&self) -> &'static str {
        "nexmark"
    }

    fn infer_schema(&self, options: &Options) -> Result<SchemaRef> {
        let names = match Kind::of(options)? {
            Some(kind) => return Ok(Arc::new(Schema::new(kind.fields()))),
            None => ["event_type", "person", "auction", "bid", "dateTime"],
        };
        Ok(Arc::new(Schema::new(names.map(|name| Field::new(name, top_level(name), true)).to_vec())))
    }

    fn bounded(&self, options: &Options) -> Result<bool> {
        Ok(whole(options, "events.num")?.unwrap_or(0) > 0)
    }

    fn source(&self, table: &Table, request: &ReadRequest) -> Result<Box<dyn Source>> {
        let site = Site::new(&table.options)?;
        let kind = Kind::of(&table.options)?;
        if let Some(kind) = kind
            && site.share(kind) == 0
        {
            let key = format!("{}.proportion", kind.name());
            return Err(table.options.bad(&key, &format!("at least 1 for a table of {}s", kind.name())));
        }
        let columns =
            table.schema.fields().iter().map(|field| Column::new(table, kind, field)).collect::<Result<Vec<_>>>()?;
        let columns = request.columns.iter().map(|&i| columns[i].clone()).collect();
        let shapes = |key: &str| OPTIONS.contains(&key);
        Generated::open(table, request, Events { site, kind, columns }, shapes)
    }
}

/// The options that shape the rows.
const OPTIONS: &[&str] = &[
    "events.num",
    "nexmark.table",
    "first-event.rate",
    "next-event.rate",
    "rate.period",
    "base-time",
    "person.proportion",
    "auction.proportion",
    "bid.proportion",
    "person.avg-size",
    "auction.avg-size",
    "bid.avg-size",
    "bid.hot-ratio.auctions",
    "bid.hot-ratio.bidders",
    "auction.hot-ratio.sellers",
    "people.active",
    "auctions.in-flight",
    "out-of-order.group-size",
    "seed",
];

/// What an event is about; the numbers are the values of `event_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Person = 0,
    Auction = 1,
    Bid = 2,
}

impl Kind {
    /// The kind that the options ask for; `None` for all of them.
    fn of(options: &Options) -> Result<Option<Kind>> {
        Ok(match options.one_of("nexmark.table", &["all", "person", "auction", "bid"])? {
            "person" => Some(Kind::Person),
            "auction" => Some(Kind::Auction),
            "bid" => Some(Kind::Bid),
            _ => None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Person => "person",
            Kind::Auction => "auction",
            Kind::Bid => "bid",
        }
    }

    /// The columns of an event of this kind, as the official DDL has them.
    fn columns(self) -> &'static [(&'static str, Value)] {
        use Value::*;
        match self {
            Kind::Person => &[
                ("id", PersonId),
                ("name", PersonName),
                ("emailAddress", Email),
                ("creditCard", CreditCard),
                ("city", City),
                ("state", State),
                ("dateTime", EventTime),
                ("extra", PersonExtra),
            ],
            Kind::Auction => &[
                ("id", AuctionId),
                ("itemName", ItemName),
                ("description", Description),
                ("initialBid", InitialBid),
                ("reserve", Reserve),
                ("dateTime", EventTime),
                ("expires", Expires),
                ("seller", Seller),
                ("category", Category),
                ("extra", AuctionExtra),
            ],
            Kind::Bid => &[
                ("auction", BidAuction),
                ("bidder", Bidder),
                ("price", Price),
                ("channel", Channel),
                ("url", Url),
                ("dateTime", EventTime),
                ("extra", BidExtra),
            ],
        }
    }

    fn fields(self) -> Fields {
        self.columns().iter().map(|(name, value)| Field::new(*name, value.made_as(), true)).collect()
    }
}

/// Type of a column of the form with all events.
fn top_level(name: &str) -> DataType {
    match name {
        "event_type" => DataType::Int32,
        "person" => DataType::Struct(Kind::Person.fields()),
        "auction" => DataType::Struct(Kind::Auction.fields()),
        "bid" => DataType::Struct(Kind::Bid.fields()),
        _ => Value::EventTime.made_as(),
    }
}

/// One value of an event.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    PersonId,
    PersonName,
    Email,
    CreditCard,
    City,
    State,
    PersonExtra,
    AuctionId,
    ItemName,
    Description,
    InitialBid,
    Reserve,
    Expires,
    Seller,
    Category,
    AuctionExtra,
    BidAuction,
    Bidder,
    Price,
    Channel,
    Url,
    BidExtra,
    EventTime,
}

impl Value {
    fn made_as(self) -> DataType {
        use Value::*;
        match self {
            EventTime | Expires => DataType::Timestamp(TimeUnit::Millisecond, None),
            PersonId | AuctionId | InitialBid | Reserve | Seller | Category | BidAuction | Bidder | Price => {
                DataType::Int64
            }
            _ => DataType::Utf8,
        }
    }
}

/// A wanted column and its declared type.
#[derive(Clone, Debug)]
enum Column {
    EventType(DataType),
    Value(Value, DataType),
    /// An event as a struct, NULL for those of other kinds.
    Event(Kind, Fields, Vec<(Value, DataType)>),
}

impl Column {
    /// Finds what a declared column means, and checks its type.
    fn new(table: &Table, kind: Option<Kind>, field: &Field) -> Result<Column> {
        let checked = |path: &str, value: Value, declared: &DataType| match fits(&value.made_as(), declared) {
            true => Ok((value, declared.clone())),
            false => Err(wrong_type(table, path, declared, &value.made_as())),
        };
        if let Some(kind) = kind {
            let (value, declared) = checked(field.name(), column_of(table, kind, field.name())?, field.data_type())?;
            return Ok(Column::Value(value, declared));
        }
        let names = ["event_type", "dateTime", "person", "auction", "bid"];
        let kind = match find_name(field.name(), names) {
            Some(0) if fits(&DataType::Int32, field.data_type()) => {
                return Ok(Column::EventType(field.data_type().clone()));
            }
            Some(0) => return Err(wrong_type(table, field.name(), field.data_type(), &DataType::Int32)),
            Some(1) => {
                let (value, declared) = checked(field.name(), Value::EventTime, field.data_type())?;
                return Ok(Column::Value(value, declared));
            }
            Some(2) => Kind::Person,
            Some(3) => Kind::Auction,
            Some(4) => Kind::Bid,
            _ => {
                let error = no_such_column(table, "nexmark", field.name(), &names);
                let flat = [Kind::Bid, Kind::Auction, Kind::Person]
                    .into_iter()
                    .find(|k| column_of(table, *k, field.name()).is_ok());
                return Err(match flat {
                    Some(kind) => error.hint(format!("for flat columns, add 'nexmark.table' = '{}'", kind.name())),
                    None => error,
                });
            }
        };
        let DataType::Struct(fields) = field.data_type() else {
            return Err(wrong_type(table, field.name(), field.data_type(), &top_level(kind.name())));
        };
        if !field.is_nullable() {
            return Err(has_nulls(
                table,
                field.name(),
                &format!("it is NULL for events that are not {}s", kind.name()),
            ));
        }
        let values = fields.iter().map(|f| {
            let path = format!("{}.{}", field.name(), f.name());
            checked(&path, column_of(table, kind, f.name())?, f.data_type())
        });
        Ok(Column::Event(kind, fields.clone(), values.collect::<Result<_>>()?))
    }
}

/// The value that a column of an event means.
fn column_of(table: &Table, kind: Kind, declared: &str) -> Result<Value> {
    let columns = kind.columns();
    match find_name(declared, columns.iter().map(|(name, _)| *name)) {
        Some(i) => Ok(columns[i].1),
        None => {
            let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
            let error = no_such_column(table, "nexmark", declared, &names);
            Err(error.during(format!("columns of a {}", kind.name())))
        }
    }
}

/// The wanted columns of the wanted events.
struct Events {
    site: Site,
    kind: Option<Kind>,
    columns: Vec<Column>,
}

impl RowMaker for Events {
    fn rows(&self) -> Option<u64> {
        let site = &self.site;
        let rows_of = |kind| {
            let (first, share) = (site.first_of(kind), site.share(kind));
            site.events.map(|n| n / site.total * share + (n % site.total).saturating_sub(first).min(share))
        };
        self.kind.map_or(site.events, rows_of)
    }

    fn columns(&self, first: u64, count: usize) -> Result<Vec<ArrayRef>> {
        let site = &self.site;
        let rows = self.rows();
        let event_of_row = |row: u64| {
            let row = site.shuffled(row, rows);
            match self.kind {
                None => row,
                Some(kind) => row / site.share(kind) * site.total + site.first_of(kind) + row % site.share(kind),
            }
        };
        let events: Vec<Option<u64>> = (first..first + count as u64).map(|row| Some(event_of_row(row))).collect();
        let made = self.columns.iter().map(|column| match column {
            Column::EventType(declared) => {
                let types = events.iter().flatten().map(|e| site.kind(*e) as i32);
                convert(Arc::new(Int32Array::from_iter_values(types)), declared)
            }
            Column::Value(value, declared) => site.column(*value, declared, &events),
            Column::Event(kind, fields, values) => {
                let mine: Vec<Option<u64>> = events.iter().map(|e| e.filter(|e| site.kind(*e) == *kind)).collect();
                let nulls = NullBuffer::from_iter(mine.iter().map(Option::is_some));
                let children = values
                    .iter()
                    .map(|(value, declared)| site.column(*value, declared, &mine))
                    .collect::<Result<Vec<_>>>()?;
                let made = StructArray::try_new_with_length(fields.clone(), children, Some(nulls), count);
                Ok(Arc::new(made.map_err(|e| Error::world("a generated event does not fit").because(e))?) as ArrayRef)
            }
        });
        made.collect()
    }
}

/// The auction site: every event as a function of its number.
struct Site {
    /// How many events; `None` without an end.
    events: Option<u64>,
    persons: u64,
    auctions: u64,
    /// Events after which the pattern of kinds repeats.
    total: u64,
    hot_auctions: u64,
    hot_bidders: u64,
    hot_sellers: u64,
    people_active: i64,
    auctions_in_flight: u64,
    person_bytes: u64,
    auction_bytes: u64,
    bid_bytes: u64,
    group: u64,
    base_ms: i64,
    /// Events per second in the first and second half of a period, and the length of a half.
    rates: [u64; 2],
    half_period_ms: u64,
    powers: PowersOfTen,
    dice: Streams,
}

/// A stream of draws for each value that needs some.
struct Streams {
    name: Dice,
    email: Dice,
    credit_card: Dice,
    city: Dice,
    state: Dice,
    item_name: Dice,
    description: Dice,
    initial_bid: Dice,
    reserve: Dice,
    length: Dice,
    seller: Dice,
    category: Dice,
    auction: Dice,
    bidder: Dice,
    price: Dice,
    channel: Dice,
    /// By number of channel, not of event: a channel keeps its URL.
    url: Dice,
    extra: Dice,
}

impl Site {
    fn new(options: &Options) -> Result<Site> {
        let seed = seed(options)?;
        let share = |key: &str, default| whole(options, key).map(|n| n.unwrap_or(default));
        let (persons, auctions, bids) =
            (share("person.proportion", 1)?, share("auction.proportion", 3)?, share("bid.proportion", 46)?);
        let total =
            persons.checked_add(auctions).and_then(|n| n.checked_add(bids)).filter(|n| (1..=1_000_000).contains(n));
        let total = total.ok_or_else(|| options.bad("bid.proportion", "proportions with a sum from 1 to 1000000"))?;
        let bytes = |key: &str, default| match options.get(key) {
            None => Ok(default),
            Some(text) => {
                let digits = text.trim().trim_end_matches(['b', 'B']).trim_end();
                digits
                    .parse()
                    .ok()
                    .filter(|n| *n <= 100_000)
                    .ok_or_else(|| options.bad(key, "a number of bytes such as '200b', at most 100000"))
            }
        };
        let rate = at_least_one(options, "first-event.rate", 10_000)?;
        let period = options.duration("rate.period", std::time::Duration::from_secs(600))?.as_millis() as u64;
        if period < 2 {
            return Err(options.bad("rate.period", "at least 2ms"));
        }
        let group = at_least_one(options, "out-of-order.group-size", 1)?;
        if group.is_multiple_of(SHUFFLE) {
            return Err(options.bad("out-of-order.group-size", &format!("not a multiple of {SHUFFLE}")));
        }
        let base_ms = match options.get("base-time").map(|text| text.trim().parse::<i64>()) {
            Some(Ok(ms)) => ms,
            _ => instant_ns(options, "base-time", BASE_TIME)?.div_euclid(1_000_000),
        };
        let dice = |name: &str| Dice::new(seed, name);
        Ok(Site {
            events: whole(options, "events.num")?.filter(|n| *n > 0),
            persons,
            auctions,
            total,
            hot_auctions: at_least_one(options, "bid.hot-ratio.auctions", 2)?,
            hot_bidders: at_least_one(options, "bid.hot-ratio.bidders", 4)?,
            hot_sellers: at_least_one(options, "auction.hot-ratio.sellers", 4)?,
            people_active: at_least_one(options, "people.active", 1000)?.min(1 << 40) as i64,
            auctions_in_flight: at_least_one(options, "auctions.in-flight", 100)?.min(1 << 40),
            person_bytes: bytes("person.avg-size", 200)?,
            auction_bytes: bytes("auction.avg-size", 500)?,
            bid_bytes: bytes("bid.avg-size", 100)?,
            group,
            base_ms,
            rates: [rate, at_least_one(options, "next-event.rate", rate)?],
            half_period_ms: period / 2,
            powers: PowersOfTen::new(6),
            dice: Streams {
                name: dice("person.name"),
                email: dice("person.emailAddress"),
                credit_card: dice("person.creditCard"),
                city: dice("person.city"),
                state: dice("person.state"),
                item_name: dice("auction.itemName"),
                description: dice("auction.description"),
                initial_bid: dice("auction.initialBid"),
                reserve: dice("auction.reserve"),
                length: dice("auction.expires"),
                seller: dice("auction.seller"),
                category: dice("auction.category"),
                auction: dice("bid.auction"),
                bidder: dice("bid.bidder"),
                price: dice("bid.price"),
                channel: dice("bid.channel"),
                url: dice("bid.url"),
                extra: dice("extra"),
            },
        })
    }

    fn kind(&self, event: u64) -> Kind {
        let offset = event % self.total;
        if offset < self.persons {
            Kind::Person
        } else if offset < self.persons + self.auctions {
            Kind::Auction
        } else {
            Kind::Bid
        }
    }

    /// How many of `total` events are of this kind.
    fn share(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Person => self.persons,
            Kind::Auction => self.auctions,
            Kind::Bid => self.total - self.persons - self.auctions,
        }
    }

    /// The first event of this kind in a run of `total`.
    fn first_of(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Person => 0,
            Kind::Auction => self.persons,
            Kind::Bid => self.persons + self.auctions,
        }
    }

    /// Which row comes out `row`-th: a shuffle within groups, leaving a last group that is not full in order.
    fn shuffled(&self, row: u64, rows: Option<u64>) -> u64 {
        let first = row / self.group * self.group;
        if rows.is_some_and(|rows| rows - first < self.group) {
            return row;
        }
        first + (u128::from(row) * u128::from(SHUFFLE) % u128::from(self.group)) as u64
    }

    /// Event time in milliseconds.
    fn time_ms(&self, event: u64) -> i64 {
        let ([a, b], half, event) = (self.rates.map(u128::from), u128::from(self.half_period_ms), u128::from(event));
        if a == b {
            return self.base_ms + (event * 1000 / a) as i64;
        }
        // In units of a thousandth of an event: `half` milliseconds at `a` events per second are `half * a` of them.
        let (event, first, period) = (event * 1000, half * a, half * (a + b));
        let left = event % period;
        let within = if left < first { left / a } else { half + (left - first) / b };
        self.base_ms + (event / period * 2 * half + within) as i64
    }

    /// The number (from 0) of the last person up to this event; −1 before the first.
    fn last_person(&self, event: u64) -> i64 {
        let offset = (event % self.total).min(self.persons.wrapping_sub(1)) as i64;
        if self.persons == 0 { -1 } else { (event / self.total * self.persons) as i64 + offset }
    }

    /// The number (from 0) of the last auction up to this event; −1 before the first.
    fn last_auction(&self, event: u64) -> i64 {
        let begun = (event / self.total * self.auctions) as i64;
        begun + (event % self.total + 1).saturating_sub(self.persons).min(self.auctions) as i64 - 1
    }

    /// A person among the active ones, or one of the next few.
    fn some_person(&self, event: u64, roll: &mut Roll) -> i64 {
        let people = self.last_person(event) + 1;
        let active = people.min(self.people_active);
        people - active + roll.below((active + ID_LEAD) as u64) as i64
    }

    fn seller(&self, event: u64) -> i64 {
        let mut roll = self.dice.seller.roll(event);
        FIRST_PERSON_ID
            + match roll.below(self.hot_sellers) {
                0 => self.some_person(event, &mut roll),
                _ => self.last_person(event) / HOT_STRIDE * HOT_STRIDE,
            }
    }

    fn bid_auction(&self, event: u64) -> i64 {
        let mut roll = self.dice.auction.roll(event);
        let last = self.last_auction(event);
        FIRST_AUCTION_ID
            + match roll.below(self.hot_auctions) {
                0 => {
                    let oldest = (last - self.auctions_in_flight as i64).max(0);
                    oldest + roll.below((last - oldest + 1 + ID_LEAD) as u64) as i64
                }
                _ => last / HOT_STRIDE * HOT_STRIDE,
            }
    }

    fn bidder(&self, event: u64) -> i64 {
        let mut roll = self.dice.bidder.roll(event);
        FIRST_PERSON_ID
            + match roll.below(self.hot_bidders) {
                0 => self.some_person(event, &mut roll),
                // The second in its hundred, where the hot seller is the first.
                _ => self.last_person(event) / HOT_STRIDE * HOT_STRIDE + 1,
            }
    }

    /// Cents, from 1.00 to 1 million, even on a logarithmic scale.
    fn price(&self, dice: Dice, event: u64) -> i64 {
        (self.powers.at(dice.roll(event).below(6 << 20)) * 100.0).round() as i64
    }

    fn expires_ms(&self, event: u64) -> i64 {
        // On average, when the last of the auctions now in flight begins.
        let events = self.auctions_in_flight * self.total / self.auctions;
        let now = self.time_ms(event);
        let horizon = self.time_ms(event + events) - now;
        now + 1 + self.dice.length.roll(event).below((horizon * 2).max(1) as u64) as i64
    }

    fn number(&self, value: Value, event: u64) -> i64 {
        use Value::*;
        match value {
            PersonId => FIRST_PERSON_ID + self.last_person(event),
            AuctionId => FIRST_AUCTION_ID + self.last_auction(event),
            InitialBid => self.price(self.dice.initial_bid, event),
            Reserve => self.price(self.dice.initial_bid, event) + self.price(self.dice.reserve, event),
            Seller => self.seller(event),
            Category => (FIRST_CATEGORY_ID + self.dice.category.roll(event).below(CATEGORIES)) as i64,
            BidAuction => self.bid_auction(event),
            Bidder => self.bidder(event),
            Price => self.price(self.dice.price, event),
            EventTime => self.time_ms(event),
            Expires => self.expires_ms(event),
            _ => unreachable!("{value:?} is text"),
        }
    }

    /// Appends a text value.
    fn text(&self, value: Value, event: u64, out: &mut String) {
        use Value::*;
        let dice = &self.dice;
        match value {
            PersonName => {
                let mut roll = dice.name.roll(event);
                out.push_str(pick(&FIRST_NAMES, &mut roll));
                out.push(' ');
                out.push_str(pick(&LAST_NAMES, &mut roll));
            }
            Email => {
                let mut roll = dice.email.roll(event);
                words(&mut roll, 7, ' ', out);
                out.push('@');
                words(&mut roll, 5, ' ', out);
                out.push_str(".com");
            }
            CreditCard => {
                let mut roll = dice.credit_card.roll(event);
                for i in 0..4 {
                    if i > 0 {
                        out.push(' ');
                    }
                    push_number(out, roll.below(10_000), 4);
                }
            }
            City => out.push_str(pick(&CITIES, &mut dice.city.roll(event))),
            State => out.push_str(pick(&STATES, &mut dice.state.roll(event))),
            ItemName => words(&mut dice.item_name.roll(event), 20, ' ', out),
            Description => words(&mut dice.description.roll(event), 100, ' ', out),
            Channel => match self.channel(event) {
                (Some(hot), _) => out.push_str(HOT_CHANNELS[hot]),
                (None, number) => {
                    out.push_str("channel-");
                    push_number(out, number, 1);
                }
            },
            Url => match self.channel(event) {
                (Some(hot), _) => base_url(&mut dice.url.roll(CHANNELS + hot as u64), out),
                (None, number) => {
                    let mut roll = dice.url.roll(number);
                    base_url(&mut roll, out);
                    if roll.below(10) > 0 {
                        out.push_str("&channel_id=");
                        out.push_str(&(number as i32).reverse_bits().wrapping_abs().to_string());
                    }
                }
            },
            PersonExtra => {
                let used = 8 + self.bytes_of(&[PersonName, Email, CreditCard, City, State], event);
                self.extra(event, used, self.person_bytes, out);
            }
            AuctionExtra => {
                let used = 48 + self.bytes_of(&[ItemName, Description], event);
                self.extra(event, used, self.auction_bytes, out);
            }
            BidExtra => self.extra(event, 32, self.bid_bytes, out),
            _ => unreachable!("{value:?} is a number"),
        }
    }

    fn bytes_of(&self, values: &[Value], event: u64) -> u64 {
        let mut text = String::new();
        for value in values {
            self.text(*value, event, &mut text);
        }
        text.len() as u64
    }

    /// Which hot channel a bid came through, or which of the others.
    fn channel(&self, event: u64) -> (Option<usize>, u64) {
        let mut roll = self.dice.channel.roll(event);
        if roll.below(2) > 0 { (Some(roll.below(4) as usize), 0) } else { (None, roll.below(CHANNELS)) }
    }

    /// Letters that bring an event to `average` bytes, give or take a fifth.
    fn extra(&self, event: u64, used: u64, average: u64, out: &mut String) {
        let Some(wanted) = average.checked_sub(used) else { return };
        let mut roll = self.dice.extra.roll(event);
        let delta = (wanted + 2) / 5;
        let length = wanted - delta + roll.below(2 * delta);
        let (mut draw, mut left) = (0, 0);
        for _ in 0..length {
            if left == 0 {
                // 26^13 is below 2^62.
                (draw, left) = (roll.draw(), 13);
            }
            out.push(letter(draw % 26));
            draw /= 26;
            left -= 1;
        }
    }

    /// One value of these events as a column; NULL where there is none.
    fn column(&self, value: Value, declared: &DataType, events: &[Option<u64>]) -> Result<ArrayRef> {
        match value.made_as() {
            DataType::Int64 => {
                let made: Int64Array = events.iter().map(|e| e.map(|e| self.number(value, e))).collect();
                convert(Arc::new(made), declared)
            }
            DataType::Timestamp(..) => {
                Ok(timestamps_from_ms(events.iter().map(|e| e.map(|e| self.number(value, e))).collect(), declared))
            }
            _ => {
                let mut out = StringBuilder::with_capacity(events.len(), events.len() * 16);
                let mut text = String::new();
                for event in events {
                    match event {
                        None => out.append_null(),
                        Some(event) => {
                            text.clear();
                            self.text(value, *event, &mut text);
                            out.append_value(&text);
                        }
                    }
                }
                texts(out.finish(), declared)
            }
        }
    }
}

/// The prime that spreads events within a group, as in the official generator.
const SHUFFLE: u64 = 953;

fn pick<'a>(from: &[&'a str], roll: &mut Roll) -> &'a str {
    from[roll.below(from.len() as u64) as usize]
}

fn letter(i: u64) -> char {
    char::from(b'a' + i as u8)
}

/// From 3 to `most` − 1 letters with a `gap` for about every thirteenth, without gaps at the ends if it is a blank.
fn words(roll: &mut Roll, most: u64, gap: char, out: &mut String) {
    let start = out.len();
    for _ in 0..3 + roll.below(most - 3) {
        let draw = roll.draw();
        let c = if draw >> 32 < (1 << 32) / 13 { gap } else { letter(super::dice::below(draw << 32, 26)) };
        // A blank at the start would be trimmed.
        if c != ' ' || out.len() > start {
            out.push(c);
        }
    }
    out.truncate(start + out[start..].trim_end().len());
}

fn base_url(roll: &mut Roll, out: &mut String) {
    out.push_str("https://www.nexmark.com/");
    for _ in 0..3 {
        words(roll, 5, '_', out);
        out.push('/');
    }
    out.push_str("item.htm?query=1");
}

/// Appends a number with at least `digits` digits.
fn push_number(out: &mut String, number: u64, digits: usize) {
    use std::fmt::Write;
    write!(out, "{number:0digits$}").expect("a String takes everything");
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use arrow::array::{Array, AsArray, RecordBatch};
    use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType};

    use super::super::testing::*;
    use super::*;

    fn inferred(pairs: &[(&str, &str)]) -> Table {
        let schema = Nexmark.infer_schema(&options(pairs)).unwrap();
        table(Schema::clone(&schema), pairs)
    }

    fn of(kind: &str, events: &str) -> RecordBatch {
        read_all(&Nexmark, &inferred(&[("nexmark.table", kind), ("events.num", events)]))
    }

    fn longs<'a>(batch: &'a RecordBatch, column: &str) -> &'a [i64] {
        batch.column_by_name(column).unwrap().as_primitive::<Int64Type>().values()
    }

    fn times<'a>(batch: &'a RecordBatch, column: &str) -> &'a [i64] {
        batch.column_by_name(column).unwrap().as_primitive::<TimestampMillisecondType>().values()
    }

    #[test]
    fn rows_do_not_depend_on_chunks() {
        let cases: [&[(&str, &str)]; 5] = [
            &[("seed", "1"), ("rows-per-second", "10")],
            &[("nexmark.table", "person")],
            &[("nexmark.table", "auction")],
            &[("nexmark.table", "bid")],
            &[
                ("nexmark.table", "bid"),
                ("out-of-order.group-size", "100"),
                ("next-event.rate", "500"),
                ("rate.period", "1s"),
            ],
        ];
        let digests = cases.map(|pairs| {
            let table = inferred(pairs);
            check_cuts(&Nexmark, &table, 500);
            digest(&read(&Nexmark, &table, &all_columns(&table, 1000), 0, 1000))
        });
        assert_eq!(
            digests,
            ["eccbf58d2eb390ac", "acae6ed4c8592331", "b43c250e5b591514", "56fc24a9958a85c0", "6de4ce236be5813a"]
        );
    }

    #[test]
    fn one_person_three_auctions_and_46_bids_in_50() {
        let all = read_all(&Nexmark, &inferred(&[("events.num", "10020")]));
        let types = all.column(0).as_primitive::<Int32Type>().values();
        let count = |t| types.iter().filter(|x| **x == t).count();
        assert_eq!((count(0), count(1), count(2)), (201, 603, 9216));
        assert_eq!(types[..6], [0, 1, 1, 1, 2, 2]);
        for (column, kind) in [(1, 0), (2, 1), (3, 2)] {
            assert_eq!(all.num_rows() - all.column(column).null_count(), count(kind));
        }
        for (kind, rows) in [("person", 201), ("auction", 603), ("bid", 9216)] {
            assert_eq!(of(kind, "10020").num_rows(), rows);
        }
    }

    #[test]
    fn both_forms_hold_the_same_events() {
        let all = read_all(&Nexmark, &inferred(&[("events.num", "2000")]));
        for (column, kind) in [(1, "person"), (2, "auction"), (3, "bid")] {
            let rows =
                arrow::compute::filter(all.column(column), &arrow::compute::is_not_null(all.column(column)).unwrap())
                    .unwrap();
            assert_eq!(RecordBatch::from(rows.as_struct()), of(kind, "2000"));
        }
    }

    #[test]
    fn hot_keys_get_their_share() {
        let bids = of("bid", "500000");
        let (auctions, bidders) = (longs(&bids, "auction"), longs(&bids, "bidder"));
        let share = |hits: usize, of: usize| hits as f64 / of as f64;
        // Half of the bids go to the first auction of its hundred; of the other half, a hundredth by chance.
        let hot = share(auctions.iter().filter(|a| *a % 100 == 0).count(), auctions.len());
        assert!((0.50..0.515).contains(&hot), "{hot}");
        let hot = share(bidders.iter().filter(|b| *b % 100 == 1).count(), bidders.len());
        assert!((0.75..0.76).contains(&hot), "{hot}");
        let sold = of("auction", "500000");
        let sellers = longs(&sold, "seller");
        let hot = share(sellers.iter().filter(|s| *s % 100 == 0).count(), sellers.len());
        assert!((0.745..0.765).contains(&hot), "{hot}");
    }

    #[test]
    fn ids_refer_to_events_around_them() {
        let (persons, auctions, bids) = (of("person", "100000"), of("auction", "100000"), of("bid", "100000"));
        assert_eq!(longs(&persons, "id"), (1000..3000).collect::<Vec<i64>>());
        assert_eq!(longs(&auctions, "id"), (1000..7000).collect::<Vec<i64>>());
        for (row, (auction, bidder)) in longs(&bids, "auction").iter().zip(longs(&bids, "bidder")).enumerate() {
            let (last_person, last_auction) = (1000 + row as i64 / 46, 1002 + row as i64 / 46 * 3);
            assert!((last_auction - 100..=last_auction + 10).contains(auction), "{auction} at {last_auction}");
            assert!(
                (last_person - 1000..=last_person + 10).contains(bidder) && *bidder >= 1000,
                "{bidder} at {last_person}"
            );
        }
        for (row, seller) in longs(&auctions, "seller").iter().enumerate() {
            let last_person = 1000 + row as i64 / 3;
            assert!((last_person - 1000..=last_person + 10).contains(seller) && *seller >= 1000);
        }
        let categories: BTreeSet<i64> = longs(&auctions, "category").iter().copied().collect();
        assert_eq!(categories, (10..15).collect());
    }

    #[test]
    fn time_advances_with_the_rate() {
        let base = 1_436_918_400_000;
        let all = read_all(&Nexmark, &inferred(&[("events.num", "1001"), ("first-event.rate", "100")]));
        assert_eq!(times(&all, "dateTime")[..3], [base, base + 10, base + 20]);
        assert_eq!(times(&all, "dateTime")[1000], base + 10_000);
        // 100 a second for 5 s, 1000 a second for 5 s, and again.
        let both = [
            ("events.num", "6000"),
            ("first-event.rate", "100"),
            ("next-event.rate", "1000"),
            ("rate.period", "10s"),
            ("base-time", "0"),
        ];
        let all = read_all(&Nexmark, &inferred(&both));
        let at = times(&all, "dateTime");
        assert_eq!(
            [at[499], at[500], at[501], at[5499], at[5500], at[5501]],
            [4_990, 5_000, 5_001, 9_999, 10_000, 10_010]
        );
        let auctions = of("auction", "100000");
        let lengths: Vec<i64> =
            times(&auctions, "expires").iter().zip(times(&auctions, "dateTime")).map(|(e, t)| e - t).collect();
        // 100 auctions begin within 1666 events, which are 166 ms; lengths reach from 1 ms to twice that.
        assert!(lengths.iter().all(|l| (1..=334).contains(l)), "{:?}", lengths.iter().max());
        assert!((150..185).contains(&(lengths.iter().sum::<i64>() / lengths.len() as i64)));
    }

    #[test]
    fn shuffled_events_are_the_same_events() {
        let plain = [("events.num", "2050")];
        let shuffled = [("events.num", "2050"), ("out-of-order.group-size", "100")];
        let (plain, shuffled) = (read_all(&Nexmark, &inferred(&plain)), read_all(&Nexmark, &inferred(&shuffled)));
        let count = |batch: &RecordBatch| {
            let mut counts = BTreeMap::new();
            for row in 0..batch.num_rows() {
                *counts.entry(digest(&batch.slice(row, 1))).or_insert(0) += 1;
            }
            counts
        };
        assert_ne!(plain, shuffled);
        assert_eq!(count(&plain), count(&shuffled));
        let at = times(&shuffled, "dateTime");
        assert!(!at.is_sorted());
        let mut top = at[0];
        for t in at {
            assert!(*t > top - 10, "10 ms are 100 events");
            top = top.max(*t);
        }
    }

    #[test]
    fn values_look_as_they_should() {
        let (persons, auctions, bids) = (of("person", "20000"), of("auction", "20000"), of("bid", "20000"));
        let text = |batch: &RecordBatch, column: &str| -> Vec<String> {
            batch.column_by_name(column).unwrap().as_string::<i32>().iter().map(|s| s.unwrap().to_string()).collect()
        };
        assert!(text(&persons, "creditCard").iter().all(|c| c.len() == 19 && c.split(' ').all(|p| p.len() == 4)));
        assert!(text(&persons, "emailAddress").iter().all(|e| e.ends_with(".com") && e.contains('@')));
        assert_eq!(text(&persons, "state").into_iter().collect::<BTreeSet<_>>().len(), 6);
        let prices = longs(&bids, "price");
        assert!(prices.iter().all(|p| (100..=100_000_000).contains(p)));
        let cheap = prices.iter().filter(|p| **p < 10_000).count() as f64 / prices.len() as f64;
        assert!((0.31..0.36).contains(&cheap), "a third is below 100.00: {cheap}");
        assert!(longs(&auctions, "reserve").iter().zip(longs(&auctions, "initialBid")).all(|(r, b)| r > b));
        let average = |list: Vec<String>| list.iter().map(String::len).sum::<usize>() / list.len();
        assert!((66..70).contains(&average(text(&bids, "extra"))));
        let mut urls = BTreeMap::new();
        for (channel, url) in text(&bids, "channel").into_iter().zip(text(&bids, "url")) {
            assert!(url.starts_with("https://www.nexmark.com/") && url.split('/').count() == 7, "{url}");
            assert_eq!(urls.entry(channel).or_insert(url.clone()), &url, "a channel has one URL");
        }
        let (hot, cold): (Vec<_>, Vec<_>) = urls.iter().partition(|(c, _)| !c.starts_with("channel-"));
        assert_eq!(hot.len(), 4);
        let marked = cold.iter().filter(|(_, url)| url.contains("&channel_id=")).count() as f64 / cold.len() as f64;
        assert!((0.88..0.92).contains(&marked), "{marked}");
    }

    #[test]
    fn declared_columns_may_be_fewer_and_other_kinds_of_time_and_text() {
        let bid: Fields = vec![
            Field::new("PRICE", DataType::Int64, true),
            Field::new("date_time", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
            Field::new("url", DataType::Utf8View, true),
        ]
        .into();
        let schema = Schema::new(vec![
            Field::new("bid", DataType::Struct(bid), true),
            Field::new("event_type", DataType::Int64, false),
        ]);
        let batch = read_all(&Nexmark, &table(schema, &[("events.num", "5")]));
        let bid = batch.column(0).as_struct();
        assert_eq!((bid.null_count(), bid.len()), (4, 5));
        assert_eq!(bid.column(1).as_primitive::<TimestampMicrosecondType>().value(4), 1_436_918_400_000_000);
    }

    #[test]
    fn mistakes_are_named() {
        let says = |name: &str, t: DataType, pairs: &[(&str, &str)]| {
            refusal(&Nexmark, &table(Schema::new(vec![Field::new(name, t, true)]), pairs))
        };
        assert_eq!(
            says("price", DataType::Int32, &[("nexmark.table", "bid")]),
            "table `t`: column `price` is declared INT but is made as BIGINT | declare it as BIGINT, and convert it in the query with CAST"
        );
        assert_eq!(
            says("prise", DataType::Int64, &[("nexmark.table", "bid")]),
            "columns of a bid: table `t`: connector 'nexmark' has no column `prise` | did you mean `price`?"
        );
        assert_eq!(
            says("price", DataType::Int64, &[]),
            "table `t`: connector 'nexmark' has no column `price` | for flat columns, add 'nexmark.table' = 'bid'"
        );
        assert!(
            says("bid", DataType::Int64, &[])
                .starts_with("table `t`: column `bid` is declared BIGINT but is made as ROW<auction BIGINT, bidder")
        );
        assert_eq!(
            says("price", DataType::Int64, &[("nexmark.table", "bids")]),
            "table `t`: option 'nexmark.table' is 'bids', wanted one of all, person, auction, bid"
        );
        assert_eq!(
            says("price", DataType::Int64, &[("nexmark.table", "bid"), ("bid.proportion", "0")]),
            "table `t`: option 'bid.proportion' is '0', wanted at least 1 for a table of bids"
        );
        assert_eq!(
            says("event_type", DataType::Int32, &[("event.num", "5")]),
            "table `t`: unknown option 'event.num' | did you mean 'events.num'?"
        );
        let strict = Schema::new(vec![Field::new("bid", DataType::Struct(Kind::Bid.fields()), false)]);
        assert_eq!(
            refusal(&Nexmark, &table(strict, &[])),
            "table `t`: column `bid` is declared NOT NULL, but it is NULL for events that are not bids | leave out NOT NULL"
        );
    }
}
