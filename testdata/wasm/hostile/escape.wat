;; whole
;; Tries to leave its directory in every way, and answers with one letter for each: `y` where it was let, `n` where it was not.
(module
  (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_symlink" (func $symlink (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_rename" (func $rename (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_link" (func $link (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_create_directory" (func $mkdir (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
  (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
  (memory (export "memory") 1)
  (data (i32.const 100) "inside")          ;; 6
  (data (i32.const 110) "../outside")      ;; 10
  (data (i32.const 130) "/etc/passwd")     ;; 11
  (data (i32.const 150) "absolute")        ;; 8
  (data (i32.const 160) "relative")        ;; 8
  (data (i32.const 170) "a/../../outside") ;; 15
  (data (i32.const 190) "a")               ;; 1
  (data (i32.const 200) "relative/x")      ;; 10
  (data (i32.const 220) "..")              ;; 2
  (data (i32.const 230) "relative/")       ;; 9
  (data (i32.const 240) "absolute/")       ;; 9
  (data (i32.const 250) "../")             ;; 3
  (data (i32.const 300) "{\"data\":\"")    ;; 9
  (global $end (mut i32) (i32.const 309))
  (func $note (param $errno i32)
    (i32.store8 (global.get $end) (select (i32.const 110) (i32.const 121) (local.get $errno)))
    (global.set $end (i32.add (global.get $end) (i32.const 1))))
  (func $create (param $path i32) (param $len i32) (result i32)
    ;; Follow links; create; rights to read and write.
    (call $open (i32.const 3) (i32.const 1) (local.get $path) (local.get $len) (i32.const 1) (i64.const 0x1fffffff) (i64.const 0x1fffffff)
      (i32.const 0) (i32.const 0)))
  (func $read (param $path i32) (param $len i32) (result i32)
    (call $open (i32.const 3) (i32.const 1) (local.get $path) (local.get $len) (i32.const 0) (i64.const 2) (i64.const 2) (i32.const 0)
      (i32.const 0)))
  (func $enter (param $path i32) (param $len i32) (result i32)
    ;; As a directory.
    (call $open (i32.const 3) (i32.const 1) (local.get $path) (local.get $len) (i32.const 2) (i64.const 0x4000) (i64.const 2)
      (i32.const 0) (i32.const 0)))
  (func (export "helm_plugin_main") (result i32)
    (local $i i32) (local $len i32) (local $block i64)
    (call $note (call $create (i32.const 100) (i32.const 6)))
    (call $note (call $create (i32.const 110) (i32.const 10)))
    (call $note (call $read (i32.const 130) (i32.const 11)))
    (drop (call $mkdir (i32.const 3) (i32.const 190) (i32.const 1)))
    (call $note (call $create (i32.const 170) (i32.const 15)))
    ;; Links that lead out may be made; following them is what counts.
    (drop (call $symlink (i32.const 130) (i32.const 11) (i32.const 3) (i32.const 150) (i32.const 8)))
    (call $note (call $read (i32.const 150) (i32.const 8)))
    (drop (call $symlink (i32.const 220) (i32.const 2) (i32.const 3) (i32.const 160) (i32.const 8)))
    (call $note (call $create (i32.const 200) (i32.const 10)))
    ;; A slash at the end asks for what a link leads to.
    (call $note (call $enter (i32.const 230) (i32.const 9)))
    (call $note (call $enter (i32.const 240) (i32.const 9)))
    (call $note (call $enter (i32.const 250) (i32.const 3)))
    (call $note (call $mkdir (i32.const 3) (i32.const 110) (i32.const 10)))
    (call $note (call $rename (i32.const 3) (i32.const 100) (i32.const 6) (i32.const 3) (i32.const 110) (i32.const 10)))
    (call $note (call $link (i32.const 3) (i32.const 0) (i32.const 100) (i32.const 6) (i32.const 3) (i32.const 110) (i32.const 10)))
    (call $note (call $unlink (i32.const 3) (i32.const 110) (i32.const 10)))
    ;; Nothing but the one directory is open.
    (call $note (call $open (i32.const 4) (i32.const 1) (i32.const 100) (i32.const 6) (i32.const 0) (i64.const 2) (i64.const 2)
      (i32.const 0) (i32.const 0)))
    (i32.store8 (global.get $end) (i32.const 34))
    (i32.store8 offset=1 (global.get $end) (i32.const 125))
    (local.set $len (i32.sub (i32.add (global.get $end) (i32.const 2)) (i32.const 300)))
    (local.set $block (call $alloc (i64.extend_i32_u (local.get $len))))
    (loop $next
      (call $store_u8 (i64.add (local.get $block) (i64.extend_i32_u (local.get $i))) (i32.load8_u offset=300 (local.get $i)))
      (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $len))))
    (call $output_set (local.get $block) (i64.extend_i32_u (local.get $len)))
    (i32.const 0)))
