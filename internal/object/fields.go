package object

import "encoding/binary"

// Fields of a version that few versions have. They stand behind the owner, each with its number and
// its length, so that a version without them costs nothing and a new one needs no new format. A number
// that is not known makes the record unreadable: what it says may be what keeps the version.
const (
	fieldReplication = 1
	fieldRetention   = 2
	fieldLegalHold   = 3
	fieldSealed      = 4
	fieldRestored    = 5
)

// field reads and writes one of them. Present tells whether the version has it.
type field struct {
	number  byte
	present func(*record) bool
	append  func(*record, []byte) []byte
	decode  func(*record, *decoder)
}

// fields in the order of their numbers.
var fields = [...]field{
	{fieldReplication, (*record).replicated, (*record).appendReplication, (*record).decodeReplication},
	{fieldRetention, (*record).hasRetention, (*record).appendRetention, (*record).decodeRetention},
	{fieldLegalHold, (*record).hasHold, (*record).appendHold, (*record).decodeHold},
	{fieldSealed, (*record).isSealed, (*record).appendSealed, (*record).decodeSealed},
	{fieldRestored, (*record).wasRestored, (*record).appendRestored, (*record).decodeRestored},
}

func (r *record) hasFields() bool {
	for i := range fields {
		if fields[i].present(r) {
			return true
		}
	}
	return false
}

func (r *record) appendFields(dst []byte) []byte {
	count := len(dst)
	dst = append(dst, 0)
	for i := range fields {
		if !fields[i].present(r) {
			continue
		}
		dst[count]++
		dst = append(dst, fields[i].number)
		dst = appendBytes(dst, fields[i].append(r, nil))
	}
	return dst
}

func (r *record) decodeFields(d *decoder) {
	n := d.count()
	if n == 0 {
		d.fail()
	}
	known := fields[:]
	for range n {
		number, inside := d.byte(), decoder{b: d.bytes()}
		for len(known) > 0 && known[0].number != number {
			known = known[1:]
		}
		if len(known) == 0 {
			d.fail()
			return
		}
		known[0].decode(r, &inside)
		if inside.end() != nil || !known[0].present(r) {
			d.fail()
			return
		}
		known = known[1:]
	}
}

// ReplicationStatus of an object version, as S3 tells it in x-amz-replication-status.
type ReplicationStatus uint8

// The states. The zero value: nobody asked for a replica, and it is none.
const (
	NotReplicated ReplicationStatus = iota
	ReplicationPending
	ReplicationCompleted
	ReplicationFailed
	Replica
)

var replicationNames = [...]string{"", "PENDING", "COMPLETED", "FAILED", "REPLICA"}

// String is S3's name of the status; "" for NotReplicated.
func (s ReplicationStatus) String() string {
	if int(s) >= len(replicationNames) {
		return ""
	}
	return replicationNames[s]
}

// replication is what a version knows of its copies, or of being one.
type replication struct {
	status ReplicationStatus
	// origin is the sequence number in the version's id when that is not its own: a replica has the
	// id that its source has.
	origin uint64
}

func (r *record) replicated() bool { return r.replication != replication{} }

func (r *record) appendReplication(dst []byte) []byte {
	return binary.AppendUvarint(append(dst, byte(r.replication.status)), r.replication.origin)
}

func (r *record) decodeReplication(d *decoder) {
	r.replication = replication{status: ReplicationStatus(d.byte()), origin: d.uvarint()}
	if int(r.replication.status) >= len(replicationNames) {
		d.fail()
	}
}
