//! Messages as librdkafka holds them, taken many at once and let go of on any thread. The only place that calls its C functions.

use std::ffi::{CStr, CString};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use rdkafka::bindings as rd;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;

use super::client::Ears;

/// The messages of one partition, apart from those of the others.
pub struct Queue {
    queue: NonNull<rd::rd_kafka_queue_t>,
    consumer: Arc<BaseConsumer<Ears>>,
}

// SAFETY: librdkafka's queues have locks of their own and belong to no thread.
unsafe impl Send for Queue {}

impl Queue {
    /// Splits a partition off the consumer's queue. To be done before the partition is assigned.
    pub fn split(consumer: &Arc<BaseConsumer<Ears>>, topic: &str, partition: i32) -> Option<Self> {
        let topic = CString::new(topic).ok()?;
        // SAFETY: the client lives as long as `consumer`, the topic's name as long as the call.
        let queue =
            unsafe { rd::rd_kafka_queue_get_partition(consumer.client().native_ptr(), topic.as_ptr(), partition) };
        let queue = NonNull::new(queue)?;
        // SAFETY: the queue was just handed to us. Forwarded to nowhere, it keeps its messages.
        unsafe { rd::rd_kafka_queue_forward(queue.as_ptr(), ptr::null_mut()) };
        Some(Queue { queue, consumer: consumer.clone() })
    }

    /// How much is there.
    pub fn len(&self) -> usize {
        // SAFETY: the queue is ours until it is dropped.
        unsafe { rd::rd_kafka_queue_length(self.queue.as_ptr()) }
    }

    /// Takes what is there, without waiting for more: at most so many.
    pub fn take(&self, max: usize) -> Messages {
        let mut found: Vec<*mut rd::rd_kafka_message_t> = Vec::with_capacity(max);
        // SAFETY: the queue is ours, and there is room for `max` pointers.
        let count = unsafe { rd::rd_kafka_consume_batch_queue(self.queue.as_ptr(), 0, found.as_mut_ptr(), max) };
        // SAFETY: so many were written; a negative count is an error without messages.
        unsafe { found.set_len(usize::try_from(count).unwrap_or(0)) };
        let list = found.into_iter().filter_map(NonNull::new).map(|at| Message { at }).collect();
        Messages { list, consumer: self.consumer.clone() }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the queue was handed to us by `rd_kafka_queue_get_partition`, and nobody else lets go of it.
        unsafe { rd::rd_kafka_queue_destroy(self.queue.as_ptr()) };
    }
}

/// Messages in order, with their client, which they may not outlive.
pub struct Messages {
    // Let go of first.
    list: Vec<Message>,
    consumer: Arc<BaseConsumer<Ears>>,
}

impl Messages {
    /// Takes the first `count` messages off.
    pub fn split_to(&mut self, count: usize) -> Messages {
        let rest = self.list.split_off(count);
        Messages { list: std::mem::replace(&mut self.list, rest), consumer: self.consumer.clone() }
    }
}

impl std::ops::Deref for Messages {
    type Target = [Message];

    fn deref(&self) -> &[Message] {
        &self.list
    }
}

/// A message, or word that something is wrong or at an end.
pub struct Message {
    at: NonNull<rd::rd_kafka_message_t>,
}

// SAFETY: a message is not written to any more, and may be let go of on any thread.
unsafe impl Send for Message {}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: the message was handed to us, and nobody else lets go of it.
        unsafe { rd::rd_kafka_message_destroy(self.at.as_ptr()) };
    }
}

impl Message {
    fn inner(&self) -> &rd::rd_kafka_message_t {
        // SAFETY: the message is ours until it is dropped.
        unsafe { self.at.as_ref() }
    }

    /// What is wrong, if it is no message.
    pub fn error(&self) -> Option<RDKafkaErrorCode> {
        let error = self.inner().err;
        (error != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| error.into())
    }

    /// The same in words.
    pub fn error_text(&self) -> String {
        // SAFETY: the message is ours; the text, if there is one, lives as long as it.
        let text = unsafe { rd::rd_kafka_message_errstr(self.at.as_ptr()) };
        if text.is_null() {
            return String::new();
        }
        // SAFETY: librdkafka's texts end with a zero.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }

    /// Its offset; of the end of a partition, where that is.
    pub fn offset(&self) -> i64 {
        self.inner().offset
    }

    /// The value; `None` for a tombstone.
    pub fn value(&self) -> Option<&[u8]> {
        // SAFETY: librdkafka gives pointer and length of bytes that live as long as the message.
        unsafe { bytes(self.inner().payload.cast(), self.inner().len) }
    }

    /// The key, if there is one.
    pub fn key(&self) -> Option<&[u8]> {
        // SAFETY: as of the value.
        unsafe { bytes(self.inner().key.cast(), self.inner().key_len) }
    }

    /// Milliseconds since 1970, if known, and whose time it is.
    pub fn timestamp(&self) -> (Option<i64>, &'static str) {
        let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is ours, and `kind` outlives the call.
        let time = unsafe { rd::rd_kafka_message_timestamp(self.at.as_ptr(), &mut kind) };
        match kind {
            rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE => (None, "NoTimestampType"),
            rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => (Some(time), "LogAppendTime"),
            _ => (Some(time), "CreateTime"),
        }
    }

    /// The epoch of the partition's leader, if known.
    pub fn leader_epoch(&self) -> Option<i32> {
        // SAFETY: the message is ours.
        let epoch = unsafe { rd::rd_kafka_message_leader_epoch(self.at.as_ptr()) };
        (epoch >= 0).then_some(epoch)
    }

    /// Calls `each` with name and value of every header, in order.
    pub fn headers(&self, mut each: impl FnMut(&str, Option<&[u8]>)) {
        let mut headers = ptr::null_mut();
        // SAFETY: the message is ours, and `headers` outlives the call.
        let found = unsafe { rd::rd_kafka_message_headers(self.at.as_ptr(), &mut headers) };
        if found != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return;
        }
        for at in 0.. {
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            // SAFETY: the headers live as long as the message, the other three outlive the call.
            let found = unsafe { rd::rd_kafka_header_get_all(headers, at, &mut name, &mut value, &mut size) };
            if found != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return;
            }
            // SAFETY: names end with a zero; a value is `size` bytes. Both live as long as the message.
            let (name, value) = unsafe { (CStr::from_ptr(name), bytes(value.cast(), size)) };
            each(&name.to_string_lossy(), value);
        }
    }
}

/// The bytes at a place, if it is one.
///
/// # Safety
/// Unless it is null, `at` must point to `size` bytes that live for `'a`.
unsafe fn bytes<'a>(at: *const u8, size: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's duty.
    (!at.is_null()).then(|| unsafe { std::slice::from_raw_parts(at, size) })
}
