//! Tests of author.
