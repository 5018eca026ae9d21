//! `toolgate scan`: how well tools are classed, what the starter policy says, and the command against real servers.
#![cfg(test)]

#[path = "scan/classes.rs"]
mod classes;
#[path = "scan/commands.rs"]
mod commands;
#[path = "scan/labelled.rs"]
mod labelled;
#[path = "scan/measured.rs"]
mod measured;
#[path = "scan/ran.rs"]
mod ran;
#[path = "scan/real.rs"]
mod real;
#[path = "scan/records.rs"]
mod records;
#[path = "scan/starter.rs"]
mod starter;
mod support;
