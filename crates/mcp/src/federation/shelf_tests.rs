use super::*;
use std::sync::atomic::{AtomicU32, Ordering};

/// The clock of requests is read now and then, in milliseconds.
const COARSE: u128 = 100;
const PATIENCE: Patience = Patience {
    with_last_good: Duration::from_millis(20),
    without: Duration::from_millis(200),
    last_good: true,
};

fn key(context: u8, member: &str) -> Key {
    Key {
        context: [context; 32],
        member: member.into(),
        list: List::Tools,
        cursor: "".into(),
        modern: true,
        pins: 0,
    }
}

fn page(next: &str, ttl_ms: u64, public: bool) -> Page {
    Page { items: Vec::new(), next: Some(next.into()), ttl_ms, public }
}

fn says(answer: Result<Page, NoPage>) -> impl FnOnce() -> BoxFuture<'static, Result<Page, NoPage>> {
    || std::future::ready(answer).boxed()
}

fn hangs() -> BoxFuture<'static, Result<Page, NoPage>> {
    std::future::pending().boxed()
}

fn next(part: &Part) -> Option<&str> {
    match part {
        Part::Current(page) | Part::Fresh(page, _) | Part::LastGood(page) => page.next.as_deref(),
        Part::None | Part::Missing => None,
    }
}

#[tokio::test]
async fn a_member_that_hangs_is_stood_in_for_by_what_it_last_said() {
    let shelf = Arc::new(Shelf::new(1 << 20));
    let first = shelf.part(key(1, "m"), PATIENCE, says(Ok(page("one", 0, false)))).await;
    assert_eq!((next(&first), matches!(first, Part::Current(_))), (Some("one"), true));
    let second = shelf.part(key(1, "m"), PATIENCE, hangs).await;
    assert_eq!((next(&second), matches!(second, Part::LastGood(_))), (Some("one"), true));
    assert!(shelf.is_late("m"), "nobody waits for it again");
    assert_eq!(
        shelf.part(key(2, "m"), PATIENCE, hangs).await,
        Part::Missing,
        "and nobody sees another's list"
    );
    let closed = Patience { last_good: false, ..PATIENCE };
    assert_eq!(shelf.part(key(1, "m"), closed, hangs).await, Part::Missing);
}

#[tokio::test]
async fn a_member_that_answers_again_is_waited_for_again() {
    let shelf = Arc::new(Shelf::new(1 << 20));
    let dead = says(Err(NoPage::Unreachable));
    assert_eq!(shelf.part(key(1, "m"), PATIENCE, dead).await, Part::Missing);
    assert!(shelf.is_late("m"));
    // Late: not waited for, but asked.
    let part = shelf.part(key(1, "m"), PATIENCE, says(Ok(page("back", 0, false)))).await;
    assert_eq!(next(&part), Some("back"));
    assert!(!shelf.is_late("m"));
}

#[tokio::test]
async fn what_is_fresh_is_not_asked_for_until_its_member_says_that_it_changed() {
    let shelf = Arc::new(Shelf::new(1 << 20));
    shelf.part(key(1, "m"), PATIENCE, says(Ok(page("one", 60_000, false)))).await;
    let kept = shelf.part(key(1, "m"), PATIENCE, || unreachable!("it is fresh")).await;
    assert_eq!(next(&kept), Some("one"));
    shelf.changed(&Arc::from("m"), List::Tools);
    let part = shelf.part(key(1, "m"), PATIENCE, says(Ok(page("two", 60_000, false)))).await;
    assert_eq!(next(&part), Some("two"));
}

#[tokio::test]
async fn only_what_is_public_is_shown_to_others() {
    let shelf = Arc::new(Shelf::new(1 << 20));
    shelf.part(key(1, "open"), PATIENCE, says(Ok(page("all", 60_000, true)))).await;
    let other = shelf.part(key(2, "open"), PATIENCE, || unreachable!("it is public and fresh")).await;
    assert_eq!(next(&other), Some("all"));
    shelf.part(key(1, "closed"), PATIENCE, says(Ok(page("mine", 60_000, false)))).await;
    let other = shelf.part(key(2, "closed"), PATIENCE, says(Ok(page("theirs", 60_000, false)))).await;
    assert_eq!(next(&other), Some("theirs"));
}

#[tokio::test]
async fn many_ask_once() {
    let shelf = Arc::new(Shelf::new(1 << 20));
    let asked = Arc::new(AtomicU32::new(0));
    let (go, wait) = tokio::sync::oneshot::channel::<()>();
    let wait = wait.map(|_| ()).shared();
    let parts: Vec<_> = (0..20)
        .map(|_| {
            let (asked, wait) = (Arc::clone(&asked), wait.clone());
            shelf.part(key(1, "m"), PATIENCE, move || {
                asked.fetch_add(1, Ordering::Relaxed);
                wait.map(|()| Ok(page("one", 0, false))).boxed()
            })
        })
        .collect();
    let release = async {
        tokio::task::yield_now().await;
        go.send(()).unwrap();
    };
    let (parts, ()) = tokio::join!(futures_util::future::join_all(parts), release);
    assert!(parts.iter().all(|part| next(part) == Some("one")));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn the_shelf_is_bounded() {
    let shelf = Arc::new(Shelf::new(10_000));
    for context in 0..200 {
        let big = page(&"x".repeat(1000), 60_000, false);
        shelf.part(key(context, "m"), PATIENCE, says(Ok(big))).await;
    }
    shelf.kept.run_pending_tasks();
    assert!(shelf.kept.weighted_size() <= 10_000, "{}", shelf.kept.weighted_size());
    assert!(shelf.asking.lock().is_empty());
}

#[tokio::test]
async fn what_is_kept_is_given_on_for_what_is_left_of_its_time() {
    let shelf = Arc::new(Shelf::new(1 << 20));
    let before = Instant::now();
    shelf.part(key(1, "m"), PATIENCE, says(Ok(page("one", 60_000, false)))).await;
    let answered = Instant::now();
    // Until it has grown old enough to be told apart from what its member said.
    let (mut left, mut at_least) = (60_000, 0);
    while left == 60_000 {
        assert!(answered.elapsed() < Duration::from_secs(10), "it grows no older");
        tokio::task::yield_now().await;
        at_least = answered.elapsed().as_millis();
        let part = shelf.part(key(1, "m"), PATIENCE, || unreachable!("it is fresh")).await;
        let Part::Fresh(_, said) = part else { panic!("{part:?}") };
        left = said;
    }
    assert!(u128::from(left) + at_least <= 60_000 + COARSE, "older than it says");
    assert!(u128::from(left) + before.elapsed().as_millis() + COARSE >= 60_000, "younger than it says");
}
