;; Takes block after block.
(func (export "helm_plugin_main") (loop $again (drop (call $alloc (i64.const 10000))) (br $again)))
