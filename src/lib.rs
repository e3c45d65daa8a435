//! plugsmith gives any command-line program a plugin system that people can trust.
//!
//! A plugin is a directory with a `plugin.yaml`, or a signed tarball of one. It comes into the house by one way, and every
//! arrow of that way is one module whose noun only the arrow before it can make:
//!
//! ```text
//! use      argument -> Source -> Fetched -> Verified -> Staged -> Installed -> Plugin -> run
//!             parse      fetch     verify     unpack     commit      gate
//! publish  directory -> Metadata -> Package (.tgz) -> Provenance (.prov)
//!             load         pack           sign
//! ```
//!
//! | module | what it decides |
//! |---|---|
//! | [`host`] | who the host is: its name, directories, environment names and own commands |
//! | [`settings`] | what `config.yaml` and the environment set: limits, timeouts, the gate's strictness |
//! | [`policy`] | what an organisation allows: `policy.yaml` |
//! | [`trust`] | whom the user trusts: `trust.yaml` |
//! | [`manifest`] | `plugin.yaml` to [`manifest::Metadata`], and what is wrong with one |
//! | [`package`] | a directory to a tarball and back |
//! | [`provenance`] | signatures: keyrings, policy, sign, verify |
//! | [`source`] | what an install argument means, and how its bytes get here |
//! | [`store`] | plugins on disk: layout, lock, staging, receipts, the gate before every run |
//! | [`runtime`] | how a plugin is started: environment, subprocess, hooks |
//! | [`scaffold`] | what a new plugin looks like |
//! | [`manager`] | the verbs: install, uninstall, list, verify |
//! | [`cli`] | the `plugin` command group, output, dispatch and completion |
//!
//! Who may know whom goes downwards only: `cli` > `manager` > `source`, `store`, `runtime` > `trust` > `policy` > `package`,
//! `provenance` > `manifest` > `host`. The small modules [`audit`], [`digest`], `executable`, [`files`], [`interrupt`], [`report`], `spelling`, [`stamp`], [`text`]
//! and [`yaml`] serve all of them.

#![cfg_attr(not(feature = "wasm"), forbid(unsafe_code))]

pub mod audit;
pub mod cli;
pub mod digest;
mod executable;
pub mod files;
pub mod host;
pub mod interrupt;
pub mod manager;
pub mod manifest;
pub mod package;
pub mod policy;
pub mod provenance;
pub mod report;
pub mod runtime;
pub mod scaffold;
pub mod settings;
pub mod source;
mod spelling;
pub mod stamp;
pub mod store;
pub mod text;
pub mod trust;
pub mod yaml;

/// The programs of the guide, compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/embedding.md")]
struct EmbeddingGuide;
