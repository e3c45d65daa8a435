;; Sends the request that its setting `request` describes, and answers with status and body: {"data":"NNN <body>"}, where the body must need
;; no escaping. With the setting `show: headers` it is the response's headers, as JSON.
(data (i32.const 0) "request")
(data (i32.const 16) "show")
(data (i32.const 100) "{\"data\":\"")
(func $digit (param $at i32) (param $number i32)
  (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $number) (i32.const 10)))))
(func (export "helm_plugin_main") (result i32)
  (local $body i64) (local $end i32) (local $status i32)
  (local.set $body (call $http_request (call $config_get (call $block (i32.const 0) (i32.const 7))) (i64.const 0)))
  (if (i64.ne (call $config_get (call $block (i32.const 16) (i32.const 4))) (i64.const 0)) (then
    (local.set $end (i32.add (i32.const 108) (call $fetch (call $http_headers) (i32.const 108)))))
  (else
    (local.set $status (call $http_status_code))
    (call $digit (i32.const 109) (i32.div_u (local.get $status) (i32.const 100)))
    (call $digit (i32.const 110) (i32.div_u (local.get $status) (i32.const 10)))
    (call $digit (i32.const 111) (local.get $status))
    (i32.store8 (i32.const 112) (i32.const 32))
    (local.set $end (i32.add (i32.const 113) (call $fetch (local.get $body) (i32.const 113))))
    (i32.store8 (local.get $end) (i32.const 34))
    (local.set $end (i32.add (local.get $end) (i32.const 1)))))
  (i32.store8 (local.get $end) (i32.const 125))
  (call $answer (i32.const 100) (i32.sub (i32.add (local.get $end) (i32.const 1)) (i32.const 100)))
  (i32.const 0))
