//! The journal is personal data: pseudonyms, erasure, export, and the audit of what was loaded.

mod audit;
mod erasure;
mod erasure_words;
mod odd_files;
mod pseudonyms;
mod sessions;
