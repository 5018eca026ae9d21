//! Whose calls are counted together: the same words for every limit.

use super::super::shape::Shape;
use super::word;

pub(super) static SCOPE: Shape = Shape::Words(&[
    word(
        "grant",
        "Each grant has its own count, over all its sessions. The default.",
    ),
    word(
        "session",
        "Each MCP session has its own count; the grant where there is none.",
    ),
    word("server", "All grants that call the server share one count."),
    word("global", "All grants on all servers share one count."),
    word(
        "claim:",
        "`claim:team`: all grants whose claim has the same value share one count.",
    ),
    word(
        "arg:",
        "`arg:customer.id`: within the grant, each value of that argument has its own count.",
    ),
    word(
        "arguments",
        "Within the grant, each set of equal arguments has its own count: a brake on loops.",
    ),
]);
