;; whole
;; Begins with more memory than is there.
(module (memory 5) (func (export "helm_plugin_main")))
