//! Many small worlds in every test run; thousands more by `cargo run --release -p lampwire-sim -- --seeds 1..10000`.

use lampwire_sim::{clusters, hubs, scenario, streams};

#[test]
fn two_hundred_seeds_converge() {
    let failures: Vec<String> = (1..=200)
        .filter_map(|seed| scenario::run(seed).err())
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn two_hundred_seeds_with_connections_that_break_converge() {
    let failures: Vec<String> = (1..=200)
        .filter_map(|seed| streams::run(seed).err())
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_hundred_seeds_of_hubs_agree() {
    let failures: Vec<String> = (1..=100).filter_map(|seed| hubs::run(seed).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Worlds of hubs in which something was once wrong: a state whose node is there was lost, or one that is gone stayed.
#[test]
fn worlds_of_hubs_that_once_did_not_agree_do() {
    let seeds = [
        88, 106, 113, 118, 157, 186, 222, 276, 300, 324, 342, 390, 464, 491, 606, 687, 750, 772,
        892, 946, 1006, 1191, 1261, 1270, 1303, 1740, 3530, 4153,
    ];
    let failures: Vec<String> = seeds
        .into_iter()
        .filter_map(|seed| hubs::run(seed).err())
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_hundred_seeds_of_clusters_agree() {
    let failures: Vec<String> = (1..=100)
        .filter_map(|seed| clusters::run(seed).err())
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Worlds of clusters in which something was once wrong: a state of a server that is there was lost, one that is gone stayed, one that had been
/// overtaken was told once more, or nodes went on telling each other what they knew.
#[test]
fn worlds_of_clusters_that_once_did_not_agree_do() {
    let seeds = [
        68, 100, 108, 173, 516, 733, 901, 1186, 1349, 1704, 1718, 1777, 1826, 2278, 2404, 2409,
        2493, 2759, 2849, 2911, 2915, 3011, 3327, 3964, 4407, 4974, 5173, 5447, 5451, 6027, 6422,
        6631, 6731, 6762, 7049, 7623, 7647, 8488, 9231, 9274, 9542, 9652,
    ];
    let failures: Vec<String> = seeds
        .into_iter()
        .filter_map(|seed| clusters::run(seed).err())
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Worlds in which something was once wrong.
fn converges(seed: u64) {
    if let Err(problem) = scenario::run(seed) {
        panic!("{problem}");
    }
}

/// A slow walk that was due and held back by a rate limit kept the node awake for ever.
#[test]
fn a_walk_held_back_by_the_pace_comes_to_an_end() {
    converges(8);
}

/// An idle lane whose work waited for a rate limit kept the node awake for ever.
#[test]
fn a_lane_held_back_by_the_pace_comes_to_an_end() {
    converges(18);
}

/// A rate limit that held back the first try after a pause stopped the publisher for good.
#[test]
fn a_try_held_back_by_the_pace_is_made_after_all() {
    converges(3396);
}

/// A stock Asterisk restarted unseen, its counter passed our old tag, and it granted what it should have refused: a device was lost, and in
/// the other world a mailbox.
#[test]
fn a_tag_that_a_restarted_asterisk_gave_to_somebody_else_loses_nothing() {
    converges(799);
    converges(3589);
}

#[test]
fn one_seed_is_one_world() {
    for seed in [3, 17, 42] {
        assert_eq!(scenario::run(seed), scenario::run(seed));
    }
}

/// Whoever says all its states again at its leisure, and begins a publication for each, was taken for one that had restarted and answered with
/// a dump: what it had not said in some minute was taken back.
#[test]
fn a_slow_walk_is_no_dump() {
    for seed in [1315, 2504, 2514] {
        converges(seed);
    }
}
