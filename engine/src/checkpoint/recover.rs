//! What to do after a crash: decided from what is found, without reading or writing anything.

use super::manifest::Manifest;
use crate::connector::Committed;
use crate::error::{Error, Result};

/// A manifest as it was found on storage.
#[derive(Clone, Debug)]
pub enum FoundManifest {
    /// All of it and of the state that it names is there.
    Whole(Manifest),
    /// Something is missing or damaged: the epoch, and what.
    Broken(u64, String),
}

impl FoundManifest {
    /// The epoch that it is of.
    pub fn epoch(&self) -> u64 {
        match self {
            FoundManifest::Whole(manifest) => manifest.epoch,
            FoundManifest::Broken(epoch, _) => *epoch,
        }
    }
}

/// What to go on with.
#[derive(Clone, Debug, PartialEq)]
pub struct Recovery {
    /// This checkpoint; `None` to begin at the beginning.
    pub from: Option<u64>,
    /// Epochs whose manifests go, because the run will come to them again.
    pub drop: Vec<u64>,
    /// What a person should hear.
    pub warnings: Vec<String>,
}

/// The newest whole checkpoint, unless its rows have not reached a sink that can no longer be given them: then the one before.
///
/// `sinks` says of each sink by name which epochs it has. Errors where a sink has rows of epochs of which no checkpoint is
/// left, as going on would repeat them.
pub fn recover(found: &[FoundManifest], sinks: &[(String, Committed)]) -> Result<Recovery> {
    let until = |committed: &Committed| match committed {
        Committed::Until(epoch) => Some(*epoch),
        Committed::FromToken => None,
    };
    // A sink that is new knows of no epoch, and has missed none.
    let is_missing = |manifest: &Manifest| {
        let had = sinks.iter().filter(|(name, _)| manifest.sinks.contains_key(name));
        had.filter_map(|(_, committed)| until(committed)).any(|reached| reached < manifest.epoch)
    };
    let mut newest_first: Vec<&FoundManifest> = found.iter().collect();
    newest_first.sort_by_key(|found| std::cmp::Reverse(found.epoch()));
    let (mut drop, mut warnings, mut from) = (vec![], vec![], None);
    for found in newest_first {
        match found {
            FoundManifest::Broken(epoch, why) => {
                warnings.push(format!("checkpoint {epoch} can not be used: {why}"));
                drop.push(*epoch);
            }
            FoundManifest::Whole(manifest) if is_missing(manifest) => {
                // Its transaction was open when the process ended, and is gone.
                drop.push(manifest.epoch);
            }
            FoundManifest::Whole(manifest) => {
                from = Some(manifest.epoch);
                break;
            }
        }
    }
    let start = from.unwrap_or(0);
    for (name, committed) in sinks {
        if let Some(epoch) = until(committed).filter(|epoch| *epoch > start) {
            let left = from.map_or("no checkpoint is left".to_string(), |from| format!("the newest is {from}"));
            let error = format!("{name} has the rows of epochs up to {epoch}, of whose checkpoints {left}");
            return Err(Error::world(format!("{error}: to go on would repeat rows"))
                .hint("restore the checkpoints from a copy, or begin anew with another 'pelton.checkpoint.dir'"));
        }
    }
    if let (Some(from), false) = (from, warnings.is_empty()) {
        warnings.push(format!("going on from checkpoint {from}"));
    }
    Ok(Recovery { from, drop, warnings })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(epoch: u64) -> FoundManifest {
        let sinks = ["s0", "s1"].map(|name| (name.to_string(), Default::default())).into();
        FoundManifest::Whole(Manifest { epoch, sinks, ..Default::default() })
    }

    fn broken(epoch: u64) -> FoundManifest {
        FoundManifest::Broken(epoch, "half of it is missing".into())
    }

    fn decided(found: &[FoundManifest], sinks: &[Committed]) -> Result<(Option<u64>, Vec<u64>, usize)> {
        let sinks: Vec<_> = sinks.iter().enumerate().map(|(i, c)| (format!("s{i}"), *c)).collect();
        recover(found, &sinks).map(|r| (r.from, r.drop, r.warnings.len()))
    }

    #[test]
    fn the_newest_whole_checkpoint_that_all_sinks_have() {
        use Committed::{FromToken, Until};
        let three = [whole(1), whole(2), whole(3)];
        for (found, sinks, want) in [
            (&[][..], &[FromToken][..], (None, vec![], 0)),
            (&[], &[Until(0)], (None, vec![], 0)),
            (&three, &[FromToken], (Some(3), vec![], 0)),
            (&three, &[FromToken, Until(3)], (Some(3), vec![], 0)),
            (&three, &[FromToken, Until(2)], (Some(2), vec![3], 0)),
            (&[whole(1)], &[Until(0)], (None, vec![1], 0)),
            (&[whole(2), broken(3)], &[FromToken], (Some(2), vec![3], 2)),
            (&[whole(2), broken(3)], &[Until(2)], (Some(2), vec![3], 2)),
            (&[broken(3)], &[FromToken], (None, vec![3], 1)),
            // The third sink is new.
            (&three, &[FromToken, Until(3), Until(0)], (Some(3), vec![], 0)),
        ] {
            assert_eq!(decided(found, sinks).unwrap(), want, "{found:?} {sinks:?}");
        }
        for (found, sinks) in [(&[whole(2), broken(3)][..], &[Until(3)][..]), (&[], &[Until(1)])] {
            let error = decided(found, sinks).unwrap_err();
            assert!(error.to_string().contains("would repeat rows"), "{error}");
        }
    }
}
