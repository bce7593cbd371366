package authn

import (
	"io"
	"strings"
	"testing"
)

func BenchmarkHeader(b *testing.B) {
	r := request(b, "PUT", "/bucket/some/key.txt?partNumber=3&uploadId=abc", "", "Content-Type", "text/plain", "User-Agent", "bench")
	sign(b, r, testSigning())
	a := testAuthenticator()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Request(r, Info{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPresigned(b *testing.B) {
	r := presigned(b, request(b, "GET", "/bucket/some/key.txt", ""), testSigning(), MaxExpires)
	a := testAuthenticator()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Request(r, Info{}); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkBody(b *testing.B, mode string) {
	data := strings.Repeat("x", 4<<20)
	body := ""
	if framings[mode].chunked {
		body = bodyOf(b, streamed(b, mode, data, 64<<10))
	}
	r := streamed(b, mode, data, 64<<10)
	if body == "" {
		s := testSigning()
		s.PayloadHash, body = mode, data
		sign(b, r, s)
	}
	a := testAuthenticator()
	buf := make([]byte, 128<<10)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		setBody(r, body)
		c, err := a.Request(r, Info{})
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, c.Body, buf); err != nil || n != int64(len(data)) {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkBodyHash(b *testing.B)            { benchmarkBody(b, sha(strings.Repeat("x", 4<<20))) }
func BenchmarkBodySignedChunks(b *testing.B)    { benchmarkBody(b, StreamingPayload) }
func BenchmarkBodyUnsignedTrailer(b *testing.B) { benchmarkBody(b, StreamingUnsignedTrailer) }

// TestAllocations: a request whose key is known costs its Caller and little else.
func TestAllocations(t *testing.T) {
	r := request(t, "PUT", "/bucket/key?partNumber=3", "", "Content-Type", "text/plain")
	sign(t, r, testSigning())
	a := testAuthenticator()
	n := testing.AllocsPerRun(200, func() {
		if _, err := a.Request(r, Info{}); err != nil {
			t.Fatal(err)
		}
	})
	if n > 8 {
		t.Errorf("%v allocations", n)
	}
}
