//! The boards, their images, and a run of the emulator.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, mpsc};
use std::time::Duration;
use std::{env, thread};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

/// A run takes a third of a second; only a broken one waits for this.
const PATIENCE: Duration = Duration::from_secs(60);

/// A board that QEMU emulates.
pub(crate) struct Board {
    pub(crate) name: &'static str,
    target: &'static str,
    emulator: &'static str,
    arguments: &'static [&'static str],
    /// What to call the emulated network card, where the program with a network runs.
    nic: Option<&'static str>,
}

const ARM: &str = "qemu-system-arm";
const BOARDS: [Board; 4] = [
    Board {
        name: "lm3s6965evb",
        target: "thumbv7m-none-eabi",
        emulator: ARM,
        arguments: &["-M", "lm3s6965evb"],
        nic: Some("stellaris"),
    },
    Board {
        name: "mps2-an386",
        target: "thumbv7em-none-eabihf",
        emulator: ARM,
        arguments: &["-M", "mps2-an386"],
        nic: Some("lan9118"),
    },
    Board {
        name: "microbit",
        target: "thumbv6m-none-eabi",
        emulator: ARM,
        arguments: &["-M", "microbit"],
        nic: None,
    },
    Board {
        name: "virt",
        target: "riscv32imac-unknown-none-elf",
        emulator: "qemu-system-riscv32",
        arguments: &["-M", "virt", "-m", "16M", "-bios", "none"],
        nic: None,
    },
];

/// A board and the program for it.
pub(crate) struct Image {
    pub(crate) board: Board,
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
        LazyLock::new(|| collect("networked", |board| board.nic.is_some()));
    &IMAGES
}

/// The same of the program that compresses what it sends over the network.
pub(crate) fn compressed() -> &'static [Image] {
    static IMAGES: LazyLock<Vec<Image>> =
        LazyLock::new(|| collect("compressed", |board| board.nic.is_some()));
    &IMAGES
}

/// The images of the program with nothing but a serial line that can run here.
pub(crate) fn linked() -> &'static [Image] {
    static IMAGES: LazyLock<Vec<Image>> = LazyLock::new(|| collect("linked", |_| true));
    &IMAGES
}

/// Where an image cannot be had, the reason is printed once.
fn collect(program: &'static str, is_for: fn(&Board) -> bool) -> Vec<Image> {
    let required = env::var_os("SPANDREL_FIRMWARE_REQUIRED").is_some();
    let mut images = Vec::new();
    for board in BOARDS.into_iter().filter(is_for) {
        match image_of(&board, program) {
            Ok(path) => images.push(Image { board, path }),
            Err(reason) if required => panic!("{}: {reason}", board.name),
            Err(reason) => eprintln!("skipped: {program} on {}: {reason}", board.name),
        }
    }
    images
}

/// `.ci/firmware.sh` names a folder of images; without one they are built here.
fn image_of(board: &Board, program: &str) -> Result<PathBuf, String> {
    let version = Command::new(board.emulator).arg("--version").output();
    version.map_err(|error| format!("{}: {error}", board.emulator))?;
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
    let features = match board.nic {
        Some(_) => format!("{},net", board.name),
        None => board.name.to_owned(),
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
        let nic = match self.board.nic {
            Some(model) => format!("user,model={model}"),
            None => "none".to_owned(),
        };
        let semihosting = format!("enable=on,target=native,arg={scenario}");
        let mut child = Running(
            Command::new(self.board.emulator)
                .args(self.board.arguments)
                .args(["-nic", &nic])
                .args(["-display", "none", "-monitor", "none", "-serial", "stdio"])
                .args(["-semihosting-config", &semihosting])
                .args(more)
                .arg("-kernel")
                .arg(&self.path)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap(),
        );
        let output = read_all(child.0.stdout.take());
        let complaints = read_all(child.0.stderr.take());
        let output = output.recv_timeout(PATIENCE);
        let name = self.board.name;
        let Ok(output) = output else {
            panic!("{name}: {scenario} did not end");
        };
        let status = child.0.wait().unwrap();
        assert!(
            status.success(),
            "{name}: {scenario} failed with {status}: {}",
            String::from_utf8_lossy(&complaints.recv_timeout(PATIENCE).unwrap())
        );
        output
    }
}

/// Ends the emulator with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Most have ended by themselves.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn read_all(source: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    let mut source = source.unwrap();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = source.read_to_end(&mut bytes);
        // Nobody waits any more when the test has failed.
        let _ = sender.send(bytes);
    });
    receiver
}

impl Run {
    /// `kind, length (u32, little endian), content`, as `output.rs` of the firmware says.
    fn parse(mut output: &[u8]) -> Self {
        let mut run = Self::default();
        while let Some((&[kind, a, b, c, d], rest)) = output.split_first_chunk() {
            let len = u32::from_le_bytes([a, b, c, d]) as usize;
            let (content, rest) = rest.split_at(len);
            output = rest;
            match kind {
                b'B' => run.bodies.push(content.to_vec()),
                b'Z' => run.compressed.extend(content),
                b'N' => {
                    let (value, name) = content.split_first_chunk().unwrap();
                    let name = String::from_utf8(name.to_vec()).unwrap();
                    run.numbers.push((name, u64::from_le_bytes(*value)));
                }
                other => panic!("an unknown kind: {other}"),
            }
        }
        assert!(output.is_empty(), "the output is cut");
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
