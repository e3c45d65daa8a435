;; Never begins: its start function does not end.
(func $start (loop $again (br $again)))
(start $start)
(func (export "helm_plugin_main"))
