//! What the programs of others make of this one: a browser of the page, Prometheus of the figures, systemd of the unit, mdBook of the book, NATS of what is written for it.
//!
//! Environment:
//! - LAMPWIRE_REQUIRE: comma list; `chromium`, `promtool`, `systemd-analyze`, `mdbook` and `nats-server` in it make it a failure that one is missing
//! - LAMPWIRE_SCREENSHOTS: a directory for pictures of the page (the build's own otherwise)

#![allow(clippy::unwrap_used)]

mod chromium;
#[path = "../it/cut.rs"]
#[allow(
    dead_code,
    reason = "the other tests have it too, and need other parts"
)]
mod cut;
#[path = "../it/harness.rs"]
#[allow(
    dead_code,
    reason = "the other tests have it too, and need other parts"
)]
mod harness;
mod mdbook;
mod nats;
mod page;
#[path = "../it/pair.rs"]
#[allow(
    dead_code,
    reason = "the other tests have it too, and need other parts"
)]
mod pair;
mod promtool;
mod systemd;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

/// Browsers at a time: each takes a core.
const TRIALS_AT_A_TIME: usize = 2;

/// A program that may be missing, and what is done with it.
struct Tool {
    name: &'static str,
    program: Option<PathBuf>,
    cases: &'static [Case],
}

/// A name, and what is done with the program at this path.
type Case = (&'static str, fn(&Path));

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(TRIALS_AT_A_TIME));
    let tools = [
        Tool {
            name: "chromium",
            program: chromium::find(),
            cases: &[
                (
                    "a_lamp_lights_and_is_explained",
                    page::a_lamp_lights_and_is_explained,
                ),
                (
                    "five_thousand_lamps_scroll_and_are_found",
                    page::five_thousand_lamps_scroll_and_are_found,
                ),
                ("who_is_lost_is_shown", page::who_is_lost_is_shown),
                (
                    "nothing_is_missed_over_a_break_before_the_first_event",
                    page::nothing_is_missed_over_a_break_before_the_first_event,
                ),
                (
                    "two_losses_in_a_row_are_mended_one_after_the_other",
                    page::two_losses_in_a_row_are_mended_one_after_the_other,
                ),
                (
                    "mailboxes_come_change_and_go",
                    page::mailboxes_come_change_and_go,
                ),
                (
                    "the_filter_by_peer_follows_a_reload",
                    page::the_filter_by_peer_follows_a_reload,
                ),
                ("a_wrong_token_is_told", page::a_wrong_token_is_told),
                ("it_looks_as_it_should", page::it_looks_as_it_should),
            ],
        },
        Tool {
            name: "promtool",
            program: promtool::find(),
            cases: &[
                (
                    "the_figures_are_well_formed",
                    promtool::the_figures_are_well_formed,
                ),
                (
                    "the_loss_of_a_peer_fires_by_a_nodes_own_figures",
                    promtool::the_loss_of_a_peer_fires_by_a_nodes_own_figures,
                ),
                (
                    "the_alerts_are_rules_and_fire",
                    promtool::the_alerts_are_rules_and_fire,
                ),
            ],
        },
        Tool {
            name: "mdbook",
            program: mdbook::find(),
            cases: &[("the_book_builds", mdbook::the_book_builds)],
        },
        Tool {
            name: "nats-server",
            program: nats::find(),
            cases: &[
                ("a_plan_is_for_it", nats::a_plan_is_for_it),
                ("the_examples_are_for_it", nats::the_examples_are_for_it),
            ],
        },
        Tool {
            name: "systemd-analyze",
            program: systemd::find(),
            cases: &[
                ("the_unit_is_hardened", systemd::the_unit_is_hardened),
                ("the_unit_is_sound", systemd::the_unit_is_sound),
            ],
        },
    ];
    let required = std::env::var("LAMPWIRE_REQUIRE").unwrap_or_default();
    let required: Vec<&str> = required.split(',').map(str::trim).collect();
    let trials = tools
        .into_iter()
        .flat_map(|tool| trials(&tool, required.contains(&tool.name)))
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trials(tool: &Tool, required: bool) -> Vec<Trial> {
    let name = tool.name;
    let mut trials: Vec<Trial> = tool
        .cases
        .iter()
        .map(|&(case, run)| match tool.program.clone() {
            Some(program) => Trial::test(format!("{name}::{case}"), move || {
                run(&program);
                Ok(())
            }),
            None => Trial::test(format!("{name}::{case} (no {name} on PATH)"), || Ok(()))
                .with_ignored_flag(true),
        })
        .collect();
    if required && tool.program.is_none() {
        let reason = format!("LAMPWIRE_REQUIRE asks for {name}, and there is none on PATH");
        let missing = move || Err(Failed::from(reason));
        trials.push(Trial::test(format!("{name}::is_there"), missing));
    }
    trials
}
