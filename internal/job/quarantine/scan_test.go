package quarantine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authn"
)

const (
	liveID        = "AKIALIVELIVELIVELIVE"
	secret        = "wJalr/XUtnFEMI+K7MDENGbPxRfiCYEXAMPLEKEY"
	tempID        = "ASIATEMPTEMPTEMPTEMP"
	anotherSecret = "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
)

var token = strings.Repeat("To/ken+", 60) + "=="

// newScanner knows the key liveID and the session tempID, and tells what it finds as "id" or "id?".
func newScanner(found *[]string) *Scanner {
	return &Scanner{
		Lookup: func(_ context.Context, id, session string) (*authn.Credential, error) {
			switch {
			case id == liveID && session == "", id == tempID && session == token:
				return &authn.Credential{AccessKeyID: id, Secret: secret}, nil
			}
			return nil, errors.New("unknown")
		},
		Known: func(id string) bool { return id == liveID || id == "AKIAINACTIVEINACTIVE" },
		Found: func(l *Leak) {
			if l.Credential == nil {
				l.KeyID += "?"
			}
			*found = append(*found, l.KeyID)
		},
	}
}

func TestScan(t *testing.T) {
	noise := make([]byte, 3*chunk)
	for i := range noise {
		noise[i] = byte(rand.IntN(256))
	}
	pair := "[default]\naws_access_key_id = " + liveID + "\naws_secret_access_key = " + secret + "\n"
	for name, c := range map[string]struct {
		text string
		want string
	}{
		"nothing":               {"", ""},
		"text":                  {"AKIA ASIA AKI", ""},
		"a pair":                {pair, liveID},
		"the secret first":      {"SECRET=" + secret + "\nID=" + liveID, liveID},
		"an id":                 {"see " + liveID + " in the log", liveID + "?"},
		"an id at the very end": {"see " + liveID, liveID + "?"},
		"ids and the pair":      {liveID + strings.Repeat(" ", 3*around) + pair, liveID + "? " + liveID},
		"twice":                 {pair + pair, liveID},
		"another secret":        {liveID + " " + anotherSecret, liveID + "?"},
		"half of the secret":    {liveID + " " + secret[:39], liveID + "?"},
		"far away":              {liveID + strings.Repeat("x ", around) + secret, liveID + "?"},
		"as a URL writes it":    {liveID + "&s=" + url.QueryEscape(secret), liveID},
		"as JSON writes it":     {`{"i":"` + liveID + `","s":"` + strings.ReplaceAll(secret, "/", `\/`) + `"}`, liveID},
		"an id with more":       {liveID + "X " + secret, liveID},
		"an unknown id":         {"AKIAUNKNOWNUNKNOWNUN " + secret, ""},
		"an inactive key":       {"AKIAINACTIVEINACTIVE " + secret, ""},
		"a session":             {tempID + "\n" + secret + "\n" + token + "\n", tempID},
		"a session's exports":   {"AWS_ACCESS_KEY_ID=" + tempID + "\nAWS_SECRET_ACCESS_KEY=" + secret + "\nAWS_SESSION_TOKEN=" + token + "\n", tempID},
		"a session, no token":   {tempID + "\n" + secret + "\n", ""},
		"a session, no secret":  {tempID + "\n" + token + "\n", ""},
		"after noise":           {string(noise) + pair, liveID},
		"in the first megabyte": {strings.Repeat("n", scanned-len(pair)) + pair, liveID},
		"after the megabyte":    {strings.Repeat("n", scanned) + pair, ""},
	} {
		for how, wrap := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "halves": iotest.HalfReader, "with EOF": iotest.DataErrReader,
		} {
			var found []string
			ev := &audit.Event{}
			got, err := io.ReadAll(newScanner(&found).Screen(ev, wrap(strings.NewReader(c.text))))
			if err != nil || string(got) != c.text {
				t.Fatalf("%s, %s: the object changed: %v", name, how, err)
			}
			if strings.Join(found, " ") != c.want {
				t.Errorf("%s, %s: %v, want %q", name, how, found, c.want)
			}
		}
	}
}

// TestScanAnywhere: wherever the pair stands, and however the body arrives, it is found.
func TestScanAnywhere(t *testing.T) {
	pair := liveID + "," + secret
	for at := chunk - 300; at < chunk+2*around+300; at += 7 {
		text := strings.Repeat("-", at) + pair + strings.Repeat("-", at)
		var found []string
		r := newScanner(&found).Screen(&audit.Event{}, strings.NewReader(text))
		buf := make([]byte, 1+at%4099)
		for {
			if _, err := r.Read(buf); err != nil {
				break
			}
		}
		if len(found) != 1 || found[0] != liveID {
			t.Fatalf("at %d: %v", at, found)
		}
	}
}

// TestScanHostile: an object of nothing but ids costs a bounded number of lookups.
func TestScanHostile(t *testing.T) {
	lookups := 0
	s := &Scanner{
		Known: func(string) bool { lookups++; return false },
		Lookup: func(context.Context, string, string) (*authn.Credential, error) {
			lookups++
			return nil, errors.New("no")
		},
		Found: func(*Leak) { t.Error("found") },
	}
	var text bytes.Buffer
	for i := range 60_000 {
		fmt.Fprintf(&text, "AKIA%016d ASIA%016d", i, i)
	}
	text.WriteString(strings.Repeat("AKIAASIA", 10_000))
	if _, err := io.Copy(io.Discard, s.Screen(&audit.Event{}, &text)); err != nil || lookups > 2*maxKeys {
		t.Fatal(lookups, err)
	}
}

// TestContains: the rolling hash finds what a search finds.
func TestContains(t *testing.T) {
	for range 2000 {
		text := make([]byte, 1+rand.IntN(40))
		for i := range text {
			text[i] = "ab"[rand.IntN(2)]
		}
		form := make([]byte, 1+rand.IntN(8))
		for i := range form {
			form[i] = "ab"[rand.IntN(2)]
		}
		if contains(text, string(form)) != bytes.Contains(text, form) {
			t.Fatalf("%s in %s", form, text)
		}
	}
}

// BenchmarkScanIDs is the dearest object: ids of one active key, without its secret, all over.
func BenchmarkScanIDs(b *testing.B) {
	text := []byte(strings.Repeat(liveID+strings.Repeat("x", scanned/maxKeys-len(liveID)), maxKeys))
	s := newScanner(new([]string))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := io.Copy(io.Discard, s.Screen(&audit.Event{}, bytes.NewReader(text))); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzScan(f *testing.F) {
	f.Add([]byte("AKIAASIA"+liveID+secret), uint16(7))
	f.Fuzz(func(t *testing.T, text []byte, size uint16) {
		var found []string
		r := newScanner(&found).Screen(&audit.Event{}, bytes.NewReader(text))
		var got bytes.Buffer
		buf := make([]byte, 1+int(size))
		for {
			n, err := r.Read(buf)
			got.Write(buf[:n])
			if err != nil {
				break
			}
		}
		if !bytes.Equal(got.Bytes(), text) {
			t.Fatal("the object changed")
		}
	})
}

func benchmarkScan(b *testing.B, size int) {
	text := make([]byte, size)
	for i := range text {
		text[i] = byte(rand.IntN(256))
	}
	s := newScanner(new([]string))
	ev := &audit.Event{}
	buf := make([]byte, 256<<10)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		r := s.Screen(ev, bytes.NewReader(text))
		for {
			if _, err := r.Read(buf); err != nil {
				break
			}
		}
	}
}

func BenchmarkScan4K(b *testing.B) { benchmarkScan(b, 4<<10) }
func BenchmarkScan1M(b *testing.B) { benchmarkScan(b, 1<<20) }
