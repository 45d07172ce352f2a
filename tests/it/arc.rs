//! Tests of arc.
