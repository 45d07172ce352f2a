//! BDAT (RFC 3030): a chunk's octets are read to their exact count whatever becomes of them, so that none of them is ever taken for
//! a command.

use super::Session;
use super::exchange::{Notice, Question, Step};
use super::phase::{Chunk, Envelope, Phase, Refusing, Then, Waiting};
use crate::smtp::chunk::Chunks;
use crate::smtp::data::DataDefect;
use crate::smtp::reply::{self, Reply};

impl Session {
    /// BDAT, in any phase.
    pub(super) fn bdat(&mut self, phase: Phase, octets: u64, last: bool) -> Phase {
        match phase {
            Phase::Recipients { .. } if Chunks::new(self.capabilities.limits.message).has_room_for(octets) => {
                self.ask(Waiting::Chunk { octets, last }, Question::Chunks)
            }
            Phase::Recipients { .. } => refuse_message(octets, last, DataDefect::TooBig),
            Phase::Chunks(chunks) if chunks.has_room_for(octets) => Phase::Chunk(Chunk { chunks, left: octets, last }),
            Phase::Chunks(_) => refuse_message(octets, last, DataDefect::TooBig),
            Phase::Mail(Envelope { refused, .. }) => {
                // the rest of the message may be on its way: a recipient who is named only now must not get that alone
                self.steps.push_back(Step::Notice(Notice::Abandoned));
                if refused {
                    return refuse_again(octets, reply::no_recipients(), last);
                }
                self.refuse_chunk(octets, reply::no_recipients(), last)
            }
            Phase::Refused(refusal) => refuse_again(octets, *refusal, last),
            phase => self.refuse_out_of_order(phase, octets),
        }
    }

    /// The next octets of a chunk.
    pub(super) fn chunk<'a>(&mut self, mut chunk: Chunk, input: &'a [u8]) -> (usize, Step<'a>) {
        let octets = within(input, chunk.left);
        let content = chunk.chunks.push(octets);
        chunk.left = chunk.left.saturating_sub(octets.len() as u64);
        self.phase = if chunk.left > 0 { Phase::Chunk(chunk) } else { self.end_of_chunk(chunk) };
        let step = if content.is_empty() { self.steps.pop_front() } else { Some(Step::Content(content)) };
        (octets.len(), step.unwrap_or(Step::NeedInput))
    }

    /// The next octets of a chunk that is refused.
    pub(super) fn refused_chunk<'a>(&mut self, mut refusing: Box<Refusing>, input: &'a [u8]) -> (usize, Step<'a>) {
        let taken = within(input, refusing.left).len();
        refusing.left = refusing.left.saturating_sub(taken as u64);
        if refusing.left > 0 {
            self.phase = Phase::Refusing(refusing);
            return (taken, Step::NeedInput);
        }
        self.phase = match refusing.then {
            Then::Reply(reply, phase) => self.reply(phase, reply),
            Then::Message { last, defect } => {
                let waiting = if last { Waiting::Message } else { Waiting::Unfinished };
                self.ask(waiting, Question::Message { defect: Some(defect) })
            }
        };
        (taken, self.steps.pop_front().unwrap_or(Step::NeedInput))
    }

    fn end_of_chunk(&mut self, chunk: Chunk) -> Phase {
        let Chunk { mut chunks, last, .. } = chunk;
        if last {
            let end = chunks.finish();
            if !end.is_empty() {
                self.steps.push_back(Step::Content(end));
            }
            return self.ask(Waiting::Message, Question::Message { defect: chunks.defect() });
        }
        match chunks.defect() {
            None => {
                let reply = reply::chunk_ok(chunks.size());
                self.reply(Phase::Chunks(chunks), reply)
            }
            defect => self.ask(Waiting::Unfinished, Question::Message { defect }),
        }
    }

    /// Out of order, but its octets come.
    fn refuse_out_of_order(&mut self, phase: Phase, octets: u64) -> Phase {
        let greeted = matches!(phase, Phase::Greeted);
        let refusal = reply::bad_order(if greeted { "EHLO or HELO first" } else { "MAIL first" });
        if self.counts_a_mistake_too_many() {
            return self.close(phase, reply::too_many_errors());
        }
        Refusing { left: octets, then: Then::Reply(refusal, phase) }.begin()
    }

    fn refuse_chunk(&mut self, octets: u64, refusal: Reply, last: bool) -> Phase {
        if self.counts_a_mistake_too_many() {
            return self.close(Phase::Identified, reply::too_many_errors());
        }
        refuse_again(octets, refusal, last)
    }
}

fn refuse_again(octets: u64, refusal: Reply, last: bool) -> Phase {
    let after = if last { Phase::Identified } else { Phase::Refused(Box::new(refusal.clone())) };
    Refusing { left: octets, then: Then::Reply(refusal, after) }.begin()
}

/// The message is refused once the chunk's octets have come.
fn refuse_message(octets: u64, last: bool, defect: DataDefect) -> Phase {
    Refusing { left: octets, then: Then::Message { last, defect } }.begin()
}

/// What of `input` is within so many octets.
fn within(input: &[u8], octets: u64) -> &[u8] {
    let octets = usize::try_from(octets).unwrap_or(usize::MAX).min(input.len());
    input.get(..octets).unwrap_or(input)
}
