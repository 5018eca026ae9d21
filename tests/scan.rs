//! `toolgate scan`: how well tools are classed, what the starter policy says, and the command against real servers.
#![cfg(test)]

#[path = "scan/classes.rs"]
mod classes;
#[path = "scan/labelled.rs"]
mod labelled;
#[path = "scan/measured.rs"]
mod measured;
#[path = "scan/starter.rs"]
mod starter;
