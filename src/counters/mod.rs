//! Counters: windowed usage that all replicas share. See `ARCHITECTURE.md` and `lua/admit.lua`.
