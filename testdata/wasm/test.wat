;; A test plugin: {"Name":"x"} to {"Greeting":"Hello, x"}.
(data $head "{\"Greeting\":\"Hello, ")
(func (export "helm_plugin_main")
  (local $len i32)
  ;; The input begins with the 9 bytes {"Name":" which end where the 20 bytes of the answer's beginning end.
  (local.set $len (call $input (i32.const 1011)))
  (memory.init $head (i32.const 1000) (i32.const 0) (i32.const 20))
  (call $answer (i32.const 1000) (i32.add (local.get $len) (i32.const 11))))
