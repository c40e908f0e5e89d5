//! The SQL text of a command, and the options that say how to run it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pelton_engine::connector::Registry;
use pelton_engine::error::{Error, Result};
use pelton_engine::pipeline::{RunOptions, read_script};
use pelton_engine::sql::{Script, Settings};

use crate::report::Failure;

/// SQL with a name to call it by.
#[derive(Clone, Debug)]
pub struct Text {
    /// Path of the file, or what stands for it.
    pub name: String,
    /// The SQL.
    pub content: String,
}

impl Text {
    /// Reads a file; `-` is stdin.
    pub fn load(file: &Path) -> Result<Text> {
        if file == Path::new("-") {
            let mut content = String::new();
            let read = std::io::stdin().read_to_string(&mut content);
            read.map_err(|e| Error::user("cannot read SQL from stdin").because(e))?;
            return Ok(Text { name: "<stdin>".into(), content });
        }
        let name = file.display().to_string();
        let content = std::fs::read_to_string(file).map_err(|e| {
            let missing = e.kind() == std::io::ErrorKind::NotFound;
            let error = Error::user(format!("cannot read the file '{name}'")).because(e);
            match std::env::current_dir() {
                Ok(here) if missing && file.is_relative() => {
                    error.hint(format!("relative paths start at the working directory, {}", here.display()))
                }
                _ => error,
            }
        })?;
        Ok(Text { name, content })
    }

    /// An error of this text.
    pub fn failed(&self, error: Error) -> Failure {
        Failure { error: Box::new(error), text: Some(self.clone()) }
    }

    /// Reads it as a pipeline.
    pub fn script(&self, registry: &Registry, options: &RunOptions) -> Result<Script, Failure> {
        read_script(&self.content, registry, options).map_err(|e| self.failed(e))
    }
}

/// Where the SQL is.
#[derive(clap::Args, Debug)]
pub struct TextArgs {
    /// The pipeline, a file with SQL; `-` reads it from stdin.
    #[arg(value_name = "FILE.sql", required_unless_present = "execute", conflicts_with = "execute")]
    file: Option<PathBuf>,
    /// SQL in place of a file.
    #[arg(short = 'e', long, value_name = "SQL")]
    execute: Option<String>,
}

impl TextArgs {
    /// Reads the text.
    pub fn load(&self) -> Result<Text> {
        match (&self.execute, &self.file) {
            (Some(sql), _) => Ok(Text { name: "<command line>".into(), content: sql.clone() }),
            (None, Some(file)) => Text::load(file),
            (None, None) => unreachable!("clap asks for one of them"),
        }
    }
}

/// Where stages may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Device {
    /// For each batch on the CPU or an NVIDIA GPU, whichever is faster.
    Auto,
    /// On the CPU.
    Cpu,
    /// Every GROUP BY on an NVIDIA GPU, or an error that says what can not run there; and models, as far as it walks their trees.
    Cuda,
    /// The same on a GPU by Vulkan, Metal or DX12.
    Wgpu,
}

/// How to run it.
#[derive(clap::Args, Debug, Default)]
pub struct HowArgs {
    /// Worker threads [default: 'pelton.threads', or one a core].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Rows of a micro-batch at most [default: 'pelton.batch.rows-max', or 65536].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch_rows: Option<u32>,
    /// A setting, stronger than SET in the text. Can be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    sets: Vec<(String, String)>,
    /// Where stages may run; stronger than 'pelton.device'.
    #[arg(long, value_enum)]
    device: Option<Device>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_string(), value.trim().to_string())),
        _ => Err("wanted KEY=VALUE, such as pelton.batch.rows-max=1000".into()),
    }
}

impl HowArgs {
    /// As the engine wants it.
    pub fn options(&self) -> RunOptions {
        let mut sets = self.sets.clone();
        if let Some(device) = self.device {
            let name = match device {
                Device::Auto => "auto",
                Device::Cpu => "cpu",
                Device::Cuda => "cuda",
                Device::Wgpu => "wgpu",
            };
            sets.push(("pelton.device".into(), name.into()));
        }
        let mut options = RunOptions { batch_rows: self.batch_rows.map(|n| n as usize), sets, ..RunOptions::default() };
        if let Some(threads) = self.threads {
            options.threads = threads.into();
        }
        options
    }

    /// Adds what the text itself asks for, where the command line says nothing.
    pub fn complete(&self, options: &mut RunOptions, script: &Script) {
        if self.threads.is_none()
            && let Some(threads) = threads(&script.settings)
        {
            options.threads = threads;
        }
    }
}

/// Worker threads that the settings ask for.
pub fn threads(settings: &Settings) -> Option<usize> {
    let set = |key: &str| settings.number(key).map(|n| n as usize);
    set("pelton.threads").or_else(|| set("parallelism.default")).map(|threads| threads.max(1))
}

/// Where history or dead letters are: a folder, or the pipeline whose settings name it.
#[derive(clap::Args, Debug)]
pub struct PlaceArgs {
    /// A folder, or a pipeline (a `.sql` file) that says which one.
    #[arg(value_name = "PATH|FILE.sql")]
    pub place: PathBuf,
    /// A setting, stronger than SET in the file. Can be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    sets: Vec<(String, String)>,
}

impl PlaceArgs {
    /// The pipeline, if it is one.
    pub fn script(&self, registry: &Registry) -> Result<Option<Arc<Script>>, Failure> {
        if !self.place.extension().is_some_and(|e| e.eq_ignore_ascii_case("sql")) {
            return Ok(None);
        }
        let options = RunOptions { sets: self.sets.clone(), ..RunOptions::default() };
        Ok(Some(Arc::new(Text::load(&self.place)?.script(registry, &options)?)))
    }

    /// The folder, which must be there.
    pub fn folder(path: &Path, what: &str) -> Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        Err(Error::user(format!("there is {what} in '{}'", path.display())).hint(if path.exists() {
            "it is a file: a folder is wanted"
        } else {
            "the folder does not exist"
        }))
    }
}
