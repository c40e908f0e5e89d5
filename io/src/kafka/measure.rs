//! What reading a topic takes at least: librdkafka, one message after the other, and a decoder. For `./x bench kafka`.

use std::time::Duration;

use arrow::array::BinaryBuilder;
use pelton_engine::connector::{ReadRequest, Table};
use pelton_engine::error::{Error, Result};
use rdkafka::Message;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::options::SourceOptions;
use super::source::CHUNK_MESSAGES;
use crate::formats::messages::decoder;

/// Reads the topic of `table` from its beginning to its end as it is now, with a consumer of its own, and decodes all of the table's
/// columns. Answers how many rows that were.
pub fn read_alone(table: &Table) -> Result<u64> {
    let options = SourceOptions::read(table)?;
    let failed = |e: KafkaError| Error::world("a plain consumer cannot read the topic").because(e);
    let topic = options.topics.first().map_or("", String::as_str);
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &options.connection.servers)
        .set("group.id", "pelton-alone")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .map_err(failed)?;
    let timeout = options.connection.timeout;
    let metadata = consumer.fetch_metadata(Some(topic), timeout).map_err(failed)?;
    let partitions = metadata.topics().first().map_or(0, |t| t.partitions().len() as i32);
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, Offset::Beginning).map_err(failed)?;
    }
    consumer.assign(&list).map_err(failed)?;
    let request = ReadRequest {
        columns: (0..table.schema.fields().len()).collect(),
        batch_rows: CHUNK_MESSAGES,
        ..Default::default()
    };
    let decoder = decoder(&table.options, table, &request)?;
    let (mut rows, mut ended) = (0, 0);
    let mut values = BinaryBuilder::new();
    let mut held = 0;
    while ended < partitions || held > 0 {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                values.append_option(message.payload());
                held += 1;
            }
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(error)) => return Err(failed(error)),
            None => {}
        }
        if held == CHUNK_MESSAGES || (ended == partitions && held > 0) {
            let decoded = decoder.decode(&values.finish());
            rows += decoded.batches.iter().map(|b| b.batch.num_rows() as u64).sum::<u64>();
            held = 0;
        }
    }
    Ok(rows)
}
