//! Seccomp: system calls that a mail server never makes, denied by the kernel.
//!
//! A list of what is denied and not of what is allowed: a new libc that makes a new harmless call must not stop the mail. What is denied
//! answers EPERM and does not kill: a library that tries it honestly costs its own call, and who broke in gets as little by either.
//! `clone3` answers ENOSYS, for its flags can't be looked at: libc then takes `clone`, which may make threads and nothing else.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter,
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

/// The calls of the x32 ABI on x86_64: the same numbers under this bit, and a few of its own from 512 on. A kernel that has them would
/// take `execve` by another number.
#[cfg(target_arch = "x86_64")]
const X32: Option<(i64, std::ops::Range<i64>)> = Some((0x4000_0000, 512..548));
#[cfg(not(target_arch = "x86_64"))]
const X32: Option<(i64, std::ops::Range<i64>)> = None;

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
    let clone3 = Rules::from([(libc::SYS_clone3, Vec::new())]);
    let clone3 = program(clone3, libc::ENOSYS, architecture).map_err(|error| failed(&error))?;
    let denied = denied().map_err(|error| failed(&error))?;
    let count = denied.len();
    let denied = program(denied, libc::EPERM, architecture).map_err(|error| failed(&error))?;
    for filter in [&clone3, &denied] {
        apply_filter(filter).map_err(|error| match &error {
            Error::Prctl(cause) | Error::Seccomp(cause) if is_denied(cause) => {
                Refusal::Unavailable("this kernel has no seccomp, or a filter around us denies it".to_owned())
            }
            _ => failed(&error),
        })?;
    }
    Ok(format!("{count} calls are denied"))
}

/// As a kernel without it says, or a filter of a container or of systemd.
fn is_denied(cause: &std::io::Error) -> bool {
    matches!(cause.raw_os_error(), Some(libc::EPERM | libc::ENOSYS | libc::EACCES))
}

fn denied() -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = DENIED.iter().chain(DENIED_HERE).map(|call| (*call, Vec::new())).collect();
    if let Some((bit, own)) = X32 {
        let same: Vec<i64> = rules.keys().map(|call| call | bit).collect();
        rules.extend(same.into_iter().chain(own.map(|call| call | bit)).map(|call| (call, Vec::new())));
    }
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
    let protocol = |protocol| with(2, -1, protocol);
    let family = |family| with(0, -1, family);
    let others =
        [protocol(libc::IPPROTO_MPTCP)?, family(libc::AF_VSOCK)?, family(libc::AF_PACKET)?, family(libc::AF_ALG)?];
    rules.insert(libc::SYS_socket, others.into());
    Ok(rules)
}

fn program(
    rules: Rules,
    errno: libc::c_int,
    architecture: TargetArch,
) -> Result<BpfProgram, seccompiler::BackendError> {
    let answer = SeccompAction::Errno(errno.cast_unsigned());
    SeccompFilter::new(rules, SeccompAction::Allow, answer, architecture)?.try_into()
}
