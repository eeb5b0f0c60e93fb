//! Whole sessions by the thousand: whatever is chosen, both sides come to an end, and what was sent has come.

use std::time::Duration;

use arcly_wire::rtsp::{Lower, RtspError};

use crate::world::World;

/// Those of every test run; `ARCLY_SEEDS` names another number.
const SEEDS: u64 = 500;
/// Longer than anybody waits for a peer that is gone: the time of a session, and that of an answer.
const END_MAX: Duration = Duration::from_secs(120);

fn check(world: &World) {
    let plan = world.plan;
    assert!(world.came.len() <= world.sent.len());
    assert_eq!(world.came, world.sent.get(..world.came.len()).unwrap(), "in order, and as they were sent");
    assert!(world.asked <= 1, "the host is asked once");
    match plan.cut_at {
        Some(at) => assert!(world.now() <= at.max(whole_time(world)) + END_MAX, "a peer that is gone is noticed"),
        None if plan.is_let_in() => {
            assert_eq!((&world.client_end, &world.server_end), (&Some(Ok(())), &Some(Ok(()))), "{plan:?}");
            assert!(world.has_started && world.asked == 1);
            assert!(plan.lower == Lower::Udp || world.came.len() == plan.packets, "all of them");
        }
        None => {
            assert!(!world.has_started && world.sent.is_empty());
            assert_eq!(world.asked, usize::from(!plan.asks_passwords || plan.knows_password));
            assert!(matches!(world.client_end, Some(Err(RtspError::Refused { .. }))), "{:?}", world.client_end);
        }
    }
}

/// How long the packets of a session take.
fn whole_time(world: &World) -> Duration {
    world.plan.every * u32::try_from(world.plan.packets + 1).unwrap()
}

#[test]
fn whatever_is_chosen_a_session_ends_on_both_sides_and_its_packets_come() {
    let seeds = std::env::var("ARCLY_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS);
    let (mut whole, mut refused, mut cut) = (0, 0, 0);
    for seed in 0..seeds {
        let checked = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            world.run();
            check(&world);
            world.plan
        });
        let Ok(plan) = checked else { panic!("seed {seed}") };
        let kind = match plan.cut_at {
            Some(_) => &mut cut,
            None if plan.is_let_in() => &mut whole,
            None => &mut refused,
        };
        *kind += 1;
    }
    assert!(seeds < 100 || [whole, refused, cut].iter().all(|count| count * 20 > seeds), "{whole} {refused} {cut}");
}
