package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// A journal's files, for each segment one of
//
//	STREAM-NUMBER.log        its lines, as they are written
//	STREAM-NUMBER.log.zst    the same, sealed: one zstd frame for each block (zstdcat shows them)
//	STREAM-NUMBER.idx        index of a sealed one
//
// NUMBER is that of the segment's first line in 20 digits.

const (
	openSuffix   = ".log"
	sealedSuffix = ".log.zst"
	indexSuffix  = ".idx"
)

// segment is a file of a journal.
type segment struct {
	dir, stream string
	first       uint64
	sealed      bool
	size        int64 // in the file system
	// index of a segment that this process wrote, until it is sealed.
	index []*block
}

func (s *segment) name(suffix string) string {
	return filepath.Join(s.dir, fmt.Sprintf("%s-%020d%s", s.stream, s.first, suffix))
}

func (s *segment) path() string {
	if s.sealed {
		return s.name(sealedSuffix)
	}
	return s.name(openSuffix)
}

// segments lists those of a stream, oldest first. Of one that is there in both forms the sealed one
// counts: it is whole from the moment that it has its name.
func segments(dir, stream string) ([]*segment, error) { return segmentsBy(os.ReadDir, dir, stream) }

// segmentsBy looks twice: one that is sealed during a look can be missing in it under both names, and is then there
// in the other.
func segmentsBy(readDir func(string) ([]fs.DirEntry, error), dir, stream string) ([]*segment, error) {
	before, err := listed(readDir, dir, stream)
	if err != nil {
		return nil, err
	}
	byFirst, err := listed(readDir, dir, stream)
	if err != nil {
		return nil, err
	}
	for first, s := range before {
		if byFirst[first] == nil && !s.sealed { // a sealed one is gone for good
			byFirst[first] = s
		}
	}
	out := make([]*segment, 0, len(byFirst))
	for _, s := range byFirst {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b *segment) int {
		if a.first < b.first {
			return -1
		}
		return 1
	})
	return out, nil
}

// listed are the segments that one look finds, by their first lines.
func listed(readDir func(string) ([]fs.DirEntry, error), dir, stream string) (map[uint64]*segment, error) {
	entries, err := readDir(dir)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	byFirst := map[uint64]*segment{}
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), stream+"-")
		if !ok {
			continue
		}
		number, sealed := strings.CutSuffix(rest, sealedSuffix)
		if !sealed {
			if number, ok = strings.CutSuffix(rest, openSuffix); !ok {
				continue
			}
		}
		first, err := strconv.ParseUint(number, 10, 64)
		if err != nil || len(number) != 20 {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("audit: %w", err)
		}
		if old := byFirst[first]; old == nil || sealed {
			byFirst[first] = &segment{dir: dir, stream: stream, first: first, sealed: sealed, size: info.Size()}
		}
	}
	return byFirst, nil
}

// open opens the segment's lines for reading from the start. A segment that was sealed meanwhile is
// found under its new name.
func (s *segment) open() (io.ReadCloser, error) {
	f, err := os.Open(s.path())
	if errors.Is(err, fs.ErrNotExist) && !s.sealed {
		s.sealed = true
		f, err = os.Open(s.path())
	}
	if err != nil || !s.sealed {
		return f, err
	}
	z, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBlock))
	if err != nil {
		f.Close()
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{z, closer(func() error { z.Close(); return f.Close() })}, nil
}

type closer func() error

func (c closer) Close() error { return c() }

// maxBlock bounds what is decompressed at once; maxLine a line.
const (
	maxBlock = 64 << 20
	maxLine  = 4 << 20
)

// blocks gives the segment's index; for one that is not sealed, or whose index is gone, blocks without
// knowledge.
func (s *segment) blocks() ([]*block, error) {
	raw, err := os.ReadFile(s.name(indexSuffix))
	if err == nil && s.sealed {
		if blocks, err := decodeIndex(raw); err == nil {
			return blocks, nil
		}
	}
	return nil, errNoIndex
}

var errNoIndex = errors.New("audit: no index")

// readBlock gives the lines of a block of a sealed segment.
func (s *segment) readBlock(f *os.File, z *zstd.Decoder, b *block, buf []byte) ([]byte, error) {
	packed := make([]byte, b.size)
	if _, err := f.ReadAt(packed, b.offset); err != nil {
		return nil, err
	}
	return z.DecodeAll(packed, buf[:0])
}

// seal compresses a closed segment and indexes it, then takes the open form away. A crash in between
// leaves at worst a temporary file, which the next call replaces.
func (s *segment) seal() error {
	src, err := os.Open(s.name(openSuffix))
	if err != nil {
		return err
	}
	defer src.Close()
	tmp, err := os.OpenFile(s.name(sealedSuffix+".tmp"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer tmp.Close()
	blocks, err := s.packed(src, tmp)
	if err != nil {
		return err
	}
	s.index = nil
	if err := tmp.Sync(); err != nil {
		return err
	}
	if err := writeFile(s.name(indexSuffix), encodeIndex(blocks)); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), s.name(sealedSuffix)); err != nil {
		return err
	}
	if err := syncDir(s.dir); err != nil {
		return err
	}
	s.sealed = true
	return os.Remove(s.name(openSuffix))
}

// packed compresses by the index that was made while the segment was written, or makes one.
func (s *segment) packed(src *os.File, dst io.Writer) ([]*block, error) {
	total := int64(0)
	for _, b := range s.index {
		total += b.raw
	}
	if info, err := src.Stat(); err != nil || info.Size() != total {
		return s.pack(src, dst)
	}
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return nil, err
	}
	var raw, done []byte
	offset := int64(0)
	for _, b := range s.index {
		raw = slices.Grow(raw[:0], int(b.raw))[:b.raw]
		if _, err := io.ReadFull(src, raw); err != nil {
			return nil, err
		}
		done = z.EncodeAll(raw, done[:0])
		if _, err := dst.Write(done); err != nil {
			return nil, err
		}
		b.offset, b.size = offset, int64(len(done))
		offset += b.size
	}
	return s.index, nil
}

func (s *segment) pack(src io.Reader, dst io.Writer) ([]*block, error) {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return nil, err
	}
	var (
		blocks    []*block
		offset    int64
		raw, done []byte
		seq       = s.first
		b         = newBlock(0, seq)
		x         expander
	)
	flush := func() error {
		if b.lines == 0 {
			return nil
		}
		done = z.EncodeAll(raw, done[:0])
		b.size = int64(len(done))
		if _, err := dst.Write(done); err != nil {
			return err
		}
		offset += b.size
		blocks = append(blocks, b)
		b, raw = newBlock(offset, seq), raw[:0]
		return nil
	}
	lines := newLines(src)
	for lines.next() {
		p, err := parseLine(lines.line)
		if err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", s.path(), seq, err)
		}
		var millis int64
		var tokens []uint64
		if p.isEvent() {
			millis, tokens = x.indexed(&p)
		}
		raw = append(append(raw, lines.line...), '\n')
		b.add(len(lines.line)+1, millis, tokens)
		seq++
		if b.full() {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	if lines.err != nil {
		return nil, lines.err
	}
	return blocks, flush()
}

// lineReader gives whole lines; what follows the last LF is left in rest.
type lineReader struct {
	r    *bufio.Reader
	line []byte
	size int64 // bytes of whole lines so far
	rest int64
	err  error
	long []byte
}

func newLines(r io.Reader) *lineReader { return &lineReader{r: bufio.NewReaderSize(r, 1<<20)} }

func (l *lineReader) next() bool {
	l.long = l.long[:0]
	for {
		part, err := l.r.ReadSlice('\n')
		if err == nil && len(l.long) == 0 {
			l.line = part[:len(part)-1]
			l.size += int64(len(part))
			return true
		}
		l.long = append(l.long, part...)
		switch {
		case err == nil:
			l.line = l.long[:len(l.long)-1]
			l.size += int64(len(l.long))
			return true
		case errors.Is(err, bufio.ErrBufferFull) && len(l.long) <= maxLine:
			continue
		case err == io.EOF:
			l.rest = int64(len(l.long))
			return false
		case errors.Is(err, bufio.ErrBufferFull):
			err = errLine
		}
		l.err = err
		return false
	}
}

// writeFile writes a small file whole or not at all.
func writeFile(name string, data []byte) error {
	tmp := name + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, name)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// firstLine reads the header of a segment.
func (s *segment) header() (*header, error) {
	r, err := s.open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	lines := newLines(r)
	if !lines.next() {
		return nil, fmt.Errorf("%s: %w", s.path(), errors.Join(errLine, lines.err))
	}
	return parseHeader(lines.line)
}

func parseHeader(line []byte) (*header, error) {
	p, err := parseLine(line)
	if err != nil || p.kind != kindHeader {
		return nil, errLine
	}
	h := &header{}
	if err := json.Unmarshal(p.record, h); err != nil || h.Format != journalFormat && h.Format != oldJournalFormat {
		return nil, errLine
	}
	return h, nil
}

var lf = []byte{'\n'}

// cutLine takes the first line off b.
func cutLine(b []byte) (line, rest []byte, ok bool) { return bytes.Cut(b, lf) }
