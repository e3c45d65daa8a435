;; Answers with more than there is.
(func (export "helm_plugin_main") (call $output_set (call $alloc (i64.const 8)) (i64.const 100000000000)))
