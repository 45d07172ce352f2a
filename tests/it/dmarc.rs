//! Tests of dmarc.
