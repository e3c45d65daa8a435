;; Never ends.
(func (export "helm_plugin_main") (loop $again (br $again)))
