//! Tests of dialogs.
