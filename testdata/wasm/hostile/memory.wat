;; Takes more and more memory.
(func (export "helm_plugin_main") (loop $again (drop (memory.grow (i32.const 1))) (br $again)))
