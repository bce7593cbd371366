package runner

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// memfdSecret has the same number everywhere, and a name in only some of the tables of numbers.
const memfdSecret = 447

// What the code may not ask of the kernel: things that need rights which it does not have anyway, things that
// have had more than their share of holes, and ways to hold memory that nobody counts.
var deniedCalls = []uint32{
	// memory without an owner that the watch can see
	unix.SYS_MEMFD_CREATE, memfdSecret, unix.SYS_SHMGET, unix.SYS_SEMGET, unix.SYS_MSGGET,
	// namespaces and mounts
	unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_OPEN_TREE,
	unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR,
	// other processes
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PROCESS_MADVISE, unix.SYS_KCMP, unix.SYS_PIDFD_GETFD,
	// large and lightly guarded parts of the kernel
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
	unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL, unix.SYS_FANOTIFY_INIT, unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_OPEN_BY_HANDLE_AT,
	unix.SYS_LOOKUP_DCOOKIE, unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD, unix.SYS_VHANGUP, unix.SYS_SYSLOG, unix.SYS_ACCT,
	// the machine
	unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_SWAPON,
	unix.SYS_SWAPOFF, unix.SYS_REBOOT, unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_CLOCK_ADJTIME, unix.SYS_ADJTIMEX,
	unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME,
}

// families of sockets that a program needs; the kernel has dozens more.
var socketFamilies = []uint32{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}

const newNamespace = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// Offsets in struct seccomp_data.
const (
	atNumber = 0
	atArch   = 4
	atFirst  = 16 // the low half of the first argument
)

// x32 marks system calls of the x32 ABI, which would go around a list of numbers.
const x32 = 0x40000000

var auditArch = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}

func deny(errno unix.Errno) uint32 { return unix.SECCOMP_RET_ERRNO | uint32(errno) }

func load(at uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
}

func give(what uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: what}
}

// unless skips so many instructions when the loaded word is not k (or, by test, has none of its bits, or is below).
func unless(test uint16, k uint32, skip uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | test | unix.BPF_K, K: k, Jf: skip}
}

// filter is the program that the kernel runs before each system call.
func filter(arch uint32) []unix.SockFilter {
	f := []unix.SockFilter{
		load(atArch),
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: arch, Jt: 1},
		give(unix.SECCOMP_RET_KILL_PROCESS),
		load(atNumber),
		unless(unix.BPF_JGE, x32, 1),
		give(deny(unix.ENOSYS)),
	}
	for _, nr := range deniedCalls {
		f = append(f, unless(unix.BPF_JEQ, nr, 1), give(deny(unix.EPERM)))
	}
	f = append(f,
		// clone3 hides its flags behind a pointer; without it, libraries use clone.
		unless(unix.BPF_JEQ, unix.SYS_CLONE3, 1), give(deny(unix.ENOSYS)),
		unless(unix.BPF_JEQ, unix.SYS_CLONE, 4),
		load(atFirst),
		unless(unix.BPF_JSET, newNamespace, 1),
		give(deny(unix.EPERM)),
		give(unix.SECCOMP_RET_ALLOW),
		unless(unix.BPF_JEQ, unix.SYS_SOCKET, uint8(len(socketFamilies))*2+2),
		load(atFirst),
	)
	for _, family := range socketFamilies {
		f = append(f, unless(unix.BPF_JEQ, family, 1), give(unix.SECCOMP_RET_ALLOW))
	}
	return append(f, give(deny(unix.EAFNOSUPPORT)), give(unix.SECCOMP_RET_ALLOW))
}

// confine installs the filter on this thread, and on all that comes of it. There is no way back.
func confine() error {
	arch, ok := auditArch[runtime.GOARCH]
	if !ok {
		return fmt.Errorf("no filter of system calls for %s", runtime.GOARCH)
	}
	f := filter(arch)
	program := unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
	err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
	runtime.KeepAlive(f)
	if err != nil {
		return fmt.Errorf("filtering system calls: %w", err)
	}
	return nil
}
