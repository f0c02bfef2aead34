(module
  (memory (export "memory") 5)
  (func (export "search") (param $length i32) (param $byte i32) (param $out i32) (result i32)
    (local $start i32)
    (local $at i32)
    (local $mask i64)
    (local $bytes v128)
    (local $a v128)
    (local $b v128)
    (local $c v128)
    (local $d v128)
    (local.set $start (local.get $out))
    (local.set $bytes (i8x16.splat (local.get $byte)))
    (loop $block
      (if (v128.any_true
          (v128.or
            (v128.or
              (local.tee $a (i8x16.eq (local.get $bytes) (v128.load (local.get $at))))
              (local.tee $b (i8x16.eq (local.get $bytes) (v128.load offset=16 (local.get $at)))))
            (v128.or
              (local.tee $c (i8x16.eq (local.get $bytes) (v128.load offset=32 (local.get $at))))
              (local.tee $d (i8x16.eq (local.get $bytes) (v128.load offset=48 (local.get $at)))))))
        (then
          (local.set $mask
            (i64.or
              (i64.or
                (i64.extend_i32_u (i8x16.bitmask (local.get $a)))
                (i64.shl (i64.extend_i32_u (i8x16.bitmask (local.get $b))) (i64.const 16)))
              (i64.or
                (i64.shl (i64.extend_i32_u (i8x16.bitmask (local.get $c))) (i64.const 32))
                (i64.shl (i64.extend_i32_u (i8x16.bitmask (local.get $d))) (i64.const 48)))))
          (if (i32.lt_u (i32.sub (local.get $length) (local.get $at)) (i32.const 64))
            (then
              (local.set $mask
                (i64.and (local.get $mask)
                  (i64.sub
                    (i64.shl
                      (i64.const 1)
                      (i64.extend_i32_u (i32.sub (local.get $length) (local.get $at))))
                    (i64.const 1))))))
          (block $none
            (loop $bit
              (br_if $none (i64.eqz (local.get $mask)))
              (i32.store16 (local.get $out)
                (i32.add (local.get $at) (i32.wrap_i64 (i64.ctz (local.get $mask)))))
              (local.set $out (i32.add (local.get $out) (i32.const 2)))
              (local.set $mask
                (i64.and (local.get $mask) (i64.sub (local.get $mask) (i64.const 1))))
              (br $bit)))))
      (br_if $block
        (i32.lt_u
          (local.tee $at (i32.add (local.get $at) (i32.const 64)))
          (local.get $length))))
    (i32.shr_u (i32.sub (local.get $out) (local.get $start)) (i32.const 1))))
