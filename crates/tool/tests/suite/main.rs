//! End-to-end tests of the built program `tool`, a module per topic, linked as one binary.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the helpers of tests are tests, too"
)]
#![allow(clippy::type_complexity, reason = "tables of cases")]

mod archives; // hostile and odd archives, installed: cases A, M1
mod audit; // what is written down of it all
mod changeable; // files that decide about trust, where everybody may write: case S
mod completion; // __complete and the shells' scripts: case M8
mod corpus; // real manifests and corners of YAML, with Helm's verdicts
mod crashes; // SIGKILL at many moments: case A11
mod creating; // plugin create
mod doctor; // plugin doctor: what it finds, mends and explains
mod documents; // links, references, tables and the session of the README
mod embedding; // other programs with the same command: the examples
mod full_disk; // no room left: case K5 for install and update
mod fuzz_corpora; // the fuzzers' corpora, replayed
mod getters; // getter plugins as sources, get: cases F, S
mod github; // owner/repo: cases F, P25
mod hooks; // where, how long, and interrupts: case I2
mod http; // sources beyond this machine: cases F, O, V
mod installing; // install, list, info, uninstall: cases I, P25
mod keyrings; // plugin keyring, and which one counts: cases P22, P23
mod layered; // stores in a container image's lower layer: case A11
mod locking; // lock, sync, export, pull
mod looking; // what is not downloaded again: case I5
mod next_steps; // what messages tell to type
mod other_users; // one installs, another one runs
mod outputs; // rows for programs, and silence
mod packages; // package, sign: cases K
mod peers_git; // git daemon, signed tags: cases V
mod peers_nginx; // a real web server: cases F, P25
mod peers_registry; // a real registry, skopeo, helm: cases O
mod policy; // policy.yaml on every way in and before every run: cases F, P, S
mod post_render; // documents through plugins: cases S
mod present; // installing over what is there: case I
mod provenance; // the OpenPGP matrix: cases P
mod pushing; // plugin push: cases O
mod racing; // runs beside changes of what runs
mod repositories; // what git could be made to do: cases V
mod restoring; // plugin restore, and rollback to changed files
mod running; // tool NAME: cases S, P28
mod sandbox; // hooks shown, confined, forbidden: cases S, I2
mod schemas; // the schemas and the loaders agree
mod screens; // whole screens as people see them
mod settings; // env: what is in force
mod signals; // Ctrl-C and requests to end
mod signers; // who may have signed what comes in, whichever the verb
mod starting; // every way to a start, and what was tampered with: cases S, P28
mod statuses; // list and info say what the gate does: cases S, P28
mod support; // what they share
mod syncing; // plugin sync of many plugins at once: case F
mod trusting; // trust.yaml: limits, pins, accepted changes: cases S
mod unstartable; // what cannot be started is named, and reaches no shell: case S
mod updating; // update, outdated, pin, rollback: case I5
#[cfg(feature = "wasm")]
mod wasm; // plugins of WebAssembly: cases W
