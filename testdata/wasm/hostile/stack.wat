;; Calls itself without end.
(func $again (export "helm_plugin_main") (call $again) (call $again))
