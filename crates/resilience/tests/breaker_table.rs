//! Every pair of phase and event of the breaker, as one table.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests may fail like tests.

use holdfast_resilience::{
    BreakerPolicy, EndpointPolicy, EndpointState, FailureKind, Outcome, Permit, Phase, Rng,
};
use std::{
    fmt::Write,
    sync::Arc,
    time::{Duration, Instant},
};

const OPEN: Duration = Duration::from_secs(10);
const HALF_OPEN: Duration = Duration::from_secs(30);

struct Scene {
    state: Arc<EndpointState>,
    now: Instant,
    /// A permit of the present epoch, and one from an older epoch where there is one.
    permit: Option<Permit>,
    late: Option<Permit>,
}

impl Scene {
    fn admit(&self) -> Option<Permit> {
        self.state.admit(self.now, &mut Rng::with_seed(0)).ok()
    }
}

fn admitting() -> Scene {
    let breaker = BreakerPolicy {
        consecutive: Some(2),
        rate: None,
        jitter: 0.0,
        open: OPEN,
        max_half_open: HALF_OPEN,
        probes_concurrent: 2,
        successes: 2,
        ..BreakerPolicy::default()
    };
    let now = Instant::now();
    let state =
        EndpointState::new(&EndpointPolicy { breaker: Some(breaker), ..EndpointPolicy::default() }, now);
    let mut scene = Scene { state, now, permit: None, late: None };
    scene.permit = scene.admit();
    scene.admit().unwrap().finish(Outcome::Failed(FailureKind::Connect), now);
    scene
}

fn refusing() -> Scene {
    let mut scene = admitting();
    scene.late = scene.permit.take();
    scene.admit().unwrap().finish(Outcome::Failed(FailureKind::Connect), scene.now);
    scene
}

fn due() -> Scene {
    let mut scene = refusing();
    scene.now += OPEN;
    scene
}

fn probing() -> Scene {
    let mut scene = due();
    scene.permit = scene.admit();
    scene
}

fn probed_once() -> Scene {
    let scene = probing();
    scene.admit().unwrap().finish(Outcome::Ok, scene.now);
    scene
}

fn hung() -> Scene {
    let mut scene = probing();
    scene.now += HALF_OPEN;
    scene
}

type Start = (&'static str, fn() -> Scene);
type Event = (&'static str, fn(&mut Scene) -> &'static str);

fn finish(scene: &mut Scene, outcome: Outcome) -> &'static str {
    scene.permit.take().map_or("-", |permit| {
        permit.finish(outcome, scene.now);
        "done"
    })
}

fn finish_late(scene: &mut Scene, outcome: Outcome) -> &'static str {
    scene.permit = scene.late.take();
    finish(scene, outcome)
}

const EVENTS: [Event; 9] = [
    ("call", |scene| match scene.admit() {
        Some(permit) if permit.is_probe() => "probe",
        Some(_) => "passes",
        None => "refused",
    }),
    ("ok", |scene| finish(scene, Outcome::Ok)),
    ("failed", |scene| finish(scene, Outcome::Failed(FailureKind::Reset))),
    ("overloaded", |scene| finish(scene, Outcome::Failed(FailureKind::Overloaded { retry_after: None }))),
    ("neutral", |scene| finish(scene, Outcome::Neutral)),
    ("dropped", |scene| {
        scene.permit.take().map_or("-", |permit| {
            drop(permit);
            "done"
        })
    }),
    ("late ok", |scene| finish_late(scene, Outcome::Ok)),
    ("reached", |scene| {
        scene.state.record_probe(true, scene.now);
        "done"
    }),
    ("late failed", |scene| finish_late(scene, Outcome::Failed(FailureKind::Reset))),
];

fn describe(scene: &Scene) -> String {
    match scene.state.breaker_phase(scene.now) {
        Phase::Admitting => "admitting".to_owned(),
        Phase::Refusing { until } => format!("refusing {:?}", until - scene.now),
        Phase::Probing => {
            let free = std::iter::from_fn(|| scene.admit()).take(9).collect::<Vec<_>>().len();
            format!("probing, {free} free")
        }
    }
}

#[test]
fn every_phase_and_event() {
    let phases: [Start; 6] = [
        ("admitting", admitting),
        ("refusing", refusing),
        ("due", due),
        ("probing", probing),
        ("probed once", probed_once),
        ("hung", hung),
    ];
    let mut table = String::new();
    for (phase, scene) in phases {
        for (event, act) in EVENTS {
            let mut scene = scene();
            let answer = act(&mut scene);
            writeln!(table, "{phase:11} + {event:11} = {answer:7} -> {}", describe(&scene)).unwrap();
        }
    }
    insta::assert_snapshot!(table);
}
