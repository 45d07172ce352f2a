//! How recipients, messages and transactions end: the reply's last words, and the account of it.

use crate::authenticate::header::{authentication_results, without_ours};
use crate::deliver::DeliverError;
use crate::deliver::quota::Short;
use crate::facts::record::{Recipient, RuleRecord};
use crate::facts::word::{Action, GreylistResult};
use crate::facts::{Rcpt, Role, Stage};
use crate::message::content::Content;
use crate::message::trace::{self, Received, With};
use crate::observe::escape::shown;
use crate::observe::metrics::label::Abuse;
use crate::policy::Grounds;
use crate::recipients::{Directory, Local, MailboxName, Resolution};
use crate::smtp::address::{ForwardPath, ReversePath};
use crate::smtp::data::DataDefect;
use crate::smtp::reply::{self, Reply};

use super::Inquiry;
use super::account::{self, End, Told};
use super::carry_out::{self, Acknowledged, Carrier, Trace, Trouble};
use super::failing;
use super::incoming::Arrived;
use super::judge::{self, Judged};
use super::transaction::{Accepted, Recalled, Refusal, Standing, Transaction};

/// Characters of an address that the record keeps.
const ADDRESS: usize = 320;

/// A refusal that no rule made.
pub(super) fn by_protocol(stage: Stage, reply: Reply) -> Refusal {
    let (rules, grounds) = (Vec::new(), Grounds::default());
    let (trouble, rcpt) = (String::new(), Rcpt::default());
    Refusal { stage, rule: String::new(), grounds, reply, rules, score: 0.0, trouble, rcpt, recalled: None }
}

impl Inquiry {
    /// A reply as it is sent: every refusal ends in the ref, and is softened where the operator wants that.
    pub(super) fn worded(&self, reply: Reply, reference: &str) -> Reply {
        let reply = if self.receiver.soft_reject { reply.soften() } else { reply };
        if reply.is_positive() { reply } else { reply.with_ref(reference) }
    }

    /// MAIL was refused by a bound of the session: its transaction ends where it would have begun.
    pub fn refused_mail(&mut self, reverse_path: ReversePath, refusal: Reply) -> Reply {
        self.refused_beginning(Stage::Mail, reverse_path, refusal)
    }

    /// There was no place for the connection: the record of a session that never was.
    pub fn refused_connection(&mut self, refusal: Reply) -> Reply {
        self.refused_beginning(Stage::Connect, ReversePath::Null, refusal)
    }

    fn refused_beginning(&mut self, stage: Stage, reverse_path: ReversePath, refusal: Reply) -> Reply {
        self.begin(reverse_path, false);
        let Some(transaction) = self.transaction.take() else { return refusal };
        let (reply, end) = self.refused_by_protocol(stage, refusal, &transaction);
        self.account(*transaction, end);
        reply
    }

    /// The reply as it is sent, and the end of a transaction that no rule refuses: what is decided is not softened.
    fn refused_by_protocol(&self, stage: Stage, refusal: Reply, transaction: &Transaction) -> (Reply, End) {
        let reply = self.worded(refusal.clone(), &transaction.reference);
        let end = End::refused(by_protocol(stage, refusal), policy_of(transaction));
        (reply.clone(), End { reply: Some(reply), ..end })
    }

    /// RCPT was refused by a bound of the session.
    pub fn refused_recipient(&mut self, path: &ForwardPath, refusal: Reply) -> Reply {
        self.refuse_by_protocol(path, refusal)
    }

    /// The recipient who was answered last hears this instead, and with it the transaction ends.
    pub fn refused_for_good(&mut self, refusal: Reply) -> Reply {
        let Some(mut transaction) = self.transaction.take() else { return refusal };
        let (reply, end) = self.refused_by_protocol(Stage::Rcpt, refusal, &transaction);
        if let Some(last) = transaction.tried.last_mut().filter(|_| transaction.tried_more == 0) {
            last.reply = reply.one_line();
        }
        let end = with_heard(&transaction, end);
        self.account(*transaction, end);
        reply
    }

    /// A recipient is refused, and no rule has done it.
    pub(super) fn refuse_by_protocol(&mut self, path: &ForwardPath, refusal: Reply) -> Reply {
        self.refuse_recipient(path, None, by_protocol(Stage::Rcpt, refusal))
    }

    pub(super) fn refuse_recipient(&mut self, path: &ForwardPath, local: Option<&Local>, refusal: Refusal) -> Reply {
        let Some(reference) = self.transaction.as_ref().map(|transaction| transaction.reference.clone()) else {
            return reply::internal_error();
        };
        let reply = self.worded(refusal.reply.clone(), &reference);
        if let Some(transaction) = &mut self.transaction {
            let mut noted = recipient(path, local, &reply);
            noted.decision = refusal.by_rule();
            noted.trouble.clone_from(&refusal.trouble);
            noted.recalled = refusal.recalled.as_ref().and_then(Recalled::of_recipient);
            let greylist = transaction.facts.greylist.result;
            transaction.put_off |= local.is_some() && matches!(greylist, GreylistResult::New | GreylistResult::Early);
            transaction.note_recipient(noted);
            if let Some(earlier) = transaction.refused.replace(refusal) {
                // the record tells of the last one only
                earlier.rules.iter().for_each(|rule| self.receiver.metrics.rule(rule));
            }
        }
        reply
    }

    pub(super) fn accept_recipient(
        &mut self,
        path: &ForwardPath,
        local: Local,
        standing: Standing,
        scarce: Option<Short>,
    ) -> Reply {
        let Some(transaction) = &mut self.transaction else { return reply::internal_error() };
        let reply = reply::rcpt_ok();
        let recalled = Recalled::of(&transaction.facts).of_recipient();
        let listed = transaction.note_recipient(Recipient { recalled, ..recipient(path, Some(&local), &reply) });
        let (path, mailboxes) = (path.to_string(), local.mailboxes);
        transaction.accepted.push(Accepted { path, mailboxes, standing, listed, scarce });
        reply
    }

    /// The message as it has come in, where nothing about its framing or size refuses it.
    ///
    /// # Errors
    /// The refusal, or our own trouble.
    pub(super) async fn arrived(&mut self, defect: Option<DataDefect>) -> Result<Arrived, Trouble> {
        let incoming = self.transaction.as_mut().and_then(|transaction| transaction.incoming.take());
        if let (Some(incoming), Some(transaction)) = (&incoming, &mut self.transaction) {
            let message = &mut transaction.facts.message;
            (message.bytes, message.longest_line) = (incoming.bytes(), incoming.longest_line());
        }
        if let Some(defect) = defect {
            return Err(self.counted(abuse(defect), reply::data_defect(defect)));
        }
        if self.transaction.as_ref().is_none_or(|transaction| transaction.panicked) {
            return Err(reply::internal_error().into());
        }
        let header_was_known = incoming.as_ref().is_some_and(|incoming| incoming.dkim_keys().is_some());
        let arrived = match incoming {
            Some(incoming) => incoming.finish().await?,
            None => return Err(reply::internal_error().into()),
        };
        if !header_was_known {
            // there is no body: the end of the data ended the header
            self.header(&arrived.content.header);
        }
        let header = &arrived.content.header;
        if self.receiver.limits.refuse(header) {
            return Err(self.counted(Abuse::HeaderTooBig, reply::header_too_big()));
        }
        let most = self.receiver.most_received;
        if header.named("received").take(most.saturating_add(1)).count() > most {
            return Err(self.counted(Abuse::Loop, reply::loop_detected()));
        }
        Ok(arrived)
    }

    /// The refusal of a message because of its form, counted by its kind.
    fn counted(&self, abuse: Abuse, refusal: Reply) -> Trouble {
        self.receiver.metrics.protocol_abuse(abuse);
        refusal.into()
    }

    /// Ends the transaction with a refusal of the message that no rule made.
    pub(super) fn refuse_message(&mut self, trouble: impl Into<Trouble>) -> Reply {
        let trouble = trouble.into();
        let Some(transaction) = self.transaction.take() else { return trouble.reply };
        trouble.tell(&trouble.cause, &transaction.reference);
        let Trouble { reply, cause, .. } = trouble;
        let (reply, end) = self.refused_by_protocol(Stage::Data, reply, &transaction);
        let end = End { trouble: cause, ..end };
        let end = with_heard(&transaction, end);
        self.account(*transaction, end);
        reply
    }

    /// What the judgement means for the transaction; a reply stands in it only where the message is refused.
    pub(super) fn end_of(&self, transaction: &Transaction, judged: &[Judged<'_>]) -> End {
        let policy = judged.first().map_or_else(|| policy_of(transaction), |one| one.policy.record());
        let by_recipient = judge::by_recipient(judged);
        if let Some(refusal) = judge::refusal(judged) {
            let other_rules = other_rules(judged, &refusal.rules);
            return End { by_recipient, other_rules, ..End::refused(refusal, policy) };
        }
        let Some(first) = judged.first() else {
            // only a rehearsal gets here without a recipient
            let refusal = transaction.refused.clone();
            return End::refused(refusal.unwrap_or_else(|| by_protocol(Stage::Rcpt, reply::no_recipients())), policy);
        };
        End {
            action: first.verdict.action(),
            all_accept: judged.iter().all(|one| one.verdict.action() == Action::Accept),
            changes: first.changes(),
            changes_by_recipient: judge::changes_by_recipient(judged),
            rule: first.verdict.rule().to_owned(),
            grounds: first.judgement.grounds.clone(),
            rules: first.judgement.rules.clone(),
            other_rules: other_rules(judged, &first.judgement.rules),
            score: first.judgement.score,
            rcpt: first.rcpt.clone(),
            by_recipient,
            ..End::given_up(Stage::Data, policy)
        }
    }

    /// Stores the copies, or journals that nothing is kept.
    ///
    /// # Errors
    /// Our own trouble.
    pub(super) async fn carry_out(
        &self,
        transaction: &Transaction,
        content: Content,
        judged: &[Judged<'_>],
        end: &End,
    ) -> Result<Acknowledged, Trouble> {
        if carry_out::keeps_nothing(judged) {
            return self.discard(transaction, end).await.map_err(Trouble::from);
        }
        let trace = self.trace(transaction);
        let directory = &self.receiver.directory;
        let cleaned = without_ours(&content.header, &self.receiver.authserv_id).await;
        let redirected = |address: &str| redirected(directory, address);
        let client = transaction.facts.client.ip;
        // what changed headers hold counts until the copies are stored
        let mut share = self.receiver.memory.of(self.receiver.sharer_of_memory(client));
        let plan = carry_out::copies(&content, &cleaned, &trace, judged, redirected, &mut share).await;
        let plan = plan.inspect_err(|trouble| trouble.tell(&trouble.cause, &transaction.reference))?;
        let from = self.receiver.sharer_of_disk(client);
        let stored = carry_out::store(&self.receiver.carrier, content, cleaned, plan, from).await;
        stored.map_err(|error| {
            let mut record = account::record(Told::of(transaction), end.clone());
            record.trouble = error.to_string();
            let record = match &self.receiver.journal {
                Some(journal) => journal.veil(record).trouble.clone(),
                None => record.trouble,
            };
            let (trouble, reference) = (Trouble::of_storing(&error), &transaction.reference);
            if matches!(error, DeliverError::OverQuota { .. }) {
                tracing::info!(error = %record, %reference, "a message has no room in a mailbox, it is deferred");
            } else {
                trouble.tell(&record, reference);
            }
            trouble
        })
    }

    /// A discarded message is in the journal, on disk, before it is acknowledged: nothing else tells of it.
    async fn discard(&self, transaction: &Transaction, end: &End) -> Result<Acknowledged, Reply> {
        let journal = match (&self.receiver.carrier, &self.receiver.journal) {
            (_, Some(journal)) => journal,
            (Carrier::Nowhere, None) => return Ok(Acknowledged::Rehearsed(Vec::new())),
            (Carrier::Maildirs(_), None) => return Err(reply::io_error()),
        };
        let discarded = Acknowledged::Discarded;
        let mut record = account::record(Told::of(transaction), end.clone());
        record.decision.reply = discarded.reply(&transaction.reference).one_line();
        match journal.record_now(record).await {
            Ok(()) => Ok(discarded),
            Err(error) => {
                tracing::error!(%error, "a message to discard could not be journalled, it is deferred");
                Err(reply::io_error())
            }
        }
    }

    /// Our fields for the copies of a message.
    fn trace<'a>(&'a self, transaction: &'a Transaction) -> Trace<'a> {
        let facts = &transaction.facts;
        let only = match transaction.accepted.as_slice() {
            [one] => Some(one.path.as_str()),
            _ => None,
        };
        let received = Received {
            client_ip: facts.client.ip,
            client_name: &facts.client.name,
            helo: &facts.helo,
            hostname: &self.receiver.hostname,
            with: With::of(self.extended, facts.tls.is_some(), transaction.smtputf8),
            reference: &transaction.reference,
            for_: only,
            time: jiff::Timestamp::now(),
            tls: facts.tls.as_ref().map(|tls| (tls.version.as_str(), tls.cipher.as_str())),
        };
        Trace {
            reference: &transaction.reference,
            return_path: trace::return_path(&transaction.reverse_path),
            received: received.field(),
            results: authentication_results(&self.receiver.authserv_id, facts),
        }
    }

    /// The client ended the transaction before its message did, or is gone.
    pub fn end_transaction(&mut self) {
        let Some(transaction) = self.transaction.take() else { return };
        let policy = policy_of(&transaction);
        let end = match &transaction.refused {
            // where one was taken, a refusal of another is not what became of the transaction
            Some(refusal) if transaction.accepted.is_empty() => {
                let reply = Some(self.worded(refusal.reply.clone(), &transaction.reference));
                End { reply, ..End::refused(refusal.clone(), policy) }
            }
            Some(_) | None => {
                let stage = match (&transaction.incoming, transaction.tried.is_empty()) {
                    (Some(_), _) => Stage::Data,
                    (None, false) => Stage::Rcpt,
                    (None, true) => Stage::Mail,
                };
                with_heard(&transaction, End::given_up(stage, policy))
            }
        };
        self.account(*transaction, end);
    }

    /// Tells the metrics, the log and the journal.
    pub(super) fn account(&mut self, transaction: Transaction, end: End) {
        let refused = transaction.refused.iter().filter(|refused| refused.rules != end.rules);
        let others = refused.flat_map(|refused| &refused.rules).chain(&end.other_rules);
        others.for_each(|rule| self.receiver.metrics.rule(rule));
        let (deliver, is_journalled) = (end.deliver, end.journalled);
        let record = account::record(transaction.into(), end);
        failing::tell(&record);
        self.receiver.metrics.transaction(&record);
        if !record.delivery.is_empty() {
            self.receiver.metrics.delivered(deliver);
        }
        let Some(journal) = &self.receiver.journal else {
            account::log(&record);
            self.last = Some(Box::new(record));
            return;
        };
        // the log is kept by others, and may say no more than the journal
        let record = journal.veil(record);
        account::log(&record);
        if !is_journalled {
            journal.record_veiled(record);
        }
    }
}

/// What rules did for the recipients that the record does not tell of, once for each standing.
fn other_rules(judged: &[Judged<'_>], told: &[RuleRecord]) -> Vec<RuleRecord> {
    let told = judged.iter().position(|one| one.judgement.rules == told);
    let others = judged.iter().enumerate().filter(|(index, _)| Some(*index) != told);
    others.flat_map(|(_, one)| one.judgement.rules.iter().cloned()).collect()
}

/// What rules did for the recipients that were taken, where no judgement of the message follows: of the first the record tells.
fn with_heard(transaction: &Transaction, end: End) -> End {
    let groups = transaction.groups();
    let mut heard = groups.iter().map(|(standing, _)| &standing.judgement);
    let Some(first) = heard.next() else { return end };
    let other_rules = heard.flat_map(|judgement| judgement.rules.iter().cloned()).collect();
    End { rules: first.rules.clone(), score: first.score, other_rules, ..end }
}

/// The policy that is named where no recipient's was asked.
fn policy_of(transaction: &Transaction) -> crate::facts::record::PolicyRecord {
    let of_recipient = transaction.accepted.first().map(|accepted| &accepted.standing.policy);
    of_recipient.unwrap_or(transaction.policies.default()).record()
}

fn recipient(path: &ForwardPath, local: Option<&Local>, reply: &Reply) -> Recipient {
    Recipient {
        address: shown(&path.to_string(), ADDRESS).to_string(),
        mailboxes: local
            .map(|local| local.mailboxes.iter().take(100).map(ToString::to_string).collect())
            .unwrap_or_default(),
        reply: reply.one_line(),
        domain: local.map(|local| local.domain.as_str().to_owned()).unwrap_or_default(),
        role: local.and_then(|local| Role::from_word(local.role.as_str())),
        decision: None,
        changes: None,
        trouble: String::new(),
        recalled: None,
    }
}

/// The mailboxes that a rule redirects to. The configuration was checked for that when it was loaded, but a policy may be newer than a
/// session's directory.
///
/// # Errors
/// There are none now.
fn redirected(directory: &Directory, address: &str) -> Result<Vec<MailboxName>, Trouble> {
    let resolution = ForwardPath::parse(address, true).map(|path| directory.resolve(&path));
    match resolution {
        Ok(Resolution::Local(local)) => Ok(local.mailboxes),
        _ => {
            let cause = format!("a rule redirects to {address}, which is no mailbox of ours");
            Err(Trouble { reply: reply::lookup_trouble(), cause, is_of_room: false })
        }
    }
}

/// What the framing found, as it is counted.
fn abuse(defect: DataDefect) -> Abuse {
    match defect {
        DataDefect::BareCr => Abuse::MessageBareCr,
        DataDefect::BareLf => Abuse::MessageBareLf,
        DataDefect::Nul => Abuse::MessageNul,
        DataDefect::TooBig => Abuse::MessageTooBig,
    }
}
