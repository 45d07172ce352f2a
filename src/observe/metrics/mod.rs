//! What is counted, for Prometheus.
//!
//! Each metric is declared once in [`declared`], each label takes its values from a closed set in [`label`], and counting is done
//! through typed methods, so that a wrong number of labels can't be written down. What the stages count in atomics of their own is
//! handed in by [`Metrics::register_counter`] and read when somebody asks.

mod block_lists;
pub mod declared;
mod handed_in;
pub mod label;
mod state;

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

pub use block_lists::ListCount;
pub use state::StateCount;

use crate::facts::record::{Record, RuleRecord};
use crate::facts::word::Action;
use crate::facts::{Facts, Stage};
use crate::observe::journal::Journal;
use crate::observe::log::Log;
use label::{
    Abuse, CODES, ConnectionOutcome, DeliverErrorKind, DirectorySync, DnsOutcome, GreylistKey, GreylistResult,
    HandshakeOutcome, Method, ReloadOutcome, SandboxLayer, SessionTls, Verb, code_index,
};

/// Seconds; an SMTP stage takes from microseconds to the 30 s that evidence may take.
const SECONDS: &[f64] =
    &[0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Why metrics could not be set up: a mistake in the program, never the administrator's.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The name is not in [`declared::DECLARED`] as what it was asked for.
    #[error("metric {0} is not declared so")]
    Undeclared(String),
    /// The same series was registered twice, or Prometheus' rules are broken otherwise.
    #[error(transparent)]
    Prometheus(#[from] prometheus::Error),
}

/// All counters and gauges of one server, in a registry of their own. Share it in an `Arc`.
pub struct Metrics {
    registry: Registry,
    authentication: IntCounterVec,
    connections: IntGauge,
    connections_total: IntCounterVec,
    decisions: IntCounterVec,
    deliver_seconds: Histogram,
    dns_up: IntGauge,
    message_bytes: IntCounter,
    messages: IntCounter,
    panics: IntCounter,
    protocol_abuses: IntCounterVec,
    reloads: IntCounterVec,
    list_reloads: IntCounterVec,
    replies: Replies,
    rules: IntCounterVec,
    sandbox: IntGaugeVec,
    sessions: IntCounterVec,
    soft_reject: IntGauge,
    stage_seconds: HistogramVec,
    certificate_expiry: IntGauge,
    certificate_reloads: IntCounterVec,
    tls_handshakes: IntCounterVec,
    untrusted_private_clients: IntCounter,
}

impl Metrics {
    /// All metrics at zero. `version` is what `gatepost_build_info` says.
    ///
    /// # Errors
    /// A declaration breaks Prometheus' rules.
    pub fn new(version: &str) -> Result<Metrics, MetricsError> {
        let registry = Registry::new();
        let metrics = Metrics {
            authentication: counters(&registry, "gatepost_authentication_results_total")?,
            connections: gauge(&registry, "gatepost_connections")?,
            connections_total: counters(&registry, "gatepost_connections_total")?,
            decisions: counters(&registry, "gatepost_decisions_total")?,
            deliver_seconds: registered(&registry, Histogram::with_opts(buckets("gatepost_deliver_seconds")?)?)?,
            message_bytes: counter(&registry, "gatepost_message_bytes_total")?,
            messages: counter(&registry, "gatepost_messages_total")?,
            panics: counter(&registry, "gatepost_panics_total")?,
            protocol_abuses: counters(&registry, "gatepost_protocol_abuses_total")?,
            reloads: counters(&registry, "gatepost_reloads_total")?,
            list_reloads: counters(&registry, "gatepost_list_reloads_total")?,
            replies: Replies::new(counters(&registry, "gatepost_replies_total")?),
            rules: counters(&registry, "gatepost_rules_total")?,
            sandbox: gauges(&registry, "gatepost_sandbox")?,
            sessions: counters(&registry, "gatepost_sessions_total")?,
            dns_up: gauge(&registry, "gatepost_dns_up")?,
            soft_reject: gauge(&registry, "gatepost_soft_reject")?,
            stage_seconds: {
                let opts = buckets("gatepost_stage_seconds")?;
                registered(&registry, HistogramVec::new(opts, declared("gatepost_stage_seconds")?.labels)?)?
            },
            certificate_expiry: gauge(&registry, "gatepost_tls_certificate_expiry_timestamp_seconds")?,
            certificate_reloads: counters(&registry, "gatepost_tls_certificate_reloads_total")?,
            tls_handshakes: counters(&registry, "gatepost_tls_handshakes_total")?,
            untrusted_private_clients: counter(&registry, "gatepost_untrusted_private_clients_total")?,
            registry,
        };
        metrics.say_version(version)?;
        metrics.show_zeros();
        Ok(metrics)
    }

    fn say_version(&self, version: &str) -> Result<(), MetricsError> {
        let build = declared("gatepost_build_info")?;
        let opts = Opts::new(build.name, build.meaning).const_label("version", version);
        registered(&self.registry, IntGauge::with_opts(opts)?)?.set(1);
        let start = declared("process_start_time_seconds")?;
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        registered(&self.registry, Gauge::new(start.name, start.meaning)?)?.set(seconds);
        Ok(())
    }

    /// Small closed sets stand at zero from the start, so that a first failure shows as a rise and not as a new series.
    fn show_zeros(&self) {
        let single = [
            (&self.connections_total, ConnectionOutcome::WORDS),
            (&self.protocol_abuses, Abuse::WORDS),
            (&self.reloads, ReloadOutcome::WORDS),
            (&self.list_reloads, ReloadOutcome::WORDS),
            (&self.certificate_reloads, ReloadOutcome::WORDS),
            (&self.sessions, SessionTls::WORDS),
            (&self.tls_handshakes, HandshakeOutcome::WORDS),
        ];
        for (family, words) in single {
            for word in words {
                let _ = family.get_metric_with_label_values(&[word]);
            }
        }
        for stage in [Stage::Rcpt, Stage::Data] {
            let _ = self.stage_seconds.get_metric_with_label_values(&[stage.as_str()]);
        }
        for action in Action::WORDS {
            let _ = self.decisions.get_metric_with_label_values(&[*action, label::rule("")]);
        }
    }

    /// Certificates were read again because a file had changed.
    pub fn certificate_reload(&self, outcome: ReloadOutcome) {
        increase(&self.certificate_reloads, &[outcome.as_str()]);
    }

    /// When the first certificate ends: seconds since 1970, 0 without one.
    pub fn certificate_expiry(&self, seconds: i64) {
        self.certificate_expiry.set(seconds);
    }

    /// Whether a layer holds the process.
    pub fn sandbox(&self, layer: SandboxLayer, is_on: bool) {
        if let Ok(gauge) = self.sandbox.get_metric_with_label_values(&[layer.as_str()]) {
            gauge.set(i64::from(is_on));
        }
    }

    /// A connection came in. Where it was accepted, [`Metrics::connection_closed`] must follow.
    pub fn connection(&self, outcome: ConnectionOutcome) {
        increase(&self.connections_total, &[outcome.as_str()]);
        if outcome == ConnectionOutcome::Accepted {
            self.connections.inc();
        }
    }

    /// An accepted connection has ended, and its session with it.
    pub fn connection_closed(&self, tls: SessionTls) {
        self.connections.dec();
        increase(&self.sessions, &[tls.as_str()]);
    }

    /// A client did what no mail server does.
    pub fn protocol_abuse(&self, abuse: Abuse) {
        increase(&self.protocol_abuses, &[abuse.as_str()]);
    }

    /// A reply was sent.
    pub fn reply(&self, verb: Verb, code: u16) {
        self.replies.increase(verb, code);
    }

    /// A stage has answered.
    pub fn stage(&self, stage: Stage, took: Duration) {
        if let Ok(histogram) = self.stage_seconds.get_metric_with_label_values(&[stage.as_str()]) {
            histogram.observe(took.as_secs_f64());
        }
    }

    /// A message came in whole, with so many octets.
    pub fn message(&self, octets: u64) {
        self.messages.inc();
        self.message_bytes.inc_by(octets);
    }

    /// A decision of a rule, or of none (`""`).
    pub fn decision(&self, action: Action, rule: &str) {
        increase(&self.decisions, &[action.as_str(), label::rule(rule)]);
    }

    /// What a rule did.
    pub fn rule(&self, rule: &RuleRecord) {
        increase(&self.rules, &[label::rule(&rule.name), rule.outcome.as_str()]);
    }

    /// The results of all methods for one message.
    pub fn authentication(&self, facts: &Facts) {
        let count = |method: Method, result: &str| increase(&self.authentication, &[method.as_str(), result]);
        count(Method::SpfHelo, facts.spf.helo.result.as_str());
        count(Method::SpfMailFrom, facts.spf.mail_from.result.as_str());
        if facts.dkim.is_empty() {
            count(Method::Dkim, "none");
        }
        for signature in &facts.dkim {
            count(Method::Dkim, signature.result.as_str());
        }
        count(Method::Dmarc, facts.dmarc.result.as_str());
        count(Method::Arc, facts.arc.result.as_str());
        count(Method::Iprev, facts.iprev.result.as_str());
        count(Method::Helo, facts.helo_check.result.as_str());
        count(Method::ReverseMxMailFrom, facts.reverse_mx.mail_from.result.as_str());
        count(Method::ReverseMxFrom, facts.reverse_mx.from.result.as_str());
        count(Method::ReverseMxReplyTo, facts.reverse_mx.reply_to.result.as_str());
        count(Method::ReverseMxPtr, facts.reverse_mx.ptr.result.as_str());
    }

    /// All that one finished transaction counts: its decision (one that the client gave up, without an answer to end it, has none),
    /// its rules and, where a message was judged, that message and its authentication results.
    pub fn transaction(&self, record: &Record) {
        if !record.decision.reply.is_empty() {
            self.decision(record.decision.action, &record.decision.rule);
        }
        record.rules.iter().for_each(|rule| self.rule(rule));
        if record.stage == Stage::Data && record.facts.message.bytes > 0 {
            self.message(record.facts.message.bytes);
            self.authentication(&record.facts);
        }
    }

    /// A message became durable.
    pub fn delivered(&self, took: Duration) {
        self.deliver_seconds.observe(took.as_secs_f64());
    }

    /// A TLS handshake has ended.
    pub fn tls_handshake(&self, outcome: HandshakeOutcome) {
        increase(&self.tls_handshakes, &[outcome.as_str()]);
    }

    /// A panic was caught.
    pub fn panic(&self) {
        self.panics.inc();
    }

    /// A reload has ended.
    pub fn reload(&self, outcome: ReloadOutcome) {
        increase(&self.reloads, &[outcome.as_str()]);
    }

    /// Lists of policies were read again, or could not be.
    pub fn list_reload(&self, outcome: ReloadOutcome) {
        increase(&self.list_reloads, &[outcome.as_str()]);
    }

    /// Whether our own DNS servers work.
    pub fn dns_up(&self, works: bool) {
        self.dns_up.set(i64::from(works));
    }

    /// Whether `smtp.soft_reject` is in force.
    pub fn soft_reject(&self, in_force: bool) {
        self.soft_reject.set(i64::from(in_force));
    }

    /// A session came from a private address that is not trusted.
    pub fn untrusted_private_client(&self) {
        self.untrusted_private_clients.inc();
    }

    /// A counter that a stage keeps: `read` is asked at every scrape. The name must be declared as a counter, with just these
    /// labels; several series of one name are registered one by one.
    ///
    /// # Errors
    /// It is not declared, or this series is registered already.
    pub fn register_counter(
        &self,
        name: &str,
        labels: &[(&str, &str)],
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<(), MetricsError> {
        let collector = handed_in::HandedIn::new(declared::Kind::Counter, name, labels, Box::new(read))?;
        self.registry.register(Box::new(collector))?;
        Ok(())
    }

    /// A gauge without labels that somebody else keeps: `read` is asked at every scrape.
    ///
    /// # Errors
    /// It is not declared as a gauge, or is registered already.
    pub fn register_gauge(
        &self,
        name: &str,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<(), MetricsError> {
        let collector = handed_in::HandedIn::new(declared::Kind::Gauge, name, &[], Box::new(read))?;
        self.registry.register(Box::new(collector))?;
        Ok(())
    }

    /// What the journal counts.
    ///
    /// # Errors
    /// A journal is registered already.
    pub fn register_journal(&self, journal: &Journal) -> Result<(), MetricsError> {
        use std::sync::atomic::Ordering::Relaxed;
        let counters = journal.counters();
        let (written, dropped, errors) = (counters.clone(), counters.clone(), counters);
        self.register_counter("gatepost_journal_lines_total", &[], move || written.written.load(Relaxed))?;
        self.register_counter("gatepost_journal_dropped_total", &[], move || dropped.dropped.load(Relaxed))?;
        self.register_counter("gatepost_journal_errors_total", &[], move || errors.errors.load(Relaxed))?;
        let (written, errors) = (journal.counters(), journal.counters());
        self.register_counter("gatepost_audit_lines_total", &[], move || written.audit_written.load(Relaxed))?;
        self.register_counter("gatepost_audit_errors_total", &[], move || errors.audit_errors.load(Relaxed))
    }

    /// What the log counts.
    ///
    /// # Errors
    /// A log is registered already.
    pub fn register_log(&self, log: &Log) -> Result<(), MetricsError> {
        let log = log.clone();
        self.register_counter("gatepost_log_dropped_total", &[], move || log.dropped())
    }

    /// The block lists: `read` is asked at every scrape.
    ///
    /// # Errors
    /// They are registered already.
    pub fn register_block_lists(
        &self,
        read: impl Fn() -> Vec<ListCount> + Send + Sync + 'static,
    ) -> Result<(), MetricsError> {
        self.registry.register(Box::new(block_lists::BlockLists::new(read)?))?;
        Ok(())
    }

    /// What is remembered between messages: `read` is asked at every scrape.
    ///
    /// # Errors
    /// It is registered already.
    pub fn register_state(&self, read: impl Fn() -> StateCount + Send + Sync + 'static) -> Result<(), MetricsError> {
        self.registry.register(Box::new(state::State::new(read)?))?;
        Ok(())
    }

    /// How often greylisting said so.
    ///
    /// # Errors
    /// This pair is registered already.
    pub fn register_greylist(
        &self,
        result: GreylistResult,
        key: GreylistKey,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<(), MetricsError> {
        let labels = [("result", result.as_str()), ("key", key.as_str())];
        self.register_counter("gatepost_greylist_results_total", &labels, read)
    }

    /// Look-ups in DNS that ended so.
    ///
    /// # Errors
    /// This outcome is registered already.
    pub fn register_dns(
        &self,
        outcome: DnsOutcome,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<(), MetricsError> {
        self.register_counter("gatepost_dns_queries_total", &[("outcome", outcome.as_str())], read)
    }

    /// Deliveries that failed so.
    ///
    /// # Errors
    /// This kind is registered already.
    pub fn register_deliver_errors(
        &self,
        kind: DeliverErrorKind,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<(), MetricsError> {
        self.register_counter("gatepost_deliver_errors_total", &[("kind", kind.as_str())], read)
    }

    /// Directories that became durable so.
    ///
    /// # Errors
    /// This outcome is registered already.
    pub fn register_directory_syncs(
        &self,
        outcome: DirectorySync,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<(), MetricsError> {
        self.register_counter("gatepost_deliver_directory_syncs_total", &[("outcome", outcome.as_str())], read)
    }

    /// Everything in Prometheus' text format 0.0.4.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if let Err(error) = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "metrics cannot be written as text");
        }
        text
    }
}

/// Replies by verb and code. A handle is resolved when a pair is first seen, so that neither 300 zeros are shown nor a label is
/// hashed for every reply.
struct Replies {
    family: IntCounterVec,
    handles: Vec<Vec<OnceLock<IntCounter>>>,
}

impl Replies {
    fn new(family: IntCounterVec) -> Replies {
        let row = || CODES.iter().map(|_| OnceLock::new()).collect();
        Replies { family, handles: Verb::ALL.iter().map(|_| row()).collect() }
    }

    fn increase(&self, verb: Verb, code: u16) {
        let code = code_index(code);
        let (Some(handle), Some(word)) =
            (self.handles.get(verb as usize).and_then(|row| row.get(code)), CODES.get(code))
        else {
            return;
        };
        if let Some(counter) = handle.get() {
            counter.inc();
        } else if let Ok(counter) = self.family.get_metric_with_label_values(&[verb.as_str(), word]) {
            handle.get_or_init(|| counter).inc();
        }
    }
}

fn increase(family: &IntCounterVec, values: &[&str]) {
    // Fails only for a wrong number of labels, which the callers above don't give.
    if let Ok(counter) = family.get_metric_with_label_values(values) {
        counter.inc();
    }
}

fn declared(name: &str) -> Result<&'static declared::Declaration, MetricsError> {
    declared::find(name).ok_or_else(|| MetricsError::Undeclared(name.to_owned()))
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C, MetricsError> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn counter(registry: &Registry, name: &str) -> Result<IntCounter, MetricsError> {
    let declared = declared(name)?;
    registered(registry, IntCounter::new(declared.name, declared.meaning)?)
}

fn counters(registry: &Registry, name: &str) -> Result<IntCounterVec, MetricsError> {
    let declared = declared(name)?;
    registered(registry, IntCounterVec::new(Opts::new(declared.name, declared.meaning), declared.labels)?)
}

fn gauges(registry: &Registry, name: &str) -> Result<IntGaugeVec, MetricsError> {
    let declared = declared(name)?;
    registered(registry, IntGaugeVec::new(Opts::new(declared.name, declared.meaning), declared.labels)?)
}

fn gauge(registry: &Registry, name: &str) -> Result<IntGauge, MetricsError> {
    let declared = declared(name)?;
    registered(registry, IntGauge::new(declared.name, declared.meaning)?)
}

fn buckets(name: &str) -> Result<HistogramOpts, MetricsError> {
    let declared = declared(name)?;
    Ok(HistogramOpts::new(declared.name, declared.meaning).buckets(SECONDS.to_vec()))
}
