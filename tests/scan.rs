//! `toolgate scan`: how well tools are classed, what the starter policy says, and the command against real servers.
#![cfg(test)]

#[path = "scan/labelled.rs"]
mod labelled;
#[path = "scan/measured.rs"]
mod measured;
