//! Calls into Python from the engine's threads.
//!
//! A thread that Python does not know gets a state whenever it takes the interpreter's lock, and loses it with the lock: a stretch of
//! memory that is mapped, touched and given back, some 25 µs a call. Here it keeps its state until it ends.

use pyo3::ffi;
use pyo3::prelude::*;

thread_local!(static KEPT: Kept = Kept::new());

/// Python's state of this thread, if it has none of its own.
struct Kept(Option<*mut ffi::PyThreadState>);

impl Kept {
    fn new() -> Self {
        // SAFETY: these ask nothing of a thread but that the interpreter is there, which called us. The lock is taken and given back;
        // the state stays, since what `Ensure` has taken is not released.
        unsafe {
            if !ffi::PyGILState_GetThisThreadState().is_null() {
                return Kept(None);
            }
            ffi::PyGILState_Ensure();
            Kept(Some(ffi::PyEval_SaveThread()))
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // SAFETY: the state is of this thread, which made it above and ends now, without the lock. An interpreter that has begun to end
        // takes care of all states itself, and is not initialized any more.
        unsafe {
            if let Some(state) = self.0
                && ffi::Py_IsInitialized() != 0
            {
                ffi::PyEval_RestoreThread(state);
                ffi::PyGILState_Release(ffi::PyGILState_STATE::PyGILState_UNLOCKED);
            }
        }
    }
}

/// As [`Python::attach`], for threads that call again and again.
pub fn attached<R>(work: impl FnOnce(Python<'_>) -> R) -> R {
    // A thread that is ending has no state to keep any more.
    let _ = KEPT.try_with(|_| ());
    Python::attach(work)
}
