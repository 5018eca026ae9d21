use super::{Boundary, RawEvent, Splitter, TooLarge, frame};

/// The events of a stream that comes in chunks of `size` bytes.
fn split(stream: &[u8], size: usize) -> Vec<RawEvent> {
    let mut splitter = Splitter::new(1024);
    let mut events = Vec::new();
    for chunk in stream.chunks(size) {
        splitter.push(chunk);
        while let Some(event) = splitter.next() {
            events.push(event.unwrap());
        }
    }
    events.extend(splitter.finish());
    events
}

/// The data of the events that a client would see.
fn data(stream: &str) -> Vec<String> {
    let whole = split(stream.as_bytes(), usize::MAX);
    let events: Vec<_> = whole
        .iter()
        .filter(|event| event.has_data() && event.is_complete())
        .collect();
    events
        .iter()
        .map(|event| String::from_utf8(event.data().into_owned()).unwrap())
        .collect()
}

fn only(stream: &str) -> RawEvent {
    let mut events = split(stream.as_bytes(), usize::MAX);
    assert_eq!(events.len(), 1);
    events.pop().unwrap()
}

#[test]
fn lf_cr_and_crlf_end_lines() {
    for end in ["\n", "\r", "\r\n"] {
        let stream = "data: a\nid: 1\n\ndata: b\n\n: ping\n\ndata: c\n\n".replace('\n', end);
        assert_eq!(data(&stream), ["a", "b", "c"], "{end:?}");
    }
    assert_eq!(
        data("data: a\r\rdata: b\n\r\ndata: c\r\n\rdata: d\r\n\n"),
        ["a", "b", "c", "d"]
    );
}

#[test]
fn fields_are_read_as_the_standard_says() {
    assert_eq!(data("data\ndata:\ndata: x\ndata:  y\n\n"), ["\n\nx\n y"]);
    assert_eq!(data("data:\n\n"), [""]);
    assert_eq!(data("dataset: x\nDATA: y\n data: z\n\n"), Vec::<String>::new());
    assert_eq!(data(":data: x\n\nevent: message\n\n"), Vec::<String>::new());
    assert_eq!(data("\u{feff}data: x\n\n\u{feff}data: y\n\n"), ["x"]);
    assert_eq!(data("data: unfinished\n"), Vec::<String>::new());
}

#[test]
fn the_last_event_line_names_the_event() {
    let event = only("event: a\ndata: x\nevent:endpoint\n\n");
    assert_eq!(event.event_name(), Some(&b"endpoint"[..]));
    assert!(!event.is_message());
    for stream in ["data: x\n\n", "event\ndata: x\n\n", "event: message\ndata: x\n\n"] {
        assert!(only(stream).is_message(), "{stream}");
    }
}

#[test]
fn an_event_is_given_out_with_the_byte_that_ends_it() {
    let mut splitter = Splitter::new(100);
    splitter.push(b"data: a\r\n\r");
    let event = splitter.next().unwrap().unwrap();
    assert_eq!(event.data().as_ref(), b"a");
    splitter.push(b"\ndata: b\r\n\r\n");
    let event = splitter.next().unwrap().unwrap();
    assert_eq!(
        (event.bytes(), event.data().as_ref()),
        (&b"\ndata: b\r\n\r\n"[..], &b"b"[..])
    );
    assert!(splitter.next().is_none());
}

#[test]
fn chunks_may_begin_and_end_anywhere() {
    let stream = "\u{feff}: hello\r\n\r\nevent: message\r\nid: 7\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\n\n\rdata: x\r\rdata: rest";
    let whole = split(stream.as_bytes(), usize::MAX);
    assert_eq!(whole.len(), 6);
    for size in 1..stream.len() {
        let events = split(stream.as_bytes(), size);
        let bytes: Vec<u8> = events.iter().flat_map(|event| event.bytes().to_vec()).collect();
        assert_eq!(bytes, stream.as_bytes());
        let read = |events: &[RawEvent]| {
            events
                .iter()
                .map(|event| event.data().into_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(read(&events), read(&whole), "{size}");
    }
}

#[test]
fn an_event_beyond_the_cap_ends_the_stream() {
    for size in [1, 3, 100] {
        let mut splitter = Splitter::new(10);
        let mut seen = 0;
        for chunk in b"data: ab\n\ndata: abc\n\ndata: x\n\n".chunks(size) {
            splitter.push(chunk);
            while let Some(Ok(_)) = splitter.next() {
                seen += 1;
            }
        }
        assert_eq!(seen, 1);
        assert_eq!(splitter.next(), Some(Err(TooLarge { cap: 10 })));
        assert_eq!(splitter.next(), Some(Err(TooLarge { cap: 10 })));
        assert_eq!(splitter.finish(), None);
    }
}

#[test]
fn an_event_without_an_end_does_not_grow_beyond_the_cap() {
    let mut splitter = Splitter::new(10);
    for _ in 0..100 {
        splitter.push(b"data");
        let _ = splitter.next();
    }
    assert!(splitter.pending.len() <= 14);
}

#[test]
fn other_data_keeps_every_other_line() {
    let event =
        only("id: 7\r\n: note\r\nevent: message\r\ndata: {\"a\":\r\nretry: 5\r\ndata: 1}\r\nodd\r\n\r\n");
    let expected = "id: 7\r\n: note\r\nevent: message\r\ndata: {}\r\nretry: 5\r\nodd\r\n\r\n";
    assert_eq!(event.with_data(b"{}"), expected.as_bytes());
}

#[test]
fn other_data_with_line_ends_takes_several_lines() {
    let event = only("data: x\n\n");
    assert_eq!(
        event.with_data(b"{\n1\r\n2\r3"),
        b"data: {\ndata: 1\ndata: 2\ndata: 3\n\n"
    );
    assert_eq!(event.with_data(b""), b"data: \n\n");
    assert_eq!(event.with_data(b"a\n"), b"data: a\ndata: \n\n");
}

#[test]
fn mixed_line_ends_become_lf_so_that_no_blank_line_is_lost() {
    let event = only("event: message\rdata: x\n\n");
    assert_eq!(event.with_data(b"y"), b"event: message\ndata: y\n\n");
    let event = only("data: a\nid: 1\rdata: b\n\n");
    assert_eq!(event.with_data(b"y"), b"data: y\nid: 1\n\n");
    let event = only("id: 1\rdata: a\r\r");
    assert_eq!(event.with_data(b"y"), b"id: 1\rdata: y\r\r");
}

#[test]
fn an_event_without_data_can_be_given_some() {
    assert_eq!(only("id: 1\n\n").with_data(b"x"), b"id: 1\ndata: x\n\n");
}

#[test]
fn the_boundary_is_between_events_only() {
    let stream = b"data: a\r\n\r\n: c\n\nid: 1\rdata: b\r\r";
    let mut boundary = Boundary::default();
    let mut between = vec![];
    assert!(boundary.between_events());
    for (at, byte) in stream.iter().enumerate() {
        boundary.push(&[*byte]);
        if boundary.between_events() {
            between.push(at + 1);
        }
    }
    // After `a` the place before the LF counts too: a blank line more does nothing.
    assert_eq!(between, [10, 11, 16, stream.len()]);
}

#[test]
fn the_boundary_tells_the_last_place_in_a_chunk() {
    let mut boundary = Boundary::default();
    assert_eq!(boundary.push(b"data: a"), None);
    assert_eq!(boundary.push(b"\n\ndata: b\n\ndata: c\n"), Some(11));
    assert!(!boundary.between_events());
    assert_eq!(boundary.push(b""), None);
    assert_eq!(boundary.push(b"\n"), Some(1));
    assert!(boundary.between_events());
}

#[test]
fn nothing_is_put_into_a_byte_order_mark() {
    let mut boundary = Boundary::default();
    boundary.push(b"\xef\xbb");
    assert!(!boundary.between_events());
    boundary.push(b"\xbf");
    assert!(boundary.between_events());
}

#[test]
fn a_framed_message_is_one_event() {
    let framed = frame(b"{\"a\":\n1}");
    assert_eq!(framed, b"event: message\ndata: {\"a\":\ndata: 1}\n\n");
    let event = only(&String::from_utf8(framed).unwrap());
    assert!(event.is_message() && event.is_complete());
    assert_eq!(event.data().as_ref(), b"{\"a\":\n1}");
}

#[test]
fn debug_output_shows_nothing_of_the_data() {
    assert!(!format!("{:?}", only("data: hunter2\n\n")).contains("hunter2"));
}
