//! The registry: every family of the table, the series that are held, and the page.

use super::{Counter, Gauge, Histogram, Kind, Label, Metric, PerLabel, SecondsGauge};
use parking_lot::Mutex;
use prometheus_client::{
    encoding::{EncodeLabel, EncodeLabelSet, LabelSetEncoder, text::encode},
    metrics::family::Family,
    registry::{Registry as Page, Unit as PageUnit},
};
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Weak},
};

/// `Content-Type` of [`Registry::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of a process. Clones share everything.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    page: Page,
    families: Vec<AnyFamily>,
    held: Mutex<HashMap<Series, usize>>,
    hooks: Mutex<Hooks>,
}

#[derive(Default)]
struct Hooks {
    next: u64,
    list: Vec<(u64, Arc<dyn Fn() + Send + Sync>)>,
}

type Series = (Metric, Labels);

enum AnyFamily {
    Counter(Family<Labels, Counter>),
    Gauge(Family<Labels, Gauge>),
    Seconds(Family<Labels, SecondsGauge>),
    Histogram(Family<Labels, Histogram>),
}

impl Registry {
    /// A registry with every family of the table and `constant` labels on every series.
    ///
    /// Fails if a constant label is no label name, or is used by a metric itself: such a page cannot be scraped.
    pub fn new(constant: &BTreeMap<String, String>) -> Result<Self, BadLabel> {
        for name in constant.keys() {
            check_label(name)?;
        }
        let labels = constant.iter().map(|(name, value)| (Cow::from(name.clone()), Cow::from(value.clone())));
        let mut page = Page::with_labels(labels);
        let families = Metric::ALL.iter().map(|metric| AnyFamily::register(*metric, &mut page)).collect();
        let inner = Inner { page, families, held: Mutex::default(), hooks: Mutex::default() };
        Ok(Self(Arc::new(inner)))
    }

    /// The page, in OpenMetrics text ([`CONTENT_TYPE`]). Runs the scrape hooks first.
    pub fn render(&self) -> String {
        let hooks: Vec<_> = self.0.hooks.lock().list.iter().map(|(_, hook)| Arc::clone(hook)).collect();
        for hook in hooks {
            hook();
        }
        let mut text = String::with_capacity(64 * 1024);
        // Writing into a String cannot fail; a metric that fails to encode leaves the page without its end mark,
        // which a scraper notices.
        if encode(&mut text, &self.0.page).is_err() {
            tracing::error!("the metrics page could not be written completely");
        }
        text
    }

    /// Runs `hook` before each page is written, until the returned guard is dropped. For gauges that would be dear to
    /// keep up to date: they are computed when somebody looks.
    pub fn on_scrape(&self, hook: impl Fn() + Send + Sync + 'static) -> ScrapeHook {
        let mut hooks = self.0.hooks.lock();
        let id = hooks.next;
        hooks.next += 1;
        hooks.list.push((id, Arc::new(hook)));
        ScrapeHook { registry: Arc::downgrade(&self.0), id }
    }

    /// An empty scope, to hold series.
    pub fn scope(&self) -> Scope {
        Scope { registry: self.clone(), series: Vec::new() }
    }

    fn hold(&self, series: Series) {
        *self.0.held.lock().entry(series).or_insert(0) += 1;
    }

    fn release(&self, series: &Series) {
        let mut held = self.0.held.lock();
        let Some(count) = held.get_mut(series) else { return };
        *count -= 1;
        if *count == 0 {
            // Under the lock: nobody can take the series between the last release and its removal.
            held.remove(series);
            self.0.families[series.0 as usize].remove(&series.1);
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("series", &self.0.held.lock().len()).finish_non_exhaustive()
    }
}

/// Unregisters its hook when dropped.
#[must_use]
pub struct ScrapeHook {
    registry: Weak<Inner>,
    id: u64,
}

impl fmt::Debug for ScrapeHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScrapeHook").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Drop for ScrapeHook {
    fn drop(&mut self) {
        let Some(registry) = self.registry.upgrade() else { return };
        let mut hooks = registry.hooks.lock();
        // Taken out under the lock, dropped after it: what a hook owns may own a hook.
        let at = hooks.list.iter().position(|(id, _)| *id == self.id);
        let hook = at.map(|at| hooks.list.swap_remove(at));
        drop(hooks);
        drop(hook);
    }
}

/// Holds series: they are on the page as long as at least one scope holds them.
#[derive(Debug)]
pub struct Scope {
    registry: Registry,
    series: Vec<Series>,
}

impl Scope {
    /// The registry that this scope belongs to.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The counter of these label values, in the order of the table. Starts at 0.
    pub fn counter(&mut self, metric: Metric, values: &[&str]) -> Counter {
        match self.take(metric, values) {
            (AnyFamily::Counter(family), labels) => family.get_or_create_owned(labels),
            _ => wrong_kind(metric),
        }
    }

    /// The gauge of these label values.
    pub fn gauge(&mut self, metric: Metric, values: &[&str]) -> Gauge {
        match self.take(metric, values) {
            (AnyFamily::Gauge(family), labels) => family.get_or_create_owned(labels),
            _ => wrong_kind(metric),
        }
    }

    /// The gauge of seconds of these label values.
    pub fn seconds(&mut self, metric: Metric, values: &[&str]) -> SecondsGauge {
        match self.take(metric, values) {
            (AnyFamily::Seconds(family), labels) => family.get_or_create_owned(labels),
            _ => wrong_kind(metric),
        }
    }

    /// The histogram of these label values.
    pub fn histogram(&mut self, metric: Metric, values: &[&str]) -> Histogram {
        match self.take(metric, values) {
            (AnyFamily::Histogram(family), labels) => family.get_or_create_owned(labels),
            _ => wrong_kind(metric),
        }
    }

    /// One counter for each value of the last label.
    pub fn counters<L: Label>(&mut self, metric: Metric, values: &[&str]) -> PerLabel<L, Counter> {
        PerLabel::new(|label: L| {
            let all: Vec<&str> = values.iter().copied().chain([label.as_str()]).collect();
            self.counter(metric, &all)
        })
    }

    /// One gauge for each value of the last label.
    pub fn gauges<L: Label>(&mut self, metric: Metric, values: &[&str]) -> PerLabel<L, Gauge> {
        PerLabel::new(|label: L| {
            let all: Vec<&str> = values.iter().copied().chain([label.as_str()]).collect();
            self.gauge(metric, &all)
        })
    }

    fn take(&mut self, metric: Metric, values: &[&str]) -> (&AnyFamily, &Labels) {
        let names = metric.definition().labels;
        debug_assert_eq!(
            names.len(),
            values.len(),
            "{} has labels {names:?}",
            metric.definition().full_name()
        );
        let labels = Labels { names, values: values.iter().map(|v| Box::from(*v)).collect() };
        self.registry.hold((metric, labels.clone()));
        self.series.push((metric, labels));
        let at = self.series.len() - 1;
        (&self.registry.0.families[metric as usize], &self.series[at].1)
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        for series in self.series.drain(..) {
            self.registry.release(&series);
        }
    }
}

/// A handle of another kind than the table says counts into nothing: a test asks for every handle, so this is found
/// there, and in production a metric is never worth a crash.
fn wrong_kind<M: Default>(metric: Metric) -> M {
    debug_assert!(false, "{} is of another kind", metric.definition().full_name());
    M::default()
}

impl AnyFamily {
    fn register(metric: Metric, page: &mut Page) -> Self {
        let definition = metric.definition();
        // The page adds a full stop and the suffixes of unit and kind itself.
        let help = definition.help.trim_end_matches('.');
        macro_rules! family {
            ($variant:ident) => {
                family!($variant, Family::default())
            };
            ($variant:ident, $family:expr) => {{
                let family = $family;
                match definition.unit {
                    Some(unit) => page.register_with_unit(
                        definition.name,
                        help,
                        PageUnit::Other(unit.as_str().into()),
                        family.clone(),
                    ),
                    None => page.register(definition.name, help, family.clone()),
                }
                Self::$variant(family)
            }};
        }
        match definition.kind {
            Kind::Counter => family!(Counter),
            Kind::Gauge => family!(Gauge),
            Kind::Seconds => family!(Seconds),
            Kind::Histogram => family!(Histogram),
            Kind::Operations => {
                let make: fn() -> Histogram = Histogram::of_operations;
                family!(Histogram, Family::new_with_constructor(make))
            }
        }
    }

    fn remove(&self, labels: &Labels) {
        match self {
            Self::Counter(family) => family.remove(labels),
            Self::Gauge(family) => family.remove(labels),
            Self::Seconds(family) => family.remove(labels),
            Self::Histogram(family) => family.remove(labels),
        };
    }
}

/// Label values of one series; the names come from the table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Labels {
    names: &'static [&'static str],
    values: Box<[Box<str>]>,
}

impl EncodeLabelSet for Labels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        for (name, value) in self.names.iter().zip(&self.values) {
            (*name, &**value).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}

/// A constant label that no page may carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLabel {
    /// The label's name.
    pub name: String,
    /// What is wrong with it and what to do.
    pub reason: &'static str,
}

impl fmt::Display for BadLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "observability.metrics.additional_labels: `{}` {}", self.name.escape_debug(), self.reason)
    }
}

impl std::error::Error for BadLabel {}

/// Prometheus data model: `[a-zA-Z_][a-zA-Z0-9_]*`, and names with two underscores in front are reserved.
fn check_label(name: &str) -> Result<(), BadLabel> {
    let bad = |reason| Err(BadLabel { name: name.to_owned(), reason });
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if !first || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return bad("is not a label name; use letters, digits and underscores, and begin with a letter");
    }
    if name.starts_with("__") {
        return bad("begins with two underscores, which Prometheus keeps for itself; rename it");
    }
    if name == "le" || Metric::ALL.iter().any(|m| m.definition().labels.contains(&name)) {
        return bad("is a label of Holdfast's own metrics; rename it");
    }
    Ok(())
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
