//! The firmware's images, built by the script that CI uses.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Board;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Why there is no image.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// The script cannot be started: it needs `bash`.
    Script(std::io::Error),
    /// The script failed, and said why on the standard error.
    Failed,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Script(error) => write!(f, "the build script needs bash: {error}"),
            Self::Failed => f.write_str("the firmware was not built; the reason stands above"),
        }
    }
}

impl std::error::Error for BuildError {}

/// Builds a program of the firmware for a board. Returns the path of the image.
///
/// `.ci/firmware-image.sh` finds a compiler that has the target, or makes one. It shows its
/// progress on the standard error.
///
/// # Errors
///
/// When the script cannot be started, or builds no image.
pub fn build(board: &Board, program: &str) -> Result<PathBuf, BuildError> {
    let output = Command::new("bash")
        .arg(Path::new(ROOT).join(".ci/firmware-image.sh"))
        .args([board.name, program])
        // What `cargo run` says about this program is not about the firmware.
        .env_remove("LD_LIBRARY_PATH")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(BuildError::Script)?;
    let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match output.status.success() && !path.is_empty() {
        true => Ok(path.into()),
        false => Err(BuildError::Failed),
    }
}
