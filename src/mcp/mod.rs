//! What MCP messages say, read strictly. Pure: no I/O, no clock.
