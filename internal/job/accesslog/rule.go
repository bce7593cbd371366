package accesslog

import (
	"encoding/hex"
	"math/rand/v2"
	"strings"

	"github.com/kura-s3/kura/internal/audit"
)

// What lifecycle rules do, in the words of the log (S3 User Guide, "How S3 Lifecycle interacts with
// other bucket configurations").
const (
	ExpireObject       = "S3.EXPIRE.OBJECT"       // gone for good
	CreateDeleteMarker = "S3.CREATE.DELETEMARKER" // hidden
	TransitionObject   = "S3.TRANSITION.OBJECT"   // into GLACIER; other classes have words of their own
	DeleteUpload       = "S3.DELETE.UPLOAD"
)

// transitions are the words for classes that have their own.
var transitions = map[string]string{
	"STANDARD_IA": "S3.TRANSITION_SIA.OBJECT", "ONEZONE_IA": "S3.TRANSITION_ZIA.OBJECT", "INTELLIGENT_TIERING": "S3.TRANSITION_INT.OBJECT",
	"GLACIER_IR": "S3.TRANSITION_GIR.OBJECT", "DEEP_ARCHIVE": "S3.TRANSITION_GDA.OBJECT",
}

// Ruled is what a lifecycle rule did to an object or an upload.
type Ruled struct {
	// Operation is one of the constants.
	Operation string
	// Class is where a TransitionObject went.
	Class string
	Key   string
	// VersionID of what was removed, moved or made; "" where there are no versions.
	VersionID string
	// Size of the object that was removed or moved.
	Size int64
}

// TakeRuled adds the line of what a rule did to a bucket now, if the bucket is logged. As at AWS nobody
// asked for it: the requester is AmazonS3, and what there is of a request is its id.
func (s *Spool) TakeRuled(bucket string, r *Ruled) {
	b := s.logged(bucket)
	if b == nil {
		return
	}
	operation := r.Operation
	if own := transitions[r.Class]; operation == TransitionObject && own != "" {
		operation = own
	}
	l, _ := made.Get().(*written)
	defer made.Put(l)
	l.text = l.text[:0]
	ev := audit.Event{Time: s.config.Now(), RequestID: requestID(), VersionID: r.VersionID, ObjectSize: r.Size}
	l.add(&ev, b, operation, r.Key, unasked, 0, "")
	s.take(l.text)
}

// requestID makes an id like those of requests.
func requestID() string {
	n := rand.Uint64()
	var raw [8]byte
	for i := range raw {
		raw[i] = byte(n >> (8 * i))
	}
	return strings.ToUpper(hex.EncodeToString(raw[:]))
}
