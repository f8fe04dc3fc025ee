//! Requests to a service on loopback that answers as the test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, sync_channel};

use millstream_api::error::ErrorKind;
use millstream_api::message::CheckpointId;
use millstream_api::operator::{Fates, Progress};
use millstream_api::options::OnBadRow;
use millstream_api::sink::Finish;
use millstream_api::state::{StateReader, StateWriter};
use millstream_api::view::Views;
use millstream_api::{Batch, Sink, Stream};
use serde_json::{Value, json};

use super::HttpSinkOptions;
use crate::testing::{Node, batch, ints, make_sink_by, schema, sink, stream, weighed};

/// What a service got.
struct Got {
    head: String,
    body: Vec<u8>,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.head
            .lines()
            .find_map(|line| line.split_once(": ").filter(|(found, _)| found.eq_ignore_ascii_case(name)))
            .map_or("", |(_, value)| value)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A service that gives these answers, one to each request, and its URL. An empty answer is a broken connection.
fn service(answers: &[&str]) -> (String, Receiver<Got>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/in", listener.local_addr().unwrap());
    let answers: Vec<String> = answers.iter().map(|answer| (*answer).to_owned()).collect();
    let (sender, got) = sync_channel(100);
    std::thread::spawn(move || {
        for answer in answers {
            let mut connection = BufReader::new(listener.accept().unwrap().0);
            let (mut head, mut length) = (String::new(), 0);
            while connection.read_line(&mut head).unwrap() > 2 {
                let line = head.lines().next_back().unwrap_or_default().to_lowercase();
                length = line.strip_prefix("content-length: ").map_or(length, |text| text.parse().unwrap());
            }
            let mut body = vec![0; length];
            connection.read_exact(&mut body).unwrap();
            sender.send(Got { head, body }).unwrap();
            if !answer.is_empty() {
                write!(connection.get_mut(), "HTTP/1.1 {answer}\r\n\r\n").unwrap();
            }
        }
    });
    (url, got)
}

/// An answer after which the connection is closed.
fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("{status}\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

fn input() -> Stream {
    stream(schema("n bigint"))
}

fn with_url(url: &str, options: Value) -> Value {
    let mut all = json!({ "url": url, "pause": "1ms", "max_pause": "2ms", "timeout": "60s" });
    all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    all
}

fn sender(url: &str, options: Value) -> Box<dyn Sink> {
    sink::<HttpSinkOptions>(with_url(url, options), input(), std::path::Path::new("."), &Views::default())
}

/// A sender that leaves out what the service does not want.
fn skipping(url: &str, options: Value) -> Box<dyn Sink> {
    make_sink_by::<HttpSinkOptions>(OnBadRow::Skip, with_url(url, options), input(), std::path::Path::new("."), &Views::default(), false)
}

/// As the runtime does: what is left is done before anything else.
fn settle(sink: &mut dyn Sink, fates: &mut Fates) -> millstream_api::Result<()> {
    while sink.resume(fates)? == Progress::More {}
    Ok(())
}

fn write(sink: &mut dyn Sink, batch: Batch) -> u64 {
    let mut fates = Fates::default();
    sink.write(batch, &mut fates).unwrap();
    settle(sink, &mut fates).unwrap();
    fates.taken
}

/// Sends what waits for more rows; how many rows were taken with it.
fn flush(sink: &mut dyn Sink) -> millstream_api::Result<u64> {
    let mut fates = Fates::default();
    sink.flush()?;
    settle(sink, &mut fates)?;
    Ok(fates.taken)
}

fn finish(sink: &mut dyn Sink, how: Finish) -> millstream_api::Result<u64> {
    let taken = flush(sink)?;
    sink.finish(how).map(|()| taken)
}

fn rows<const N: usize>(values: [i64; N]) -> Batch {
    batch(&[("n", ints(values.map(Some)))])
}

#[test]
fn rows_are_posted_when_a_request_is_full_or_the_input_pauses() {
    let ok = answer("200 OK", "", "");
    let (url, got) = service(&[&ok, &ok, &ok]);
    let mut sink = sender(&url, json!({ "max_rows": 2, "token": "sesame", "headers": { "X-Team": "blue" } }));
    // Rows are taken when the service has taken them.
    assert_eq!(write(&mut *sink, rows([1, 2, 3])), 2);
    assert_eq!(flush(&mut *sink).unwrap(), 1);
    assert_eq!(flush(&mut *sink).unwrap(), 0);
    assert_eq!(write(&mut *sink, rows([4])), 0);
    assert_eq!(finish(&mut *sink, Finish::Halt).unwrap(), 1);
    let requests: Vec<Got> = got.try_iter().collect();
    let texts: Vec<&str> = requests.iter().map(Got::text).collect();
    assert_eq!(texts, ["{\"n\":1}\n{\"n\":2}\n", "{\"n\":3}\n", "{\"n\":4}\n"]);
    let first = &requests[0];
    assert!(first.head.starts_with("POST /in HTTP/1.1\r\n"), "{}", first.head);
    assert_eq!((first.header("authorization"), first.header("x-team")), ("Bearer sesame", "blue"));
    assert_eq!(first.header("content-type"), "application/x-ndjson");
    let keys: std::collections::BTreeSet<&str> = requests.iter().map(|got| got.header("idempotency-key")).collect();
    assert_eq!(keys.len(), 3, "{keys:?}");
}

#[test]
fn a_sink_does_one_request_at_a_time_and_none_is_taken_that_was_not_sent() {
    let ok = answer("200 OK", "", "");
    let (url, got) = service(&[&ok, &answer("400 Bad Request", "", "")]);
    let mut sink = sender(&url, json!({ "max_rows": 2 }));
    let mut fates = Fates::default();
    sink.write(rows([1, 2, 3, 4, 5]), &mut fates).unwrap();
    assert_eq!((got.try_iter().count(), fates.taken), (0, 0));
    assert_eq!(sink.resume(&mut fates).unwrap(), Progress::More);
    assert_eq!((got.try_iter().count(), fates.taken), (1, 2));
    assert!(sink.resume(&mut fates).is_err());
    assert_eq!(fates.taken, 2);
}

#[test]
fn a_request_is_sent_again_under_its_key_until_it_is_taken() {
    let busy = answer("429 Too Many Requests", "retry-after: 0\r\n", "");
    let (url, got) = service(&["", &busy, &answer("503 Service Unavailable", "", "soon"), &answer("204 No Content", "", "")]);
    let mut sink = sender(&url, json!({}));
    write(&mut *sink, rows([1]));
    finish(&mut *sink, Finish::End).unwrap();
    let noted = sink.requests().unwrap().get();
    let answers: Vec<(u16, u64)> = noted.answers.into_iter().collect();
    assert_eq!((&answers[..], noted.unanswered, noted.retries, noted.awaited), (&[(204, 1), (429, 1), (503, 1)][..], 1, 3, None));
    let requests: Vec<Got> = got.try_iter().collect();
    assert_eq!(requests.len(), 4);
    assert!(
        requests.iter().all(|got| got.text() == "{\"n\":1}\n" && got.header("idempotency-key") == requests[0].header("idempotency-key"))
    );
}

#[test]
fn a_service_that_does_not_answer_is_told_by_the_key_that_bounds_it() {
    // Connections are made, and nobody looks at them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/in", silent.local_addr().unwrap());
    let mut sink = sender(&url, json!({ "timeout": "50ms", "attempts": 1 }));
    write(&mut *sink, rows([1]));
    let error = flush(&mut *sink).unwrap_err();
    assert_eq!(error.message(), format!("POST {url} failed once: there was no answer within `timeout` = \"50ms\""));
}

#[test]
fn what_cannot_pass_fails_at_once_and_what_does_not_pass_in_the_end() {
    let (url, got) = service(&[&answer("401 Unauthorized", "", "who are you?\n")]);
    let mut refused = sender(&url, json!({}));
    write(&mut *refused, rows([1]));
    let error = flush(&mut *refused).unwrap_err();
    assert_eq!(error.message(), format!("POST {url} was refused: the answer was 401 Unauthorized: who are you?"));
    assert_eq!((error.kind(), got.try_iter().count()), (ErrorKind::Refused, 1));

    let (url, _got) = service(&[&answer("307 Temporary Redirect", "location: http://127.0.0.1:1/\r\n", "")]);
    let mut redirected = sender(&url, json!({}));
    write(&mut *redirected, rows([1]));
    assert!(flush(&mut *redirected).unwrap_err().message().contains("the answer was 307 Temporary Redirect"));

    let down = answer("500 Internal Server Error", "", "");
    let (url, got) = service(&[&down, &down, &down]);
    let mut failing = sender(&url, json!({ "attempts": 3 }));
    write(&mut *failing, rows([1]));
    let error = flush(&mut *failing).unwrap_err();
    let awaited = failing.requests().unwrap().get().awaited.unwrap();
    assert_eq!((awaited.to.as_str(), awaited.failed, awaited.attempts), (url.as_str(), 2, 3));
    assert_eq!(awaited.said, "the answer was 500 Internal Server Error");
    assert_eq!(error.message(), format!("POST {url} failed 3 times: the answer was 500 Internal Server Error"));
    assert!(error.help_text().unwrap().contains("`attempts`"));
    assert_eq!(got.try_iter().count(), 3);
}

#[test]
fn rows_that_a_service_does_not_want_end_the_run_or_are_left_out() {
    let bad = answer("422 Unprocessable Entity", "", "no column `m`\n");
    let (url, _got) = service(&[&bad]);
    let mut failing = sender(&url, json!({}));
    write(&mut *failing, rows([1, 2]));
    let error = flush(&mut *failing).unwrap_err();
    let said = "the answer was 422 Unprocessable Entity: no column `m`";
    assert_eq!(error.message(), format!("2 rows, from this one on, would be refused by {url} for ever: {said}: {{\"n\":1}}"));
    assert_eq!(error.kind(), ErrorKind::BadRow, "to go on from a checkpoint makes it no better");

    let ok = answer("200 OK", "", "");
    let (url, got) = service(&[&ok, &bad, &answer("400 Bad Request", "", ""), &ok, &answer("403 Forbidden", "", "")]);
    let mut skipping = skipping(&url, json!({ "max_rows": 2 }));
    let mut fates = Fates::default();
    skipping.write(rows([1, 2, 3, 4, 5, 6, 7]), &mut fates).unwrap();
    settle(&mut *skipping, &mut fates).unwrap();
    assert_eq!((fates.taken, fates.skipped), (2, 4));
    skipping.flush().unwrap();
    settle(&mut *skipping, &mut fates).unwrap();
    assert_eq!((fates.taken, fates.skipped), (3, 4));
    assert_eq!(skipping.requests().unwrap().get().refused_rows, 4);
    let keys: std::collections::BTreeSet<String> = got.try_iter().map(|got| got.header("idempotency-key").to_owned()).collect();
    assert_eq!(keys.len(), 4);
    skipping.write(rows([8]), &mut fates).unwrap();
    assert!(settle(&mut *skipping, &mut fates).and_then(|()| flush(&mut *skipping)).is_err(), "a token is no matter of rows");
}

#[test]
fn a_service_that_is_not_there_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let mut sink = sender(&url, json!({ "attempts": 2 }));
    write(&mut *sink, rows([1]));
    let error = finish(&mut *sink, Finish::End).unwrap_err();
    assert!(error.message().starts_with(&format!("POST {url} failed 2 times: ")), "{error}");
}

#[test]
fn a_service_that_does_not_speak_tls_is_told_from_one_that_is_down() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut connection = listener.accept().unwrap().0;
        connection.read_exact(&mut [0; 5]).unwrap();
        connection.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let mut sink = sender(&url, json!({}));
    write(&mut *sink, rows([1]));
    let error = flush(&mut *sink).unwrap_err();
    assert!(error.message().starts_with(&format!("POST {url} was refused: ")), "{error}");
}

#[test]
fn bodies_can_be_packed() {
    let (url, got) = service(&[&answer("200 OK", "", "")]);
    let mut sink = sender(&url, json!({ "compression": "gzip" }));
    write(&mut *sink, rows([1, 2]));
    flush(&mut *sink).unwrap();
    let request = got.recv().unwrap();
    assert_eq!(request.header("content-encoding"), "gzip");
    let mut text = String::new();
    flate2::read::GzDecoder::new(request.body.as_slice()).read_to_string(&mut text).unwrap();
    assert_eq!(text, "{\"n\":1}\n{\"n\":2}\n");
}

#[test]
fn a_run_that_goes_on_from_a_checkpoint_uses_the_same_keys() {
    let ok = answer("200 OK", "", "");
    let (url, got) = service(&[&ok, &ok, &ok, &ok]);
    let mut first = sender(&url, json!({}));
    let mut state = StateWriter::new();
    let checkpoint: CheckpointId = 1;
    write(&mut *first, rows([1]));
    flush(&mut *first).unwrap();
    first.prepare(checkpoint, &mut state).unwrap();
    write(&mut *first, rows([2]));
    flush(&mut *first).unwrap();
    let state = StateReader::new(state.into_entries(), &(0..128)).unwrap();
    for replayed in [2, 3] {
        let mut second = sender(&url, json!({}));
        second.restore(&state).unwrap();
        write(&mut *second, rows([replayed]));
        finish(&mut *second, Finish::End).unwrap();
    }
    let requests: Vec<Got> = got.try_iter().collect();
    let keys: Vec<&str> = requests.iter().map(|got| got.header("idempotency-key")).collect();
    assert_eq!(requests[0].text(), "{\"n\":1}\n", "what waits goes before a barrier");
    assert_eq!(keys[1], keys[2], "the same rows after the same checkpoint");
    assert!(keys[3] != keys[1], "other rows are another request");
}

#[test]
fn changes_are_sent_with_their_weight_when_asked_for() {
    let updating = Stream { updating: true, ..input() };
    let found = Node::mistakes::<HttpSinkOptions>(json!({ "url": "http://x/" }), vec![updating.clone()]);
    assert_eq!(found[0].0, "updating-input");
    let (url, got) = service(&[&answer("200 OK", "", "")]);
    let options = json!({ "url": url, "changes": true });
    let mut sink = sink::<HttpSinkOptions>(options, updating, std::path::Path::new("."), &Views::default());
    write(&mut *sink, weighed(rows([1, 1]), &[1, -1]));
    finish(&mut *sink, Finish::End).unwrap();
    assert_eq!(got.recv().unwrap().text(), "{\"n\":1,\"_weight\":1}\n{\"n\":1,\"_weight\":-1}\n");
}

#[test]
fn mistakes_are_found_in_one_go_and_show_no_secret() {
    let options = json!({
        "url": "ftp://x/", "token": "sesame\n", "timeout": "0s", "pause": "1m",
        "headers": { "a b": "x", "Content-Length": "1", "authorization": "sesame" }, "columns": ["m"]
    });
    let found = Node::mistakes::<HttpSinkOptions>(options, vec![input()]);
    let codes: Vec<&str> = found.iter().map(|(code, _, _)| *code).collect();
    assert_eq!(
        codes,
        ["bad-value", "bad-value", "bad-name", "duplicate-name", "bad-value", "out-of-range", "out-of-range", "unknown-column"]
    );
    assert!(!format!("{found:?}").contains("sesame"));
    for (url, message) in [("http://user:sesame@x/", "a password does not belong into a URL"), ("/in", "this is not the URL of a service")]
    {
        assert_eq!(Node::mistakes::<HttpSinkOptions>(json!({ "url": url }), vec![input()])[0].2, message);
    }
}
