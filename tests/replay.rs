//! Replay: the same policy decides the same, other policies differ where they should, and what is not on
//! record is not guessed.
#![cfg(test)]

#[path = "replay/bounds.rs"]
mod bounds;
#[path = "replay/command.rs"]
mod command;
#[path = "replay/folded.rs"]
mod folded;
#[path = "replay/history.rs"]
mod history;
#[path = "replay/same.rs"]
mod same;
#[path = "replay/sound.rs"]
mod sound;
#[path = "replay/told.rs"]
mod told;
#[path = "replay/told_charges.rs"]
mod told_charges;
#[path = "replay/told_limits.rs"]
mod told_limits;
#[path = "replay/told_people.rs"]
mod told_people;
