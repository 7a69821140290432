//! The demo: two whole nodes in one process, with real sockets between them.

mod board;
mod config;
mod model;
mod script;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::driver::Handle;
use crate::driver::events::{Begin, Message, Reader};
use crate::instance::{Instance, Running, Subject};
use crate::signals::Signals;
use crate::telemetry::{self, Lines, LogArguments, colour_wanted};
use board::{Frame, Screen};
use model::Model;
use script::{Action, Script};

/// How often the board is drawn.
const DRAW: Duration = Duration::from_millis(80);

/// What can be chosen.
#[derive(Debug)]
pub(crate) struct Options {
    /// UDP port of both nodes.
    pub(crate) sip_port: u16,
    /// HTTP port of the first node; the second has the next one.
    pub(crate) http_port: u16,
    /// When it ends by itself.
    pub(crate) duration: Option<Duration>,
    /// Which day it is.
    pub(crate) seed: u64,
}

/// Runs the demo until Ctrl-C or the end of its duration.
pub(crate) fn run(options: &Options, log: &LogArguments) -> anyhow::Result<ExitCode> {
    let board = io::stdout().is_terminal();
    let log = if board {
        Some(telemetry::log_to_memory(log)?)
    } else {
        telemetry::log_to_stderr(log)?;
        None
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime cannot begin")?;
    let code = runtime.block_on(run_both(options, log));
    runtime.shutdown_background();
    code
}

async fn run_both(options: &Options, log: Option<Lines>) -> anyhow::Result<ExitCode> {
    let signals = Signals::register().context("signals cannot be taken")?;
    let Some([one, two]) = bind_both(options)? else {
        return Ok(ExitCode::FAILURE);
    };
    let frame = Frame {
        names: config::NAMES.map(str::to_owned),
        sip: [&one, &two].map(|instance| {
            instance
                .sip_addresses()
                .next()
                .map(|address| address.to_string())
                .unwrap_or_default()
        }),
        http: [&one, &two].map(|instance| {
            instance
                .http_address()
                .map(|address| format!("http://{address}"))
                .unwrap_or_default()
        }),
    };
    let model = Model::new([&one, &two].map(|instance| instance.entity_id().to_string()));
    let mut nodes = [one.start()?, two.start()?];
    let handles = [nodes[0].node.clone(), nodes[1].node.clone()];
    let stopped = "a node ended by a fault of its own";
    let readers = [
        follow(&handles[0]).await.context(stopped)?,
        follow(&handles[1]).await.context(stopped)?,
    ];
    let acting = tokio::spawn(act(Script::new(options.seed), handles));
    let shown = match log {
        Some(log) => show_board(&frame, model, readers, signals, &log, options.duration).await,
        None => print_lines(&frame, model, readers, signals, options.duration).await,
    };
    acting.abort();
    end(&mut nodes).await;
    let model = shown?;
    if io::stdout().is_terminal() {
        println!(
            "{} changes crossed, half within {}. For a node of your own: lampwire run -c FILE",
            model.crossed,
            board::milliseconds(model.median().unwrap_or_default())
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Binds both nodes, or says what is in the way and which option goes around it.
fn bind_both(options: &Options) -> anyhow::Result<Option<[Instance; 2]>> {
    let mut bound = Vec::new();
    let mut fine = true;
    for instance in 0..2 {
        match Instance::bind(config::load(instance, options.sip_port, options.http_port)?) {
            Ok(instance) => bound.push(instance),
            Err(wrong) => {
                fine = false;
                for error in wrong {
                    let advice = match error.subject {
                        Subject::Sip => "; choose another with --sip-port PORT",
                        Subject::Http => "; choose others with --http-port PORT",
                        Subject::Node => "",
                    };
                    eprintln!(
                        "error: {}: {}{advice}",
                        config::NAMES[instance],
                        error.problem
                    );
                }
            }
        }
    }
    Ok(if fine {
        <[Instance; 2]>::try_from(bound).ok()
    } else {
        None
    })
}

async fn follow(node: &Handle) -> Option<Reader> {
    node.read_events(Begin::Now).await.ok()
}

/// Plays the script on the nodes until it is stopped.
async fn act(mut script: Script, nodes: [Handle; 2]) {
    loop {
        let step = script.next();
        tokio::time::sleep(step.after).await;
        for action in step.actions {
            let result = match action {
                Action::Device {
                    node,
                    device,
                    state,
                } => {
                    nodes[node]
                        .ask(move |node, now| node.set_device(now, &device, state, true))
                        .await
                }
                Action::Mailbox {
                    node,
                    mailbox,
                    new,
                    old,
                } => {
                    nodes[node]
                        .ask(move |node, now| node.set_mailbox(now, &mailbox, new, old))
                        .await
                }
            };
            match result {
                Ok(Ok(_)) => (),
                Ok(Err(error)) => tracing::warn!("the demo's own state was refused: {error}"),
                Err(_) => return,
            }
        }
    }
}

/// The next message of either node, with the node's number. `None`: a node has ended.
async fn next([one, two]: &mut [Reader; 2]) -> Option<(usize, Message)> {
    tokio::select! {
        message = one.next() => message.map(|message| (0, message)),
        message = two.next() => message.map(|message| (1, message)),
    }
}

/// The board, drawn a few times a second, until a signal or the end of the duration.
async fn show_board(
    frame: &Frame,
    mut model: Model,
    mut readers: [Reader; 2],
    mut signals: Signals,
    log: &Lines,
    duration: Option<Duration>,
) -> anyhow::Result<Model> {
    let mut screen = Screen::take().context("the terminal cannot be taken")?;
    let colour = colour_wanted(&io::stdout());
    let mut draw = tokio::time::interval(DRAW);
    let end = sleep(duration);
    tokio::pin!(end);
    loop {
        tokio::select! {
            message = next(&mut readers) => match message {
                Some((node, Message::Entry(entry))) => {
                    model.take(node, &entry);
                }
                Some((_, Message::Lost { .. } | Message::Reset { .. })) => (),
                None => return Ok(model),
            },
            _ = draw.tick() => {
                let (width, height) = Screen::size();
                let lines = log.last(height);
                let lines = board::render(frame, &model, &lines, Instant::now(), (width, height), colour);
                screen.show(&lines).context("the board cannot be drawn")?;
            }
            _ = signals.next() => return Ok(model),
            () = &mut end => return Ok(model),
        }
    }
}

/// One line a change: time, node, device, state.
async fn print_lines(
    frame: &Frame,
    mut model: Model,
    mut readers: [Reader; 2],
    mut signals: Signals,
    duration: Option<Duration>,
) -> anyhow::Result<Model> {
    for node in 0..2 {
        eprintln!(
            "{}: SIP {}, {}",
            frame.names[node], frame.sip[node], frame.http[node]
        );
    }
    let mut out = io::stdout();
    let end = sleep(duration);
    tokio::pin!(end);
    loop {
        tokio::select! {
            message = next(&mut readers) => match message {
                Some((node, Message::Entry(entry))) => {
                    if let Some(change) = model.take(node, &entry) {
                        let time = format!("{:.3}", jiff::Timestamp::now());
                        let time = time.split_once('T').map_or(time.as_str(), |(_, time)| time);
                        let name = &frame.names[change.node];
                        writeln!(out, "{time} {name} {} {}", change.name, change.value)?;
                    }
                }
                Some((_, Message::Lost { count, .. })) => eprintln!("{count} changes were not printed: the reader is too slow"),
                Some((_, Message::Reset { .. })) => (),
                None => return Ok(model),
            },
            _ = signals.next() => return Ok(model),
            () = &mut end => return Ok(model),
        }
    }
}

async fn sleep(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

/// Ends both nodes: each removes its publications at the other.
async fn end(nodes: &mut [Running; 2]) {
    nodes.iter().for_each(Running::stop);
    for node in nodes {
        node.ended().await;
    }
}
