//! The scripts: one for each shell, each a file beside this one.

use clap::ValueEnum;

/// A shell that completion works in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// The Bourne Again Shell
    Bash,
    /// The Z shell
    Zsh,
    /// The friendly interactive shell
    Fish,
    /// PowerShell
    #[value(name = "powershell", alias = "pwsh")]
    PowerShell,
    /// Elvish
    Elvish,
}

impl Shell {
    /// The script that completes command lines of the program `name`.
    pub fn script(self, name: &str) -> String {
        let script = match self {
            Self::Bash => include_str!("bash.sh"),
            Self::Zsh => include_str!("zsh.zsh"),
            Self::Fish => include_str!("fish.fish"),
            Self::PowerShell => include_str!("powershell.ps1"),
            Self::Elvish => include_str!("elvish.elv"),
        };
        // Names of functions may hold less than those of programs.
        let function = name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        script.replace("@NAME@", name).replace("@FUNCTION@", &function)
    }
}
