//! What a service passes on of the context that comes in: the cases of the test suites
//! of W3C Trace Context level 2 (<https://github.com/w3c/trace-context/tree/main/test>)
//! and W3C Baggage (<https://github.com/w3c/baggage/tree/main/test>), and more, sent to a
//! real server. Each test of those suites has its counterpart here.

mod baggage;
mod service;
mod traceparent;
mod tracestate;

use self::service::passed_on;

const TRACE: &str = "12345678901234567890123456789012";
const PARENT: &str = "1234567890123456";

/// Trace id, parent id and flags of the service's own call.
fn traceparent(headers: &[&str]) -> [String; 3] {
    let sent = passed_on("traceparent", headers).unwrap();
    let fields: Vec<_> = sent.split('-').collect();
    let lengths: Vec<_> = fields.iter().map(|field| field.len()).collect();
    assert_eq!((fields[0], lengths.as_slice()), ("00", &[2, 32, 16, 2][..]));
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-');
    assert!(sent.bytes().all(is_hex), "{sent}");
    [fields[1], fields[2], fields[3]].map(str::to_owned)
}
