//! One body of tests for every store: what holds in memory holds on a real server, so whoever tests against memory is not flattered. Then
//! what only a server can do: lose values, and show others than were stored.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

mod body;
mod bounds;
mod loss;
mod rotation;
mod tamper;
mod world;

use body::all;
use holdfast_test_servers::{Cluster, Options, Sentinel, Server};
use world::World;

#[tokio::test]
async fn in_memory() {
    all(&World::memory()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_one_redis() {
    let server = Server::start(&Options::new()).unwrap();
    all(&World::single(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_sentinels() {
    let sentinel = Sentinel::start().unwrap();
    all(&World::sentinel(&sentinel)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_cluster() {
    let cluster = Cluster::start().unwrap();
    all(&World::cluster(&cluster)).await;
}
