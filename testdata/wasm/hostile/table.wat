;; Takes more and more table.
(table $t 1 funcref)
(func (export "helm_plugin_main") (loop $again
  (drop (table.grow $t (ref.null func) (i32.const 100000))) (br $again)))
