//! The plugins that `plugin create` makes, as files with their contents: what an author starts from.
//!
//! Each of them lints without a problem, packages, installs and runs as it is, here and in Helm, and speaks of the host by its own name.
//! Programs and manifests read the variables that every host sets (`HELM_PLUGIN_DIR`). Here nothing is written to disk;
//! [`crate::manager`] does that, and builds what is to be built. Modules of WebAssembly come ready, in `modules/`, so that nobody needs a
//! compiler for them to have a plugin that runs; `scripts/modules` makes them of the same sources.

use std::borrow::Cow;
use std::io::Read as _;

use flate2::read::GzDecoder;

use crate::host::Host;
use crate::manifest::{MODULE_NAME, PluginName, completion};

/// The version that a new plugin has.
pub const VERSION: &str = "0.1.0";

/// What a plugin is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PluginType {
    /// A command of the host.
    Cli,
    /// Downloads URLs of a scheme.
    Getter,
    /// Changes documents on their way.
    PostRenderer,
    /// For tests of hosts.
    Test,
}

impl PluginType {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Cli, Self::Getter, Self::PostRenderer, Self::Test];

    /// As manifests write it.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Cli => "cli/v1",
            Self::Getter => "getter/v1",
            Self::PostRenderer => "postrenderer/v1",
            Self::Test => "test/v1",
        }
    }
}

/// What runs a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    /// Programs.
    Subprocess,
    /// A module of WebAssembly.
    Extism,
}

/// What a plugin is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// POSIX sh.
    Sh,
    /// Rust.
    Rust,
}

/// A runtime and a language that go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toolchain {
    /// A program in sh.
    Sh,
    /// A program in Rust.
    Rust,
    /// A module of WebAssembly in Rust.
    Module,
}

/// A runtime and a language that do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChoiceError {
    /// No compiler makes a module of it.
    #[error("a plugin of the runtime extism cannot be written in sh; {POSSIBLE}")]
    ModuleInShell,
}

const POSSIBLE: &str =
    "possible are `--runtime subprocess` with `--lang sh` or `--lang rust`, and `--runtime extism` with `--lang rust`";

impl Toolchain {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sh, Self::Rust, Self::Module];

    /// What goes together; without a language, the simplest.
    ///
    /// # Errors
    /// [`ChoiceError`].
    pub fn choose(runtime: Runtime, language: Option<Language>) -> Result<Self, ChoiceError> {
        match (runtime, language) {
            (Runtime::Subprocess, Some(Language::Sh) | None) => Ok(Self::Sh),
            (Runtime::Subprocess, Some(Language::Rust)) => Ok(Self::Rust),
            (Runtime::Extism, Some(Language::Rust) | None) => Ok(Self::Module),
            (Runtime::Extism, Some(Language::Sh)) => Err(ChoiceError::ModuleInShell),
        }
    }

    /// Its runtime, as manifests write it.
    pub fn runtime_name(self) -> &'static str {
        match self {
            Self::Sh | Self::Rust => "subprocess",
            Self::Module => "extism/v1",
        }
    }

    /// Its language, as the command line writes it.
    pub fn language_name(self) -> &'static str {
        match self {
            Self::Sh => "sh",
            Self::Rust | Self::Module => "rust",
        }
    }
}

/// A file of a new plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path in the plugin's directory, with `/` between parts.
    pub path: String,
    /// What it holds.
    pub content: Vec<u8>,
    /// Whether it is a program.
    pub executable: bool,
}

/// The URL scheme of a getter called `name`: the name as far as RFC 3986 (section 3.1) allows it, and never one that has a meaning.
pub fn scheme(name: &PluginName) -> String {
    const TAKEN: [&str; 7] = ["file", "git", "http", "https", "index", "oci", "ssh"];
    let scheme = name.as_str().to_ascii_lowercase().replace('_', "-");
    match scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.len() > 1 && !TAKEN.contains(&&*scheme) {
        true => scheme,
        false => format!("x-{scheme}"),
    }
}

/// The command line that shows what a new plugin does, for a person to type.
pub fn trial(name: &PluginName, kind: PluginType, host: &Host) -> String {
    let host = host.name();
    match kind {
        PluginType::Cli => format!("{host} {name} hello --loud Ann"),
        PluginType::Getter => format!("{host} get {}://examples/hello.txt", scheme(name)),
        PluginType::PostRenderer => format!("echo 'a: 1' | {host} post-render {name}"),
        PluginType::Test => format!("{host} plugin exec {name} Ann"),
    }
}

macro_rules! template {
    ($path:literal) => {
        include_str!(concat!("templates/", $path))
    };
}

/// The files of a new plugin called `name`, sorted by path. A program in Rust is not among them: it has to be built.
pub fn files(name: &PluginName, kind: PluginType, flavour: Toolchain, host: &Host) -> Vec<File> {
    let mut made = Files { filler: Filler::new(name, kind, flavour, host), files: Vec::new() };
    made.text("plugin.yaml", &manifest(kind, flavour));
    made.text("README.md", &readme(kind, flavour));
    if kind == PluginType::Cli {
        made.text(completion::FILE_NAME, template!("shared/completion.yaml"));
    }
    if kind == PluginType::Getter && flavour != Toolchain::Module {
        made.text("files/examples/hello.txt", template!("shared/hello.txt"));
    }
    let (mut gitignore, mut pluginignore) =
        (template!("shared/gitignore").to_owned(), template!("shared/pluginignore").to_owned());
    match flavour {
        Toolchain::Sh => made.script(&format!("bin/{name}"), shell_source(kind)),
        Toolchain::Rust => {
            made.text("Cargo.toml", template!("rust/Cargo.toml.in"));
            made.text("src/main.rs", rust_source(kind));
            made.script("build.sh", template!("rust/build.sh"));
            gitignore.push_str(template!("rust/gitignore"));
        }
        Toolchain::Module => {
            let module = Module::of(kind);
            made.text("Cargo.toml", template!("extism/Cargo.toml.in"));
            made.text("Cargo.lock", module.lock);
            made.text("src/lib.rs", module.source);
            made.script("build.sh", template!("extism/build.sh"));
            made.add(MODULE_NAME, module.bytes().into_owned(), false);
            gitignore.push_str(template!("extism/gitignore"));
        }
    }
    match flavour {
        Toolchain::Sh => {}
        Toolchain::Rust | Toolchain::Module => pluginignore.push_str(template!("shared/rust-pluginignore")),
    }
    match flavour {
        Toolchain::Sh | Toolchain::Rust => made.script("test.sh", program_test(kind)),
        Toolchain::Module => {}
    }
    made.text(".gitignore", &gitignore);
    made.text(".pluginignore", &pluginignore);
    made.files.sort_by(|one, other| one.path.cmp(&other.path));
    made.files
}

/// The program of a plugin that is a program in Rust, as its manifest names it.
pub fn program(name: &PluginName) -> String {
    format!("bin/{name}{}", std::env::consts::EXE_SUFFIX)
}

/// The name that Cargo knows a plugin in Rust by: never a word of the language or of Cargo's own.
pub fn crate_name(name: &PluginName) -> String {
    format!("plugin-{name}")
}

fn manifest(kind: PluginType, flavour: Toolchain) -> String {
    let what = match kind {
        PluginType::Cli => template!("manifest/cli.yaml"),
        PluginType::Getter => template!("manifest/getter.yaml"),
        PluginType::PostRenderer | PluginType::Test => "",
    };
    let how = match (flavour, kind) {
        (Toolchain::Module, _) => concat!(template!("manifest/run-module-head.yaml"), "@limits@"),
        (_, PluginType::Getter) => template!("manifest/run-getter.yaml"),
        (Toolchain::Sh, _) => template!("manifest/run-sh.yaml"),
        (Toolchain::Rust, _) => template!("manifest/run-rust.yaml"),
    };
    let limits = match kind {
        PluginType::Cli => template!("manifest/module-cli.yaml"),
        PluginType::Getter => template!("manifest/module-getter.yaml"),
        PluginType::PostRenderer => template!("manifest/module-postrenderer.yaml"),
        PluginType::Test => template!("manifest/module-test.yaml"),
    };
    [template!("manifest/head.yaml"), what, &how.replace("@limits@", limits)].concat()
}

fn readme(kind: PluginType, flavour: Toolchain) -> String {
    let head = match kind {
        PluginType::Cli => template!("readme/cli-head.md"),
        PluginType::Getter => template!("readme/getter-head.md"),
        PluginType::PostRenderer => template!("readme/postrenderer-head.md"),
        PluginType::Test => template!("readme/test-head.md"),
    };
    let change = match flavour {
        Toolchain::Sh => template!("readme/sh.md"),
        Toolchain::Rust => template!("readme/rust.md"),
        Toolchain::Module => template!("readme/module.md"),
    };
    [head, template!("readme/try.md"), change, template!("readme/publish.md")].concat()
}

fn shell_source(kind: PluginType) -> &'static str {
    match kind {
        PluginType::Cli => template!("sh/cli.sh"),
        PluginType::Getter => template!("sh/getter.sh"),
        PluginType::PostRenderer => template!("sh/postrenderer.sh"),
        PluginType::Test => template!("sh/test.sh"),
    }
}

fn rust_source(kind: PluginType) -> &'static str {
    match kind {
        PluginType::Cli => template!("rust/cli.rs"),
        PluginType::Getter => template!("rust/getter.rs"),
        PluginType::PostRenderer => template!("rust/postrenderer.rs"),
        PluginType::Test => template!("rust/test.rs"),
    }
}

/// The script that tests a program, whatever it is written in.
fn program_test(kind: PluginType) -> &'static str {
    match kind {
        PluginType::Cli => template!("shared/cli-test.sh"),
        PluginType::Getter => template!("shared/getter-test.sh"),
        PluginType::PostRenderer => template!("shared/postrenderer-test.sh"),
        PluginType::Test => template!("shared/test-test.sh"),
    }
}

/// A module that comes ready, and what it was made of.
struct Module {
    packed: &'static [u8],
    source: &'static str,
    lock: &'static str,
}

impl Module {
    fn of(kind: PluginType) -> Self {
        macro_rules! module {
            ($name:literal) => {
                Self {
                    packed: include_bytes!(concat!("modules/", $name, ".wasm.gz")),
                    source: include_str!(concat!("templates/extism/", $name, "/lib.rs")),
                    lock: include_str!(concat!("templates/extism/", $name, "/Cargo.lock.in")),
                }
            };
        }
        match kind {
            PluginType::Cli => module!("cli"),
            PluginType::Getter => module!("getter"),
            PluginType::PostRenderer => module!("postrenderer"),
            PluginType::Test => module!("test"),
        }
    }

    /// The module itself. What this program carries was packed by `scripts/modules`, and a test unpacks all of it.
    fn bytes(&self) -> Cow<'static, [u8]> {
        let mut bytes = Vec::new();
        match GzDecoder::new(self.packed).read_to_end(&mut bytes) {
            Ok(_) => bytes.into(),
            Err(_) => Cow::Borrowed(self.packed),
        }
    }
}

/// The files so far.
struct Files {
    filler: Filler,
    files: Vec<File>,
}

impl Files {
    fn text(&mut self, path: &str, template: &str) {
        let text = self.filler.fill(template);
        self.add(path, text.into_bytes(), false);
    }

    fn script(&mut self, path: &str, template: &str) {
        let text = self.filler.fill(template);
        self.add(path, text.into_bytes(), true);
    }

    fn add(&mut self, path: &str, content: Vec<u8>, executable: bool) {
        self.files.push(File { path: path.to_owned(), content, executable });
    }
}

/// What stands for the words `@...@` of templates.
struct Filler(Vec<(&'static str, String)>);

impl Filler {
    fn new(name: &PluginName, kind: PluginType, flavour: Toolchain, host: &Host) -> Self {
        let scheme = scheme(name);
        // Programs and manifests serve every host; that this one has a name of its own for the same is worth a word.
        let also = match host.variable_name("PLUGIN_DIR") {
            own if own != "HELM_PLUGIN_DIR" => format!("; {own} is the same"),
            _ => String::new(),
        };
        let (features, dependencies) = match kind {
            PluginType::Getter => ("\"http\"", "base64 = \"0.22\"\n"),
            _ => ("", ""),
        };
        let note = match kind {
            PluginType::Cli => " What it\nprints goes to standard output.",
            _ => "",
        };
        Self(vec![
            ("@name@", name.to_string()),
            ("@yaml-name@", scalar(name.as_str())),
            ("@scheme@", scheme.clone()),
            ("@yaml-scheme@", scalar(&scheme)),
            ("@type@", kind.type_name().to_owned()),
            ("@runtime@", flavour.runtime_name().to_owned()),
            ("@host@", host.name().to_owned()),
            ("@also@", also),
            ("@try@", trial(name, kind, host)),
            ("@note@", note.to_owned()),
            ("@features@", features.to_owned()),
            ("@dependencies@\n", dependencies.to_owned()),
        ])
    }

    fn fill(&self, template: &str) -> String {
        self.0.iter().fold(template.to_owned(), |text, (word, value)| text.replace(word, value))
    }
}

/// `text` as YAML writes a text: quoted where it could be taken for something else.
fn scalar(text: &str) -> String {
    const WORDS: [&str; 9] = ["false", "n", "no", "null", "off", "on", "true", "y", "yes"];
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic()) && !WORDS.contains(&&*text.to_ascii_lowercase());
    if plain { text.to_owned() } else { format!("\"{text}\"") }
}

#[cfg(test)]
mod tests;
