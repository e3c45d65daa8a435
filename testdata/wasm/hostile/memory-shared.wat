;; whole
;; Wants a memory that threads share.
(module (memory 1 2 shared) (func (export "helm_plugin_main")))
