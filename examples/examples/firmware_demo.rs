//! A microcontroller without an operating system traces its work, and delivers it in two ways.
//!
//! ```text
//! cargo run --example firmware_demo
//! cargo run --example firmware_demo -- --board virt
//! ```
//!
//! It builds the firmware of `examples/firmware` (a minute, the first time) and runs it twice on a
//! board that QEMU emulates. The first time the device itself posts its spans over Ethernet; the
//! second time it sends frames over a serial line to the gateway. Nothing leaves this machine.
//!
//! Look at the sums below the drawings: every span that the device lost is accounted for.
// ci: needs qemu-system-arm
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use spandrel_examples::demo::drawn;
use spandrel_examples::emulator::{BOARDS, Board, Message, build, messages, run, sizes};
use spandrel_examples::{Collector, Failure, ReceivedRequest, println};
use spandrel_transport_std::Config;
use spandrel_transport_std::gateway::{Gateway, GatewayConfig, GatewayStatus};

type Result<T> = std::result::Result<T, Failure>;

/// A run takes half a second; only a broken one waits for this.
const PATIENCE: Duration = Duration::from_secs(30);
/// The frame that this program damages on the serial line.
const DAMAGED: usize = 8;

fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => show(&BOARDS[0]),
        ["--board", name] => match Board::find(name) {
            Some(board) => show(board),
            None => Err(Failure::new(format!(
                "there is no board {name}\n{}",
                usage()
            ))),
        },
        ["-h" | "--help"] => {
            println!("{}", usage());
            Ok(())
        }
        _ => Err(Failure::new(usage())),
    }
}

fn usage() -> String {
    let boards = BOARDS.map(|board| format!("\n  {:<12} {}", board.name, board.description));
    format!(
        "usage: cargo run --example firmware_demo -- --board NAME\nboards:{}",
        boards.concat()
    )
}

fn show(board: &Board) -> Result<()> {
    println!("{}: {}, emulated by QEMU", board.name, board.description);
    board.check_emulator().map_err(|error| {
        let why = match error.kind() {
            ErrorKind::NotFound => "is not installed".into(),
            _ => format!("cannot be started: {error}"),
        };
        Failure::new(format!(
            "{} {why}, so there is no board to run on. It comes with\n  \
             Debian, Ubuntu:  sudo apt-get install {}\n  \
             Fedora:          sudo dnf install {}\n  \
             macOS:           brew install qemu",
            board.emulator,
            board.package,
            board.emulator.trim_end_matches("32"),
        ))
    })?;
    println!("building its firmware for {}", board.target);
    let image = build(board, "demo").map_err(|error| {
        Failure::new(format!(
            "{error}. Either of these gives a compiler for {0}:\n  \
             rustup target add {0}\n  \
             BARE_METAL=debian cargo run --example firmware_demo -- --board {1}   \
             (installs Debian's rustc-web, cargo-web and rust-web-src)",
            board.target, board.name
        ))
    })?;
    if let Some((flash, ram)) = sizes(&std::fs::read(&image)?) {
        println!(
            "{:.0} KiB of flash, {:.0} KiB of static RAM, no heap",
            flash as f64 / 1024.0,
            ram as f64 / 1024.0
        );
    }
    println!("A weather station measures once; rain.tip comes from an interrupt handler.");

    let collector = Collector::start()?;
    if board.has_network() {
        over_http(board, &image, &collector)?;
    } else {
        println!("\nIt has no network card, so there is only the serial line.");
    }
    over_uart(board, &image, &collector)
}

/// DHCP, TCP and HTTP are the device's own; the host is a collector.
fn over_http(board: &Board, image: &Path, collector: &Collector) -> Result<()> {
    println!(
        "\n== Over Ethernet. Everything was recorded before the network was up and the date\n   \
         known. The collector answers 503 first, on purpose.\n"
    );
    let port = collector.endpoint().rsplit(':').next().unwrap_or_default();
    let command = board.command(image, &format!("http {port} {}", seed()));
    collector.respond_with(503, None);
    let output = thread::scope(|scope| {
        scope.spawn(|| {
            let _ = collector.wait_for_requests(1, PATIENCE);
            collector.set_available(true);
        });
        run(command, PATIENCE, |serial| {
            let mut output = Vec::new();
            serial.read_to_end(&mut output).map(|_| output)
        })
    })??;
    for request in collector.requests() {
        println!("{}", summary(&request));
    }
    let spans = collector.take();
    println!("\n{}", drawn(&spans));

    // The device's own counts, which it writes at its end.
    let numbers: BTreeMap<_, _> = messages(&output)?
        .into_iter()
        .filter_map(|message| match message {
            Message::Number(name, value) => Some((name, value)),
            _ => None,
        })
        .collect();
    let [ended, exported, dropped, held] = ["ended", "exported", "dropped", "held"]
        .map(|name| numbers.get(&format!("ledger.{name}")).copied().unwrap_or(0));
    println!(
        "the device: {ended} spans ended = {exported} exported + {dropped} dropped + {held} held"
    );
    balanced(ended == exported + dropped + held && exported == spans.len() as u64)
}

/// The device knows nothing but a serial line; a gateway on the host reads it, dates the spans and
/// delivers them to the same collector.
fn over_uart(board: &Board, image: &Path, collector: &Collector) -> Result<()> {
    println!(
        "\n== Over a serial line, through the gateway. The device has room for few spans,\n   \
         and this program damages a byte on the way.\n"
    );
    let config = Config {
        enabled: true,
        endpoint: collector.endpoint().into(),
        read_environment: false,
        set_global: false,
        ..Config::default()
    };
    let before = collector.requests().len();
    let gateway = Gateway::new(&config, GatewayConfig::default())?;
    let command = board.command(image, &format!("uart {}", seed()));
    run(command, PATIENCE, |serial| {
        gateway.serve(&mut Noisy::new(serial), None)
    })??;
    let status = gateway.shutdown(PATIENCE);
    for request in collector.requests().iter().skip(before) {
        println!("{}", summary(request));
    }
    let spans = collector.take();
    println!("\n{}", drawn(&spans));

    let GatewayStatus { tally, ledger, .. } = status;
    println!(
        "the device:  {} spans ended = {} dropped for lack of room + {} sent",
        tally.ended,
        tally.dropped_by_device,
        tally.ended - tally.dropped_by_device.min(tally.ended),
    );
    println!(
        "the line:    {} sent = {} lost in {} damaged frame + {} received",
        tally.lost_on_link + tally.received,
        tally.lost_on_link,
        status.streams.lost_frames,
        tally.received,
    );
    println!(
        "the gateway: {} received = {} exported + {} dropped",
        tally.received,
        ledger.exported,
        ledger.dropped_total(),
    );
    balanced(
        tally.ended == tally.dropped_by_device + tally.lost_on_link + tally.received
            && tally.received == ledger.exported + ledger.dropped_total()
            && ledger.exported == spans.len() as u64,
    )
}

fn balanced(is_balanced: bool) -> Result<()> {
    match is_balanced {
        true => Ok(()),
        false => Err(Failure::new(
            "these books do not balance: this is a bug, please report it",
        )),
    }
}

fn summary(request: &ReceivedRequest) -> String {
    format!(
        "{} {} -> {}: {} spans in {} bytes{}",
        request.method,
        request.path,
        request.status,
        request.spans,
        request.wire_bytes,
        match request.content_encoding() {
            Some(encoding) => format!(" of {encoding}"),
            None => String::new(),
        },
    )
}

/// A stand-in for the random number generator, which an emulated board does not have.
fn seed() -> u32 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(1, |since| since.subsec_nanos() | 1)
}

/// A line with a disturbance: it flips one bit of one frame.
struct Noisy<'a> {
    line: &'a mut dyn Read,
    /// Frames begun so far; each stands between zeros.
    frames: usize,
    in_frame: bool,
    done: bool,
}

impl<'a> Noisy<'a> {
    fn new(line: &'a mut dyn Read) -> Self {
        Self {
            line,
            frames: 0,
            in_frame: false,
            done: false,
        }
    }
}

impl Read for Noisy<'_> {
    fn read(&mut self, target: &mut [u8]) -> std::io::Result<usize> {
        let len = self.line.read(target)?;
        for byte in target.iter_mut().take(len) {
            self.frames += usize::from(*byte != 0 && !self.in_frame);
            self.in_frame = *byte != 0;
            if self.frames == DAMAGED && !self.done && *byte > 1 {
                *byte ^= 1;
                self.done = true;
            }
        }
        Ok(len)
    }
}
