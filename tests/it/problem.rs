//! Tests of problem.
