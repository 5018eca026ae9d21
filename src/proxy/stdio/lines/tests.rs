use tokio::io::AsyncWriteExt;

use super::{Line, Lines, Out, write_line};

/// The lines of `text`, given in pieces of `size` bytes, under a cap of 20: whole ones as text, too long ones as
/// their id.
async fn lines(text: &[u8], size: usize) -> Vec<Result<String, Option<String>>> {
    let (mut writer, reader) = tokio::io::duplex(size.max(1));
    let text = text.to_vec();
    let writing = tokio::spawn(async move {
        for piece in text.chunks(size.max(1)) {
            writer.write_all(piece).await.unwrap();
        }
    });
    let mut lines = Lines::new(reader, 20);
    let mut found = Vec::new();
    while let Some(line) = lines.next().await.unwrap() {
        found.push(match line {
            Line::Whole(line) => Ok(String::from_utf8(line.to_vec()).unwrap()),
            Line::TooLong(skimmed) => Err(skimmed.id),
        });
    }
    writing.await.unwrap();
    found
}

#[tokio::test]
async fn lines_are_cut_at_line_feeds_wherever_the_pieces_begin_and_end() {
    let text = b"{\"id\":1}\n\r\n  \n{\"id\":2}\r\n{\"id\":3}\r{\"id\":4}\n{\"id\":5}";
    let expected: Vec<_> = [
        r#"{"id":1}"#,
        r#"{"id":2}"#,
        "{\"id\":3}\r{\"id\":4}",
        r#"{"id":5}"#,
    ]
    .map(|line| Ok(line.to_owned()))
    .to_vec();
    for size in [1, 2, 3, 7, 1000] {
        assert_eq!(lines(text, size).await, expected, "{size}");
    }
}

#[tokio::test]
async fn a_line_of_the_cap_passes_and_one_byte_more_is_skipped_with_its_id() {
    let text = concat!(
        "{\"id\":1,\"method\":12}\n",
        "{\"id\":1,\"method\":12}\r\n",
        "{\"id\":1,\"method\":123}\n",
        "{\"method\":1234567890123456789012345678901234567890,\"id\":7}\r\n",
        "{\"id\":8}\n",
        "{\"id\":9,\"method\":123456}",
    );
    for size in [1, 5, 21, 22, 1000] {
        let found = lines(text.as_bytes(), size).await;
        let whole = || Ok(r#"{"id":1,"method":12}"#.to_owned());
        let long = |id: &str| Err(Some(id.to_owned()));
        let expected = vec![
            whole(),
            whole(),
            long("1"),
            long("7"),
            Ok(r#"{"id":8}"#.to_owned()),
            long("9"),
        ];
        assert_eq!(found, expected, "{size}");
    }
}

#[tokio::test]
async fn an_endless_line_does_not_grow_memory() {
    let endless = tokio::io::AsyncReadExt::take(tokio::io::repeat(b'x'), 50 << 20);
    let mut lines = Lines::new(endless, 1000);
    assert!(matches!(lines.next().await.unwrap(), Some(Line::TooLong(_))));
    assert!(lines.buffer.capacity() < 200_000, "{}", lines.buffer.capacity());
}

#[tokio::test]
async fn the_end_is_seen_while_a_line_is_being_handled_but_not_across_a_flood() {
    let mut lines = Lines::new(&b"a\nb\nc"[..], 20);
    lines.next().await.unwrap();
    lines.ends().await;
    assert!(matches!(lines.next().await.unwrap(), Some(Line::Whole(line)) if &*line == b"b"));
    let mut flood = Lines::new(tokio::io::repeat(b'\n'), 20);
    let waited = tokio::time::timeout(std::time::Duration::from_millis(20), flood.ends());
    assert!(waited.await.is_err());
    assert!(flood.buffer.len() < 200_000);
}

#[tokio::test]
async fn what_goes_out_is_one_line_whatever_the_message_looked_like() {
    let (writer, mut reader) = tokio::io::duplex(1000);
    let out = Out::new(writer);
    out.message(b"{\"a\":\r\n1}").await.unwrap();
    out.message(b"{}").await.unwrap();
    drop(out);
    let mut text = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut reader, &mut text)
        .await
        .unwrap();
    assert_eq!(text, "{\"a\":  1}\n{}\n");
}

#[tokio::test]
async fn a_line_that_did_not_leave_says_whether_any_of_it_did() {
    let (mut closed, reader) = tokio::io::duplex(4);
    drop(reader);
    assert!(write_line(&mut closed, b"{}").await.unwrap_err().unsent);
    let (mut writer, mut reader) = tokio::io::duplex(4);
    let reading = tokio::spawn(async move {
        let mut piece = [0; 2];
        tokio::io::AsyncReadExt::read_exact(&mut reader, &mut piece)
            .await
            .unwrap();
    });
    assert!(!write_line(&mut writer, b"0123456789").await.unwrap_err().unsent);
    reading.await.unwrap();
}
