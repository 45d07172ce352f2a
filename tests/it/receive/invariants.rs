//! What must hold of every session: a 250 after the dot stands for files on disk, and only one place can say it (DESIGN §3).

use crate::support::dns::Zone;
use crate::support::site::{Site, message};
use crate::support::source;

#[test]
fn only_the_carrying_out_of_a_decision_can_acknowledge_a_message() {
    let says: Vec<String> = source::files()
        .into_iter()
        .filter(|file| source::code_of(&file.text).contains("accepted(reference"))
        .map(|file| file.name)
        .collect();
    assert_eq!(says, ["receive/carry_out.rs", "smtp/reply/catalogue.rs"], "who makes it, and where it is defined");
    let calls: Vec<String> = source::files()
        .into_iter()
        .filter(|file| {
            let code = source::code_of(&file.text);
            code.contains("reply::accepted")
                || code.contains("catalogue::accepted")
                || code.contains("use crate::smtp::reply::*")
        })
        .map(|file| file.name)
        .collect();
    assert_eq!(calls, ["receive/carry_out.rs"]);
}

#[test]
fn every_250_after_the_dot_has_its_files_on_disk() {
    let site = Site::open(Zone::new());
    let clients: Vec<_> = (0..4_u8)
        .map(|n| {
            let mut client = site.dial_from([127, 0, 0, n + 1]);
            std::thread::spawn(move || {
                client.expect("EHLO client.example", "250");
                let send = |_| {
                    client.mail("a@sender.example", &["alice@local.example", "bob@local.example"]);
                    client.data(message("a@sender.example")).reference()
                };
                (0..10).map(send).collect::<Vec<String>>()
            })
        })
        .collect();
    let acknowledged: Vec<String> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    assert_eq!(acknowledged.len(), 40);
    for mailbox in ["local.example/alice", "local.example/bob"] {
        let files: Vec<String> =
            site.delivered(mailbox).iter().map(|file| String::from_utf8_lossy(file).into_owned()).collect();
        assert_eq!(files.len(), 40, "{mailbox}");
        for reference in &acknowledged {
            let holding = files.iter().filter(|file| file.contains(&format!(" id {reference};\n"))).count();
            assert_eq!(holding, 1, "{reference} in {mailbox}");
        }
    }
    assert!(site.maildir("local.example/alice/tmp").read_dir().unwrap().next().is_none(), "nothing is left in tmp/");
    assert_eq!(site.metric("gatepost_deliver_messages_total", &[]), 40.0);
}
