//! Tests of iprev.
