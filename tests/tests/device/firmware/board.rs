//! The boards, their images, and a run of the emulator.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use spandrel_examples::emulator::{BOARDS, Board, Message, messages, run};

/// A run takes a third of a second; only a broken one waits for this.
const PATIENCE: Duration = Duration::from_secs(60);

/// A board and the program for it.
pub(crate) struct Image {
    pub(crate) board: &'static Board,
    pub(crate) path: PathBuf,
}

/// What a board said before it ended.
#[derive(Default)]
pub(crate) struct Run {
    pub(crate) bodies: Vec<Vec<u8>>,
    /// The pieces of a compressed body, put together.
    pub(crate) compressed: Vec<u8>,
    numbers: Vec<(String, u64)>,
}

/// The images of the program without a network that can run here.
pub(crate) fn images() -> &'static [Image] {
    static IMAGES: LazyLock<Vec<Image>> = LazyLock::new(|| collect("program", |_| true));
    &IMAGES
}

/// The images of the program with a network that can run here.
pub(crate) fn networked() -> &'static [Image] {
    static IMAGES: LazyLock<Vec<Image>> =
        LazyLock::new(|| collect("networked", Board::has_network));
    &IMAGES
}

/// The same of the program that compresses what it sends over the network.
pub(crate) fn compressed() -> &'static [Image] {
    static IMAGES: LazyLock<Vec<Image>> =
        LazyLock::new(|| collect("compressed", Board::has_network));
    &IMAGES
}

/// The images of the program with nothing but a serial line that can run here.
pub(crate) fn linked() -> &'static [Image] {
    static IMAGES: LazyLock<Vec<Image>> = LazyLock::new(|| collect("linked", |_| true));
    &IMAGES
}

/// The images of the weather station that can run here.
pub(crate) fn stations() -> &'static [Image] {
    static IMAGES: LazyLock<Vec<Image>> = LazyLock::new(|| collect("demo", |_| true));
    &IMAGES
}

/// Where an image cannot be had, the reason is printed once.
fn collect(program: &'static str, is_for: fn(&Board) -> bool) -> Vec<Image> {
    let required = env::var_os("SPANDREL_FIRMWARE_REQUIRED").is_some();
    let mut images = Vec::new();
    for board in BOARDS.iter().filter(|board| is_for(board)) {
        match image_of(board, program) {
            Ok(path) => images.push(Image { board, path }),
            Err(reason) if required => panic!("{}: {reason}", board.name),
            Err(reason) => eprintln!("skipped: {program} on {}: {reason}", board.name),
        }
    }
    images
}

/// `.ci/firmware.sh` names a folder of images; without one they are built here.
fn image_of(board: &Board, program: &str) -> Result<PathBuf, String> {
    board
        .check_emulator()
        .map_err(|error| format!("{}: {error}", board.emulator))?;
    if let Some(folder) = env::var_os("SPANDREL_FIRMWARE_IMAGES") {
        let path = Path::new(&folder).join(format!("{}-{program}", board.name));
        return path
            .exists()
            .then_some(path)
            .ok_or("there is no image".into());
    }
    let library = Command::new(env::var_os("RUSTC").unwrap_or("rustc".into()))
        .args(["--print", "target-libdir", "--target", board.target])
        .output()
        .map_err(|error| error.to_string())?;
    let library = String::from_utf8_lossy(&library.stdout).into_owned();
    if !Path::new(library.trim()).exists() {
        return Err(format!("`rustup target add {}` is missing", board.target));
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/firmware");
    let target_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("firmware");
    let features = match board.has_network() {
        true => format!("{},net", board.name),
        false => board.name.to_owned(),
    };
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--locked"])
        .args([
            "--target",
            board.target,
            "--features",
            &features,
            "--bin",
            program,
        ])
        .arg("--manifest-path")
        .arg(source.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target_dir)
        .output()
        .map_err(|error| error.to_string())?;
    assert!(
        built.status.success(),
        "{}: {}",
        board.name,
        String::from_utf8_lossy(&built.stderr)
    );
    Ok(target_dir.join(board.target).join("release").join(program))
}

impl Image {
    /// Runs a scenario; panics when the program does not end well.
    pub(crate) fn run(&self, scenario: &str) -> Run {
        Run::parse(&self.run_with(scenario, &[]))
    }

    /// The same with one nanosecond of the board's time for each instruction.
    pub(crate) fn run_counted(&self, scenario: &str) -> Run {
        Run::parse(&self.run_with(scenario, &["-icount", "shift=0"]))
    }

    /// Runs a program that says nothing but the bytes of its line.
    pub(crate) fn output(&self, scenario: &str) -> Vec<u8> {
        self.run_with(scenario, &[])
    }

    fn run_with(&self, scenario: &str, more: &[&str]) -> Vec<u8> {
        let mut command = self.board.command(&self.path, scenario);
        command.args(more);
        let output = run(command, PATIENCE, |serial| {
            let mut output = Vec::new();
            serial.read_to_end(&mut output).unwrap();
            output
        });
        output.unwrap_or_else(|error| panic!("{}: {scenario}: {error}", self.board.name))
    }
}

impl Run {
    /// What `output` of an image that tells numbers means.
    pub(crate) fn parse(output: &[u8]) -> Self {
        let mut run = Self::default();
        for message in messages(output).unwrap() {
            match message {
                Message::Body(body) => run.bodies.push(body),
                Message::Piece(piece) => run.compressed.extend(piece),
                Message::Number(name, value) => run.numbers.push((name, value)),
            }
        }
        run
    }

    /// The last value of a number.
    pub(crate) fn number(&self, name: &str) -> u64 {
        let mut found = self.numbers.iter().rev();
        let found = found.find(|(other, _)| other == name);
        found.unwrap_or_else(|| panic!("no number {name}")).1
    }

    pub(crate) fn numbers(&self) -> &[(String, u64)] {
        &self.numbers
    }

    pub(crate) fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        let decode = |body: &Vec<u8>| ExportTraceServiceRequest::decode(&body[..]).unwrap();
        self.bodies.iter().map(decode).collect()
    }

    /// The spans of all requests, in order.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let requests = self.requests().into_iter();
        requests
            .flat_map(|request| request.resource_spans)
            .flat_map(|resource| resource.scope_spans)
            .flat_map(|scope| scope.spans)
            .collect()
    }

    /// Asserts that every span is accounted for, and how.
    pub(crate) fn assert_ledger(&self, ended: u64, exported: u64, queue_full: u64) {
        let ledger = ["ended", "exported", "queue_full", "dropped", "held"]
            .map(|name| self.number(&format!("ledger.{name}")));
        assert_eq!(ledger, [ended, exported, queue_full, queue_full, 0]);
    }
}
