//! Many clients at once, and what became of each of their requests.

use hdrhistogram::Histogram;
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Failures kept with their story; more are only counted.
const KEPT: usize = 1000;
/// Longest latency that is told apart.
const SLOWEST_US: u64 = 120_000_000;

/// One failed request.
#[derive(Clone, Debug)]
pub struct Failed {
    /// When it was sent.
    pub began: Instant,
    /// When the client knew.
    pub ended: Instant,
    /// What identifies the request, for instance its nonce.
    pub id: String,
    /// What happened.
    pub why: String,
}

/// The requests of one kind.
#[derive(Debug)]
pub struct Tally {
    name: &'static str,
    good: AtomicU64,
    bad: AtomicU64,
    latency: Mutex<Histogram<u64>>,
    failures: Mutex<Vec<Failed>>,
}

impl Tally {
    /// Nothing counted yet.
    pub fn new(name: &'static str) -> Self {
        #[expect(clippy::expect_used, reason = "the bounds are constants")]
        let latency = Histogram::new_with_bounds(1, SLOWEST_US, 3).expect("valid bounds");
        let (good, bad) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { name, good, bad, latency: Mutex::new(latency), failures: Mutex::default() }
    }

    /// Counts one request that began at `began` and ends now.
    pub fn count<T, E: std::fmt::Display>(
        &self,
        began: Instant,
        id: impl FnOnce() -> String,
        result: Result<T, E>,
    ) {
        let ended = Instant::now();
        match result {
            Ok(_) => {
                self.good_one();
                let took = u64::try_from((ended - began).as_micros()).unwrap_or(u64::MAX);
                lock(&self.latency).saturating_record(took);
            }
            Err(why) => self.failed(began, ended, &id(), &why.to_string()),
        }
    }

    /// Counts a good request that somebody else timed.
    pub fn good_one(&self) {
        self.good.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a failed request that somebody else timed.
    pub fn failed(&self, began: Instant, ended: Instant, id: &str, why: &str) {
        self.bad.fetch_add(1, Ordering::Relaxed);
        let mut failures = lock(&self.failures);
        if failures.len() < KEPT {
            failures.push(Failed { began, ended, id: id.to_owned(), why: why.to_owned() });
        }
    }

    /// What is counted here.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Requests with the right answer.
    pub fn good(&self) -> u64 {
        self.good.load(Ordering::Relaxed)
    }

    /// All other requests.
    pub fn bad(&self) -> u64 {
        self.bad.load(Ordering::Relaxed)
    }

    /// The failed requests, as far as they were kept.
    pub fn failures(&self) -> Vec<Failed> {
        lock(&self.failures).clone()
    }

    /// The latency that a share of the good requests stayed below.
    pub fn latency(&self, share: f64) -> Duration {
        Duration::from_micros(lock(&self.latency).value_at_quantile(share))
    }

    /// One line for a person.
    pub fn row(&self) -> Vec<String> {
        let timed = !lock(&self.latency).is_empty();
        let milli = |share| {
            if timed { format!("{:.1}", self.latency(share).as_secs_f64() * 1000.0) } else { "-".to_owned() }
        };
        vec![
            self.name.to_owned(),
            self.good().to_string(),
            self.bad().to_string(),
            milli(0.5),
            milli(0.99),
            milli(1.0),
        ]
    }
}

/// Says when the clients shall stop after the request they are in.
#[derive(Debug, Default)]
pub struct Stop(AtomicBool);

impl Stop {
    /// Stop.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether to stop.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Prints tallies as a table under a title.
pub fn print(title: &str, tallies: &[&Tally]) {
    let mut table = comfy_table::Table::new();
    table.set_header(["requests", "good", "failed", "p50 ms", "p99 ms", "max ms"]);
    for tally in tallies {
        table.add_row(tally.row());
    }
    println!("\n{title}\n{table}");
    for tally in tallies {
        for failed in tally.failures().iter().take(5) {
            println!("  {}: {} {}", tally.name, failed.id, failed.why);
        }
    }
}

/// Prints one line of figures that `./test` shows again at its end.
pub fn total(figures: &str) {
    println!("total: {figures}");
}

/// As [`total`], with the requests of `tallies`.
pub fn total_of(part: &str, tallies: &[&Tally]) {
    let sum = |count: fn(&Tally) -> u64| tallies.iter().map(|tally| count(tally)).sum::<u64>();
    total(&format!("{part}: {} requests good, {} failed", sum(Tally::good), sum(Tally::bad)));
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
