;; Logs without end, until it may no longer.
(func (export "helm_plugin_main") (local $i i32)
  (loop $again
    (call $log_warn (call $alloc (i64.const 1000)))
    (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 5000))))
  (unreachable))
