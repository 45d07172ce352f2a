//! The systems that are compared. Their configurations are the files of `etc/`.

use std::fs;
use std::io;

use super::system::{Place, System};

/// The user that the peers' files belong to: nobody has it on a machine without them.
const POSTFIX: u32 = 931;
/// Exim's user, under the name that is built into it.
const EXIM: u32 = 933;
/// Debian's user `mail`, which every machine has.
const MAIL: u32 = 8;
/// The group of Postfix's maildrop.
const POSTDROP: u32 = 932;

/// All of them, in the order of the table.
pub const SYSTEMS: &[System] = &[
    System {
        name: "gatepost",
        title: "Gatepost",
        durable: "the message in the Maildir: file, rename and directory",
        checks: &["spf=pass", "dkim=pass", "dmarc=pass"],
        prepare: gatepost,
        maildirs: "mail",
    },
    System {
        name: "sink",
        title: "a sink without checks",
        durable: "the message in the Maildir: file, rename and directory",
        checks: &[],
        prepare: sink,
        maildirs: "mail",
    },
    System {
        name: "postfix",
        title: "Postfix, no checks",
        durable: "the queue file",
        checks: &[],
        prepare: postfix_alone,
        maildirs: "mail",
    },
    System {
        name: "rspamd",
        title: "Postfix + rspamd (unix sockets)",
        durable: "the queue file",
        checks: &["spf=pass", "dkim=pass", "dmarc=pass"],
        prepare: rspamd_unix,
        maildirs: "mail",
    },
    System {
        name: "rspamd-tcp",
        title: "Postfix + rspamd (TCP)",
        durable: "the queue file",
        checks: &["spf=pass", "dkim=pass", "dmarc=pass"],
        prepare: rspamd_tcp,
        maildirs: "mail",
    },
    System {
        name: "opendkim",
        title: "Postfix + opendkim + opendmarc + policyd-spf",
        durable: "the queue file",
        checks: &["spf=pass", "dkim=pass", "dmarc=pass"],
        prepare: opendkim,
        maildirs: "mail",
    },
    System {
        name: "exim",
        title: "Exim (SPF and DKIM: Debian builds it without DMARC)",
        durable: "the spool files",
        checks: &["spf=pass", "dkim=pass"],
        prepare: exim,
        maildirs: "mail",
    },
];

/// The names of all mailboxes, a line each, with what follows each.
fn mailboxes(place: &Place, line: impl Fn(usize) -> String) -> String {
    (0..place.case.mailboxes).map(line).collect()
}

fn gatepost(place: &Place) -> io::Result<String> {
    place.write("mailboxes.txt", &mailboxes(place, |number| format!("u{number}\n")))?;
    place.write("gatepost.toml", include_str!("etc/gatepost.toml"))?;
    for name in ["mail", "journal", "state"] {
        place.owned(name, MAIL, 0o700)?;
    }
    place.write("policy.toml", &policy(place.case.rules))?;
    fill(place, "mail/gate.example")?;
    Ok(format!(
        "ulimit -n 8192\nexec {} serve --config {}\n",
        env!("CARGO_BIN_EXE_gatepost"),
        place.path("gatepost.toml")
    ))
}

/// The default policy, behind so many rules that are all judged at `data` and none of which holds.
fn policy(rules: usize) -> String {
    let rule = |number: usize| {
        format!(
            "[[rule]]\nname = \"bench-{number}\"\nat = \"data\"\n\
             when = \"from.domain.endsWith('.never{number}.example') && message.bytes > {number}\"\naction = \"quarantine\"\n\n"
        )
    };
    let default = include_str!("../../policies/default.toml");
    let at = default.find("[[rule]]").expect("a rule");
    let (before, after) = default.split_at(at);
    before.to_owned() + &(0..rules).map(rule).collect::<String>() + after
}

/// How the names of messages end that lie there before.
pub const BEFORE: &str = ".before";

/// Puts the messages into each Maildir that lie there before.
fn fill(place: &Place, root: &str) -> io::Result<()> {
    if place.case.full == 0 {
        return Ok(());
    }
    place.owned(root, MAIL, 0o700)?;
    for mailbox in 0..place.case.mailboxes {
        let maildir = format!("{root}/u{mailbox}");
        place.owned(&maildir, MAIL, 0o700)?;
        for name in ["tmp", "new", "cur"] {
            place.owned(&format!("{maildir}/{name}"), MAIL, 0o700)?;
        }
        for number in 0..place.case.full {
            fs::write(
                place.directory.join(&maildir).join("new").join(format!("{number}{BEFORE}")),
                "Subject: before\n\n",
            )?;
        }
    }
    Ok(())
}

fn sink(place: &Place) -> io::Result<String> {
    let program = std::env::current_exe()?;
    fs::create_dir_all(place.directory.join("mail"))?;
    fill(place, "mail")?;
    Ok(format!("ulimit -n 8192\nexec {} sink {}\n", program.display(), place.path("mail")))
}

fn postfix_alone(place: &Place) -> io::Result<String> {
    postfix(place, "", "", "")
}

fn rspamd_unix(place: &Place) -> io::Result<String> {
    let listens = "/run/rspamd-milter.sock";
    rspamd(place, &format!("{listens} mode=0666"), &format!("unix:{listens}"), &format!("[ -S {listens} ]"))
}

fn rspamd_tcp(place: &Place) -> io::Result<String> {
    rspamd(place, "127.0.0.1:11332", "inet:127.0.0.1:11332", "ss -Hltn sport = 11332 | grep -q .")
}

fn rspamd(place: &Place, listens: &str, milter: &str, ready: &str) -> io::Result<String> {
    place.write("rspamd/rspamd.conf", &include_str!("etc/rspamd.conf").replace("{listens}", listens))?;
    place.owned("rspamd-data", POSTFIX, 0o755)?;
    let start = "rspamd -u postfix -g postfix -f -c {dir}/rspamd/rspamd.conf &\n";
    let before = format!("{}until {ready}; do sleep 0.1; done\n", place.fill(start));
    postfix(place, &format!("smtpd_milters = {milter}\n"), "", &before)
}

fn opendkim(place: &Place) -> io::Result<String> {
    place.write("opendkim.conf", include_str!("etc/opendkim.conf"))?;
    place.write("opendmarc.conf", include_str!("etc/opendmarc.conf"))?;
    place.write("policyd-spf.conf", include_str!("etc/policyd-spf.conf"))?;
    place.write("none", "192.0.2.254\n")?;
    let start = "opendkim -f -x {dir}/opendkim.conf &\nopendmarc -f -c {dir}/opendmarc.conf &\n\
                 until [ -S /run/opendkim.sock ] && [ -S /run/opendmarc.sock ]; do sleep 0.1; done\n";
    let main = "smtpd_milters = unix:/run/opendkim.sock, unix:/run/opendmarc.sock\n\
                policyd-spf_time_limit = 3600\n\
                smtpd_recipient_restrictions = reject_unauth_destination, check_policy_service unix:private/policyd-spf\n";
    let master = "policyd-spf unix - n n - 0 spawn user=nobody argv=/usr/bin/policyd-spf {dir}/policyd-spf.conf\n";
    postfix(place, main, &place.fill(master), &place.fill(start))
}

/// Postfix with more lines in main.cf and master.cf, and with what is started before it.
fn postfix(place: &Place, main: &str, master: &str, before: &str) -> io::Result<String> {
    place.write("postfix/main.cf", &(include_str!("etc/main.cf").to_owned() + main))?;
    place.write("postfix/master.cf", &(include_str!("etc/master.cf").to_owned() + master))?;
    place.write("postfix/mailboxes", &mailboxes(place, |number| format!("u{number}@gate.example u{number}/\n")))?;
    queue(place)?;
    let start = "postmap -c {dir}/postfix {dir}/postfix/mailboxes\n\
                 exec /usr/lib/postfix/sbin/master -c {dir}/postfix -d\n";
    Ok(installed(place, "postfix")? + before + &place.fill(start))
}

/// Postfix's queue, with the owners that its package gives it.
fn queue(place: &Place) -> io::Result<()> {
    place.owned("queue", 0, 0o755)?;
    for name in
        ["active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace"]
    {
        place.owned(&format!("queue/{name}"), POSTFIX, 0o700)?;
    }
    place.owned("queue/pid", 0, 0o755)?;
    place.owned("data", POSTFIX, 0o700)?;
    place.owned("mail", POSTFIX, 0o700)?;
    for (name, mode) in [("public", 0o710), ("maildrop", 0o730)] {
        place.owned(&format!("queue/{name}"), POSTFIX, mode)?;
        let path = place.directory.join("queue").join(name);
        std::os::unix::fs::chown(path, Some(POSTFIX), Some(POSTDROP))?;
    }
    Ok(())
}

fn exim(place: &Place) -> io::Result<String> {
    // where the program looks by itself: with -C it would give up its privileges when it starts itself again
    place.write("etc/exim4/exim4.conf", include_str!("etc/exim.conf"))?;
    place.write("mailboxes.txt", &mailboxes(place, |number| format!("u{number}: u{number}\n")))?;
    place.owned("spool", EXIM, 0o755)?;
    place.owned("mail", EXIM, 0o755)?;
    place.owned("log", EXIM, 0o755)?;
    let start = "exec exim4 -bdf -q30m\n";
    Ok(installed(place, "exim")? + &place.fill(start))
}

/// The lines of a script that lay the unpacked packages over this system's folders, with users and a resolv.conf of the run's own,
/// where only the script's processes see them.
fn installed(place: &Place, packages: &str) -> io::Result<String> {
    let passwd = fs::read_to_string("/etc/passwd")?;
    place.write("etc/passwd", &format!("{passwd}postfix:x:{POSTFIX}:{POSTFIX}::/:/usr/sbin/nologin\nDebian-exim:x:{EXIM}:{EXIM}::/:/usr/sbin/nologin\n"))?;
    let group = fs::read_to_string("/etc/group")?;
    place
        .write("etc/group", &format!("{group}postfix:x:{POSTFIX}:\npostdrop:x:{POSTDROP}:\nDebian-exim:x:{EXIM}:\n"))?;
    place.write("etc/resolv.conf", "nameserver {dns}\n")?;
    place.write("etc/hosts", "127.0.0.1 localhost\n{server} mx.gate.example\n")?;
    let tree = place.packages.join(packages);
    let tree = tree.display();
    Ok(place.fill(&format!(
        "mount -t overlay overlay -o lowerdir={tree}/usr:/usr /usr\n\
         mount -t overlay overlay -o lowerdir={{dir}}/etc:{tree}/etc:/etc /etc\n\
         mount -t tmpfs tmpfs /run\nchmod 1777 /run\n"
    )))
}
