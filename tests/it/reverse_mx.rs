//! Tests of reverse_mx.
