"""A process locks itself down: no way to more rights, no capability, no user of weight, bounded in what it uses.

What is laid on whom is said by values (``Bounds``, ``Identity``, the filters); the functions only carry it out, each in
the process that is to live under it, between fork and exec or before the first hostile byte.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import pwd
import resource
import signal
import struct
from dataclasses import dataclass
from pathlib import Path

from injector.system.seccomp import Bits, Filter, Not, Rule, Verdict

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_KILL, _CAP_SETGID, _CAP_SETUID, _CAP_SETPCAP = 5, 6, 7, 8
_CLONE_THREAD = 0x00010000
_F_SETOWN, _F_SETSIG, _F_SETOWN_EX = 8, 10, 15
_FIOSETOWN, _SIOCSPGRP = 0x8901, 0x8902
# More than any kernel knows; the surplus is refused.
_LAST_CAPABILITY = 63

_LIBC = ctypes.CDLL(None, use_errno=True)

NO_CAPABILITY: frozenset[int] = frozenset()
TO_CHANGE_USER = frozenset({_CAP_KILL, _CAP_SETGID, _CAP_SETUID, _CAP_SETPCAP})


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bytes of address space and of one file, seconds of processor, numbers of open files and processes of the user.

    None leaves what is. Nobody under bounds ever leaves a core file.
    """

    address_space: int | None = None
    cpu_seconds: int | None = None
    file_size: int | None = None
    open_files: int | None = None
    processes: int | None = None

    def limits(self) -> dict[int, int]:
        """By the resource's number."""
        asked = {
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_AS: self.address_space,
            resource.RLIMIT_CPU: self.cpu_seconds,
            resource.RLIMIT_FSIZE: self.file_size,
            resource.RLIMIT_NOFILE: self.open_files,
            resource.RLIMIT_NPROC: self.processes,
        }
        return {kind: value for kind, value in asked.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Identity:
    """A user and its group, by number."""

    uid: int
    gid: int


def nobody() -> Identity | None:
    """Whom root becomes; None for an ordinary user, who is nobody else already."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam("nobody")
    return Identity(entry.pw_uid, entry.pw_gid)


def forbid_new_rights() -> None:
    """No set-user-id program and no file capability gives this process or its children anything any more."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def hide_memory() -> None:
    """Not even a process of the same user may read this one's memory or trace it."""
    _prctl(_PR_SET_DUMPABLE, 0)


def die_with_parent(parent: int) -> None:
    """SIGKILL when the parent (which must have one thread only) ends. Changing the user afterwards undoes it."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def become(identity: Identity | None) -> None:
    """This user, in its group and in no other; None stays who it is, with the groups that only root can give up."""
    if identity is not None:
        os.setgroups([])
        os.setresgid(identity.gid, identity.gid, identity.gid)
        os.setresuid(identity.uid, identity.uid, identity.uid)


def keep_capabilities(kept: frozenset[int]) -> None:
    """Of the capabilities there are, these; from the bounding set too where that may be changed."""
    if os.geteuid() == 0:
        for number in range(_LAST_CAPABILITY + 1):
            if number not in kept:
                _prctl(_PR_CAPBSET_DROP, number, required=False)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, required=False)
    mask = sum(1 << number for number in kept) if os.geteuid() == 0 else 0
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    # Effective and permitted; nothing is inheritable. The upper half is of numbers over 31, which nobody keeps.
    data = struct.pack("6I", mask, mask, 0, 0, 0, 0)
    if _LIBC.capset(header, data) != 0:
        raise OSError(ctypes.get_errno(), "capabilities cannot be given up")


def bound(bounds: Bounds) -> None:
    """Soft and hard limits at once; a limit that is lower already stays.

    But of processor time the hard one is a second later: at the soft one the kernel sends SIGXCPU, which is
    recognisable, and at the hard one it only kills.
    """
    for kind, value in bounds.limits().items():
        _, ceiling = resource.getrlimit(kind)
        hard = value + 1 if kind == resource.RLIMIT_CPU else value
        if ceiling != resource.RLIM_INFINITY:
            value, hard = min(value, ceiling), min(hard, ceiling)
        resource.setrlimit(kind, (value, hard))


def mapped_bytes() -> int:
    """The address space of this process as it is."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE


def _rules(verdict: Verdict, *calls: str) -> tuple[Rule, ...]:
    return tuple(Rule(call, verdict) for call in calls)


_NOT_EXECUTABLE = Bits(2, mmap.PROT_EXEC, 0)

# For who has everything open already: nothing here takes a path, names a process or makes a descriptor. Its sockets,
# its memory, clocks and its end.
SEALED = Filter(
    Verdict.KILL,
    (
        *_rules(Verdict.ALLOW, "recvfrom", "sendto", "poll", "ppoll", "shutdown", "close"),
        *_rules(Verdict.ALLOW, "munmap", "mremap", "brk", "madvise", "futex", "sched_yield", "restart_syscall"),
        *_rules(Verdict.ALLOW, "clock_gettime", "clock_nanosleep", "gettimeofday", "getrandom", "getpid", "gettid"),
        *_rules(Verdict.ALLOW, "rt_sigreturn", "rt_sigprocmask", "exit", "exit_group"),
        Rule("mmap", Verdict.ALLOW, (_NOT_EXECUTABLE, Bits(3, mmap.MAP_ANONYMOUS, mmap.MAP_ANONYMOUS))),
        Rule("mprotect", Verdict.ALLOW, (_NOT_EXECUTABLE,)),
    ),
)


def _only(argument: int, value: int) -> tuple[Bits]:
    return (Bits(argument, 0xFFFFFFFF, value),)


# For programs: whatever a block layer or a file system checker has no use for. Threads they may have, children not;
# what exists they may open, but neither make, remove nor rename anything; and nobody gets a signal from them, not even
# by way of a descriptor that reports to its owner.
PROGRAM = Filter(
    Verdict.ALLOW,
    (
        *_rules(Verdict.REFUSE, "socket", "socketpair", "connect", "bind"),
        *_rules(Verdict.REFUSE, "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd"),
        *_rules(Verdict.REFUSE, "kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"),
        *_rules(Verdict.REFUSE, "pidfd_open", "pidfd_send_signal", "process_madvise", "process_mrelease", "kcmp"),
        *_rules(Verdict.REFUSE, "setpriority", "ioprio_set", "sched_setparam", "sched_setscheduler", "sched_setattr"),
        *_rules(Verdict.REFUSE, "migrate_pages", "move_pages", "shmget", "shmat", "semget", "msgget", "mq_open"),
        *(Rule("fcntl", Verdict.REFUSE, _only(1, command)) for command in (_F_SETOWN, _F_SETSIG, _F_SETOWN_EX)),
        *(Rule("ioctl", Verdict.REFUSE, _only(1, request)) for request in (_FIOSETOWN, _SIOCSPGRP)),
        *_rules(Verdict.REFUSE, "mount", "umount2", "pivot_root", "chroot", "unshare", "setns", "open_by_handle_at"),
        *_rules(Verdict.REFUSE, "move_mount", "open_tree", "fsopen", "fsmount", "fspick", "mount_setattr"),
        *_rules(Verdict.REFUSE, "bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "keyctl", "add_key"),
        *_rules(Verdict.REFUSE, "request_key", "init_module", "finit_module", "kexec_load", "personality"),
        *_rules(Verdict.REFUSE, "chmod", "fchmod", "fchmodat", "chown", "fchown", "lchown", "fchownat"),
        *_rules(Verdict.REFUSE, "setxattr", "lsetxattr", "fsetxattr", "link", "linkat", "symlink", "symlinkat"),
        *_rules(Verdict.REFUSE, "unlink", "unlinkat", "rename", "renameat", "renameat2", "mkdir", "mkdirat", "rmdir"),
        *_rules(Verdict.REFUSE, "mknod", "mknodat", "creat", "truncate", "removexattr", "lremovexattr", "fremovexattr"),
        Rule("open", Verdict.REFUSE, (Bits(1, os.O_CREAT, os.O_CREAT),)),
        Rule("openat", Verdict.REFUSE, (Bits(2, os.O_CREAT, os.O_CREAT),)),
        Rule("prlimit64", Verdict.REFUSE, (Not(0, 0),)),
        Rule("clone", Verdict.REFUSE, (Bits(0, _CLONE_THREAD, 0),)),
        # Their arguments lie in memory, where no filter sees them; the C library does without.
        *_rules(Verdict.ABSENT, "clone3", "openat2"),
    ),
)


def _prctl(option: int, value: int, *, required: bool = True) -> None:
    if _LIBC.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0 and required:
        raise OSError(ctypes.get_errno(), f"prctl {option}: {os.strerror(ctypes.get_errno())}")
