use super::*;
use parking_lot::Mutex;
use std::{collections::BTreeMap, io, sync::Arc};

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged(format: config::LogFormat, terminal: bool, log: impl FnOnce()) -> String {
    let cfg = config::Logging {
        level: "info".into(),
        format,
        additional_fields: BTreeMap::from([("zone".to_owned(), "a \"b\"".to_owned())]),
    };
    let sink = Sink::default();
    let writer = sink.clone();
    let layer = tracing_subscriber::fmt::layer()
        .event_format(Lines::new(&cfg, terminal))
        .with_ansi(terminal)
        .with_writer(move || writer.clone());
    let subscriber = tracing_subscriber::registry().with(filter(&cfg.level).unwrap()).with(layer);
    tracing::subscriber::with_default(subscriber, log);
    let bytes = sink.0.lock().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn an_event_is_one_json_object_with_the_configured_fields() {
    let text = logged(config::LogFormat::Json, false, || {
        tracing::info!(count = 3, good = true, who = "x\n\"y\"", error = %"bad\u{1b}[2J", "hello\nworld");
        tracing::debug!("below the level");
    });
    assert_eq!(text.lines().count(), 1);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["message"], "hello\nworld");
    assert_eq!((&value["count"], &value["good"]), (&3.into(), &true.into()));
    assert_eq!(value["who"], "x\n\"y\"");
    assert_eq!(value["error"], "bad\u{1b}[2J");
    assert_eq!(value["zone"], "a \"b\"");
    assert_eq!(value["level"], "INFO");
}

#[test]
fn text_is_one_line_and_coloured_only_on_a_terminal() {
    let log = || tracing::warn!(peer = "a b\r\nFAKE", "line\none \"quoted\"");
    let plain = logged(config::LogFormat::Auto, true, log);
    assert!(plain.contains('\u{1b}') && plain.contains("WARN"));
    let text = logged(config::LogFormat::Text, false, log);
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(!text.contains('\u{1b}'));
    assert!(text.contains(r#"line\none "quoted" peer="a b\r\nFAKE" zone="a \"b\"""#), "{text}");
}

#[test]
fn auto_is_json_away_from_a_terminal() {
    let text = logged(config::LogFormat::Auto, false, || tracing::info!("x"));
    serde_json::from_str::<serde_json::Value>(&text).unwrap();
}

#[test]
fn a_secret_prints_as_stars() {
    let secret = config::Secret::new("hunter2-hunter2");
    let text = logged(config::LogFormat::Json, false, || tracing::info!(?secret, other = %secret, "x"));
    assert!(!text.contains("hunter2") && text.contains("***"));
}

#[test]
fn a_level_or_a_filter_is_understood_and_nonsense_is_not() {
    for good in ["info", "DEBUG", "off", "info,holdfast_upstream=debug", "warn,[span]=trace"] {
        filter(good).unwrap();
    }
    for bad in ["inof", "verbose", "info,x=loud"] {
        let error = filter(bad).unwrap_err().to_string();
        assert!(error.contains("observability.logging.level") && error.contains(bad), "{error}");
    }
}
