;; whole
;; Wants what nobody has.
(module (import "env" "system" (func (param i32) (result i32))) (func (export "helm_plugin_main")))
