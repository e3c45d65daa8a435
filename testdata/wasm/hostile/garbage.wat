;; Answers with what is no JSON.
(data (i32.const 0) "{\"data\":")
(func (export "helm_plugin_main") (call $answer (i32.const 0) (i32.const 8)))
