package stat

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clockTick is the unit of utime and stime in /proc/PID/stat: USER_HZ, 100 on every Linux port
// that Go runs on.
const clockTick = 10 * time.Millisecond

// CPUTime returns the processor time, user and system, that the process has taken so far.
func CPUTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	return parseCPUTime(text)
}

func parseCPUTime(text []byte) (time.Duration, error) {
	// The command's name stands in parentheses and may itself hold any byte.
	end := bytes.LastIndexByte(text, ')')
	if end < 0 {
		return 0, fmt.Errorf("stat: no command in %q", text)
	}
	const utime, stime = 11, 12 // counted from the field after the command
	fields := strings.Fields(string(text[end+1:]))
	if len(fields) <= stime {
		return 0, fmt.Errorf("stat: %d fields", len(fields))
	}
	var ticks int64
	for _, f := range fields[utime : stime+1] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("stat: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}

// Memory is a process's resident memory in bytes.
type Memory struct {
	Resident int64 `json:"resident"`
	Peak     int64 `json:"peak"`
}

// MemoryOf reads the resident memory of a process, now and at its highest.
func MemoryOf(pid int) (Memory, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Memory{}, err
	}
	return parseMemory(string(text))
}

func parseMemory(text string) (Memory, error) {
	var m Memory
	fields := map[string]*int64{"VmRSS": &m.Resident, "VmHWM": &m.Peak}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, ":")
		into := fields[name]
		if into == nil {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return Memory{}, fmt.Errorf("status: %s: %w", name, err)
		}
		*into = kib << 10
	}
	if m.Resident == 0 {
		return Memory{}, fmt.Errorf("status: no VmRSS")
	}
	return m, nil
}

// OwnCPUTime returns the processor time that this process has taken so far.
func OwnCPUTime() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}
