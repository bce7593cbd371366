package acceptance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// dialOnly dials address whatever is asked for.
func dialOnly(address string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}
}

// written is what writers know of their keys.
type written struct {
	mu    sync.Mutex
	acked map[string]int // key → last generation that was answered with 200
	tried map[string]int // key → last generation that was sent
}

// body of a generation of a key: told by its bytes, small and large ones.
func bodyOf(key string, generation int) []byte {
	size := 100
	if generation%5 == 4 {
		size = 300_000
	}
	line := fmt.Appendf(nil, "%s %d\n", key, generation)
	return bytes.Repeat(line, 1+size/len(line))
}

// TestKillUnderWrites kills the server in the middle of concurrent overwrites, three times over. An
// acknowledged write is there afterwards, whole; a key holds the last acknowledged generation or
// one that was under way, never anything else; the doctor finds nothing left over.
func TestKillUnderWrites(t *testing.T) {
	dir := t.TempDir()
	w := &written{acked: map[string]int{}, tried: map[string]int{}}
	for round := range 3 {
		s := serveOn(t, dir)
		c := s.s3(t, s.plain)
		if _, err := c.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("crash")}); err != nil && codeOf(err) != "BucketAlreadyOwnedByYou" && round == 0 {
			t.Fatal(err)
		}
		w.verify(t, c)
		w.write(t, s, c)
	}
	s := serveOn(t, dir)
	w.verify(t, s.s3(t, s.plain))
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(binary, "doctor", "--data", filepath.Join(dir, "data")).CombinedOutput()
	if err != nil {
		t.Errorf("doctor: %v\n%s", err, out)
	}
	if len(w.acked) < 8 {
		t.Errorf("only %d keys were written: this proves nothing", len(w.acked))
	}
}

// write overwrites eight keys from as many goroutines until the server is killed under them, when each has been
// written.
func (w *written) write(t *testing.T, s *server, c *s3.Client) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var group sync.WaitGroup
	for i := range 8 {
		key := fmt.Sprintf("key-%d", i)
		group.Go(func() {
			for ctx.Err() == nil {
				if !w.overwrite(ctx, c, key) {
					return
				}
			}
		})
	}
	time.Sleep(700 * time.Millisecond)
	for end := time.Now().Add(30 * time.Second); w.known() < 8 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	s.kill()
	cancel()
	group.Wait()
}

// known is the number of keys that were acknowledged.
func (w *written) known() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.acked)
}

func (w *written) overwrite(ctx context.Context, c *s3.Client, key string) bool {
	w.mu.Lock()
	w.tried[key]++
	generation := w.tried[key]
	w.mu.Unlock()
	_, err := c.PutObject(ctx, &s3.PutObjectInput{
		Bucket: aws.String("crash"), Key: aws.String(key), Body: bytes.NewReader(bodyOf(key, generation)),
	}, func(o *s3.Options) { o.RetryMaxAttempts = 1 })
	if err != nil {
		return false
	}
	w.mu.Lock()
	w.acked[key] = generation
	w.mu.Unlock()
	return true
}

func (w *written) verify(t *testing.T, c *s3.Client) {
	t.Helper()
	for key, tried := range w.tried {
		o, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("crash"), Key: aws.String(key)})
		if codeOf(err) == "NoSuchKey" && w.acked[key] == 0 {
			continue
		}
		if err != nil {
			t.Fatalf("%s, acknowledged %d: %v", key, w.acked[key], err)
		}
		got, err := io.ReadAll(o.Body)
		if err = errors.Join(err, o.Body.Close()); err != nil {
			t.Fatal(err)
		}
		found := false
		for g := max(1, w.acked[key]); g <= tried; g++ {
			if bytes.Equal(got, bodyOf(key, g)) {
				w.acked[key], found = g, true
				break
			}
		}
		if !found {
			t.Errorf("%s holds neither generation %d, which was acknowledged, nor a later one up to %d: %.60q…", key, w.acked[key], tried, got)
		}
	}
}
