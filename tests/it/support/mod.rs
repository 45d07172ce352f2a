//! What tests share: the DNS server, an SMTP client, the corpora, temporary configs.
