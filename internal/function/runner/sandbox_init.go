package runner

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// File descriptors that a Runner gives to the init process beside output at 1 and 2.
const (
	controlFD = 3 // the socket to the server
	codeFD    = 4 // the zip archive
	usageFD   = 5 // where the memory in use is written down for the server to read
)

// File descriptors of the last stage.
const (
	programFD = 3 // what to become
	statusFD  = 4 // why that cannot be
)

// The user that code runs as, inside.
const (
	insideUID = 993
	insideGID = 990
)

// SandboxArg is the first argument of the program when it was started by a Runner as a function's init
// process. The program must then call SandboxMain before anything else.
const SandboxArg = "function-sandbox"

// The second argument, where there is one.
const (
	stageArg = "exec"  // the last stage, which becomes the code
	trialArg = "trial" // the code of a trial: it does nothing
)

// SandboxMain is the whole of such a process; it does not return.
func SandboxMain() {
	if len(os.Args) > 2 {
		if os.Args[2] == stageArg {
			becomeProgram()
		}
		os.Exit(0) // trialArg
	}
	signal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGPIPE, unix.SIGQUIT)
	debug.SetGCPercent(20)
	conn, err := controlConn()
	if err != nil {
		os.Exit(1)
	}
	s := &initProcess{conn: conn, lines: bufio.NewReader(conn)}
	if err := s.run(); err != nil {
		s.say(report{Failed: err.Error(), Code: errors.Is(err, ErrCode)})
		os.Exit(1)
	}
	os.Exit(0)
}

func controlConn() (*net.UnixConn, error) {
	f := os.NewFile(controlFD, "control")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.New("the control descriptor is no socket")
	}
	return u, nil
}

// initProcess is process 1 of a sandbox. When it ends, the kernel kills all others there.
type initProcess struct {
	conn  *net.UnixConn
	lines *bufio.Reader
	order order

	say1    sync.Mutex
	program *os.Process
	memory  *memoryWatch
}

func (s *initProcess) run() error {
	if err := s.read(&s.order); err != nil {
		return err
	}
	listeners, err := s.build()
	if err != nil {
		return err
	}
	cmd, trouble, err := s.start()
	if err != nil {
		return err
	}
	s.program = cmd.Process
	s.memory = watchMemory(s.order.Memory, s.order.Isolated, os.NewFile(usageFD, "usage"), s.killForMemory)
	if err := s.ready(listeners); err != nil {
		return err
	}
	debug.FreeOSMemory()
	go s.obey()
	end := s.wait()
	end.Entry = trouble
	s.say(report{Ended: end})
	s.endAll()
	return nil
}

func (s *initProcess) read(v any) error {
	line, err := s.lines.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, v)
}

func (s *initProcess) say(r report) {
	s.say1.Lock()
	defer s.say1.Unlock()
	b, err := json.Marshal(r)
	if err == nil {
		// Nobody is left to hear when this fails, and obey sees that too.
		_, _ = s.conn.Write(append(b, '\n'))
	}
}

// build makes what the code will see.
func (s *initProcess) build() ([]*os.File, error) {
	code := os.NewFile(codeFD, "code")
	defer code.Close()
	if !s.order.Isolated {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return nil, err
		}
		dir := filepath.Join(s.order.Scratch, "task")
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, err
		}
		for path, content := range s.order.Files {
			if err := os.WriteFile(filepath.Join(s.order.Scratch, filepath.Base(path)), []byte(content), 0o400); err != nil {
				return nil, err
			}
		}
		return nil, unpack(code, s.order.CodeSize, dir)
	}
	if err := unix.Sethostname([]byte("sandbox")); err != nil {
		return nil, err
	}
	if err := buildRoot(&s.order); err != nil {
		return nil, err
	}
	if err := unpack(code, s.order.CodeSize, taskRoot); err != nil {
		return nil, err
	}
	if err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("1"), 0); err != nil {
		return nil, fmt.Errorf("forbidding further namespaces: %w", err)
	}
	listeners, err := s.listen()
	if err != nil {
		return nil, err
	}
	return listeners, seal()
}

// listen opens the doors of a sandbox without a network. The server answers at them, from outside.
func (s *initProcess) listen() ([]*os.File, error) {
	if s.order.Network != string(NetworkNone) {
		return nil, nil
	}
	if err := loopbackUp(); err != nil {
		return nil, fmt.Errorf("bringing loopback up: %w", err)
	}
	var files []*os.File
	for _, address := range s.order.Listen {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return nil, err
		}
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			return nil, err
		}
		files = append(files, f)
		if err := l.Close(); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

// start runs this program once more, as the code's user, to become the code. What is wrong with the code's
// executable, if anything, comes back as text.
func (s *initProcess) start() (*exec.Cmd, string, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, "", err
	}
	defer r.Close()
	statusR, statusW, err := os.Pipe()
	if err != nil {
		return nil, "", err
	}
	defer statusR.Close()
	cmd := exec.Command("/proc/self/exe", SandboxArg, stageArg)
	cmd.Env = []string{"GOMAXPROCS=1"}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{r, statusW}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: unix.SIGKILL}
	if s.order.Isolated {
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: insideUID, HostID: s.order.HostID, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: insideGID, HostID: s.order.HostID, Size: 1}}
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: insideUID, Gid: insideGID, NoSetGroups: s.order.HostID == 0}
		cmd.SysProcAttr.GidMappingsEnableSetgroups = s.order.HostID != 0
	}
	// The starting thread must live as long as the child, which dies with it.
	runtime.LockOSThread()
	err = cmd.Start()
	statusW.Close()
	if err == nil {
		err = json.NewEncoder(w).Encode(s.order.Program)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, "", err
	}
	// The other end is closed by the code's beginning.
	b, err := io.ReadAll(io.LimitReader(statusR, 4096))
	if err != nil {
		return nil, "", err
	}
	if trouble, ok := strings.CutPrefix(string(b), entryTrouble); ok {
		return cmd, trouble, nil
	}
	if len(b) > 0 {
		return nil, "", errors.New(string(b))
	}
	return cmd, "", nil
}

// entryTrouble begins what the last stage says when the code's executable cannot be executed.
const entryTrouble = "entry: "

// ready tells the server that the runtime runs, and passes it the listeners.
func (s *initProcess) ready(listeners []*os.File) error {
	line, err := json.Marshal(report{Ready: true})
	if err != nil {
		return err
	}
	var rights []byte
	if len(listeners) > 0 {
		fds := make([]int, len(listeners))
		for i, f := range listeners {
			fds[i] = int(f.Fd())
		}
		rights = unix.UnixRights(fds...)
	}
	_, _, err = s.conn.WriteMsgUnix(append(line, '\n'), rights, nil)
	for _, f := range listeners {
		err = errors.Join(err, f.Close())
	}
	return err
}

// obey does what the server says, and ends everything when the server is gone.
func (s *initProcess) obey() {
	for {
		var c command
		if err := s.read(&c); err != nil {
			s.endAll()
			os.Exit(0)
		}
		switch c.Do {
		case "thaw":
			s.signalAll(unix.SIGCONT)
			s.memory.start()
		case "freeze":
			s.signalAll(unix.SIGSTOP)
			s.memory.stop()
		}
	}
}

// signalAll reaches every process of the sandbox but this one.
func (s *initProcess) signalAll(sig unix.Signal) {
	if s.order.Isolated {
		_ = unix.Kill(-1, sig) // ESRCH: nobody is left
		return
	}
	_ = unix.Kill(-s.program.Pid, sig)
}

func (s *initProcess) killForMemory() { s.signalAll(unix.SIGKILL) }

// endAll kills every other process. With a process namespace of its own the kernel does so when this
// process ends; without, this is the careful walk.
func (s *initProcess) endAll() {
	if s.order.Isolated {
		return
	}
	for range 100 {
		all := descendants(os.Getpid())
		if len(all) == 0 {
			break
		}
		for _, pid := range all {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		for {
			if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
		time.Sleep(time.Millisecond)
	}
	if s.order.Scratch != "" {
		_ = os.RemoveAll(s.order.Scratch)
	}
}

// wait reaps processes until the runtime's has ended.
func (s *initProcess) wait() *ending {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return &ending{Status: 1}
		case pid != s.program.Pid:
		case status.Signaled():
			return &ending{Signal: status.Signal().String(), Memory: s.memory.exceeded()}
		default:
			return &ending{Status: status.ExitStatus(), Memory: s.memory.exceeded()}
		}
	}
}

// becomeProgram is the last stage: it takes what is not needed away from itself and becomes the code. It
// returns only when it cannot, having said why.
func becomeProgram() {
	runtime.LockOSThread()
	var l limits
	err := l.receive()
	if err == nil {
		err = unix.Exec(l.Argv[0], l.Argv, l.Env)
		err = fmt.Errorf("%sfork/exec %s: %w", entryTrouble, l.Argv[0], err)
	}
	_, _ = os.NewFile(statusFD, "status").WriteString(err.Error())
	os.Exit(1)
}

// receive reads what to become, and gets ready for it.
func (l *limits) receive() error {
	f := os.NewFile(programFD, "program")
	b, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, l); err != nil {
		return err
	}
	if err := os.Chdir(l.Dir); err != nil {
		return err
	}
	// Whatever the server inherited and did not know of ends here.
	if err := unix.CloseRange(programFD, 1<<31-1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("closing files: %w", err)
	}
	return l.impose()
}

// impose bounds this process and all that it starts.
func (l *limits) impose() error {
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0); err != nil {
		return err
	}
	// A function must not take the processor from the server, nor share the server's keyring.
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, 10); err != nil {
		return fmt.Errorf("lowering the priority: %w", err)
	}
	if _, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0); err != nil && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("joining a keyring: %w", err)
	}
	for _, r := range []struct {
		resource int
		max      uint64
	}{
		{unix.RLIMIT_CORE, 0},
		{unix.RLIMIT_NOFILE, l.Files},
		{unix.RLIMIT_FSIZE, l.FileSize},
		{unix.RLIMIT_DATA, l.Data},
		{unix.RLIMIT_MEMLOCK, 64 << 10},
		{unix.RLIMIT_MSGQUEUE, 64 << 10},
		{unix.RLIMIT_NPROC, l.Processes},
	} {
		if r.max == 0 && r.resource != unix.RLIMIT_CORE {
			continue
		}
		if err := lower(r.resource, r.max); err != nil {
			return fmt.Errorf("limit %d: %w", r.resource, err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return confine()
}

// lower sets a limit, never above the one that holds already.
func lower(resource int, max uint64) error {
	var now unix.Rlimit
	if err := unix.Getrlimit(resource, &now); err != nil {
		return err
	}
	max = min(max, now.Max)
	return unix.Setrlimit(resource, &unix.Rlimit{Cur: max, Max: max})
}
