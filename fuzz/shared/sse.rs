//! An event stream: the same events wherever its chunks begin and end, and those that a browser sees. The first two bytes
//! choose how it is cut and how large an event may be; the rest is the stream.

use toolgate::mcp::sse::{Boundary, RawEvent, Splitter, frame};

pub fn run(data: &[u8]) {
    let [cut, small, stream @ ..] = data else { return };
    let whole = events(stream, &[stream.len()], usize::MAX).expect("no event is too large");
    let expected = reference(stream);
    assert_eq!(dispatched(&whole), expected, "a browser sees other events");
    let sizes = sizes(*cut);
    for sizes in [&[1][..], &sizes] {
        let pieces = events(stream, sizes, usize::MAX).expect("no event is too large");
        assert_eq!(dispatched(&pieces), expected, "chunks change the events");
        let bytes: Vec<u8> = pieces.iter().flat_map(RawEvent::bytes).copied().collect();
        assert_eq!(bytes, stream, "bytes are lost or added");
    }
    within_the_cap(stream, &sizes, usize::from(*small));
    with_other_data(&whole, &stream[..stream.len().min(usize::from(*small))]);
    boundaries(stream, &sizes);
}

/// Events and places that are tried one by one: more would make an input of many short events slow.
const ENOUGH: usize = 12;

/// Chunk sizes, over and over.
fn sizes(cut: u8) -> [usize; 2] {
    [usize::from(cut & 15) + 1, usize::from(cut >> 4) + 1]
}

fn events(stream: &[u8], sizes: &[usize], cap: usize) -> Option<Vec<RawEvent>> {
    let mut splitter = Splitter::new(cap);
    let mut events = Vec::new();
    for chunk in chunks(stream, sizes) {
        splitter.push(chunk);
        while let Some(event) = splitter.next() {
            events.push(event.ok()?);
        }
    }
    events.extend(splitter.finish());
    Some(events)
}

fn chunks<'s>(mut stream: &'s [u8], sizes: &[usize]) -> Vec<&'s [u8]> {
    let mut chunks = Vec::new();
    for size in sizes.iter().cycle() {
        if stream.is_empty() {
            break;
        }
        let (chunk, rest) = stream.split_at(stream.len().min(*size));
        chunks.push(chunk);
        stream = rest;
    }
    chunks
}

/// Name and data of each event that reaches a page.
type Dispatched = Vec<(Vec<u8>, Vec<u8>)>;

fn dispatched(events: &[RawEvent]) -> Dispatched {
    let (last, before) = match events.split_last() {
        Some((last, before)) => (Some(last), before),
        None => (None, events),
    };
    assert!(
        before.iter().all(RawEvent::is_complete),
        "an event in the middle is incomplete"
    );
    let whole = before.iter().chain(last.filter(|event| event.is_complete()));
    let seen = whole.filter(|event| event.has_data());
    let told = seen.map(|event| {
        let name = event.event_name().unwrap_or_default();
        assert_eq!(event.is_message(), matches!(name, b"" | b"message"));
        (name.to_vec(), event.data().into_owned())
    });
    told.collect()
}

/// WHATWG HTML 9.2.6, line by line, with nothing shared with what it checks.
fn reference(stream: &[u8]) -> Dispatched {
    let stream = stream.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(stream);
    let mut found = Vec::new();
    let (mut name, mut data): (Vec<u8>, Option<Vec<u8>>) = (Vec::new(), None);
    for line in whole_lines(stream) {
        if line.is_empty() {
            if let Some(data) = data.take() {
                found.push((std::mem::take(&mut name), data));
            }
            name.clear();
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (field, value) = match colon {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &line[line.len()..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => name = value.to_vec(),
            b"data" => match &mut data {
                None => data = Some(value.to_vec()),
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
            },
            _ => {}
        }
    }
    found
}

/// The lines that have an end.
fn whole_lines(mut rest: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
        lines.push(&rest[..at]);
        let end = if rest[at..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = &rest[at + end..];
    }
    lines
}

fn within_the_cap(stream: &[u8], sizes: &[usize], cap: usize) {
    let mut splitter = Splitter::new(cap);
    let mut given = Vec::new();
    for chunk in chunks(stream, sizes) {
        splitter.push(chunk);
        while let Some(event) = splitter.next() {
            let Ok(event) = event else {
                assert!(
                    splitter.next().is_some_and(|event| event.is_err()),
                    "it goes on after it was too large"
                );
                assert!(stream.starts_with(&given));
                return;
            };
            assert!(event.bytes().len() <= cap, "an event is larger than the cap");
            given.extend_from_slice(event.bytes());
        }
    }
    given.extend(splitter.finish().into_iter().flat_map(RawEvent::into_bytes));
    assert_eq!(given, stream, "bytes are lost or added");
}

fn with_other_data(events: &[RawEvent], data: &[u8]) {
    let lines: Vec<u8> = [data, b"\n"].concat();
    let lines: Vec<&[u8]> = whole_lines(&lines);
    let mut expected = lines.join(&b'\n');
    // A CR at the end of the data and our LF behind it are one line end to `whole_lines`.
    if data.ends_with(b"\r") {
        expected.push(b'\n');
    }
    assert_eq!(reference(&frame(data)), [(b"message".to_vec(), expected.clone())]);
    for (index, event) in events.iter().enumerate().take(ENOUGH) {
        if !event.has_data() || !event.is_complete() {
            continue;
        }
        let name = event.event_name().unwrap_or_default().to_vec();
        // Behind other events: a byte order mark is one at the start of the stream alone.
        let before = if index == 0 { &b""[..] } else { b"\n" };
        let other = [before, &event.with_data(data)].concat();
        assert_eq!(
            reference(&other),
            [(name, expected.clone())],
            "other data, other event"
        );
    }
}

fn boundaries(stream: &[u8], sizes: &[usize]) {
    let mut boundary = Boundary::default();
    let (mut seen, mut looked) = (0, 0);
    for chunk in chunks(stream, sizes) {
        let place = boundary.push(chunk);
        if let Some(place) = place.filter(|_| looked < ENOUGH) {
            looked += 1;
            undisturbed(stream, seen + place);
        }
        seen += chunk.len();
        if boundary.between_events() && looked < ENOUGH {
            undisturbed(stream, seen);
        }
    }
    let mut whole = Boundary::default();
    whole.push(stream);
    assert_eq!(whole.between_events(), boundary.between_events());
}

/// An event that is put in there is one more, and the others stay.
fn undisturbed(stream: &[u8], place: usize) {
    let (before, after) = stream.split_at(place);
    let added = [before, &frame(b"{}"), after].concat();
    let one = (b"message".to_vec(), b"{}".to_vec());
    let mut seen = reference(&added);
    let at = reference(before).len();
    assert_eq!(seen.get(at), Some(&one), "an added event is not seen");
    seen.remove(at);
    assert_eq!(seen, reference(stream), "an added event changes others");
}
