//! YAML 1.2 with places, from the events of `granit-parser` (the parser under serde-saphyr, which the
//! settings are read with). Plain scalars follow the core schema; what it would read in a way that
//! a reader may not expect is refused.

use granit_parser::{Event, Parser, ScalarStyle, Span};

use super::json::{digits, is_number};
use super::place::{Place, Places};
use super::tree::{Entry, Key, Node, Value};
use super::{Fault, MAX_DEPTH, quoted};

pub(super) fn read(text: &str) -> Result<Node, Fault> {
    let mut options = granit_parser::options! {
        flow_nesting_limit: MAX_DEPTH + 2,
        block_nesting_limit: MAX_DEPTH + 2,
        emit_anchor_events: true,
        emit_unresolved_aliases: true,
    };
    options.set_emit_comments(false);
    let mut builder = Builder {
        places: Places::new(text),
        open: Vec::new(),
        root: None,
        documents: 0,
    };
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((event, span)) => builder.take(event, span)?,
            Err(error) => {
                let place = builder.place_of(error.marker().byte_offset());
                return Err(Fault::new(place, format!("this is not YAML: {}", error.info())));
            }
        }
    }
    let empty = Fault::new(Place::START, "the file is empty");
    builder.root.ok_or(empty)
}

/// A list or object that is still open.
struct Open {
    place: Place,
    kind: Kind,
}

enum Kind {
    List(Vec<Node>),
    /// The entries so far, and the key that waits for its value.
    Object(Vec<Entry>, Option<Key>),
}

struct Builder<'t> {
    places: Places<'t>,
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
}

impl Builder<'_> {
    fn place_of(&mut self, offset: Option<usize>) -> Place {
        offset.map_or(Place::START, |offset| self.places.at(offset))
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        let start = span.tag_start().unwrap_or(span.start);
        let place = self.place_of(start.byte_offset());
        if matches!(
            event,
            Event::Anchor(..) | Event::Alias(_) | Event::UnresolvedAlias(_)
        ) {
            let fault = Fault::new(place, "YAML anchors and aliases are not supported");
            return Err(fault.help("write the value out in each place where it stands"));
        }
        if event.tag().is_some() {
            let fault = Fault::new(place, "YAML tags are not supported");
            return Err(fault.help("write text in double quotes, and anything else plainly"));
        }
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(Fault::new(
                        place,
                        "a second document starts here: one file holds one document",
                    ));
                }
                Ok(())
            }
            Event::Scalar(text, style, _, _) => self.scalar(place, &text, style),
            Event::SequenceStart(..) => self.start(place, Kind::List(Vec::new())),
            Event::MappingStart(..) => self.start(place, Kind::Object(Vec::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            _ => Ok(()),
        }
    }

    fn start(&mut self, place: Place, kind: Kind) -> Result<(), Fault> {
        if matches!(
            self.open.last(),
            Some(Open {
                kind: Kind::Object(_, None),
                ..
            })
        ) {
            return Err(Fault::new(place, "a key must be text, not a list or an object"));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(Fault::too_deep(place));
        }
        self.open.push(Open { place, kind });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        match self.open.pop() {
            Some(Open {
                place,
                kind: Kind::List(items),
            }) => self.add(Node {
                place,
                value: Value::List(items),
            }),
            Some(Open {
                place,
                kind: Kind::Object(entries, None),
            }) => self.add(Node {
                place,
                value: Value::Object(entries),
            }),
            Some(Open { place, .. }) => Err(Fault::new(place, "a key in this object has no value")),
            None => Err(Fault::new(
                Place::START,
                "this is not YAML: an end without a start",
            )),
        }
    }

    fn scalar(&mut self, place: Place, text: &str, style: ScalarStyle) -> Result<(), Fault> {
        let value = match style {
            ScalarStyle::Plain => plain(place, text)?,
            _ => Value::Text(text.to_owned()),
        };
        if let Some(Open {
            kind: Kind::Object(_, waiting @ None),
            ..
        }) = self.open.last_mut()
        {
            let Value::Text(text) = value else {
                let fault = Fault::new(place, format!("the key {} is not text", quoted(text)));
                return Err(fault.help(format!("put it in quotes: \"{text}\"")));
            };
            if text == "<<" && style == ScalarStyle::Plain {
                return Err(Fault::new(place, "YAML merge keys (`<<`) are not supported"));
            }
            *waiting = Some(Key { text, place });
            return Ok(());
        }
        self.add(Node { place, value })
    }

    fn add(&mut self, node: Node) -> Result<(), Fault> {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open {
                kind: Kind::List(items),
                ..
            }) => items.push(node),
            Some(Open {
                kind: Kind::Object(entries, waiting),
                ..
            }) => match waiting.take() {
                Some(key) => entries.push(Entry { key, value: node }),
                None => {
                    return Err(Fault::new(
                        node.place,
                        "a key must be text, not a list or an object",
                    ));
                }
            },
        }
        Ok(())
    }
}

/// A plain scalar by the core schema (YAML 1.2.2, section 10.3.2).
fn plain(place: Place, text: &str) -> Result<Value, Fault> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        _ => {}
    }
    if is_number(text) {
        return Ok(Value::Number(text.to_owned()));
    }
    if is_doubtful_number(text) {
        let message = format!("{} can be read as a number in more than one way", quoted(text));
        let help = format!("write a decimal number without leading zeros, or text in quotes: \"{text}\"");
        return Err(Fault::new(place, message).help(help));
    }
    Ok(Value::Text(text.to_owned()))
}

/// What the core schema, or YAML 1.1 before it, takes for a number although JSON does not: `+1`, `.5`,
/// `1.`, `012`, `0x1F`, `0o7`, `1_000`, `.inf`.
fn is_doubtful_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let lower = unsigned.to_ascii_lowercase();
    if matches!(lower.as_str(), ".inf" | ".nan") {
        return true;
    }
    if let Some(rest) = lower.strip_prefix("0x") {
        return !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'_');
    }
    if let Some(rest) = lower.strip_prefix("0o").or_else(|| lower.strip_prefix("0b")) {
        return digits(&rest.replace('_', ""));
    }
    let (mantissa, exponent) = lower.split_once('e').unwrap_or((&lower, "0"));
    let mantissa = mantissa.replace('_', "");
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((&mantissa, ""));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    digits(exponent)
        && digits(&format!("{whole}{fraction}"))
        && lower.starts_with(|c: char| c.is_ascii_digit() || c == '.')
}
