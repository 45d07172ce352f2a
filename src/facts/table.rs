//! Every fact, declared once.
