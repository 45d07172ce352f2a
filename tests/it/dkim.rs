//! Tests of dkim.
