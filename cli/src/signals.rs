//! Ctrl-C and SIGTERM: the first one drains the run, the second one ends the process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once};

use crate::report::note;

/// What the next signal stops.
static RUNNING: Mutex<Option<Arc<AtomicBool>>> = Mutex::new(None);
static INSTALL: Once = Once::new();

/// While it lives, a signal stops one run.
pub struct Stopping(());

/// Lets the first signal set `stop`. A second one, or one after the run, ends the process with exit code 130.
pub fn stops(stop: &Arc<AtomicBool>) -> Stopping {
    *RUNNING.lock().expect("no panic holds this lock") = Some(stop.clone());
    INSTALL.call_once(|| {
        // The handler is called on a thread of its own: it may lock and write.
        let installed = ctrlc::set_handler(|| {
            let running = RUNNING.lock().expect("no panic holds this lock").clone();
            match running {
                Some(stop) if !stop.swap(true, Ordering::SeqCst) => {
                    note("\nstopping: what was read is computed and committed (once more: end at once)");
                }
                _ => std::process::exit(130),
            }
        });
        if let Err(error) = installed {
            note(&format!("warning: Ctrl-C will not drain the run: {error}"));
        }
    });
    Stopping(())
}

impl Drop for Stopping {
    fn drop(&mut self) {
        *RUNNING.lock().expect("no panic holds this lock") = None;
    }
}
