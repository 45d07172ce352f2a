//! A client's side of a session without a network: it feeds octets, answers questions and writes down what happens.

use std::fmt::Write as _;
use std::sync::Arc;

use gatepost::smtp::data::DataDefect;
use gatepost::smtp::reply::{self, Reply};
use gatepost::smtp::session::{Capabilities, Limits, Notice, Question, Session, Step};

/// A session that offers STARTTLS, with bounds that a test can reach.
pub fn capabilities() -> Capabilities {
    let limits = Limits { line: 600, message: 1000, recipients: 3, errors: 10, commands: 1000, transactions: 100 };
    Capabilities { hostname: "mx.example.com".to_owned(), starttls: true, limits }
}

/// What a receiver that takes everything sound would answer.
pub fn accept(question: &Question) -> Reply {
    match question {
        Question::Mail { .. } => reply::mail_ok(),
        Question::Recipient { .. } => reply::rcpt_ok(),
        Question::TooBig { .. } => reply::too_big(),
        Question::TooManyRecipients { .. } => reply::too_many_recipients(),
        Question::Data | Question::Chunks => reply::start_data(),
        Question::Message { defect: None } => reply::accepted("REF"),
        Question::Message { defect: Some(defect) } => reply::data_defect(*defect),
    }
}

/// A client's side of a session: feeds octets, answers questions, writes down what comes.
pub struct Player<'a> {
    pub session: Session,
    buffer: Vec<u8>,
    line_max: usize,
    answer: Box<dyn FnMut(&Question) -> Reply + 'a>,
    content: Vec<u8>,
    transcript: String,
    pub replies: Vec<Reply>,
    pub messages: Vec<(Vec<u8>, Option<DataDefect>)>,
    pub closed: bool,
    /// Everything that the session consumed.
    pub consumed: Vec<u8>,
}

impl<'a> Player<'a> {
    pub fn new(capabilities: Capabilities, answer: impl FnMut(&Question) -> Reply + 'a) -> Player<'a> {
        let line_max = capabilities.limits.line;
        Player {
            session: Session::new(Arc::new(capabilities)),
            buffer: Vec::new(),
            line_max,
            answer: Box::new(answer),
            content: Vec::new(),
            transcript: String::new(),
            replies: Vec::new(),
            messages: Vec::new(),
            closed: false,
            consumed: Vec::new(),
        }
    }

    /// Offers more octets, as the server does after each read.
    pub fn feed(&mut self, octets: &[u8]) {
        if self.closed {
            return;
        }
        let mut input = std::mem::take(&mut self.buffer);
        input.extend_from_slice(octets);
        let mut position = 0;
        loop {
            let (taken, step) = self.session.next(&input[position..]);
            self.consumed.extend_from_slice(&input[position..position + taken]);
            position += taken;
            match step {
                Step::NeedInput => break,
                Step::Content(content) => {
                    assert!(!content.is_empty());
                    self.content.extend_from_slice(content);
                }
                Step::Reply(reply) => self.said(reply),
                Step::Notice(notice) => {
                    if notice == Notice::Abandoned {
                        self.content.clear();
                    }
                    self.note("N", &notice_text(&notice));
                }
                Step::Ask(question) => self.asked(&question),
                Step::StartTls(reply) => {
                    self.said(reply);
                    assert_eq!(
                        self.session.next(b"EHLO x\r\n"),
                        (0, Step::NeedInput),
                        "nothing is read before TLS is up"
                    );
                    self.session.secured();
                    self.note("T", "");
                }
                Step::Close(reply) => {
                    self.said(reply);
                    self.note("X", "");
                    self.closed = true;
                    assert_eq!(self.session.next(b"NOOP\r\n"), (6, Step::NeedInput), "a closed session says nothing");
                    return;
                }
            }
        }
        self.buffer = input.split_off(position);
        assert!(self.buffer.len() <= self.line_max, "{} octets are left to be buffered", self.buffer.len());
    }

    fn asked(&mut self, question: &Question) {
        if let Question::Message { defect } = question {
            let content = std::mem::take(&mut self.content);
            for line in content.split_inclusive(|&octet| octet == b'\n') {
                self.note("D", &line.escape_ascii().to_string().replace("\\\"", "\"").replace("\\'", "'"));
            }
            self.messages.push((content, *defect));
        }
        self.note("Q", &question_text(question));
        assert!(self.session.in_transaction());
        assert_eq!(self.session.next(b"RSET\r\n"), (0, Step::NeedInput), "no input is taken before the answer");
        let reply = (self.answer)(question);
        self.session.answer(reply);
    }

    fn said(&mut self, reply: Reply) {
        let mut wire = Vec::new();
        reply.write_to(&mut wire);
        for line in String::from_utf8(wire).unwrap().split_terminator("\r\n") {
            self.note("S", line);
        }
        self.replies.push(reply);
    }

    fn note(&mut self, kind: &str, text: &str) {
        writeln!(self.transcript, "{kind}: {text}").unwrap();
    }

    /// What happened, as the dialog files write it. The content of a message that did not end is not in it.
    pub fn transcript(&self) -> &str {
        &self.transcript
    }
}

fn notice_text(notice: &Notice) -> String {
    match notice {
        Notice::Abandoned => "abandoned".to_owned(),
        Notice::Introduced(client) => {
            format!("client {:?} {:?} {:?}", client.address, client.port, client.helo)
        }
        Notice::Abuse(abuse) => format!("abuse {abuse:?}"),
        Notice::Chunk { octets, last } => format!("BDAT {octets}{}", if *last { " LAST" } else { "" }),
        Notice::Helo { name, extended } => {
            let verb = if *extended { "EHLO" } else { "HELO" };
            format!("{verb} {name:?}")
        }
    }
}

fn question_text(question: &Question) -> String {
    match question {
        Question::Mail { reverse_path, size, body, smtputf8 } => {
            let size = size.map_or(String::new(), |size| format!(" size={size}"));
            let body = body.map_or(String::new(), |body| format!(" body={body:?}"));
            format!("mail <{reverse_path}>{size}{body}{}", if *smtputf8 { " smtputf8" } else { "" })
        }
        Question::Recipient { forward_path } => format!("recipient <{forward_path}>"),
        Question::TooBig { reverse_path } => format!("too big <{reverse_path}>"),
        Question::TooManyRecipients { forward_path } => format!("too many <{forward_path}>"),
        Question::Data => "data".to_owned(),
        Question::Chunks => "chunks".to_owned(),
        Question::Message { defect: None } => "message".to_owned(),
        Question::Message { defect: Some(defect) } => format!("message {defect:?}"),
    }
}
