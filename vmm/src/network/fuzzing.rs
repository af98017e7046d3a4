//! What is asked of the broker, as a fuzzer has it.

use super::broker::query::Query;
use super::protocol::Request;

/// What the sentry asks for.
pub fn broker_request(bytes: &[u8]) {
    let _ = Request::decode(bytes);
}

/// A question of the DNS, and the same as if it had come back as an answer.
pub fn name_query(bytes: &[u8]) {
    if let Some(Ok(query)) = Query::parse(bytes) {
        if let Some(mut answer) = query.forwarded(7) {
            if let Some(flags) = answer.get_mut(2) {
                *flags |= 0x80;
            }
            let _ = query.answer(7, answer);
        }
        let _ = query.answer(7, bytes.to_vec());
    }
}
