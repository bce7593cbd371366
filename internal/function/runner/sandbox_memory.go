package runner

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// memoryWatch looks at the memory of a sandbox's processes while an invocation is under way.
//
// The host's control groups would do this in the kernel, but are the administrator's to give. Looking every few
// milliseconds needs nobody's leave; what a function can take between two looks is bounded by RLIMIT_DATA.
type memoryWatch struct {
	limit int // MB
	all   bool
	kill  func()
	usage *os.File // the MB used at most until now, 8 bytes

	mu     sync.Mutex
	active bool
	most   int
	over   bool
	wake   chan struct{}
}

const lookEvery = 20 * time.Millisecond

// watchMemory starts active: the runtime's start is watched too. all: every process that /proc shows counts.
func watchMemory(limit int, all bool, usage *os.File, kill func()) *memoryWatch {
	m := &memoryWatch{limit: limit, all: all, usage: usage, kill: kill, active: true, wake: make(chan struct{}, 1)}
	go m.loop()
	return m
}

func (m *memoryWatch) loop() {
	for {
		m.mu.Lock()
		active := m.active
		m.mu.Unlock()
		if !active {
			<-m.wake
			continue
		}
		began := time.Now()
		m.look()
		// Never more than a tenth of a processor, however many processes there are.
		time.Sleep(max(lookEvery, 10*time.Since(began)))
	}
}

func (m *memoryWatch) look() {
	pids := m.processes()
	used := 0
	for _, pid := range pids {
		used += resident(pid)
	}
	if used > m.limit<<10 {
		// Pages that forked processes share were counted for each of them. Count again, exactly.
		used = 0
		for _, pid := range pids {
			used += proportional(pid)
		}
	}
	m.mu.Lock()
	if mb := (used + 1023) >> 10; mb > m.most {
		m.most = mb
		// Only a number in a report suffers when this fails.
		_, _ = m.usage.WriteAt(binary.LittleEndian.AppendUint64(nil, uint64(mb)), 0)
	}
	over := used > m.limit<<10
	m.over = m.over || over
	m.mu.Unlock()
	if over {
		m.kill()
	}
}

func (m *memoryWatch) processes() []int {
	if !m.all {
		return descendants(os.Getpid())
	}
	var pids []int
	for _, pid := range numbered() {
		if pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (m *memoryWatch) start() {
	m.mu.Lock()
	m.active = true
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *memoryWatch) stop() {
	m.look()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.active = false
}

func (m *memoryWatch) exceeded() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.over
}

// resident is the KB of a process that are not pages of files.
func resident(pid int) int {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0 // it has ended
	}
	return kilobytes(b, "RssAnon:") + kilobytes(b, "RssShmem:")
}

// proportional is the KB of a process, with what it shares divided among those that share it.
func proportional(pid int) int {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "smaps_rollup"))
	if err != nil {
		return 0
	}
	return kilobytes(b, "Pss_Anon:") + kilobytes(b, "Pss_Shmem:")
}

func kilobytes(b []byte, key string) int {
	_, rest, ok := bytes.Cut(b, []byte("\n"+key))
	if !ok {
		return 0
	}
	line, _, _ := strings.Cut(string(rest[:min(len(rest), 40)]), "\n")
	n, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(line), "kB")))
	if err != nil {
		return 0
	}
	return n
}

// numbered are the processes that /proc shows.
func numbered() []int {
	d, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil
	}
	var pids []int
	for _, n := range names {
		if pid, err := strconv.Atoi(n); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// descendants are the processes that pid has started, and theirs.
func descendants(pid int) []int {
	var all []int
	tasks, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "children"))
	if err != nil {
		return nil
	}
	for _, t := range tasks {
		b, err := os.ReadFile(t)
		if err != nil {
			continue
		}
		for _, f := range strings.Fields(string(b)) {
			if child, err := strconv.Atoi(f); err == nil {
				all = append(append(all, child), descendants(child)...)
			}
		}
	}
	return all
}
