(import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
(import "extism:host/env" "length" (func $length (param i64) (result i64)))
(import "extism:host/env" "load_u8" (func $load_u8 (param i64) (result i32)))
(import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
(import "extism:host/env" "input_length" (func $input_length (result i64)))
(import "extism:host/env" "input_load_u8" (func $input_load_u8 (param i64) (result i32)))
(import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
(import "extism:host/env" "error_set" (func $error_set (param i64)))
(import "extism:host/env" "config_get" (func $config_get (param i64) (result i64)))
(import "extism:host/env" "var_get" (func $var_get (param i64) (result i64)))
(import "extism:host/env" "var_set" (func $var_set (param i64 i64)))
(import "extism:host/env" "http_request" (func $http_request (param i64 i64) (result i64)))
(import "extism:host/env" "http_status_code" (func $http_status_code (result i32)))
(import "extism:host/env" "http_headers" (func $http_headers (result i64)))
(import "extism:host/env" "log_info" (func $log_info (param i64)))
(import "extism:host/env" "log_warn" (func $log_warn (param i64)))
(import "extism:host/env" "log_debug" (func $log_debug (param i64)))
(memory (export "memory") 1)

;; A block of the bytes at $at.
(func $block (param $at i32) (param $len i32) (result i64)
  (local $block i64) (local $i i32)
  (local.set $block (call $alloc (i64.extend_i32_u (local.get $len))))
  (block $done (loop $next
    (br_if $done (i32.ge_u (local.get $i) (local.get $len)))
    (call $store_u8 (i64.add (local.get $block) (i64.extend_i32_u (local.get $i)))
      (i32.load8_u (i32.add (local.get $at) (local.get $i))))
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br $next)))
  (local.get $block))

;; Answers with the bytes at $at.
(func $answer (param $at i32) (param $len i32)
  (call $output_set (call $block (local.get $at) (local.get $len)) (i64.extend_i32_u (local.get $len))))

;; Copies the input to $at; gives its length.
(func $input (param $at i32) (result i32)
  (local $i i32) (local $len i32)
  (local.set $len (i32.wrap_i64 (call $input_length)))
  (block $done (loop $next
    (br_if $done (i32.ge_u (local.get $i) (local.get $len)))
    (i32.store8 (i32.add (local.get $at) (local.get $i)) (call $input_load_u8 (i64.extend_i32_u (local.get $i))))
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br $next)))
  (local.get $len))

;; Copies the block at $from to $at; gives its length.
(func $fetch (param $from i64) (param $at i32) (result i32)
  (local $i i32) (local $len i32)
  (local.set $len (i32.wrap_i64 (call $length (local.get $from))))
  (block $done (loop $next
    (br_if $done (i32.ge_u (local.get $i) (local.get $len)))
    (i32.store8 (i32.add (local.get $at) (local.get $i))
      (call $load_u8 (i64.add (local.get $from) (i64.extend_i32_u (local.get $i)))))
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br $next)))
  (local.get $len))
