//! Prints the answer to a scrape with the `Accept` header that is its argument.

use prometheus_exposition::Request;

fn main() {
    let accept = std::env::args().nth(1);
    let (accept, accept_encoding, query) = (accept.as_deref(), None, None);
    let text = "# TYPE \"shop.orders_total\" counter\n{\"shop.orders_total\"} 1.0\n".to_owned();
    // Headers and query of the request, and the metrics.
    let request = Request::new(accept, accept_encoding, query);
    let answer = request.answer(text);
    println!("Content-Type: {}\n", answer.content_type);
    print!("{}", String::from_utf8_lossy(&answer.body));
}
