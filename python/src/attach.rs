//! Calls into Python from the engine's threads.
//!
//! A thread that Python does not know gets a state whenever it takes the interpreter's lock, and loses it with the lock: a stretch of
//! memory that is mapped, touched and given back, some 30 µs a call. Here it keeps its state until it ends.

use std::cell::Cell;

use pyo3::ffi;
use pyo3::prelude::*;

thread_local!(static KEPT: Kept = const { Kept(Cell::new(None)) });

/// Python's state of this thread, if it is not Python's own thread.
struct Kept(Cell<Option<*mut ffi::PyThreadState>>);

impl Kept {
    fn keep(&self) {
        // SAFETY: it asks nothing of the thread or the interpreter.
        if !unsafe { ffi::PyGILState_GetThisThreadState() }.is_null() {
            return;
        }
        // Taken once more inside, and not released: so the state stays when the lock is given back. An interpreter that ends gives none.
        // SAFETY: the thread has the lock.
        let keep = |_: Python<'_>| unsafe {
            ffi::PyGILState_Ensure();
            ffi::PyThreadState_Get()
        };
        self.0.set(Python::try_attach(keep));
    }

    fn let_go(&self) {
        // SAFETY: the state is of this thread, which made it above and does not have the lock. An interpreter that has begun to end
        // takes care of all states itself, and is not initialized any more.
        unsafe {
            if let Some(state) = self.0.take()
                && ffi::Py_IsInitialized() != 0
            {
                ffi::PyEval_RestoreThread(state);
                ffi::PyGILState_Release(ffi::PyGILState_STATE::PyGILState_UNLOCKED);
            }
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// As [`Python::attach`], for threads that call again and again.
pub fn attached<R>(work: impl FnOnce(Python<'_>) -> R) -> R {
    // A thread that is ending has no state to keep any more.
    let _ = KEPT.try_with(Kept::keep);
    Python::attach(work)
}

/// Gives this thread's state back, before somebody hears that it is done and may end the interpreter.
pub fn let_go() {
    let _ = KEPT.try_with(Kept::let_go);
}
