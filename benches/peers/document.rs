//! docs/performance.md: what the program puts into it, between marks that name the table.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::case::{Case, Curve};
use super::plot;
use super::report::{self, Turns};
use super::run::Figures;
use super::system::System;

/// Writes table and plot of a comparison.
pub fn write_comparison(case: &Case, systems: &[&'static System], turns: &Turns) {
    let name = format!("{}-connections-{}-octets", case.connections, case.size);
    plot::bars(&picture(&name), systems, turns).expect("the plot");
    let rounds = turns.len() / systems.len();
    let said = format!(
        "{}\n\n{} connections, {} messages of each, {} octets a message, {rounds} rounds.\n\n{}\n\
         ![accepted messages a second](performance/{name}.svg)\n",
        machine(),
        case.connections,
        case.messages,
        case.size,
        report::markdown(&report::comparison(systems, turns)),
    );
    put(&name, &said);
}

/// Writes table and plot of a curve.
pub fn write_curve(curve: &Curve, systems: &[&'static System], points: &[(usize, Vec<(&'static str, Figures)>)]) {
    plot::lines(&picture(curve.name), curve, systems, points).expect("the plot");
    let table = report::markdown(&report::points(curve, systems, points));
    put(curve.name, &format!("{}\n\n{table}\n![{}](performance/{}.svg)\n", machine(), curve.axis, curve.name));
}

/// The peers, with the tree that each is unpacked in.
const PEERS: &[(&str, &str)] = &[
    ("postfix", "postfix"),
    ("postfix", "rspamd"),
    ("postfix", "opendkim"),
    ("postfix", "opendmarc"),
    ("postfix", "postfix-policyd-spf-python"),
    ("exim", "exim4-daemon-heavy"),
];

/// Writes which versions of the peers were measured.
pub fn write_versions(packages: &Path) {
    let versions: Vec<String> =
        PEERS.iter().filter_map(|(tree, package)| version(&packages.join(tree), package)).collect();
    if versions.is_empty() {
        return;
    }
    put("versions", &format!("The peers' packages: {}.\n", versions.join(", ")));
}

/// `postfix 3.7.11-0+deb12u1`, as the package's change log says it.
fn version(tree: &Path, package: &str) -> Option<String> {
    let changes = tree.join("usr/share/doc").join(package).join("changelog.Debian.gz");
    let output = Command::new("zcat").arg(changes).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let (source, rest) = text.lines().next()?.split_once(" (")?;
    let (version, _) = rest.split_once(')')?;
    Some(format!("{source} {version}"))
}

fn docs() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/docs"))
}

fn picture(name: &str) -> PathBuf {
    let directory = docs().join("performance");
    fs::create_dir_all(&directory).expect("docs/performance");
    directory.join(format!("{name}.svg"))
}

/// Puts a text between the marks of its name.
fn put(name: &str, said: &str) {
    let path = docs().join("performance.md");
    let document = fs::read_to_string(&path).expect("docs/performance.md");
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
    let Some((before, rest)) = document.split_once(&begin) else {
        panic!("{} has no line {begin}", path.display());
    };
    let (_, after) = rest.split_once(&end).expect("the end of the mark");
    fs::write(&path, format!("{before}{begin}{said}{end}{after}")).expect("docs/performance.md");
}

/// The machine, the day and the versions.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let model = model.trim_start_matches(['\t', ':', ' ']);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let packages = Command::new("dpkg")
        .arg("--print-architecture")
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    format!(
        "{}; {cores} cores of {model}, shared with the load and the DNS server; Linux {}, {}, Debian {}; {}; Gatepost {}.",
        jiff::Timestamp::now().strftime("%Y-%m-%d"),
        kernel.trim(),
        packages.unwrap_or_default(),
        read("/etc/debian_version").trim(),
        file_system(),
        env!("CARGO_PKG_VERSION"),
    )
}

/// The file system of the Maildirs, and whether an ext4 has a journal: that decides what an fsync is.
fn file_system() -> String {
    let asked = Command::new("findmnt").args(["-no", "FSTYPE,SOURCE", "-T", env!("CARGO_TARGET_TMPDIR")]).output();
    let told = asked.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let (kind, source) = told.trim().split_once(' ').unwrap_or(("unknown file system", ""));
    let device = source.trim().rsplit('/').next().unwrap_or_default();
    let journals = fs::read_dir("/proc/fs/jbd2").into_iter().flatten().flatten();
    let has_journal = journals.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().starts_with(device));
    match (kind, has_journal) {
        ("ext4", false) => "ext4 without a journal".to_owned(),
        _ => kind.to_owned(),
    }
}
