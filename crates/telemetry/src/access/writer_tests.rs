use super::*;
use crate::{
    access::{BLOCK_BYTES, flush_records, install_access_log},
    metrics::Registry,
};
use std::{collections::BTreeMap, fs, sync::mpsc, time::Instant};

const SOON: Duration = Duration::from_secs(10);
/// The installed log belongs to the process: one test at a time has it.
static INSTALLED: Mutex<()> = Mutex::new(());

fn metrics() -> AccessMetrics {
    AccessMetrics::new(&Registry::new(&BTreeMap::new()).unwrap())
}

fn to_file(path: &Path) -> Arc<AccessLog> {
    let cfg = config::AccessLog { enabled: true, format: config::LogFormat::Auto, path: Some(path.into()) };
    AccessLog::start(&cfg, metrics()).unwrap().unwrap()
}

fn record(id: &str) -> AccessRecord {
    AccessRecord { request_id: id.into(), ..AccessRecord::default() }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        thread::yield_now();
    }
}

/// Hands each write to the test and waits for its permission.
struct Gate {
    writes: mpsc::Sender<Vec<u8>>,
    permits: Receiver<()>,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.writes.send(bytes.to_vec());
        let _ = self.permits.recv();
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn records_of_all_threads_arrive_in_blocks() {
    let _alone = INSTALLED.lock();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let log = to_file(&path);
    install_access_log(Some(Arc::clone(&log)));
    let each = 500;
    let write = move |worker: usize| {
        for n in 0..each {
            record(&format!("{worker}-{n}")).emit();
        }
        // The thread ends: its buffer flushes itself. Joining waits for that; a scope would not.
    };
    let workers: Vec<_> = (0..4).map(|worker| thread::spawn(move || write(worker))).collect();
    for worker in workers {
        worker.join().unwrap();
    }
    record("last").emit();
    flush_records();
    assert!(log.finish(SOON));
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 4 * each + 1);
    for line in text.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    assert_eq!(log.metrics.records.get(), 4 * each as u64 + 1);
    assert_eq!(log.metrics.dropped.get(), 0);
    // After the end, and without a log, a record goes nowhere and nothing waits.
    install_access_log(None);
    record("nowhere").emit();
    flush_records();
    assert_eq!(fs::read_to_string(&path).unwrap().len(), text.len());
}

#[test]
fn a_writer_that_lags_costs_records_and_not_time() {
    let (writes, written) = mpsc::channel();
    let (permit, permits) = mpsc::channel();
    let log = AccessLog::to_writer(Box::new(Gate { writes, permits }), metrics()).unwrap();
    log.write_now(&record("first"));
    written.recv_timeout(SOON).unwrap(); // The writer is stuck in the first block now.
    for _ in 0..MAX_BLOCKS {
        log.write_now(&record("queued"));
    }
    assert_eq!(log.metrics.dropped.get(), 0);
    log.hand_over(Block { bytes: vec![b'x'; BLOCK_BYTES], records: 7 });
    assert_eq!(log.metrics.dropped.get(), 7);
    assert!(!log.reopen(), "a full queue says so");
    assert!(!log.finish(Duration::from_millis(20)), "a stuck writer does not hold up the end");
    drop(permit); // Every further write passes.
    until("the queue drains", || log.reopen());
    assert!(log.finish(SOON));
}

#[test]
fn a_moved_file_is_opened_again_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let log = to_file(&path);
    log.write_now(&record("old"));
    until("the first record is written", || fs::read_to_string(&path).unwrap().contains("old"));
    fs::rename(&path, &moved).unwrap();
    assert!(log.reopen());
    log.write_now(&record("new"));
    assert!(log.finish(SOON));
    assert!(fs::read_to_string(&moved).unwrap().contains("old"));
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("new") && !text.contains("old"));
}

#[test]
fn a_failing_file_is_counted_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("logs");
    fs::create_dir(&inner).unwrap();
    let path = inner.join("access.log");
    let log = to_file(&path);
    let aside = folder.path().join("aside");
    fs::rename(&inner, &aside).unwrap();
    assert!(log.reopen()); // Fails: the folder is away.
    log.write_now(&record("lost"));
    until("the loss is counted", || log.metrics.dropped.get() == 1);
    fs::rename(&aside, &inner).unwrap();
    log.write_now(&record("kept"));
    assert!(log.finish(SOON));
    assert!(fs::read_to_string(&path).unwrap().contains("kept"));
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error_that_names_it() {
    let cfg = config::AccessLog {
        enabled: true,
        format: config::LogFormat::Json,
        path: Some("/nonexistent-folder/access.log".into()),
    };
    let error = AccessLog::start(&cfg, metrics()).unwrap_err().to_string();
    assert!(
        error.contains("observability.access_log.path") && error.contains("/nonexistent-folder"),
        "{error}"
    );
}

#[test]
fn a_log_that_is_off_starts_nothing() {
    let cfg = config::AccessLog { enabled: false, format: config::LogFormat::Json, path: None };
    assert!(AccessLog::start(&cfg, metrics()).unwrap().is_none());
}

#[test]
fn a_record_does_not_stay_in_a_buffer_for_longer_than_a_second_of_traffic() {
    let _alone = INSTALLED.lock();
    let log = AccessLog::to_writer(Box::new(io::sink()), metrics()).unwrap();
    install_access_log(Some(Arc::clone(&log)));
    let at = |ms| AccessRecord {
        started: std::time::UNIX_EPOCH + Duration::from_millis(ms),
        ..AccessRecord::default()
    };
    at(10_000).emit();
    at(10_900).emit();
    assert_eq!(log.metrics.records.get(), 0, "two records wake nobody");
    at(11_000).emit();
    assert_eq!(log.metrics.records.get(), 3);
    install_access_log(None);
}
