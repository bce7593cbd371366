package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"time"
)

// A journal is a chain of lines, numbered from 1:
//
//	HASH TAB KIND TAB RECORD TAB NOTE LF
//
// HASH is SHA-256 over the hash of the line before it and everything after its own TAB. RECORD and
// NOTE are JSON on one line; data lines have other fields there. Whoever changes, removes, inserts or moves a line breaks the chain at that
// place or has to make every later hash anew, and then the checkpoints are in the way: lines that sign
// the chain up to them.

// Kinds of lines.
const (
	kindEvent      = 'E' // RECORD is a CloudTrail record, NOTE a Note
	kindData       = 'D' // a data event of S3, in the form of packer
	kindHeader     = 'H' // first line of a segment: header
	kindCheckpoint = 'C' // Checkpoint
	kindExpired    = 'X' // expiry: older segments were removed by the rules of retention
	kindLost       = 'L' // loss: events that could not be written
)

type hash [sha256.Size]byte

const hashText = 43 // base64 without padding

var encoding = base64.RawURLEncoding

func (h hash) text() string { return encoding.EncodeToString(h[:]) }

func parseHash(b []byte) (h hash, ok bool) {
	if len(b) != hashText {
		return h, false
	}
	n, err := encoding.Decode(h[:], b)
	return h, err == nil && n == len(h)
}

// appendLine adds a line to out and gives the chain's new head.
func appendLine(out []byte, head hash, kind byte, record, note []byte) ([]byte, hash) {
	at := len(out)
	out = appendOpen(out, kind, record, note)
	return out, chain(out[at:], head)
}

// appendData adds a data line that has no hash yet.
func appendData(out []byte, fields []byte) []byte {
	var place [hashText + 1]byte
	out = append(out, place[:]...)
	out = append(out, kindData, '\t')
	out = append(out, fields...)
	return append(out, '\n')
}

// appendOpen adds a line that has no hash yet.
func appendOpen(out []byte, kind byte, record, note []byte) []byte {
	var place [hashText + 1]byte
	out = append(out, place[:]...)
	out = append(out, kind, '\t')
	out = append(out, record...)
	out = append(out, '\t')
	out = append(out, note...)
	return append(out, '\n')
}

// chain puts the hash into a line that has none, and gives the chain's new head. The line is hashed
// where it lies: the place of the new hash holds the old one meanwhile, in raw form before the rest.
func chain(line []byte, head hash) hash {
	const body = hashText + 1
	copy(line[body-len(head):body], head[:])
	next := hash(sha256.Sum256(line[body-len(head) : len(line)-1]))
	encoding.Encode(line, next[:])
	line[body-1] = '\t'
	return next
}

// parsedLine is a line taken apart.
type parsedLine struct {
	hash         hash
	kind         byte
	record, note []byte
	body         []byte // what is hashed after the hash before
}

var errLine = errors.New("not a line of a journal")

// parseLine takes a line apart, which has no LF any more.
func parseLine(line []byte) (p parsedLine, err error) {
	if len(line) < hashText+4 || line[hashText] != '\t' || line[hashText+2] != '\t' {
		return p, errLine
	}
	ok := false
	if p.hash, ok = parseHash(line[:hashText]); !ok {
		return p, errLine
	}
	p.kind, p.body = line[hashText+1], line[hashText+1:]
	rest := line[hashText+3:]
	if p.record, p.note, ok = bytes.Cut(rest, []byte{'\t'}); !ok {
		return p, errLine
	}
	return p, nil
}

// follows tells whether the line follows on head.
func (p *parsedLine) follows(head hash, scratch []byte) ([]byte, bool) {
	scratch = append(append(scratch[:0], head[:]...), p.body...)
	return scratch, sha256.Sum256(scratch) == p.hash
}

// header begins a segment.
type header struct {
	Format   int       `json:"format"`
	Stream   string    `json:"stream"`
	Node     string    `json:"node"`
	First    uint64    `json:"first"`    // number of this line
	Previous string    `json:"previous"` // hash of the line before it, in the segment before
	Opened   time.Time `json:"opened"`
	Key      string    `json:"key"` // public key of the checkpoints
	// Torn are bytes of a line that a crash left unfinished and that were cut off.
	Torn int64 `json:"torn,omitempty"`
	// Missing is the number of lines that a checkpoint had covered and that were not there any more
	// when the journal was opened.
	Missing uint64 `json:"missing,omitempty"`
	// Rewritten is the number of the line that the newest checkpoint signed, where another one stood there when
	// the journal was opened.
	Rewritten uint64 `json:"rewritten,omitempty"`
}

// journalFormat is what is written. Format 2 has no data lines.
const (
	journalFormat    = 3
	oldJournalFormat = 2
)

// Checkpoint says, signed, what the chain was up to a line. Kept elsewhere it proves later that nothing
// up to it was changed, by whoever has the directory and the key too.
type Checkpoint struct {
	Stream    string    `json:"stream"`
	Node      string    `json:"node"`
	Seq       uint64    `json:"seq"`
	Hash      string    `json:"hash"`
	Time      time.Time `json:"time"`
	Signature []byte    `json:"signature"`
}

func (c *Checkpoint) message() []byte {
	m := []byte("kura audit checkpoint 2\x00" + c.Stream + "\x00" + c.Node + "\x00" + c.Hash + "\x00")
	m = binary.BigEndian.AppendUint64(m, c.Seq)
	return binary.BigEndian.AppendUint64(m, uint64(c.Time.UnixNano()))
}

func (c *Checkpoint) sign(key ed25519.PrivateKey) { c.Signature = ed25519.Sign(key, c.message()) }

// Verify tells whether key made the checkpoint.
func (c *Checkpoint) Verify(key ed25519.PublicKey) bool {
	return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, c.message(), c.Signature)
}

// expiry says that everything up to a line was removed by the rules of retention.
type expiry struct {
	UpTo   uint64 `json:"upTo"`
	Hash   string `json:"hash"` // of that line
	Reason string `json:"reason"`
}

// loss says that events were not recorded.
type loss struct {
	Events uint64    `json:"events"`
	Since  time.Time `json:"since"`
	Reason string    `json:"reason"`
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // of plain structs; cannot be
	}
	return b
}
