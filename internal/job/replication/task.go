package replication

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"

	"github.com/kura-s3/kura/internal/object"
)

// The records of this package (docs/formats.md).
const (
	taskPrefix   = "r/t/" // number: a task
	parkedPrefix = "r/p/" // lane, number: a task of a lane that waits for another try of its first
	ledgerPrefix = "r/n/" // bucket id, version id, key: destinations that are left of a version with several
	walkPrefix   = "r/w/" // bucket id: a walk through what was there before a rule
	format       = 1
)

var errRecord = errors.New("replication: a record does not decode")

// task is one version on its way to one destination.
type task struct {
	Bucket       string
	BucketID     uint64
	Key, Version string
	Marker       bool   `json:",omitempty"`
	Rule, To     string // the rule's id and its destination's ARN; "" when no rule is left
	Shared       bool   `json:",omitempty"` // other destinations get the version too: see ledger
	Tagged       bool   `json:",omitempty"` // nothing but its metadata changed
	Existing     bool   `json:",omitempty"` // it was there before the rule, or failed before
	Size         int64  `json:",omitempty"`
	Added        int64  // Unix milliseconds
	Tries        int    `json:",omitempty"`
	Error        string `json:",omitempty"` // of the last try

	// Due is when it is tried again, in Unix milliseconds; 0 before its first try.
	Due int64 `json:",omitempty"`

	row []byte
	// again says that the task was parked for another try.
	again bool
}

// lane is what runs in order: the versions of a key on their way to one destination.
type lane uint64

// lane of a task. Two that share one by chance wait for each other and nothing else.
func (t *task) lane() lane {
	h := fnv.New64a()
	h.Write(binary.BigEndian.AppendUint64(nil, t.BucketID))
	h.Write([]byte(t.To + "\x00" + t.Key))
	return lane(h.Sum64())
}

func (t *task) source() object.GetInput {
	return object.GetInput{Bucket: t.Bucket, Key: t.Key, VersionID: t.Version}
}

// rowOf is where a task stands that nothing holds up. Numbers ascend: rows lie in the order of arrival.
func rowOf(number uint64) []byte { return binary.BigEndian.AppendUint64([]byte(taskPrefix), number) }

// parkedRow is where a task stands while its lane waits. It keeps its number, so its lane its order.
func (t *task) parkedRow() []byte {
	return append(lanePrefix(t.lane()), t.row[len(t.row)-8:]...)
}

func lanePrefix(l lane) []byte { return binary.BigEndian.AppendUint64([]byte(parkedPrefix), uint64(l)) }

// parkedLane is the inverse of parkedRow.
func parkedLane(row []byte) (lane, bool) {
	if len(row) != len(parkedPrefix)+16 {
		return 0, false
	}
	return lane(binary.BigEndian.Uint64(row[len(parkedPrefix):])), true
}

func encode(v any) ([]byte, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("replication: %w", err)
	}
	return append([]byte{format}, raw...), nil
}

func decode(raw []byte, v any) error {
	if len(raw) == 0 || raw[0] != format {
		return errRecord
	}
	if err := json.Unmarshal(raw[1:], v); err != nil {
		return fmt.Errorf("%w: %w", errRecord, err)
	}
	return nil
}

// next gives ascending numbers, never the same twice.
func (r *Replicator) next() uint64 {
	for {
		old := r.last.Load()
		n := max(old+1, uint64(r.config.Now().UnixNano()))
		if r.last.CompareAndSwap(old, n) {
			return n
		}
	}
}

// ledger says how many destinations of a version are left.
type ledger struct {
	Left   int
	Failed bool `json:",omitempty"` // one was given up
}

func (t *task) ledgerKey() []byte {
	key := binary.BigEndian.AppendUint64([]byte(ledgerPrefix), t.BucketID)
	return append(append(append(key, t.Version...), '/'), t.Key...)
}
