//! Tests of recipients.
