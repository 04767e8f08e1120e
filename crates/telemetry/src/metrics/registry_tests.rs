use super::*;
use crate::metrics::{
    ConfigMetrics, DrainPhase, EdgeMetrics, ExpiryMetrics, McpMetrics, PeerMetrics, ProcessMetrics,
    RouteMetrics, StoreLinkMetrics, StoreMetrics, UpstreamMetrics,
};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

fn registry() -> Registry {
    Registry::new(&BTreeMap::new()).unwrap()
}

fn lines<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
    page.lines().filter(|line| line.starts_with(name)).collect()
}

#[test]
fn what_a_room_counts_is_on_the_page() {
    // A registry nobody renders makes every alert silent: the handles and the page must be the same registry.
    let registry = registry();
    let route = RouteMetrics::new(&registry, "api");
    route.bytes_in.inc_by(42);
    assert_eq!(
        lines(&registry.render(), "holdfast_route_request_bytes_total"),
        ["holdfast_route_request_bytes_total{route=\"api\"} 42"]
    );
}

#[test]
fn every_series_of_every_room_is_there_before_the_first_event() {
    let registry = registry();
    let upstream = UpstreamMetrics::new(&registry, "u");
    let store = StoreLinkMetrics::new(&registry);
    let _rooms = (
        ConfigMetrics::new(&registry),
        ProcessMetrics::new(&registry),
        EdgeMetrics::new(&registry, "server"),
        EdgeMetrics::certificate(&registry, "server", "/cert.pem"),
        RouteMetrics::new(&registry, "r"),
        McpMetrics::new(&registry, "m"),
        crate::metrics::LinkMetrics::new(&registry, "m"),
        crate::metrics::FrontMetrics::new(&registry),
        ExpiryMetrics::new(&registry),
        PeerMetrics::new(&registry),
        StoreMetrics::new(&registry),
        store.server("127.0.0.1:6379"),
        upstream.endpoint("http://10.0.0.1:80"),
        crate::access::AccessMetrics::new(&registry),
        crate::metrics::TraceMetrics::new(&registry),
    );
    // These are the exception: they are made with their first event.
    let operations = crate::metrics::Operations::new(&registry, 0).server("m");
    let (verdict, took) = (crate::metrics::McpOutcome::Ok.into(), std::time::Duration::ZERO);
    let (version, piped) = (crate::metrics::OperationVersion::Unknown, false);
    let method = crate::metrics::OperationMethod::Ping;
    let operation = crate::metrics::Operation { method, name: b"", version, piped, verdict, took };
    let session = crate::metrics::SessionOf { version, piped, error: "", took };
    operations.served(&operation);
    operations.sent(&operation);
    operations.session_served(session);
    operations.session_sent(session);
    let page = registry.render();
    for metric in Metric::ALL {
        let name = metric.definition().full_name();
        assert!(
            page.lines()
                .any(|line| line.strip_prefix(&name).is_some_and(|rest| rest.starts_with(['{', ' ', '_']))),
            "{name} is declared, but no room creates it"
        );
    }
    assert!(page.ends_with("# EOF\n"));
}

#[test]
fn a_series_goes_when_its_last_holder_goes() {
    let registry = registry();
    let upstream = UpstreamMetrics::new(&registry, "u");
    let old = upstream.endpoint("http://10.0.0.1:80");
    let new = upstream.endpoint("http://10.0.0.1:80");
    old.ejections.inc();
    drop(old);
    // The new snapshot goes on counting where the old one was.
    assert_eq!(new.ejections.get(), 1);
    assert!(registry.render().contains("10.0.0.1"));
    drop(new);
    assert!(!registry.render().contains("10.0.0.1"), "a stale endpoint stays on the page");
    assert!(registry.render().contains("upstream=\"u\""), "the upstream itself is still there");
}

#[test]
fn series_taken_and_released_from_many_threads_stay_consistent() {
    let registry = registry();
    let keep = RouteMetrics::new(&registry, "shared");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let mine = RouteMetrics::new(&registry, "shared");
                    mine.bytes_in.inc();
                    let _other = RouteMetrics::new(&registry, "other");
                }
            });
        }
    });
    assert_eq!(keep.bytes_in.get(), 800);
    assert!(!registry.render().contains("\"other\""));
}

#[test]
fn constant_labels_are_on_every_series() {
    let labels = BTreeMap::from([("environment".to_owned(), "prod \"eu\"".to_owned())]);
    let registry = Registry::new(&labels).unwrap();
    let _route = RouteMetrics::new(&registry, "api");
    let page = registry.render();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        assert!(line.contains(r#"environment="prod \"eu\"""#), "{line}");
    }
}

#[test]
fn a_constant_label_that_breaks_the_page_is_refused() {
    for name in ["", "a-b", "1st", "__x", "route", "le", "a b", "ü"] {
        let error = Registry::new(&BTreeMap::from([(name.to_owned(), "v".to_owned())])).unwrap_err();
        assert!(error.to_string().contains("additional_labels"), "{error}");
    }
}

#[test]
fn label_values_from_outside_cannot_break_a_line() {
    let registry = registry();
    let _route = RouteMetrics::new(&registry, "a\"b\\c\nd");
    assert!(registry.render().contains(r#"route="a\"b\\c\nd""#));
}

#[test]
fn a_hook_runs_at_each_page_until_its_guard_goes() {
    let registry = registry();
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let hook = registry.on_scrape(move || {
        counted.fetch_add(1, Relaxed);
    });
    registry.render();
    registry.render();
    drop(hook);
    registry.render();
    assert_eq!(runs.load(Relaxed), 2);
}

#[test]
fn a_hook_may_own_hooks() {
    let registry = registry();
    let inner = registry.on_scrape(|| {});
    let outer = registry.on_scrape(move || {
        let _ = &inner;
    });
    drop(outer);
    assert_eq!(registry.0.hooks.lock().list.len(), 0);
}

#[test]
fn the_drain_phase_is_a_state_set() {
    let registry = registry();
    let process = ProcessMetrics::new(&registry);
    process.set_drain_phase(DrainPhase::Closing);
    let page = registry.render();
    assert!(page.contains("holdfast_drain_phase{phase=\"closing\"} 1"));
    assert!(page.contains("holdfast_drain_phase{phase=\"serving\"} 0"));
}
