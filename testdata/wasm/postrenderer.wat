;; A post-renderer that puts a line before the document. Its answer keeps the arguments, which nobody reads.
(func (export "helm_plugin_main") (result i32)
  (local $len i32)
  ;; The input begins with the 14 bytes {"manifests":" which end where the 22 bytes of the new beginning end.
  (local.set $len (call $input (i32.const 1008)))
  (memory.init $head (i32.const 1000) (i32.const 0) (i32.const 22))
  (call $answer (i32.const 1000) (i32.add (local.get $len) (i32.const 8)))
  (i32.const 0))
(data $head "{\"manifests\":\"# seen\\n")
