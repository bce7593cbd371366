package embedded

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/engine/enginetest"
	"github.com/kura-s3/kura/internal/engine/fileblob"
	"github.com/kura-s3/kura/internal/engine/pebblemeta"
)

// part gives one engine out of a store and closes the whole with it.
type metaPart struct {
	engine.Meta
	s *Store
}

func (p metaPart) Close() error { return errors.Join(p.Meta.Close(), p.s.Close()) }

type blobPart struct {
	engine.Blob
	s *Store
}

func (p blobPart) Close() error { return errors.Join(p.Blob.Close(), p.s.Close()) }

func TestConformance(t *testing.T) {
	t.Run("meta", func(t *testing.T) {
		enginetest.TestMeta(t, enginetest.MetaDriver{New: func(t *testing.T) enginetest.MetaStore {
			dir := t.TempDir()
			return func() (engine.Meta, error) {
				s, err := Open(Config{Dir: dir})
				if err != nil {
					return nil, err
				}
				return metaPart{s.Meta, s}, nil
			}
		}})
	})
	t.Run("blob", func(t *testing.T) {
		enginetest.TestBlob(t, enginetest.BlobDriver{New: func(t *testing.T) enginetest.BlobStore {
			dir := t.TempDir()
			return func() (engine.Blob, error) {
				s, err := Open(Config{Dir: dir})
				if err != nil {
					return nil, err
				}
				return blobPart{s.Blob, s}, nil
			}
		}})
	})
}

func mustOpen(t *testing.T, c Config) *Store {
	t.Helper()
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestSecondOpenIsRefusedAndNamesTheHolder(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, Config{Dir: dir})
	for _, readOnly := range []bool{false, true} {
		_, err := Open(Config{Dir: dir, ReadOnly: readOnly})
		if !errors.Is(err, engine.ErrLocked) || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
			t.Errorf("second open: %v", err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, Config{Dir: dir})
}

func TestFormatIsChecked(t *testing.T) {
	dir := t.TempDir()
	if err := mustOpen(t, Config{Dir: dir}).Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, formatFile)
	for text, want := range map[string]error{
		"kura data directory, format 1\n": nil,
		"kura data directory, format 2\n": errors.ErrUnsupported, // any other error
		"something else":                  engine.ErrDamaged,
		"":                                engine.ErrDamaged,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(Config{Dir: dir})
		if (err == nil) != (want == nil) || errors.Is(want, engine.ErrDamaged) && !errors.Is(err, want) {
			t.Errorf("format file %q: %v", text, err)
		}
		if err == nil {
			s.Close()
		}
	}
	os.Remove(path)
	if _, err := Open(Config{Dir: dir}); !errors.Is(err, engine.ErrDamaged) {
		t.Errorf("format file missing beside engines: %v", err)
	}
}

// tree is every file of a directory with its size and time, but for Pebble's empty lock file.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && !d.IsDir() && d.Name() != "LOCK" {
			b.WriteString(path + " " + strconv.FormatInt(info.Size(), 10) + " " + info.ModTime().String() + "\n")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestReadOnlyWritesNothing(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, Config{Dir: dir})
	var b engine.Batch
	b.Set([]byte("k"), []byte("v"))
	if err := s.Meta.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	ref, err := enginetest.WriteBlob(t.Context(), s.Blob, []byte("body"), 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	ro := mustOpen(t, Config{Dir: dir, ReadOnly: true})
	if v, _, err := ro.Meta.Get(t.Context(), []byte("k"), nil); err != nil || string(v) != "v" {
		t.Errorf("record: %q, %v", v, err)
	}
	if data, err := enginetest.ReadBlob(t.Context(), ro.Blob, ref); err != nil || string(data) != "body" {
		t.Errorf("blob: %q, %v", data, err)
	}
	if err := ro.Blob.Delete(t.Context(), ref); err == nil {
		t.Error("Delete succeeded")
	}
	if _, err := ro.Blob.Create(t.Context(), 1); err == nil {
		t.Error("Create succeeded")
	}
	if err := ro.Meta.Commit(t.Context(), &b); err == nil {
		t.Error("Commit succeeded")
	}
	if err := ro.Close(); err != nil {
		t.Error(err)
	}
	if after := tree(t, dir); after != before {
		t.Errorf("files changed:\n%s\nbefore:\n%s", after, before)
	}
	if _, err := Open(Config{Dir: filepath.Join(dir, "nowhere"), ReadOnly: true}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read-only open of nothing: %v", err)
	}
}

// TestKill writes in a child process that is killed, again and again, and finds every acknowledged
// record and blob, and nothing half.
func TestKill(t *testing.T) {
	dir := os.Getenv("KURA_EMBEDDED_KILL_DIR")
	if dir != "" {
		writeUntilKilled(t, dir)
		return
	}
	dir = t.TempDir()
	acknowledged := map[string]string{}
	for round := range 4 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKill$", "-test.v")
		cmd.Env = append(os.Environ(), "KURA_EMBEDDED_KILL_DIR="+dir, "KURA_EMBEDDED_KILL_ROUND="+strconv.Itoa(round))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		buf := make([]byte, 4096)
		for strings.Count(text.String(), "\nack ") < 100+20*round {
			n, err := out.Read(buf)
			text.Write(buf[:n])
			if err != nil {
				t.Fatalf("child: %v\n%s", err, text.String())
			}
		}
		cmd.Process.Kill()
		for {
			n, err := out.Read(buf)
			text.Write(buf[:n])
			if err != nil {
				break
			}
		}
		cmd.Wait()
		lines := strings.Split(text.String(), "\n")
		for _, line := range lines[:len(lines)-1] { // the last one may be cut
			if f := strings.Fields(line); len(f) == 3 && f[0] == "ack" {
				acknowledged[f[1]] = f[2]
			}
		}
		s := mustOpen(t, Config{Dir: dir})
		verify(t, s, acknowledged)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func verify(t *testing.T, s *Store, acknowledged map[string]string) {
	t.Helper()
	for key, ref := range acknowledged {
		value, _, err := s.Meta.Get(t.Context(), []byte(key), nil)
		if err != nil || string(value) != ref {
			t.Fatalf("acknowledged %s is %q, %v; want %q", key, value, err, ref)
		}
	}
	it, err := s.Meta.Scan(t.Context(), []byte("w/"), []byte("w0"))
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	for it.Next() { // acknowledged or not: what is named is there
		data, err := enginetest.ReadBlob(t.Context(), s.Blob, engine.Ref(it.Value()))
		if want := bodyOf(string(it.Key())); err != nil || string(data) != string(want) {
			t.Fatalf("blob of %s: %d bytes, %v", it.Key(), len(data), err)
		}
	}
}

func bodyOf(key string) []byte {
	seed := uint64(0)
	for _, c := range key {
		seed = seed*31 + uint64(c)
	}
	return enginetest.Content(seed, int(seed%90_000))
}

func writeUntilKilled(t *testing.T, dir string) {
	s, err := Open(Config{Dir: dir, Meta: pebblemeta.Config{MemTable: 256 << 10}, Blob: fileblob.Config{SegmentSize: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	for w := range 4 {
		go func() {
			for i := 0; ; i++ {
				key := "w/" + os.Getenv("KURA_EMBEDDED_KILL_ROUND") + "/" + strconv.Itoa(w) + "/" + strconv.Itoa(i)
				ref, err := enginetest.WriteBlob(ctx, s.Blob, bodyOf(key), 30_000)
				if err != nil {
					panic(err)
				}
				var b engine.Batch
				b.Set([]byte(key), []byte(ref))
				if err := s.Meta.Commit(ctx, &b); err != nil {
					panic(err)
				}
				os.Stdout.WriteString("\nack " + key + " " + string(ref) + "\n")
			}
		}()
	}
	select {}
}
