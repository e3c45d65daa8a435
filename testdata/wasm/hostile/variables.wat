;; Sets a variable of 4097 bytes with its key.
(func (export "helm_plugin_main")
  (call $var_set (call $block (i32.const 0) (i32.const 1)) (call $alloc (i64.const 4096))))
