package runner

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	tailSize = 4096      // bytes of an invocation's log that a caller can have
	maxLine  = 256 << 10 // bytes of one line; a longer one is cut in pieces
	// maxOutput bounds what one invocation may write. CloudWatch would throttle a function; here its lines
	// are dropped, and the log says so.
	maxOutput = 16 << 20
)

// output reads what a sandbox writes, cuts it into lines and hands them on.
type output struct {
	sink func(at time.Time, line string)

	mu      sync.Mutex
	file    *os.File
	raw     syscall.RawConn
	partial []byte
	tail    []byte
	written int
	buf     []byte
	closed  chan struct{}
}

func newOutput(sink func(at time.Time, line string)) *output {
	return &output{sink: sink, closed: make(chan struct{})}
}

// follow reads f until its end.
func (o *output) follow(f *os.File) {
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		close(o.closed)
		return
	}
	o.mu.Lock()
	o.file, o.raw, o.buf = f, raw, make([]byte, 32<<10)
	o.mu.Unlock()
	go func() {
		defer close(o.closed)
		// Returning false waits until there is more.
		_ = raw.Read(func(fd uintptr) bool { return o.readAll(int(fd)) })
		o.flush()
	}()
}

// readAll takes what is there, and tells whether that was the end.
func (o *output) readAll(fd int) bool {
	for range 64 {
		o.mu.Lock()
		n, err := unix.Read(fd, o.buf)
		if n > 0 {
			o.take(o.buf[:n])
		}
		o.mu.Unlock()
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return false
		case n <= 0:
			return true
		}
	}
	return false
}

// drain takes what was written until now, so that a line written before an answer is in that
// answer's log.
func (o *output) drain() {
	o.mu.Lock()
	raw := o.raw
	o.mu.Unlock()
	if raw != nil {
		_ = raw.Control(func(fd uintptr) {
			for range 64 {
				o.mu.Lock()
				n, err := unix.Read(int(fd), o.buf)
				if n > 0 {
					o.take(o.buf[:n])
				}
				o.mu.Unlock()
				if n <= 0 && !errors.Is(err, unix.EINTR) {
					break
				}
			}
		})
	}
	o.flush()
}

// take cuts b into lines. Called with mu held.
func (o *output) take(b []byte) {
	if o.written > maxOutput {
		return
	}
	o.written += len(b)
	for len(b) > 0 {
		line, rest, whole := bytes.Cut(b, []byte("\n"))
		if room := maxLine - len(o.partial); len(line) > room {
			line, rest, whole = b[:room], b[room:], true
		}
		o.partial = append(o.partial, line...)
		b = rest
		if whole {
			o.emitPartial()
		}
	}
	if o.written > maxOutput {
		o.emit("kura: this invocation has written 16 MB; the rest of its output is dropped")
	}
}

func (o *output) emitPartial() {
	line := string(o.partial)
	o.partial = o.partial[:0]
	o.emit(line)
}

// emit hands one line on. A carriage return stands for a line break within one entry of the log.
func (o *output) emit(line string) {
	line = strings.ReplaceAll(strings.TrimRight(strings.ToValidUTF8(line, "\uFFFD"), "\r"), "\r", "\n")
	o.tail = append(append(o.tail, line...), '\n')
	if extra := len(o.tail) - tailSize; extra > 0 {
		o.tail = append(o.tail[:0], o.tail[extra:]...)
	}
	if line != "" && o.sink != nil {
		o.sink(time.Now(), line)
	}
}

// flush ends a line that has no end.
func (o *output) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.partial) > 0 {
		o.emitPartial()
	}
}

// say adds a line of the platform's own.
func (o *output) say(line string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.emit(line)
}

// begin forgets the tail: another invocation begins.
func (o *output) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tail, o.written = nil, 0
}

func (o *output) lastLines() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(o.tail)
}

// close lets the pipe go. Whoever still holds its other end writes into nothing.
func (o *output) close() {
	o.mu.Lock()
	f := o.file
	o.mu.Unlock()
	if f != nil {
		_ = f.Close()
		<-o.closed
	}
}
