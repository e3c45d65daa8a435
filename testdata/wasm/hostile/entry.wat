;; Has another entry, and the right name for something else.
(func (export "run"))
(func (export "helm_plugin_main") (param i32))
