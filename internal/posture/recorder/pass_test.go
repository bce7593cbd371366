package recorder

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/kura-s3/kura/internal/engine"
)

// weighed knows how many answers its largest commit had, and how many came in all.
type weighed struct {
	engine.Meta
	most, all int
}

func (m *weighed) Commit(ctx context.Context, b *engine.Batch) error {
	n := 0
	for _, w := range b.Writes {
		if bytes.HasPrefix(w.Key, []byte(resultPrefix)) {
			n++
		}
	}
	m.most, m.all = max(m.most, n), m.all+n
	return m.Meta.Commit(ctx, b)
}

// A change waits for the commit of a pass, so that its size must not grow with the number of rules.
func TestCommitOfAPassIsBoundedInAnswers(t *testing.T) {
	w := newWorld(t)
	for i := range 150 {
		name := fmt.Sprintf("bucket-%03d", i)
		w.buckets[name] = bucket(name, i%2 == 0)
	}
	meta := &weighed{Meta: w.meta}
	w.meta = meta
	start(t, w.open(t), publicRead, "S3_BUCKET_PUBLIC_WRITE_PROHIBITED", "S3_BUCKET_SSL_REQUESTS_ONLY", "S3_BUCKET_VERSIONING_ENABLED")
	if meta.most > chunk || meta.all != 4*150 {
		t.Errorf("%d answers in one commit, %d in all; want at most %d, and %d", meta.most, meta.all, chunk, 4*150)
	}
}
