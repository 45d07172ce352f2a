//! Reverse MX: whether the client is one of a domain's mail exchangers.
