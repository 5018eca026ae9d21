//! A configuration that follows its files.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::files::{Contents, TlsError};

type Build<C> = Box<dyn Fn(&Contents) -> Result<C, TlsError> + Send + Sync>;

/// What the files make, as they were when they last fitted together.
pub(super) struct Live<C> {
    files: Vec<PathBuf>,
    build: Build<C>,
    current: ArcSwap<C>,
    /// Of the contents that were tried last, good or not.
    tried: Mutex<[u8; 32]>,
}

impl<C> Live<C> {
    pub(super) fn load(
        files: Vec<PathBuf>,
        build: impl Fn(&Contents) -> Result<C, TlsError> + Send + Sync + 'static,
    ) -> Result<Self, TlsError> {
        let contents = Contents::read(&files)?;
        let current = build(&contents)?;
        Ok(Self {
            files,
            build: Box::new(build),
            current: ArcSwap::from_pointee(current),
            tried: Mutex::new(contents.fingerprint()),
        })
    }

    pub(super) fn current(&self) -> Arc<C> {
        self.current.load_full()
    }

    /// Reads the files again. True where others are in force now; contents that were tried before are not tried
    /// again, so that a problem is told once.
    ///
    /// # Errors
    /// Where the files do not fit together: what was in force stays.
    pub(super) fn reload(&self) -> Result<bool, TlsError> {
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        let contents = Contents::read(&self.files);
        let found = contents.as_ref().map_or([0; 32], Contents::fingerprint);
        if *tried == found {
            return Ok(false);
        }
        *tried = found;
        let next = (self.build)(&contents?)?;
        self.current.store(Arc::new(next));
        Ok(true)
    }
}
