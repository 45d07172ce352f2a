//! What was remembered of one recipient is not what was remembered of another, and of a message with many recipients some are listed.

use gatepost::facts::Greylist;
use gatepost::facts::record::{Recalled, Recipient, Record};
use gatepost::facts::word::{Action, GreylistKey, GreylistResult};

use super::{QUARANTINE, REJECT, check, honest, rule};

/// Two recipients who were taken: the sender was new to the second's greylisting and known to the first's, and wrote to each as often
/// as it says.
fn two(rates: [u64; 2]) -> Record {
    let mut record = honest();
    let mut second = record.recipients[0].clone();
    second.address = "bob@local.example".into();
    record.recipients.push(second);
    let results = [GreylistResult::Known, GreylistResult::New];
    for ((recipient, result), count) in record.recipients.iter_mut().zip(results).zip(rates) {
        let greylist = Greylist { result, key: GreylistKey::Network, wait: 0 };
        let rates = [("client+rcpt.address/1h".to_owned(), count)].into();
        recipient.recalled = Some(Recalled { greylist, rates });
    }
    // as the record has it: what the last of them was told
    record.facts.greylist = Greylist { result: GreylistResult::New, key: GreylistKey::Network, wait: 0 };
    record.facts.rates = [("client+rcpt.address/1h".to_owned(), rates[1]), ("client/10m".to_owned(), 7)].into();
    record
}

#[test]
fn each_recipient_has_its_own_rates() {
    let often = |count: u64| rule("often", "rcpt", &format!("rate('rcpt.address+client', '1h') >= {count}"), REJECT);
    check(&often(5), &[two([9, 0])], &["change 1: accept () -> reject (often)"]);
    check(&often(5), &[two([0, 9])], &["change 1: accept () -> reject (often)"]);
    check(&often(5), &[two([4, 4])], &[]);
    let both = rule("both", "rcpt", "rate('client', '10m') == 7 && rate('rcpt.address+client', '1h') == 3", REJECT);
    check(&both, &[two([3, 0])], &["change 1: accept () -> reject (both)"]);
    // an older line has them of the last one only: of nobody can it be told
    let mut old = two([9, 9]);
    old.recipients.iter_mut().for_each(|recipient| recipient.recalled = None);
    let report = check(&often(5), &[old], &["untold 1: accept () -> unknown (often)"]);
    assert_eq!((report.rules[0].unknown, report.rules[0].matched), (1, 0));
}

#[test]
fn each_recipient_has_its_own_greylisting() {
    let greylist = rule("wait", "rcpt", "rcpt.address == 'bob@local.example'", "action = \"greylist\"");
    check(&greylist, &[two([0, 0])], &["change 1: accept () -> defer (wait)"]);
    let other = rule("wait", "rcpt", "rcpt.address == 'alice@local.example'", "action = \"greylist\"");
    check(&other, &[two([0, 0])], &[]);
    let mut old = two([0, 0]);
    old.recipients[0].recalled = None;
    check(&other, &[old], &["untold 1: accept () -> unknown (wait)"]);
}

#[test]
fn what_the_last_recipient_was_told_is_not_what_the_message_would_have_been() {
    let at_data = rule("wait", "data", "true", "action = \"greylist\"");
    check(&at_data, &[two([0, 0])], &["untold 1: accept () -> unknown (wait)"]);
    let mut asked = two([0, 0]);
    asked.greylist_of_message = true;
    check(&at_data, std::slice::from_ref(&asked), &["change 1: accept () -> defer (wait)"]);
    asked.facts.greylist.result = GreylistResult::Pass;
    check(&at_data, &[asked], &[]);
}

#[test]
fn of_more_recipients_than_are_listed_the_record_says_how_many_it_were() {
    let many = rule("many", "data", "rcpt.count > 100", QUARANTINE);
    let mut crowd = honest();
    crowd.recipients = vec![crowd.recipients[0].clone(); 100];
    check(&many, std::slice::from_ref(&crowd), &[]);
    crowd.recipients_more = 50;
    check(&many, std::slice::from_ref(&crowd), &["untold 1: accept () -> unknown (many)"]);
    crowd.facts.rcpt.count = 140;
    check(&many, std::slice::from_ref(&crowd), &["change 1: accept () -> quarantine (many)"]);
    crowd.facts.rcpt.count = 100;
    check(&many, &[crowd], &[]);
    // at rcpt it is how many came before
    let hundredth = rule("hundredth", "rcpt", "rcpt.count == 1", REJECT);
    let mut two = honest();
    two.recipients.push(Recipient { address: "bob@local.example".into(), ..two.recipients[0].clone() });
    let report = check(&hundredth, &[two], &["change 1: accept () -> reject (hundredth)"]);
    assert_eq!(report.rules[0].action, Some(Action::Reject));
}
