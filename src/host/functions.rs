//! Functions that an embedding program offers to WebAssembly plugins.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::Host;
use crate::manifest::{ManifestError, Metadata};

/// What such a function does: bytes to bytes, or the reason why not, which ends the plugin's call.
type Function = dyn Fn(&[u8]) -> Result<Vec<u8>, String> + Send + Sync;

/// Functions by their names.
#[derive(Clone, Default)]
pub struct HostFunctions(BTreeMap<String, Arc<Function>>);

impl HostFunctions {
    pub(super) fn insert(&mut self, name: &str, function: Arc<Function>) {
        self.0.insert(name.to_owned(), function);
    }

    /// Whether there is one called `name`.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Their names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Calls the one called `name` with `input`.
    ///
    /// # Errors
    /// There is none, or the reason that it gives.
    pub fn call(&self, name: &str, input: &[u8]) -> Result<Vec<u8>, String> {
        match self.0.get(name) {
            Some(function) => function(input),
            None => Err(format!("there is no function `{name}`")),
        }
    }
}

impl Host {
    /// Whether it has every function that the plugin with this manifest asks for; `dir` is the plugin's directory, for messages.
    ///
    /// # Errors
    /// [`ManifestError::NoHostFunction`].
    pub(crate) fn check_functions(&self, metadata: &Metadata, dir: &Path) -> Result<(), ManifestError> {
        let offered: Vec<&str> = self.functions.names().collect();
        metadata.check_functions(&self.name, &offered, dir)
    }
}

impl fmt::Debug for HostFunctions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
