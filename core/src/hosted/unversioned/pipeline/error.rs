//! Why a pipeline could not be made.

use core::fmt;

use crate::exporter::ConfigError;
use crate::hosted::shards::MissingMemory;
use crate::resource::RegistryError;

/// Why a pipeline could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PipelineError {
    /// A setting of the exporter is out of its range.
    Config(ConfigError),
    /// The resource is too large.
    Resource(RegistryError),
    /// The system has not as much memory as a setting asks for.
    Memory {
        /// The field of the configuration that asks for it.
        field: &'static str,
        /// The field's value.
        bytes: usize,
    },
}

impl fmt::Display for PipelineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Resource(error) => write!(f, "the resource attributes: {error}"),
            Self::Memory { field, bytes } => {
                write!(f, "{field}: there is no memory for {bytes} bytes; lower it")
            }
        }
    }
}

impl core::error::Error for PipelineError {}

impl From<MissingMemory> for PipelineError {
    fn from(MissingMemory { field, bytes }: MissingMemory) -> Self {
        Self::Memory { field, bytes }
    }
}
