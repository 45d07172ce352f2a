//! Tests of spf.
