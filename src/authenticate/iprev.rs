//! The client's reverse name (RFC 8601 §2.7.3).
