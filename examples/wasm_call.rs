//! What `scripts/bench` compares calls of WebAssembly plugins with: the same call inside an engine that is warm.
//!
//! ```text
//! wasm_call make BYTES FILE    writes a module of about so many bytes; it greets, as plugins of the type test/v1 do
//! wasm_call time COUNT FILE    compiles it once, calls it so often, and prints the median of the seconds that a call takes
//! ```
//!
//! The functions of Extism's interface that the module needs are served by the few lines below: no limits, nothing is checked.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for measuring may end where it stands")]

use std::time::Instant;

use wasmtime::{Caller, Config, Engine, Linker, Module, Store};

/// What the module and its host exchange: one memory, in which blocks begin where the last one ended.
#[derive(Default)]
struct State {
    input: Vec<u8>,
    memory: Vec<u8>,
    output: Vec<u8>,
}

type Here<'a> = Caller<'a, State>;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["make", bytes, file] => std::fs::write(file, make(bytes.parse().unwrap())).unwrap(),
        ["time", count, file] => println!("{:.9}", time(&std::fs::read(file).unwrap(), count.parse().unwrap())),
        _ => panic!("wasm_call make BYTES FILE, or wasm_call time COUNT FILE"),
    }
}

/// A module that greets, and has as many functions beside it as make it large: code that is compiled and never runs, as most is.
fn make(bytes: usize) -> Vec<u8> {
    let mut text =
        format!("(module {} {}", include_str!("../testdata/wasm/prelude.wat"), include_str!("../testdata/wasm/test.wat"));
    // Each is exported, so that nobody could leave it out, and is about 330 bytes.
    for number in 0..bytes / 330 {
        let steps: String = (0..20)
            .map(|step| {
                format!("(local.set 0 (i64.add (i64.mul (local.get 0) (i64.const {})) (local.get 1)))", number * 7919 + step)
            })
            .collect();
        let memory = "(i64.store (i32.wrap_i64 (local.get 1)) (local.get 0))";
        let rest =
            "(if (result i64) (i64.eqz (local.get 0)) (then (local.get 1)) (else (i64.load (i32.wrap_i64 (local.get 0)))))";
        text += &format!("(func (export \"f{number}\") (param i64 i64) (result i64) {steps} {memory} {rest})");
    }
    text.push(')');
    wat::parse_str(&text).unwrap()
}

fn time(module: &[u8], count: usize) -> f64 {
    let mut config = Config::new();
    config.epoch_interruption(true);
    let engine = Engine::new(&config).unwrap();
    let module = Module::new(&engine, module).unwrap();
    let mut linker = Linker::<State>::new(&engine);
    serve(&mut linker);
    linker.define_unknown_imports_as_traps(&module).unwrap();
    let mut seconds: Vec<f64> = (0..count)
        .map(|_| {
            let start = Instant::now();
            let mut store = Store::new(&engine, State { input: br#"{"Name":"Ann"}"#.to_vec(), ..State::default() });
            store.set_epoch_deadline(1 << 30);
            let instance = linker.instantiate(&mut store, &module).unwrap();
            instance.get_func(&mut store, "helm_plugin_main").unwrap().call(&mut store, &[], &mut []).unwrap();
            assert_eq!(store.data().output, br#"{"Greeting":"Hello, Ann"}"#);
            drop(store);
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

fn serve(linker: &mut Linker<State>) {
    const ENV: &str = "extism:host/env";
    linker
        .func_wrap(ENV, "alloc", |mut here: Here<'_>, length: u64| {
            let memory = &mut here.data_mut().memory;
            let at = memory.len();
            memory.resize(at + usize::try_from(length).unwrap(), 0);
            at as u64
        })
        .unwrap();
    linker
        .func_wrap(ENV, "store_u8", |mut here: Here<'_>, at: u64, byte: u32| {
            here.data_mut().memory[at as usize] = byte as u8;
        })
        .unwrap();
    linker.func_wrap(ENV, "input_length", |here: Here<'_>| here.data().input.len() as u64).unwrap();
    linker.func_wrap(ENV, "input_load_u8", |here: Here<'_>, at: u64| u32::from(here.data().input[at as usize])).unwrap();
    linker
        .func_wrap(ENV, "output_set", |mut here: Here<'_>, at: u64, length: u64| {
            let state = here.data_mut();
            state.output = state.memory[at as usize..(at + length) as usize].to_vec();
        })
        .unwrap();
}
