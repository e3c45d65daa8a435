//! What is said of a plugin that is not installed, or of which nothing is known.

use super::{Store, StoreError};
use crate::error::{Classified, ErrorKind};
use crate::spelling::{did_you_mean, nearest};
use crate::text::Sanitized;

/// No plugin of this name is installed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("plugin `{}` is not installed; {}", Sanitized(name), self.next_step())]
pub struct NotInstalled {
    /// The name.
    pub name: String,
    /// The host's name.
    pub host: String,
    /// Installed plugins whose names are near, the nearest first.
    pub nearest: Vec<String>,
}

impl Classified for NotInstalled {
    fn kind(&self) -> ErrorKind {
        ErrorKind::NotInstalled
    }
}

impl NotInstalled {
    /// Which plugin was probably meant, else where to look for it.
    fn next_step(&self) -> String {
        did_you_mean(&self.nearest).unwrap_or_else(|| format!("`{} plugin list` shows what is", self.host))
    }
}

impl Store {
    /// The error for `name`, which no installed plugin bears: only now is it worth knowing what the others are called.
    pub(crate) fn not_installed(&self, name: &str) -> NotInstalled {
        NotInstalled { name: name.to_owned(), host: self.host.name().to_owned(), nearest: self.near(name) }
    }

    /// The error for the plugin `name`, which is there without a receipt.
    pub(crate) fn no_receipt(&self, name: &str) -> StoreError {
        StoreError::NoReceipt { name: name.to_owned(), host: self.host.name().to_owned() }
    }

    /// The installed plugins whose names are near `name`, safe to show.
    pub(crate) fn near(&self, name: &str) -> Vec<String> {
        let plugins = self.list().map(|listing| listing.plugins).unwrap_or_default();
        let near = nearest(name, plugins.iter().map(|plugin| plugin.name.as_str()).filter(|other| *other != name));
        near.into_iter().map(|near| crate::text::sanitized(&near).into_owned()).collect()
    }
}
