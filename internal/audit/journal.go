package audit

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// JournalConfig of a Journal.
type JournalConfig struct {
	// Dir holds the journal's files; made with mode 0700 when it is not there. Required.
	Dir string
	// Stream is the journal's name among those of Dir. Required.
	Stream string
	// Node names this node, for journals that are brought together.
	Node string
	// Key signs checkpoints. Required.
	Key ed25519.PrivateKey
	// Head is the newest checkpoint that was kept elsewhere, zero for none; Keep gets every new one.
	Head Checkpoint
	Keep func(Checkpoint)
	// SegmentBytes is the size at which a new segment is begun. Default 32 MiB.
	SegmentBytes int64
	// MaxBytes and MaxAge bound what is kept; the oldest segments go first. 0: no bound.
	MaxBytes int64
	MaxAge   time.Duration
	// SyncEvery bounds how long a line that nobody waits for stays without fsync. Default 250 ms.
	SyncEvery time.Duration
	// CheckpointEvery bounds how long lines stay without a checkpoint. Default 10 s.
	CheckpointEvery time.Duration
	// Log is required.
	Log *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// maxWaiting bounds the lines that wait for the disk. What nobody waits for is lost beyond that, and
// the loss is a line of the journal.
const maxWaiting = 16 << 20

// What nobody waits for is written together: when there is so much of it, or after so long.
const (
	wakeBytes  = 256 << 10
	writeEvery = 50 * time.Millisecond
)

// checkpointLines is after how many lines a checkpoint is made without waiting for its time.
const checkpointLines = 4096

// ErrJournal says that a journal cannot be written.
var ErrJournal = errors.New("audit: the journal cannot be written")

// Journal is one chain of lines in files. One goroutine writes; whoever appends waits for the disk
// only where it must, and all who wait at the same time share one fsync. Safe for concurrent use.
type Journal struct {
	config JournalConfig
	wake   chan struct{}
	seals  chan *segment
	done   chan struct{}
	sealed chan struct{}

	mu      sync.Mutex
	waiting *batch
	flight  *flight // of waiting
	hurry   bool    // somebody waits for waiting to be durable
	lost    loss
	failed  error
	broken  bool // failed for good
	closed  bool
	durable uint64 // number of the newest line that a crash does not take back
	changed chan struct{}

	// What follows is the writer's own.
	file     *os.File
	segment  *segment
	written  int64
	seq      uint64 // of the newest line
	head     hash
	covered  uint64 // by a checkpoint
	checked  time.Time
	synced   time.Time
	dirty    bool
	out      []byte
	spare    *batch // to wait in next
	tidied   time.Time
	segments []*segment
	blocks   []*block // of the segment, by the sizes of their lines
}

// flight is what one write takes along; done is closed when it is durable or failed.
type flight struct {
	done chan struct{}
	err  error
}

// batch are lines that wait for the writer, as they will stand in the file but for their hashes. There
// are two, which take turns: what is not yet large enough for the flood grows once.
type batch struct {
	buf    []byte
	lines  []waiting
	tokens []uint64 // of all lines
}

// waiting is a line of a batch: where it and its tokens end.
type waiting struct {
	end, tokens int
	millis      int64
}

// maxSpare is what a batch keeps of its memory in any case; more only as long as it is used, because
// growing again costs requests more than the lines themselves.
const maxSpare = 1 << 20

func (b *batch) add(l *Line) {
	if l.data != nil {
		b.buf = appendData(b.buf, l.data)
		b.tokens = append(b.tokens, 0) // of the eventID, which is known with the hash
	} else {
		b.buf = appendOpen(b.buf, kindEvent, l.Record, l.Note)
	}
	b.tokens = append(b.tokens, l.tokens...)
	b.lines = append(b.lines, waiting{end: len(b.buf), tokens: len(b.tokens), millis: l.millis})
}

// reset empties a batch.
func (b *batch) reset() {
	if cap(b.buf) > maxSpare && len(b.buf) < cap(b.buf)/8 {
		*b = batch{}
	}
	b.buf, b.lines, b.tokens = b.buf[:0], b.lines[:0], b.tokens[:0]
}

// OpenJournal continues the journal in c.Dir with a new segment. What a crash left unfinished at the
// end of the last one is cut off, and the new segment's header says so.
func OpenJournal(c JournalConfig) (*Journal, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	for _, d := range []struct {
		value *time.Duration
		def   time.Duration
	}{{&c.SyncEvery, 250 * time.Millisecond}, {&c.CheckpointEvery, 10 * time.Second}} {
		if *d.value <= 0 {
			*d.value = d.def
		}
	}
	if c.SegmentBytes <= 0 {
		c.SegmentBytes = 32 << 20
	}
	if c.Keep == nil {
		c.Keep = func(Checkpoint) {}
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	j := &Journal{
		config: c, wake: make(chan struct{}, 1), seals: make(chan *segment, 1024), done: make(chan struct{}), sealed: make(chan struct{}),
		flight: newFlight(), changed: make(chan struct{}), waiting: &batch{}, spare: &batch{},
	}
	if err := j.recover(); err != nil {
		return nil, err
	}
	go j.write()
	go j.sealAll()
	return j, nil
}

func newFlight() *flight { return &flight{done: make(chan struct{})} }

// recover finds the end of the chain and begins the next segment.
func (j *Journal) recover() error {
	var err error
	if j.segments, err = segments(j.config.Dir, j.config.Stream); err != nil {
		return err
	}
	h := header{Format: journalFormat, Stream: j.config.Stream, Node: j.config.Node, Opened: j.config.Now().UTC()}
	if h.Torn, err = j.dropUnbegun(); err != nil {
		return err
	}
	if n := len(j.segments); n > 0 {
		torn, err := j.findEnd(j.segments[n-1])
		if err != nil {
			return err
		}
		h.Torn += torn
		if h.Rewritten, err = j.rewritten(); err != nil {
			return err
		}
		for _, s := range j.segments {
			if !s.sealed {
				own := *s
				j.seals <- &own
			}
		}
	}
	if last := j.config.Head.Seq; last > j.seq {
		h.Missing = last - j.seq
		j.config.Log.Error("audit: the journal ends before its last checkpoint: lines were removed", "stream", j.config.Stream,
			"checkpoint", last, "last", j.seq)
		// Numbers are not used again.
		j.seq = last
	}
	if err := j.begin(h); err != nil || j.seq > 1 {
		return err
	}
	// A new journal is signed from its first line on: one without any checkpoint is one that was cut.
	return j.checkpoint(j.config.Now())
}

// dropUnbegun takes segments away that a crash, or a full disk, left without a whole header: nothing was
// written behind it.
func (j *Journal) dropUnbegun() (torn int64, err error) {
	for len(j.segments) > 0 {
		last := j.segments[len(j.segments)-1]
		if last.sealed {
			break
		}
		raw, err := os.Open(last.path())
		if err != nil {
			return torn, fmt.Errorf("audit: %w", err)
		}
		lines := newLines(raw)
		begun := lines.next() || lines.err != nil
		raw.Close()
		if begun {
			break
		}
		if err := errors.Join(os.Remove(last.path()), syncDir(j.config.Dir)); err != nil {
			return torn, fmt.Errorf("audit: %w", err)
		}
		torn += lines.rest
		j.segments = j.segments[:len(j.segments)-1]
	}
	return torn, nil
}

// rewritten is the line that the newest checkpoint signs, if there is another one in its place: who rewrites the
// journal while the server stands still must not have the new past signed.
func (j *Journal) rewritten() (line uint64, err error) {
	head := &j.config.Head
	if head.Seq == 0 || head.Seq > j.seq {
		return 0, nil
	}
	i := len(j.segments) - 1
	for i > 0 && j.segments[i].first > head.Seq {
		i--
	}
	s := *j.segments[i]
	r, err := s.open()
	if err != nil {
		return 0, fmt.Errorf("audit: %w", err)
	}
	defer r.Close()
	lines := newLines(r)
	for seq := s.first; lines.next(); seq++ {
		if seq != head.Seq {
			continue
		}
		p, err := parseLine(lines.line)
		if err == nil && p.hash.text() == head.Hash {
			return 0, nil
		}
		j.config.Log.Error("audit: the journal is another one than its last checkpoint signs: it was rewritten", "stream", j.config.Stream, "line", seq)
		return seq, nil
	}
	// Numbers are left out where lines went missing, and that is on record.
	return 0, nil
}

// findEnd reads the last segment up to its last whole line.
func (j *Journal) findEnd(s *segment) (torn int64, err error) {
	r, err := s.open()
	if err != nil {
		return 0, fmt.Errorf("audit: %w", err)
	}
	defer r.Close()
	lines := newLines(r)
	j.seq = s.first - 1
	for lines.next() {
		p, err := parseLine(lines.line)
		if err != nil {
			return 0, fmt.Errorf("audit: %s, line %d: %w; kura audit verify tells more. Move the file away to go on", s.path(), j.seq+1, err)
		}
		j.seq++
		j.head = p.hash
	}
	if lines.err != nil {
		return 0, fmt.Errorf("audit: %s: %w", s.path(), lines.err)
	}
	if lines.rest > 0 && !s.sealed {
		if err := os.Truncate(s.path(), lines.size); err != nil {
			return 0, fmt.Errorf("audit: %w", err)
		}
		torn = lines.rest
	}
	return torn, nil
}

// begin opens a segment whose header is h.
func (j *Journal) begin(h header) error {
	h.First, h.Previous = j.seq+1, j.head.text()
	public, _ := j.config.Key.Public().(ed25519.PublicKey)
	h.Key = base64.StdEncoding.EncodeToString(public)
	s := &segment{dir: j.config.Dir, stream: j.config.Stream, first: h.First}
	file, err := os.OpenFile(s.name(openSuffix), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	line, head := appendLine(nil, j.head, kindHeader, mustJSON(h), []byte("{}"))
	_, err = file.Write(line)
	if err := errors.Join(err, file.Sync(), syncDir(j.config.Dir)); err != nil {
		file.Close()
		return fmt.Errorf("audit: %w", err)
	}
	j.file, j.segment, j.written = file, s, int64(len(line))
	j.blocks = []*block{newBlock(0, h.First)}
	j.blocks[0].add(len(line), 0, nil)
	j.seq, j.head = h.First, head
	j.segments = append(j.segments, s)
	j.synced = j.config.Now()
	if j.checked.IsZero() {
		j.checked = j.synced
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.tell(j.seq)
	return nil
}

// tell says that lines up to seq are durable. Under mu.
func (j *Journal) tell(seq uint64) {
	j.durable = seq
	close(j.changed)
	j.changed = make(chan struct{})
}

// Err is why the journal cannot be written now, or nil.
func (j *Journal) Err() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.failed
}

// Append adds lines, together. With durable it returns when they are on disk; without, at once, and
// what the disk is too slow for is lost on the record. The memory of lines is the caller's again when it
// returns.
func (j *Journal) Append(durable bool, lines ...Line) error {
	j.mu.Lock()
	if j.closed || j.broken {
		err := j.failed
		j.mu.Unlock()
		return errors.Join(ErrJournal, err)
	}
	if !durable && len(j.waiting.buf) > maxWaiting {
		j.lose(uint64(len(lines)), "the disk was too slow")
		j.mu.Unlock()
		return ErrJournal
	}
	for i := range lines {
		j.waiting.add(&lines[i])
	}
	j.hurry = j.hurry || durable
	f := j.flight
	wake := durable || len(j.waiting.buf) >= wakeBytes
	j.mu.Unlock()
	if wake {
		select {
		case j.wake <- struct{}{}:
		default:
		}
	}
	if !durable {
		return nil
	}
	<-f.done
	return f.err
}

// lose counts events that are not recorded. Under mu.
func (j *Journal) lose(n uint64, reason string) {
	if j.lost.Events == 0 {
		j.lost.Since, j.lost.Reason = j.config.Now().UTC(), reason
	}
	j.lost.Events += n
}

// write is the writer.
func (j *Journal) write() {
	defer close(j.done)
	tick := time.NewTicker(min(writeEvery, j.config.SyncEvery))
	defer tick.Stop()
	for {
		select {
		case <-j.wake:
		case <-tick.C:
		}
		if !j.writeOnce() {
			return
		}
	}
}

func (j *Journal) writeOnce() (more bool) {
	j.mu.Lock()
	lines, f, hurry, closed, lost := j.waiting, j.flight, j.hurry, j.closed, j.lost
	j.waiting, j.hurry, j.lost = j.spare, false, loss{}
	j.flight = newFlight()
	broken := j.broken
	j.mu.Unlock()
	err := ErrJournal
	if !broken {
		err = j.store(lines, lost, hurry || closed)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if !broken {
		if err != nil && j.failed == nil {
			j.config.Log.Error("audit: the journal cannot be written", "stream", j.config.Stream, "err", err)
		}
		j.failed = err
	}
	if err != nil {
		if lost.Events > 0 {
			j.lose(lost.Events, lost.Reason)
		}
		if n := len(lines.lines); n > 0 {
			j.lose(uint64(n), err.Error())
		}
	}
	lines.reset()
	j.spare = lines
	f.err = err
	close(f.done)
	return !closed
}

// store writes lines, and everything that is due.
func (j *Journal) store(lines *batch, lost loss, sync bool) error {
	now := j.config.Now()
	if lost.Events > 0 {
		if err := j.put(kindLost, mustJSON(lost)); err != nil {
			return err
		}
		sync = true
	}
	if err := j.putEvents(lines); err != nil {
		return err
	}
	if j.dirty && (sync || now.Sub(j.synced) >= j.config.SyncEvery) {
		if err := j.sync(now); err != nil {
			return err
		}
		if fresh := j.seq - j.covered; fresh >= checkpointLines || fresh > 0 && now.Sub(j.checked) >= j.config.CheckpointEvery {
			if err := j.checkpoint(now); err != nil {
				return err
			}
		}
	}
	if !j.dirty && j.seq > j.covered && now.Sub(j.checked) >= j.config.CheckpointEvery {
		if err := j.checkpoint(now); err != nil {
			return err
		}
	}
	if j.written >= j.config.SegmentBytes {
		if err := j.rotate(now); err != nil {
			return err
		}
	}
	if now.Sub(j.tidied) >= time.Minute {
		j.tidied = now
		return j.expire(now)
	}
	return nil
}

func (j *Journal) putEvents(b *batch) error {
	if len(b.lines) == 0 {
		return nil
	}
	head, at := j.head, 0
	for i, tokens := 0, 0; i < len(b.lines); i++ {
		l := &b.lines[i]
		line := b.buf[at:l.end]
		if head = chain(line, head); line[hashText+1] == kindData {
			b.tokens[tokens] = tokenOfHash(head)
		}
		at, tokens = l.end, l.tokens
	}
	first := j.seq + 1
	if err := j.emit(b.buf, head, uint64(len(b.lines))); err != nil {
		return err
	}
	var last waiting
	for i, l := range b.lines {
		j.index(first+uint64(i), l.end-last.end, l.millis, b.tokens[last.tokens:l.tokens])
		last = l
	}
	return nil
}

// index notes a line that was written in the index of the segment.
func (j *Journal) index(seq uint64, size int, millis int64, tokens []uint64) {
	b := j.blocks[len(j.blocks)-1]
	if b.full() {
		b = newBlock(0, seq)
		j.blocks = append(j.blocks, b)
	}
	b.add(size, millis, tokens)
}

func (j *Journal) put(kind byte, record []byte) error {
	var head hash
	j.out, head = appendLine(j.out[:0], j.head, kind, record, []byte("{}"))
	size := len(j.out)
	if err := j.emit(j.out, head, 1); err != nil {
		return err
	}
	j.index(j.seq, size, 0, nil)
	return nil
}

// emit writes lines, of which head is the last's hash; what was written in part is taken back, so that
// the chain stays whole.
func (j *Journal) emit(out []byte, head hash, lines uint64) error {
	n, err := j.file.Write(out)
	if err != nil {
		if n > 0 {
			if terr := j.file.Truncate(j.written); terr != nil {
				j.breakDown(terr)
				return errors.Join(err, terr)
			}
		}
		return fmt.Errorf("audit: %w", err)
	}
	j.written += int64(n)
	j.seq += lines
	j.head = head
	j.dirty = true
	return nil
}

// breakDown ends writing for good: after a failed fsync nobody knows what is on disk.
func (j *Journal) breakDown(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.broken, j.failed = true, err
	j.config.Log.Error("audit: the journal is broken until the next start", "stream", j.config.Stream, "err", err)
}

func (j *Journal) sync(now time.Time) error {
	if err := j.file.Sync(); err != nil {
		j.breakDown(err)
		return fmt.Errorf("audit: %w", err)
	}
	j.dirty, j.synced = false, now
	j.mu.Lock()
	defer j.mu.Unlock()
	j.tell(j.seq)
	return nil
}

// checkpoint signs what is durable.
func (j *Journal) checkpoint(now time.Time) error {
	c := Checkpoint{Stream: j.config.Stream, Node: j.config.Node, Seq: j.seq, Hash: j.head.text(), Time: now.UTC()}
	c.sign(j.config.Key)
	if err := j.put(kindCheckpoint, mustJSON(c)); err != nil {
		return err
	}
	j.covered, j.checked = j.seq, now // the line itself needs no other
	if err := writeFile(HeadFile(j.config.Dir, j.config.Stream), mustJSON(c)); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	j.config.Keep(c)
	return nil
}

// HeadFile holds the newest checkpoint of a stream.
func HeadFile(dir, stream string) string { return filepath.Join(dir, stream+".head") }

// rotate ends the segment with a checkpoint and begins the next.
func (j *Journal) rotate(now time.Time) error {
	if err := j.end(now); err != nil {
		return err
	}
	old := *j.segment // the sealer's own; the writer finds out by its files that it was sealed
	old.index = j.blocks
	if err := j.begin(header{Format: journalFormat, Stream: j.config.Stream, Node: j.config.Node, Opened: now.UTC()}); err != nil {
		j.breakDown(err)
		return err
	}
	select {
	case j.seals <- &old:
	default: // it is sealed at the next start
	}
	return nil
}

func (j *Journal) end(now time.Time) error {
	if j.dirty {
		if err := j.sync(now); err != nil {
			return err
		}
	}
	if j.seq > j.covered {
		if err := j.checkpoint(now); err != nil {
			return err
		}
	}
	if err := j.sync(now); err != nil {
		return err
	}
	return j.file.Close()
}

// expire removes the oldest segments where the rules of retention say so.
func (j *Journal) expire(now time.Time) error {
	total := int64(0)
	for _, s := range j.segments {
		for _, name := range []string{s.name(openSuffix), s.name(sealedSuffix)} {
			if info, err := os.Stat(name); err == nil {
				s.size, s.sealed = info.Size(), name == s.name(sealedSuffix)
			}
		}
		total += s.size
	}
	for len(j.segments) > 1 && j.segments[0].sealed {
		if _, err := os.Stat(j.segments[0].path()); errors.Is(err, fs.ErrNotExist) {
			// Somebody took it away, which verify names. What follows has its bounds all the same.
			total -= j.segments[0].size
			j.segments = j.segments[1:]
			continue
		}
		next, err := j.segments[1].header()
		if err != nil {
			return err
		}
		reason := ""
		switch {
		case j.config.MaxBytes > 0 && total > j.config.MaxBytes:
			reason = "space"
		case j.config.MaxAge > 0 && now.Sub(next.Opened) > j.config.MaxAge: // as the chain has it: whoever touches a file makes it no older
			reason = "age"
		}
		if reason == "" {
			return nil
		}
		if err := j.remove(now, next, reason); err != nil {
			return err
		}
		total -= j.segments[0].size
		j.segments = j.segments[1:]
	}
	return nil
}

// remove puts the removal on record, durably, before it happens.
func (j *Journal) remove(now time.Time, next *header, reason string) error {
	if err := j.put(kindExpired, mustJSON(expiry{UpTo: next.First - 1, Hash: next.Previous, Reason: reason})); err != nil {
		return err
	}
	if err := j.sync(now); err != nil {
		return err
	}
	old := j.segments[0]
	return errors.Join(os.Remove(old.path()), os.Remove(old.name(indexSuffix)))
}

// sealAll seals closed segments, one after the other.
func (j *Journal) sealAll() {
	defer close(j.sealed)
	for s := range j.seals {
		if err := s.seal(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			j.config.Log.Error("audit: a segment could not be sealed", "segment", s.path(), "err", err)
		}
	}
}

// Close writes what waits, signs the end, and closes the journal.
func (j *Journal) Close() error {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return nil
	}
	j.closed = true
	j.mu.Unlock()
	select {
	case j.wake <- struct{}{}:
	default:
	}
	<-j.done
	close(j.seals)
	<-j.sealed
	j.mu.Lock()
	broken := j.broken
	j.mu.Unlock()
	if broken {
		return j.file.Close()
	}
	return j.end(j.config.Now())
}

// Durable is the number of the newest line that is on disk for sure, and a channel that is closed
// when there is a newer one.
func (j *Journal) Durable() (uint64, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.durable, j.changed
}
