//! The events of NEXMark as batches of the three streams' tables.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Builder, RecordBatch, StringBuilder, TimestampNanosecondBuilder,
};
use arrow::datatypes::SchemaRef;
use nexmark::EventGenerator;
use nexmark::config::NexmarkConfig;
use nexmark::event::{Auction, Bid, Event, Person};

const NS_PER_MS: i64 = 1_000_000;

/// When the events begin, in milliseconds since the Unix epoch: 2024-05-01T00:00:00Z.
const BASE_TIME_MS: u64 = 1_714_521_600_000;

/// The tables into which events go, in the order of [`Batches`].
pub const STREAMS: [&str; 3] = ["person", "auction", "bid"];

/// One batch a stream: persons, auctions, bids.
pub type Batches = [RecordBatch; 3];

/// The generator of always the same events, `events_per_second` by the clock of the events.
pub fn generator(events_per_second: usize) -> EventGenerator {
    EventGenerator::new(NexmarkConfig {
        base_time: BASE_TIME_MS,
        first_rate: events_per_second,
        next_rate: events_per_second,
        ..NexmarkConfig::default()
    })
}

/// Takes the next so many events.
pub fn take(generator: &mut EventGenerator, events: usize, schemas: &[SchemaRef; 3]) -> Batches {
    let mut columns = schemas.each_ref().map(Columns::new);
    for event in generator.take(events) {
        match event {
            Event::Person(person) => columns[0].person(&person),
            Event::Auction(auction) => columns[1].auction(&auction),
            Event::Bid(bid) => columns[2].bid(&bid),
        }
    }
    let [person, auction, bid] = columns;
    [person.finish(), auction.finish(), bid.finish()]
}

/// The builders of one stream's columns; a column has one of them.
struct Columns {
    schema: SchemaRef,
    columns: Vec<Column>,
}

enum Column {
    Number(Int64Builder),
    Text(StringBuilder),
    Time(TimestampNanosecondBuilder),
}

impl Columns {
    fn new(schema: &SchemaRef) -> Columns {
        use arrow::datatypes::DataType;
        let column = |data_type: &DataType| match data_type {
            DataType::Int64 => Column::Number(Int64Builder::new()),
            DataType::Utf8 => Column::Text(StringBuilder::new()),
            _ => Column::Time(TimestampNanosecondBuilder::new()),
        };
        let fields = schema.fields().iter();
        Columns {
            schema: Arc::clone(schema),
            columns: fields.map(|field| column(field.data_type())).collect(),
        }
    }

    fn numbers<const N: usize>(&mut self, values: [(usize, usize); N]) {
        for (place, value) in values {
            if let Column::Number(column) = &mut self.columns[place] {
                column.append_value(value as i64);
            }
        }
    }

    fn texts<const N: usize>(&mut self, values: [(usize, &str); N]) {
        for (place, value) in values {
            if let Column::Text(column) = &mut self.columns[place] {
                column.append_value(value);
            }
        }
    }

    fn times<const N: usize>(&mut self, values: [(usize, u64); N]) {
        for (place, value) in values {
            if let Column::Time(column) = &mut self.columns[place] {
                column.append_value(value as i64 * NS_PER_MS);
            }
        }
    }

    fn person(&mut self, person: &Person) {
        self.numbers([(0, person.id)]);
        self.texts([
            (1, &person.name),
            (2, &person.email_address),
            (3, &person.credit_card),
            (4, &person.city),
            (5, &person.state),
            (7, &person.extra),
        ]);
        self.times([(6, person.date_time)]);
    }

    fn auction(&mut self, auction: &Auction) {
        self.numbers([
            (0, auction.id),
            (3, auction.initial_bid),
            (4, auction.reserve),
            (7, auction.seller),
            (8, auction.category),
        ]);
        self.texts([
            (1, &auction.item_name),
            (2, &auction.description),
            (9, &auction.extra),
        ]);
        self.times([(5, auction.date_time), (6, auction.expires)]);
    }

    fn bid(&mut self, bid: &Bid) {
        self.numbers([(0, bid.auction), (1, bid.bidder), (2, bid.price)]);
        self.texts([(3, &bid.channel), (4, &bid.url), (6, &bid.extra)]);
        self.times([(5, bid.date_time)]);
    }

    fn finish(self) -> RecordBatch {
        let column = |column: Column| -> ArrayRef {
            match column {
                Column::Number(mut column) => Arc::new(column.finish()),
                Column::Text(mut column) => Arc::new(column.finish()),
                Column::Time(mut column) => Arc::new(column.finish()),
            }
        };
        let columns = self.columns.into_iter().map(column).collect();
        RecordBatch::try_new(self.schema, columns).expect("a value a column")
    }
}
