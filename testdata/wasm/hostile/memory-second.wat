;; whole
;; Has two memories, which are too much together.
(module (memory 3) (memory 2) (func (export "helm_plugin_main")))
