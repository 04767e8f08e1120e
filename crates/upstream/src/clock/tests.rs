use super::*;
use std::future::pending;

#[tokio::test(start_paused = true)]
async fn a_far_deadline_fires_at_most_one_tick_late() {
    let start = now();
    let limit = Duration::from_secs(3);
    assert_eq!(timeout(limit, pending::<()>()).await, Err(Elapsed));
    let took = now() - start;
    assert!(took >= limit && took <= limit + TICK + Duration::from_millis(1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_near_deadline_is_exact() {
    let start = now();
    assert_eq!(timeout(Duration::from_millis(20), pending::<()>()).await, Err(Elapsed));
    assert!(now() - start <= Duration::from_millis(22), "{:?}", now() - start);
}

#[tokio::test(start_paused = true)]
async fn a_result_in_time_wins_and_frees_the_slot() {
    for _ in 0..1000 {
        let work = tokio::time::sleep(Duration::from_millis(1));
        assert!(timeout(Duration::from_secs(9), work).await.is_ok());
    }
    // A thousand calls one after the other need one slot.
    assert!(wheel::slots() <= 1, "{}", wheel::slots());
}

#[tokio::test(start_paused = true)]
async fn a_reset_alarm_goes_off_at_the_new_time() {
    let start = now();
    let mut alarm = Alarm::new(start + Duration::from_secs(1));
    let first = std::future::poll_fn(|cx| Poll::Ready(alarm.poll(cx))).await;
    assert!(first.is_pending());
    alarm.reset(start + Duration::from_secs(2));
    std::future::poll_fn(|cx| alarm.poll(cx)).await;
    assert!(now() - start >= Duration::from_secs(2));
    let mut sooner = Alarm::new(start + Duration::from_mins(1));
    assert!(std::future::poll_fn(|cx| Poll::Ready(sooner.poll(cx))).await.is_pending());
    sooner.reset(start + Duration::from_secs(4));
    std::future::poll_fn(|cx| sooner.poll(cx)).await;
    assert!(now() - start < Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn many_deadlines_fire_in_one_sweep() {
    let start = now();
    let all = (0..500).map(|i| timeout_at(start + Duration::from_millis(400 + i % 7), pending::<()>()));
    let results = futures_util::future::join_all(all).await;
    assert!(results.iter().all(Result::is_err));
    assert!(now() - start <= Duration::from_millis(460));
}

#[test]
fn a_runtime_that_ends_gives_the_list_to_the_next_on_the_same_thread() {
    for _ in 0..3 {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            assert_eq!(timeout(Duration::from_secs(1), pending::<()>()).await, Err(Elapsed));
        });
    }
}

#[test]
fn a_future_dropped_on_another_thread_is_harmless() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let mut future = Box::pin(timeout(Duration::from_secs(1), pending::<()>()));
    runtime.block_on(async {
        assert!(std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await.is_pending());
    });
    std::thread::spawn(move || drop(future)).join().unwrap();
    runtime.block_on(async {
        assert_eq!(timeout(Duration::from_secs(2), pending::<()>()).await, Err(Elapsed));
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_threads_use_the_runtimes_timer() {
    assert_eq!(timeout(Duration::from_millis(300), pending::<()>()).await, Err(Elapsed));
}
