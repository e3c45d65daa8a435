;; Breaks down.
(func (export "helm_plugin_main") (drop (i32.div_u (i32.const 1) (i32.const 0))))
