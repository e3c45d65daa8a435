;; Answers `null` where a result should be.
(data (i32.const 0) "{\"data\":null,\"manifests\":null,\"Greeting\":null}")
(func (export "helm_plugin_main") (result i32) (call $answer (i32.const 0) (i32.const 46)) (i32.const 0))
