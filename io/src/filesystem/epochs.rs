//! Writes files in a run with checkpoints: part files of a directory become visible with the epoch that they belong to, a single
//! file when the run ends or is stopped.
//!
//! Parts are written in a hidden folder (`.pelton-staging-epochs` in the directory, or beside the file). A checkpoint closes and
//! syncs them and keeps their names; publishing moves them to their own names. Whatever else is found in the hidden folder
//! when a run goes on was staged by nobody that counts, and goes; so do parts with the numbers of those that are still to come.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use pelton_engine::connector::{Sink, Staged, Table};
use pelton_engine::error::{Error, Result};
use serde::{Deserialize, Serialize};

use super::sink::{Taken, copied, finished_already, fitted, parent, part_number, visible};
use super::{Mode, Settings};
use crate::formats::compression::Compression;
use crate::formats::{self, CsvSyntax, Format, RowWriter, WriteError};
use crate::storage::sync_directory;

/// Bytes gathered before they go to the file.
const BUFFER_BYTES: usize = 1 << 18;

/// See the module.
pub struct EpochFiles {
    _taken: Taken,
    place: Arc<Place>,
    mode: Mode,
    rolling_rows: u64,
    /// The part that rows go to, and those of this epoch that are full.
    open: Option<Part>,
    full: Vec<Part>,
    /// The number of the next part.
    next: usize,
    /// Of a single file, the parts of earlier epochs.
    earlier: Vec<String>,
    /// Whether the next epoch may be the last; whether it is.
    last: Option<bool>,
}

/// Where files go, and how they are written.
struct Place {
    owner: String,
    target: PathBuf,
    staging: PathBuf,
    one_file: bool,
    format: Format,
    compression: Compression,
    csv: CsvSyntax,
    schema: SchemaRef,
}

/// A file being written.
struct Part {
    writer: Box<dyn RowWriter>,
    /// Another handle of the same file, to sync it.
    file: File,
    name: String,
    rows: u64,
}

/// What a checkpoint knows.
#[derive(Default, Serialize, Deserialize)]
struct Token {
    /// The number of the next part.
    next: usize,
    /// Parts of the epoch; of a single file those of all epochs.
    parts: Vec<String>,
    /// Of a single file: all of it is staged too.
    whole: bool,
}

impl EpochFiles {
    /// Looks at the target, and changes nothing but the directory, which is made.
    pub(super) fn open(settings: &Settings, table: &Table) -> Result<Self> {
        let owner = table.options.owner().to_string();
        let span = table.options.span("path");
        let target = PathBuf::from(&settings.path);
        let by_name = Format::of_path(&target);
        let one_file = by_name.is_some() && !settings.path.ends_with('/') && !target.is_dir();
        let format = settings.format.or(by_name.map(|(f, _)| f)).unwrap_or(Format::Parquet);
        let user = |text: String| Error::user(format!("{owner}: {text}")).at(span);
        if table.schema.fields().is_empty() {
            return Err(user("a file needs at least one column".into()));
        }
        if one_file && settings.mode == Mode::Append {
            let shown = target.display();
            let error = user(format!("'sink.mode' = 'append' needs a directory, and '{shown}' is a file name"));
            return Err(error.hint("give a directory as 'path': every run then adds part files"));
        }
        let taken = Taken::new(&target)
            .ok_or_else(|| user(format!("another table of this run writes into '{}' too", target.display())))
            .map_err(|e| e.hint("give each sink a path of its own, or use one INSERT with UNION ALL"))?;
        let name = target.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let staging = match one_file {
            true => parent(&target).join(format!(".pelton-staging-{name}-epochs")),
            false => target.join(".pelton-staging-epochs"),
        };
        let compression = by_name.filter(|_| one_file && format.is_text()).map_or(Compression::None, |(_, c)| c);
        let place = Place {
            owner: owner.clone(),
            target,
            staging,
            one_file,
            format,
            compression,
            csv: settings.csv.clone(),
            schema: table.schema.clone(),
        };
        fs::create_dir_all(&place.staging).map_err(|e| {
            user(format!("cannot write to '{}'", place.target.display()))
                .hint("check the option 'path' and the rights of its directory")
                .because(e)
        })?;
        Ok(EpochFiles {
            _taken: taken,
            place: Arc::new(place),
            mode: settings.mode,
            rolling_rows: settings.rolling_rows,
            open: None,
            full: vec![],
            next: 0,
            earlier: vec![],
            last: None,
        })
    }

    /// Begins at the beginning: output that is there is as the option `sink.mode` says.
    fn begin(&mut self) -> Result<()> {
        let place = self.place.clone();
        if place.one_file {
            return match self.mode {
                Mode::Error if place.target.symlink_metadata().is_ok() => {
                    Err(finished_already(&place.owner, &place.target))
                }
                _ => place.clear(&[]).map_err(|e| place.failed(e)),
            };
        }
        let found = visible(&place.target).map_err(|e| place.failed(e))?;
        let parts: Vec<(usize, &String)> = found.iter().filter_map(|name| Some((part_number(name)?, name))).collect();
        match self.mode {
            Mode::Error if !found.is_empty() => return Err(finished_already(&place.owner, &place.target)),
            Mode::Error => {}
            Mode::Append => self.next = parts.iter().map(|(number, _)| number + 1).max().unwrap_or(0),
            Mode::Overwrite => {
                if let Some(foreign) = found.iter().find(|name| part_number(name).is_none()) {
                    let target = place.target.display();
                    let text = format!(
                        "{}: directory '{target}' holds '{foreign}', which is no output of a sink",
                        place.owner
                    );
                    return Err(Error::user(text).hint("only part files are overwritten; give another directory"));
                }
                let remove = |(_, name): &(usize, &String)| fs::remove_file(place.target.join(name));
                parts.iter().try_for_each(remove).map_err(|e| place.failed(e))?;
            }
        }
        place.clear(&[]).map_err(|e| place.failed(e))
    }

    fn write_rows(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        let batch = fitted(batch, &self.place.schema)?;
        let mut start = 0;
        while start < batch.num_rows() {
            let part = match &mut self.open {
                Some(part) => part,
                None => self.open.insert(next_part(&self.place, &mut self.next)?),
            };
            let left = if self.place.one_file { u64::MAX } else { self.rolling_rows - part.rows };
            let rows = ((batch.num_rows() - start) as u64).min(left) as usize;
            part.writer.write(&batch.slice(start, rows))?;
            part.rows += rows as u64;
            start += rows;
            if rows as u64 == left {
                self.full.extend(self.open.take());
            }
        }
        Ok(())
    }

    /// Forgets what is in no epoch yet.
    fn forget(&mut self) {
        for part in self.open.take().into_iter().chain(self.full.drain(..)) {
            // What can't be removed stays hidden, and goes when a run goes on.
            let _ = fs::remove_file(self.place.staging.join(&part.name));
        }
    }
}

fn next_part(place: &Place, next: &mut usize) -> Result<Part, WriteError> {
    let name = format!("part-{:05}.{}", *next, place.format.name());
    *next += 1;
    place.part(name)
}

impl Place {
    /// A new file in the hidden folder; one of that name is nobody's.
    fn part(&self, name: String) -> Result<Part, WriteError> {
        // Text of a single file is compressed as a whole.
        let compression = if name.starts_with("part-") { Compression::None } else { self.compression };
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(self.staging.join(&name))?;
        let into = Box::new(BufWriter::with_capacity(BUFFER_BYTES, file.try_clone()?));
        let writer = formats::writer(self.format, &self.csv, compression, &self.schema, into, false)?;
        Ok(Part { writer, file, name, rows: 0 })
    }

    /// The name of the single file in the hidden folder.
    fn whole(&self) -> String {
        self.target.file_name().map(|name| format!("whole-{}", name.to_string_lossy())).unwrap_or_default()
    }

    /// Moves a staged file to its own name, unless that has been done.
    fn show(&self, name: &str, own: &Path) -> io::Result<()> {
        match fs::rename(self.staging.join(name), own) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    fn publish(&self, token: &Token) -> io::Result<()> {
        if self.one_file {
            if token.whole {
                self.show(&self.whole(), &self.target)?;
            }
            return sync_directory(&parent(&self.target));
        }
        if token.parts.is_empty() {
            return Ok(());
        }
        token.parts.iter().try_for_each(|name| self.show(name, &self.target.join(name)))?;
        sync_directory(&self.target)
    }

    /// Removes all but these from the hidden folder.
    fn clear(&self, but: &[String]) -> io::Result<()> {
        for entry in fs::read_dir(&self.staging)? {
            let entry = entry?;
            if !but.iter().any(|name| **name == *entry.file_name()) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn failed(&self, cause: impl Into<WriteError>) -> Error {
        let cause = cause.into();
        let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        let what = match kind {
            Some(io::ErrorKind::StorageFull) => "disk full",
            Some(io::ErrorKind::QuotaExceeded) => "disk quota used up",
            Some(io::ErrorKind::FileTooLarge) => "file too large for its file system or a limit",
            _ => "cannot write",
        };
        Error::world(format!("{}: {what}: '{}'", self.owner, self.target.display()))
            .hint("make sure that it can be written and run again: the run goes on from its last checkpoint")
            .because(cause)
    }
}

impl Sink for EpochFiles {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.write_rows(batch).map_err(|cause| self.place.failed(cause))
    }

    fn commit(&mut self) -> Result<()> {
        unreachable!("a run with checkpoints seals its sinks")
    }

    fn abort(&mut self) {
        self.forget();
    }

    fn restore(&mut self, from: Option<(u64, &str)>) -> Result<()> {
        let Some((_, token)) = from else { return self.begin() };
        let place = self.place.clone();
        let token: Token = serde_json::from_str(token).map_err(|e| place.failed(e))?;
        let is_lost = |name: &&String| !place.staging.join(name).exists() && !token.whole;
        if let Some(lost) = token.parts.iter().filter(|_| place.one_file).find(is_lost) {
            let shown = place.target.display();
            let text = format!("{}: {lost}, a part of '{shown}' as it was at the checkpoint, is gone", place.owner);
            return Err(Error::user(text).hint(
                "the parts of a single file go when its input has ended: to go back then, give a directory as 'path'",
            ));
        }
        let restore = || -> io::Result<()> {
            place.publish(&token)?;
            if place.one_file {
                return place.clear(&token.parts);
            }
            place.clear(&[])?;
            let is_later = |name: &&String| part_number(name).is_some_and(|number| number >= token.next);
            visible(&place.target)?
                .iter()
                .filter(is_later)
                .try_for_each(|name| fs::remove_file(place.target.join(name)))
        };
        restore().map_err(|e| place.failed(e))?;
        self.next = token.next;
        self.earlier = if place.one_file { token.parts } else { vec![] };
        Ok(())
    }

    fn finish(&mut self, ended: bool) {
        self.last = Some(ended);
    }

    fn seal(&mut self, _epoch: u64) -> Result<Box<dyn Staged>> {
        let none = self.next == 0 && self.open.is_none();
        if none && !self.place.one_file && self.last == Some(true) {
            // Only an output without any part gets an empty one, which tells the columns.
            self.open = Some(next_part(&self.place, &mut self.next).map_err(|e| self.place.failed(e))?);
        }
        let parts: Vec<Part> = self.full.drain(..).chain(self.open.take()).collect();
        let mut token = Token { next: self.next, parts: std::mem::take(&mut self.earlier), whole: false };
        token.parts.extend(parts.iter().map(|part| part.name.clone()));
        if self.place.one_file {
            self.earlier = token.parts.clone();
            token.whole = self.last.is_some();
        }
        Ok(Box::new(StagedFiles { place: self.place.clone(), parts, token, ended: self.last == Some(true) }))
    }
}

impl Drop for EpochFiles {
    fn drop(&mut self) {
        self.forget();
        // Only if nothing is in it.
        let _ = fs::remove_dir(&self.place.staging);
    }
}

/// The files of one epoch.
struct StagedFiles {
    place: Arc<Place>,
    /// Not finished yet.
    parts: Vec<Part>,
    token: Token,
    ended: bool,
}

impl StagedFiles {
    fn stage(&mut self) -> Result<(), WriteError> {
        if self.parts.is_empty() && !self.token.whole {
            return Ok(());
        }
        for mut part in self.parts.drain(..) {
            part.writer.finish()?;
            part.file.sync_all()?;
        }
        if self.token.whole {
            let mut whole = self.place.part(self.place.whole())?;
            for name in &self.token.parts {
                let path = self.place.staging.join(name);
                copied(&path, self.place.format, &self.place.csv, &self.place.schema, whole.writer.as_mut())?;
            }
            whole.writer.finish()?;
            whole.file.sync_all()?;
        }
        Ok(sync_directory(&self.place.staging)?)
    }
}

impl Staged for StagedFiles {
    fn stage(&mut self) -> Result<String> {
        let staged = self.stage();
        staged.map_err(|e| self.place.failed(e))?;
        serde_json::to_string(&self.token).map_err(|e| self.place.failed(e))
    }

    fn publish(&mut self) -> Result<()> {
        let done = self.place.publish(&self.token).and_then(|()| match self.ended {
            // Nothing is left to go on with.
            true => fs::remove_dir_all(&self.place.staging),
            false => Ok(()),
        });
        done.map_err(|e| self.place.failed(e))
    }
}
