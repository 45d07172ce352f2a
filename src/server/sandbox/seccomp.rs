//! Seccomp: system calls that a mail server never makes, denied by the kernel.
//!
//! A list of what is denied and not of what is allowed: a new libc that makes a new harmless call must not stop the mail. What is denied
//! answers EPERM and does not kill: a library that tries it honestly costs its own call, and who broke in gets as little by either.
//! `clone3` answers ENOSYS, for its flags can't be looked at: libc then takes `clone`, which may make threads and nothing else.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter, sock_filter,
};

use super::Refusal;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Denied whatever their arguments are.
const DENIED: &[libc::c_long] = &[
    // programs
    libc::SYS_execve,
    libc::SYS_execveat,
    // sockets that listen were made before
    libc::SYS_listen,
    // memory of others, which could be run
    libc::SYS_shmget,
    libc::SYS_shmat,
    // other processes
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    // mounts, namespaces
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    // the kernel
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_memfd_create,
    libc::SYS_memfd_secret,
    libc::SYS_syslog,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_lookup_dcookie,
    libc::SYS_personality,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_vhangup,
    // the machine's clock and names
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    // keys
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // who we are
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_capset,
    // what others read: owners, modes of programs, devices
    libc::SYS_mknodat,
    // other people's memory and priority
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    libc::SYS_mbind,
    libc::SYS_set_mempolicy,
    libc::SYS_setpriority,
];

/// What only x86_64 has.
#[cfg(target_arch = "x86_64")]
const DENIED_HERE: &[libc::c_long] = &[
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_uselib,
    libc::SYS_modify_ldt,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_mknod,
    libc::SYS_ustat,
    libc::SYS_sysfs,
    libc::SYS__sysctl,
];
#[cfg(not(target_arch = "x86_64"))]
const DENIED_HERE: &[libc::c_long] = &[];

/// What the calls of the x32 ABI on x86_64 begin with: the same numbers under this bit, and a few of its own. A kernel that has them would
/// take every call of this file by another number, and nothing of ours makes one.
const X32: u32 = 0x4000_0000;

/// Denies the calls to this thread and those that it starts; gives what is denied, in words.
///
/// # Errors
/// See [`Refusal`].
pub(super) fn restrict() -> Result<String, Refusal> {
    let Ok(architecture) = TargetArch::try_from(std::env::consts::ARCH) else {
        return Err(Refusal::Unavailable(format!("the filter does not know {}", std::env::consts::ARCH)));
    };
    if matches!(rustix::thread::secure_computing_mode(), Err(rustix::io::Errno::INVAL)) {
        return Err(Refusal::Unavailable("this kernel has no seccomp".to_owned()));
    }
    let failed = |error: &dyn std::fmt::Display| Refusal::Failed(error.to_string());
    let (programs, count) = programs(architecture).map_err(|error| failed(&error))?;
    for program in &programs {
        apply_filter(program).map_err(|error| match &error {
            Error::Prctl(cause) | Error::Seccomp(cause) if is_denied(cause) => {
                Refusal::Unavailable("this kernel has no seccomp, or a filter around us denies it".to_owned())
            }
            _ => failed(&error),
        })?;
    }
    let all_of_x32 = if has_x32(architecture) { ", and all of x32" } else { "" };
    Ok(format!("{count} calls are denied{all_of_x32}"))
}

/// What the kernel runs at each call, and how many calls are denied by number. The strictest answer of all holds.
fn programs(architecture: TargetArch) -> Result<(Vec<BpfProgram>, usize), BackendError> {
    let clone3 = Rules::from([(libc::SYS_clone3, Vec::new())]);
    let denied = denied()?;
    let count = denied.len();
    let mut programs = vec![program(clone3, libc::ENOSYS, architecture)?, program(denied, libc::EPERM, architecture)?];
    if has_x32(architecture) {
        programs.push(no_x32());
    }
    Ok((programs, count))
}

/// The programs of this machine's architecture, for whoever wants to see what they deny.
///
/// # Errors
/// The architecture is not known, or a rule makes no sense.
pub fn filters() -> Result<Vec<BpfProgram>, BackendError> {
    Ok(programs(TargetArch::try_from(std::env::consts::ARCH)?)?.0)
}

fn has_x32(architecture: TargetArch) -> bool {
    matches!(architecture, TargetArch::x86_64)
}

/// All calls from [`X32`] on answer EPERM: a list of numbers would miss those that it does not know, and those with conditions.
fn no_x32() -> BpfProgram {
    let [load_word, jump_if_at_least, answer] = [0x20, 0x35, 0x06];
    let step = |code, jf, k| sock_filter { code, jt: 0, jf, k };
    vec![
        // the number is what the kernel's `seccomp_data` begins with
        step(load_word, 0, 0),
        step(jump_if_at_least, 1, X32),
        step(answer, 0, SeccompAction::Errno(libc::EPERM.cast_unsigned()).into()),
        step(answer, 0, SeccompAction::Allow.into()),
    ]
}

/// As a kernel without it says, or a filter of a container or of systemd.
fn is_denied(cause: &std::io::Error) -> bool {
    matches!(cause.raw_os_error(), Some(libc::EPERM | libc::ENOSYS | libc::EACCES))
}

fn denied() -> Result<Rules, BackendError> {
    let mut rules: Rules = DENIED.iter().chain(DENIED_HERE).map(|call| (*call, Vec::new())).collect();
    let with = |argument, mask: libc::c_int, value: libc::c_int| {
        let (mask, value) = (u64::from(mask.cast_unsigned()), u64::from(value.cast_unsigned()));
        let operator = SeccompCmpOp::MaskedEq(mask);
        SeccompRule::new(vec![SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)?])
    };
    // a process, where threads alone are made; namespaces can't come with CLONE_THREAD
    rules.insert(libc::SYS_clone, vec![with(0, libc::CLONE_THREAD, 0)?]);
    // memory that can be run: all that we run was loaded before
    let runs = || with(2, libc::PROT_EXEC, libc::PROT_EXEC);
    rules.insert(libc::SYS_mmap, vec![runs()?]);
    rules.insert(libc::SYS_mprotect, vec![runs()?]);
    rules.insert(libc::SYS_pkey_mprotect, vec![runs()?]);
    // ways around Landlock's ports: it knows connect() of TCP alone
    let fast_open = |argument| with(argument, libc::MSG_FASTOPEN, libc::MSG_FASTOPEN);
    rules.insert(libc::SYS_sendto, vec![fast_open(3)?]);
    rules.insert(libc::SYS_sendmsg, vec![fast_open(2)?]);
    rules.insert(libc::SYS_sendmmsg, vec![fast_open(3)?]);
    rules.insert(libc::SYS_socket, sockets()?);
    Ok(rules)
}

/// Sockets that are neither TCP nor UDP, nor within the machine (Unix; netlink, by which libc asks for interfaces): SCTP, MPTCP, DCCP, SMC, RDS,
/// VSOCK, raw packets, the kernel's cryptography. Each would be a way around the rules for ports, or a part of the kernel to attack.
fn sockets() -> Result<Vec<SeccompRule>, BackendError> {
    let of = |argument: u8, operator, value: libc::c_int| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, u64::from(value.cast_unsigned()))
    };
    let none_of = |argument, values: &[libc::c_int]| {
        let conditions = values.iter().map(|value| of(argument, SeccompCmpOp::Ne, *value)).collect::<Result<_, _>>()?;
        SeccompRule::new(conditions)
    };
    let mut rules = vec![
        none_of(0, &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK])?,
        none_of(2, &[0, libc::IPPROTO_TCP, libc::IPPROTO_UDP])?,
    ];
    // the type's lower bits; the others are flags
    for kind in [libc::SOCK_RDM, libc::SOCK_SEQPACKET, libc::SOCK_DCCP] {
        rules.push(SeccompRule::new(vec![of(1, SeccompCmpOp::MaskedEq(0xf), kind)?])?);
    }
    Ok(rules)
}

fn program(rules: Rules, errno: libc::c_int, architecture: TargetArch) -> Result<BpfProgram, BackendError> {
    let answer = SeccompAction::Errno(errno.cast_unsigned());
    SeccompFilter::new(rules, SeccompAction::Allow, answer, architecture)?.try_into()
}
