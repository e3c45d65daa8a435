//! plugsmith gives any command-line program a plugin system that people can trust.
//!
//! A plugin is a directory with a `plugin.yaml`, or a signed tarball of one.
//!
#![doc = include_str!("../docs/flow.md")]
//!
//! # Modules
//!
//! | module | what it decides |
//! |---|---|
//! | [`host`] | who the host is: its name, directories, environment names and own commands |
//! | [`settings`] | what `config.yaml` and the environment set: limits, timeouts, the gate's strictness |
//! | [`policy`] | what an organisation allows: `policy.yaml` |
//! | [`trust`] | whom the user trusts: `trust.yaml` |
//! | [`manifest`] | `plugin.yaml` to [`manifest::Metadata`], and what is wrong with one (the crate `plugsmith-manifest`) |
//! | [`intake::source`] | what an install argument means, and how its bytes get here |
//! | [`intake::provenance`] | signatures: keyrings, policy, sign, verify |
//! | [`intake::package`] | a directory to a tarball and back |
//! | [`store`] | plugins on disk: layout, lock, staging, receipts, the gate before every run |
//! | [`runtime`] | how a plugin is started: environment, subprocess, modules, hooks |
//! | [`scaffold`] | what a new plugin looks like |
//! | [`manager`] | the verbs: install, uninstall, list, verify |
//!
//! Who may know whom goes downwards only: `manager` > `source`, `store`, `runtime` > `trust` > `policy` > `package`,
//! `provenance` > `host`, [`settings`] > [`manifest`]. The small modules [`audit`], [`error`], [`interrupt`], [`report`], [`spelling`] and [`stamp`] serve all of
//! them, and so do [`digest`], [`files`], [`text`] and [`yaml`] of `plugsmith-manifest`.
//!
//! Nothing here prints, reads a command line or runs WebAssembly: the crates `plugsmith-cli` and `plugsmith-wasm` do.

#![forbid(unsafe_code)]

pub mod audit;
pub mod error;
pub mod host;
pub mod intake;
pub mod interrupt;
pub mod manager;
pub mod policy;
pub mod report;
pub mod runtime;
pub mod scaffold;
pub mod settings;
pub mod spelling;
pub mod stamp;
pub mod store;
pub mod trust;

pub use plugsmith_manifest as manifest;
pub use plugsmith_manifest::{digest, files, text, yaml};

pub(crate) use plugsmith_manifest::executable;
