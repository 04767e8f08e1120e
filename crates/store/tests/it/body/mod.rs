//! The body: every contract of the seam, on one store.

pub(crate) mod activity;
pub(crate) mod events;
pub(crate) mod feed;
pub(crate) mod journal;
pub(crate) mod shared;

use crate::world::World;

/// All of it. Names are random, so that a store may be used for several rounds.
pub(crate) async fn all(world: &World) {
    journal::the_highest_epoch_stays_and_the_first_of_equal_ones(world).await;
    journal::exactly_one_of_two_replicas_wins_each_epoch(world).await;
    journal::limits_are_typed_errors(world).await;
    feed::changes_reach_everybody_and_late_comers(world).await;
    events::a_log_is_read_in_pages_by_any_replica(world).await;
    events::a_claim_fences_the_owner_off(world).await;
    events::the_oldest_events_make_room(world).await;
    events::what_was_given_up_or_lost_is_not_read(world).await;
    events::a_stream_that_nobody_writes_is_forgotten(world).await;
    activity::a_later_use_moves_the_end_and_an_earlier_one_does_not(world).await;
    activity::each_end_is_given_to_one_replica(world).await;
    activity::an_unknown_session_is_idle_only_when_the_store_is_old_enough(world).await;
    shared::five_replicas_share_a_quota_and_never_exceed_it(world).await;
    shared::the_cache_keeps_what_fits_for_a_while(world).await;
    shared::replicas_come_and_go(world).await;
}
