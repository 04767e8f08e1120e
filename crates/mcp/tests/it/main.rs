//! The drivers end to end: a real client side in process, real HTTP servers on loopback behind them.

mod batches;
mod gateway;
mod handles;
mod inputs;
mod kills;
mod listening;
mod sessions;
mod streams;
mod upstream;
mod wait;
