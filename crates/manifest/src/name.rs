//! What a plugin may be called: its name becomes a folder, a file name and a word on a command line.

use std::fmt;
use std::str::FromStr;

use crate::text::Sanitized;

/// How many characters a name may have.
const MAX_LENGTH: usize = 100;

/// Device names of Windows: a folder of that name cannot be made there.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];

/// A plugin's name: letters, digits, `_` and `-`, at most 100 of them, no leading `-`, no Windows device name.
///
/// The first rule is Helm's; a leading `-` would be a flag wherever the name is an argument, and the others keep a name from
/// failing, or from meaning something else, as a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PluginName(String);

impl PluginName {
    /// Checks `name`.
    ///
    /// # Errors
    /// Which rule it breaks.
    pub fn new(name: &str) -> Result<Self, NameError> {
        let owned = || name.to_owned();
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
            return Err(NameError::Characters { name: owned() });
        }
        if name.len() > MAX_LENGTH {
            return Err(NameError::Length { length: name.len() });
        }
        if name.starts_with('-') {
            return Err(NameError::LeadingDash { name: owned() });
        }
        if is_device(name) {
            return Err(NameError::Device { name: owned() });
        }
        Ok(Self(owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_device(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    if DEVICES.contains(&&*lower) {
        return true;
    }
    let digit = lower.strip_prefix("com").or_else(|| lower.strip_prefix("lpt"));
    digit.is_some_and(|digit| matches!(digit.as_bytes(), [b'0'..=b'9']))
}

impl fmt::Display for PluginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<str> for PluginName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for PluginName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::new(name)
    }
}

/// Why a name is none for a plugin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Empty, or with other characters.
    #[error("invalid plugin name \"{}\": must contain only a-z, A-Z, 0-9, _ and -", Sanitized(.name))]
    Characters {
        /// The name.
        name: String,
    },
    /// Too long.
    #[error("invalid plugin name of {length} characters: must have at most {MAX_LENGTH}")]
    Length {
        /// Its length.
        length: usize,
    },
    /// It would be taken for a flag.
    #[error("invalid plugin name \"{name}\": must not begin with `-`, since it would be taken for a flag")]
    LeadingDash {
        /// The name.
        name: String,
    },
    /// It cannot be a folder on Windows.
    #[error("invalid plugin name \"{name}\": is the name of a device on Windows, where no folder can have it")]
    Device {
        /// The name.
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m2_names_that_are_fit_for_a_path_and_a_command_line() {
        for good in ["a", "A_b-9", "9", "_", "console", "com", "com10", "lpt-1", "nul_", &"x".repeat(100)] {
            assert_eq!(PluginName::new(good).unwrap().as_str(), good);
        }
        let long = "x".repeat(300);
        let bad = [
            "",
            ".",
            "..",
            "a/b",
            "a\\b",
            "C:x",
            "a.b",
            "a b",
            "a\n",
            "é",
            "a\0",
            "-rf",
            "--help",
            "-",
            "CON",
            "nul",
            "Aux",
            "prn",
            "com1",
            "LPT9",
            "\u{202e}x",
            &long,
        ];
        for bad in bad {
            assert!(PluginName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn m8_messages_are_safe_to_show() {
        let error = PluginName::new("a\x1b[31m").unwrap_err().to_string();
        assert_eq!(error, "invalid plugin name \"a\\u{1b}[31m\": must contain only a-z, A-Z, 0-9, _ and -");
    }
}
