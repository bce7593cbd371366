package runner

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sandbox is the server's end of one function's processes.
type sandbox struct {
	cmd     *exec.Cmd
	conn    *net.UnixConn
	output  *output
	isolate bool

	listeners []net.Listener // of a sandbox without a network
	usage     *os.File       // the init process writes the memory in use there
	used      int            // the last of it, valid once dead is closed
	dead      chan struct{}  // closed when all processes are gone
	ending    ending         // valid once dead is closed

	kill1 sync.Once
}

// Users are those that functions may be to the kernel: this process's own, and where that is root the one that isolated
// code becomes.
func Users() []int {
	if os.Geteuid() == 0 {
		return []int{0, outsideID()}
	}
	return []int{os.Geteuid()}
}

// outsideID is the user and group that code runs as when the server is root: one that owns nothing.
func outsideID() int {
	const far, nobody = 1_879_048_192, 65534
	if mapped("/proc/self/uid_map", far) && mapped("/proc/self/gid_map", far) {
		return far
	}
	return nobody
}

// identity maps the ids of this user namespace to themselves.
func identity(path string) ([]syscall.SysProcIDMap, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var maps []syscall.SysProcIDMap
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			return nil, fmt.Errorf("%s: %q", path, line)
		}
		first, err1 := strconv.Atoi(f[0])
		size, err2 := strconv.Atoi(f[2])
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		maps = append(maps, syscall.SysProcIDMap{ContainerID: first, HostID: first, Size: size})
	}
	return maps, nil
}

func mapped(path string, id int) bool {
	maps, err := identity(path)
	if err != nil {
		return false
	}
	for _, m := range maps {
		if id >= m.ContainerID && id < m.ContainerID+m.Size {
			return true
		}
	}
	return false
}

// attributes separates the init process from the server.
func attributes(o *order) (*syscall.SysProcAttr, error) {
	a := &syscall.SysProcAttr{Setsid: true, Pdeathsig: unix.SIGKILL}
	if !o.Isolated {
		return a, nil
	}
	a.Cloneflags = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS
	if o.Network == string(NetworkNone) {
		a.Cloneflags |= unix.CLONE_NEWNET
	}
	if os.Geteuid() != 0 {
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
		return a, nil
	}
	// Root's init process keeps the ids as they are, so that it may show any directory; what it starts
	// becomes somebody else.
	o.HostID = outsideID()
	var err1, err2 error
	a.UidMappings, err1 = identity("/proc/self/uid_map")
	a.GidMappings, err2 = identity("/proc/self/gid_map")
	a.GidMappingsEnableSetgroups = true
	return a, errors.Join(err1, err2)
}

// starter starts init processes from one thread that lives as long as the runner: the kernel kills a child
// (Pdeathsig) when the thread that started it ends, and Go's threads come and go.
type starter chan func()

func newStarter() starter {
	s := make(starter)
	go func() {
		runtime.LockOSThread()
		for f := range s {
			f()
		}
		// Locked until the end: the thread ends with this goroutine, and with it whatever is still there.
	}()
	return s
}

func (s starter) start(cmd *exec.Cmd) error {
	done := make(chan error, 1)
	s <- func() { done <- cmd.Start() }
	return <-done
}

// startSandbox builds a sandbox as o says and starts the program in it. code is the zip archive.
func startSandbox(ctx context.Context, s starter, o *order, code *os.File, sink *output) (*sandbox, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	outR, outW, err := os.Pipe()
	if err != nil {
		ours.Close()
		return nil, err
	}
	defer outW.Close()
	cmd := exec.Command("/proc/self/exe", SandboxArg)
	cmd.Env = []string{"GOMAXPROCS=2"}
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = outW, outW
	usage, _, err := memoryFile("usage", bytes.NewReader(make([]byte, 8)))
	if err != nil {
		ours.Close()
		outR.Close()
		return nil, err
	}
	cmd.ExtraFiles = []*os.File{theirs, code, usage}
	cmd.SysProcAttr, err = attributes(o)
	if err == nil {
		err = s.start(cmd)
	}
	if err != nil {
		ours.Close()
		outR.Close()
		usage.Close()
		return nil, fmt.Errorf("%w: starting a process in namespaces of its own: %w", ErrUnavailable, err)
	}
	b := &sandbox{cmd: cmd, conn: ours, output: sink, isolate: o.Isolated, usage: usage, dead: make(chan struct{})}
	sink.follow(outR)
	rest, err := b.handshake(ctx, o)
	go b.watch(bufio.NewReader(io.MultiReader(bytes.NewReader(rest), ours)))
	if err != nil {
		b.kill()
		<-b.dead
		return nil, err
	}
	return b, nil
}

func socketPair() (ours *net.UnixConn, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	theirs = os.NewFile(uintptr(fds[1]), "control")
	f := os.NewFile(uintptr(fds[0]), "control")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return c.(*net.UnixConn), theirs, nil
}

// buildTime is how long a sandbox may take to be built: unpacking 250 MB on a busy machine.
const buildTime = 60 * time.Second

// handshake sends the order and waits until the program was started. Listeners come with that message.
// What came after it is returned.
func (b *sandbox) handshake(ctx context.Context, o *order) ([]byte, error) {
	line, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	if err := b.conn.SetDeadline(time.Now().Add(buildTime)); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = b.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := b.conn.Write(append(line, '\n')); err != nil {
		return nil, fmt.Errorf("%w: the sandbox ended at once: %w", ErrUnavailable, err)
	}
	first := make([]byte, 4096)
	rights := make([]byte, unix.CmsgSpace(8*4))
	n, rn, _, _, err := b.conn.ReadMsgUnix(first, rights)
	if err != nil || n == 0 {
		return nil, fmt.Errorf("%w: the sandbox ended at once: %w", ErrUnavailable, cmp.Or(err, ctx.Err(), io.ErrUnexpectedEOF))
	}
	said, rest, _ := bytes.Cut(first[:n], []byte("\n"))
	var r report
	if err := json.Unmarshal(said, &r); err != nil {
		return nil, fmt.Errorf("%w: the sandbox's first words: %w", ErrUnavailable, err)
	}
	if r.Failed != "" {
		kind := ErrUnavailable
		if r.Code {
			kind = ErrCode
		}
		return nil, fmt.Errorf("%w: %s", kind, strings.TrimPrefix(r.Failed, kind.Error()+": "))
	}
	if err := b.adopt(rights[:rn]); err != nil {
		return nil, err
	}
	if len(b.listeners) != len(o.Listen) {
		return nil, fmt.Errorf("%w: %d listeners came of %d", ErrUnavailable, len(b.listeners), len(o.Listen))
	}
	return rest, b.conn.SetDeadline(time.Time{})
}

// adopt makes listeners of the descriptors that came.
func (b *sandbox) adopt(rights []byte) error {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return err
	}
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return err
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			f := os.NewFile(uintptr(fd), "listener")
			l, err := net.FileListener(f)
			f.Close()
			if err != nil {
				return err
			}
			b.listeners = append(b.listeners, l)
		}
	}
	return nil
}

// watch hears the init process until it has ended.
func (b *sandbox) watch(lines *bufio.Reader) {
	b.ending = ending{Signal: unix.SIGKILL.String()}
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			break
		}
		var r report
		if json.Unmarshal(line, &r) != nil {
			break
		}
		if r.Ended != nil {
			b.ending = *r.Ended
		}
	}
	b.kill()
	_ = b.cmd.Wait() // how it ended was told, or does not matter
	for _, l := range b.listeners {
		l.Close()
	}
	b.output.drain()
	b.output.close()
	b.used = b.peak()
	b.usage.Close()
	close(b.dead)
}

// kill ends all processes of the sandbox. It returns at once; dead tells when they are gone.
func (b *sandbox) kill() {
	b.kill1.Do(func() {
		if b.isolate {
			_ = b.cmd.Process.Kill() // it has ended already
		}
		b.conn.Close()
		if !b.isolate {
			// Without a process namespace the init process itself ends the others, then itself.
			time.AfterFunc(3*time.Second, func() { _ = b.cmd.Process.Kill() })
		}
	})
}

func (b *sandbox) tell(do string) error {
	line, err := json.Marshal(command{Do: do})
	if err != nil {
		return err
	}
	_, err = b.conn.Write(append(line, '\n'))
	return err
}

// thaw lets the processes run.
func (b *sandbox) thaw() error { return b.tell("thaw") }

// freeze stops them until thaw.
func (b *sandbox) freeze() error { return b.tell("freeze") }

// peak is the MB that the processes have used at most, as of a moment ago.
func (b *sandbox) peak() int {
	select {
	case <-b.dead:
		return b.used
	default:
	}
	var n [8]byte
	if _, err := b.usage.ReadAt(n[:], 0); err != nil {
		return 0
	}
	return int(binary.LittleEndian.Uint64(n[:]))
}

// memoryFile puts what r has into memory that a child can be given as a file.
func memoryFile(name string, r io.Reader) (*os.File, int64, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, 0, err
	}
	f := os.NewFile(uintptr(fd), name)
	n, err := io.Copy(f, r)
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, n, nil
}
