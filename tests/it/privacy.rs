//! The journal is personal data: pseudonyms, erasure, export, and the audit of what was loaded.

mod audit;
mod erasure;
mod pseudonyms;
mod sessions;
