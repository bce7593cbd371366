package authn

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/kura-s3/kura/internal/fault"
)

// TestDocumentedRequests sends the requests of the S3 documentation, with the signatures that it prints.
func TestDocumentedRequests(t *testing.T) {
	const sum = "X-Amz-Content-Sha256"
	for _, tc := range []struct {
		method, target, body, signedHeaders, signature string
		headers                                        []string
	}{
		{"GET", "/test.txt", "", "host;range;x-amz-content-sha256;x-amz-date",
			"f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
			[]string{"Range", "bytes=0-9", sum, emptySHA256, "X-Amz-Date", "20130524T000000Z"}},
		{"PUT", "/test%24file.text", "Welcome to Amazon S3.", "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
			"98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
			[]string{"Date", "Fri, 24 May 2013 00:00:00 GMT", sum, sha("Welcome to Amazon S3."), "X-Amz-Date", "20130524T000000Z", "X-Amz-Storage-Class", "REDUCED_REDUNDANCY"}},
		{"GET", "/?lifecycle", "", "host;x-amz-content-sha256;x-amz-date",
			"fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
			[]string{sum, emptySHA256, "X-Amz-Date", "20130524T000000Z"}},
		{"GET", "/?max-keys=2&prefix=J", "", "host;x-amz-content-sha256;x-amz-date",
			"34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
			[]string{sum, emptySHA256, "X-Amz-Date", "20130524T000000Z"}},
	} {
		r := request(t, tc.method, tc.target, tc.body, tc.headers...)
		r.Header.Set("Authorization", Algorithm+" Credential="+testKey+"/20130524/us-east-1/s3/aws4_request,SignedHeaders="+
			tc.signedHeaders+",Signature="+tc.signature)
		c, err := testAuthenticator().Request(r, Info{})
		if err != nil {
			t.Errorf("%s %s: %v", tc.method, tc.target, err)
			continue
		}
		if got := readAll(t, c); got != tc.body {
			t.Errorf("body %q", got)
		}
	}
	r := request(t, "GET", "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"+
		"&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404", "")
	if _, err := testAuthenticator().Request(r, Info{}); err != nil {
		t.Error(err)
	}
}

// documentedChunks is the chunked upload of the S3 documentation, which prints every signature.
func documentedChunks(t testing.TB, trailer bool) *http.Request {
	headers := []string{
		"Content-Encoding", "aws-chunked", "X-Amz-Date", "20130524T000000Z", "X-Amz-Decoded-Content-Length", "66560",
		"X-Amz-Storage-Class", "REDUCED_REDUNDANCY", "X-Amz-Content-Sha256", StreamingPayload,
	}
	names := "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class"
	signatures := []string{
		"4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9", "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
		"0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497", "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
	}
	end := "\r\n"
	if trailer {
		headers[len(headers)-1] = StreamingPayloadTrailer
		headers = append(headers, "X-Amz-Trailer", "x-amz-checksum-crc32c")
		names = "content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer"
		signatures = []string{
			"106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e", "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
			"1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7", "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
		}
		end = "x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"
	}
	body := fmt.Sprintf("10000;chunk-signature=%s\r\n%s\r\n400;chunk-signature=%s\r\n%s\r\n0;chunk-signature=%s\r\n%s",
		signatures[1], strings.Repeat("a", 65536), signatures[2], strings.Repeat("a", 1024), signatures[3], end)
	r := request(t, "PUT", "/examplebucket/chunkObject.txt", body, headers...)
	r.Host = "s3.amazonaws.com"
	r.Header.Set("Authorization", Algorithm+" Credential="+testKey+"/20130524/us-east-1/s3/aws4_request,SignedHeaders="+names+
		",Signature="+signatures[0])
	return r
}

func TestDocumentedChunks(t *testing.T) {
	for _, trailer := range []bool{false, true} {
		r := documentedChunks(t, trailer)
		if !trailer && r.ContentLength != 66824 {
			t.Fatalf("length %d", r.ContentLength)
		}
		c, err := testAuthenticator().Request(r, Info{})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, ok := c.Trailer(); ok {
			t.Error("a trailer before the body was read")
		}
		if got := readAll(t, c); got != strings.Repeat("a", 66560) || c.DecodedLength != 66560 {
			t.Errorf("%d bytes, DecodedLength %d", len(got), c.DecodedLength)
		}
		name, value, ok := c.Trailer()
		if ok != trailer || ok && (name != "x-amz-checksum-crc32c" || value != "sOO8/Q==") {
			t.Errorf("trailer %q %q %v", name, value, ok)
		}
	}
}

// chunks writes an aws-chunked body as clients do. sig is nil for unsigned chunks.
func chunks(data string, size int, sig *chunkSigner, trailers ...string) string {
	var b strings.Builder
	for done := false; !done; {
		n := min(size, len(data))
		part := data[:n]
		data = data[n:]
		done = n == 0
		fmt.Fprintf(&b, "%x", n)
		if sig != nil {
			sig.hash.Write([]byte(part))
			fmt.Fprintf(&b, ";chunk-signature=%s", sig.next())
		}
		b.WriteString("\r\n" + part)
		if !done {
			b.WriteString("\r\n")
		}
	}
	lines := ""
	for _, trailer := range trailers {
		lines += trailer + "\n"
		b.WriteString(trailer + "\r\n")
	}
	if sig != nil && trailers != nil {
		b.WriteString(trailerSignature + ":" + sig.nextTrailer(lines) + "\r\n")
	}
	return b.String() + "\r\n"
}

// next makes the signature of the chunk that was hashed.
func (s *chunkSigner) next() string {
	s.chunk(strings.Repeat("0", signatureLen)) // writes msg for the previous signature, then forgets it
	return s.made()
}

func (s *chunkSigner) nextTrailer(lines string) string {
	s.trailer([]byte(lines), strings.Repeat("0", signatureLen))
	return s.made()
}

func (s *chunkSigner) made() string {
	signature := string(s.key.sign(nil, s.msg))
	copy(s.previous[:], signature)
	return signature
}

const crcTrailer = "x-amz-checksum-crc32:AAAAAA=="

// streamed makes a signed request with a streamed body of data in chunks of size.
func streamed(t testing.TB, mode, data string, size int) *http.Request {
	t.Helper()
	r := request(t, "PUT", "/k", "", "X-Amz-Decoded-Content-Length", fmt.Sprint(len(data)))
	var trailers []string
	if framings[mode].trailer {
		r.Header.Set("X-Amz-Trailer", "x-amz-checksum-crc32")
		trailers = []string{crcTrailer}
	}
	s := testSigning()
	s.PayloadHash = mode
	seed := sign(t, r, s)
	var sig *chunkSigner
	if framings[mode].signed {
		sig = newChunkSigner(deriveKey(testSecret, "20130524", "us-east-1", "s3"), "20130524T000000Z", s.scopeText(), seed)
	}
	setBody(r, chunks(data, size, sig, trailers...))
	return r
}

func setBody(r *http.Request, body string) {
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
}

func bodyOf(t testing.TB, r *http.Request) string {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var streamingModes = []string{StreamingPayload, StreamingPayloadTrailer, StreamingUnsignedTrailer}

func TestStreamed(t *testing.T) {
	for _, mode := range streamingModes {
		for _, length := range []int{0, 1, minChunk, 3*minChunk + 5, 300_000} {
			data := strings.Repeat("0123456789abcdef", length/16+1)[:length]
			for _, wrap := range []func(io.Reader) io.Reader{
				func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader,
			} {
				r := streamed(t, mode, data, minChunk)
				r.Body = io.NopCloser(wrap(r.Body))
				c, err := testAuthenticator().Request(r, Info{})
				if err != nil {
					t.Fatal(err)
				}
				if got := readAll(t, c); got != data {
					t.Fatalf("%s: %d bytes, want %d", mode, len(got), length)
				}
				if _, value, ok := c.Trailer(); ok != framings[mode].trailer || ok && value != "AAAAAA==" {
					t.Errorf("trailer %q %v", value, ok)
				}
				if n, err := c.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
					t.Errorf("after the end: %d, %v", n, err)
				}
			}
		}
	}
}

// TestTamperedBodies flips every bit-carrying byte, cuts at every place and inserts at every place of
// a body in each mode. What the mode signs, and all framing, must be refused; unsigned data may only
// arrive as data of the same length.
func TestTamperedBodies(t *testing.T) {
	for _, mode := range append([]string{"hash"}, streamingModes...) {
		t.Run(mode, func(t *testing.T) {
			data := strings.Repeat("x", minChunk) + "tail"
			build := func() *http.Request {
				if mode != "hash" {
					return streamed(t, mode, data, minChunk)
				}
				r := request(t, "PUT", "/k", data)
				s := testSigning()
				s.PayloadHash = sha(data)
				sign(t, r, s)
				return r
			}
			body := bodyOf(t, build())
			first := build() // headers are the same each time
			a := testAuthenticator()
			try := func(what string, at int, changed string) {
				r := first.Clone(first.Context())
				setBody(r, changed)
				c, err := a.Request(r, Info{})
				if err != nil {
					return // refused before the body
				}
				got, err := io.ReadAll(c.Body)
				if err != nil {
					var known *fault.Error
					if !errors.As(err, &known) {
						t.Fatalf("%s at %d: error without a kind: %v", what, at, err)
					}
					return
				}
				if _, value, ok := c.Trailer(); string(got) == data && mode != "hash" && (!ok || value == "AAAAAA==") {
					return // another writing of the same: a zero before a size, a blank around a value
				}
				if mode == StreamingUnsignedTrailer && len(got) == len(data) {
					return // data and the checksum's value: the checksum is the object layer's to compare
				}
				t.Fatalf("%s at %d of %d went through: %q", what, at, len(body), changed[max(0, at-20):min(len(changed), at+20)])
			}
			for at := 0; at < len(body); at++ {
				if at > 200 && at < minChunk-50 {
					at = minChunk - 50 // the middle of the data is like its ends
				}
				flipped := []byte(body)
				flipped[at] ^= 1
				try("flip", at, string(flipped))
				try("cut", at, body[:at])
				try("insert", at, body[:at]+"0"+body[at:])
			}
			try("append", len(body), body+"x")
			try("append", len(body), body+body)
			setBody(first, body)
			c, err := a.Request(first, Info{})
			if err != nil {
				t.Fatal(err)
			}
			if got := readAll(t, c); got != data {
				t.Error("the body that was not tampered with")
			}
		})
	}
}

func TestFraming(t *testing.T) {
	big := strings.Repeat("x", minChunk)
	for _, tc := range []struct {
		name, body string
		decoded    int
		kind       fault.Kind
	}{
		{"right", "2000\r\n" + big + "\r\n1\r\na\r\n0\r\n" + crcTrailer + "\r\n\r\n", minChunk + 1, ""},
		{"upper case digits, leading zeros", "0000002000\r\n" + big + "\r\n00A\r\n0123456789\r\n0\r\n" + crcTrailer + "\r\n\r\n", minChunk + 10, ""},
		{"documented trailer end", "1\r\na\r\n0\r\n" + crcTrailer + "\n\r\n", 1, ""},
		{"minio-go's trailer end", "1\r\na\r\n0\r\n" + crcTrailer + "\n\r\n\r\n", 1, ""},
		{"blanks in the trailer", "1\r\na\r\n0\r\nX-Amz-Checksum-CRC32: AAAAAA== \r\n\r\n", 1, ""},
		{"small chunk, then another", "1\r\na\r\n1\r\nb\r\n0\r\n" + crcTrailer + "\r\n\r\n", 2, InvalidChunkSize},
		{"signature where none is", "1;chunk-signature=" + strings.Repeat("0", 64) + "\r\na\r\n0\r\n" + crcTrailer + "\r\n\r\n", 1, IncompleteBody},
		{"no digits", "\r\na\r\n0\r\n\r\n", 1, IncompleteBody},
		{"sign", "+1\r\na\r\n0\r\n" + crcTrailer + "\r\n\r\n", 1, IncompleteBody},
		{"negative", "-1\r\na\r\n0\r\n" + crcTrailer + "\r\n\r\n", 1, IncompleteBody},
		{"0x", "0x1\r\na\r\n0\r\n" + crcTrailer + "\r\n\r\n", 1, IncompleteBody},
		{"huge", "ffffffffffffffff\r\na\r\n0\r\n\r\n", 1, IncompleteBody},
		{"17 digits", "00000000000000001\r\na\r\n0\r\n" + crcTrailer + "\r\n\r\n", 1, IncompleteBody},
		{"bare line feed", "1\na\r\n0\r\n" + crcTrailer + "\r\n\r\n", 1, IncompleteBody},
		{"no line end behind data", "1\r\nab\r\n0\r\n" + crcTrailer + "\r\n\r\n", 1, IncompleteBody},
		{"more than announced", "2\r\nab\r\n0\r\n" + crcTrailer + "\r\n\r\n", 1, IncompleteBody},
		{"fewer than announced", "1\r\na\r\n0\r\n" + crcTrailer + "\r\n\r\n", 2, IncompleteBody},
		{"no end", "1\r\na\r\n", 1, IncompleteBody},
		{"line without end", "1" + strings.Repeat(" ", 100_000), 1, IncompleteBody},
		{"no trailer", "1\r\na\r\n0\r\n\r\n", 1, MalformedTrailer},
		{"another trailer", "1\r\na\r\n0\r\nx-amz-checksum-sha1:x\r\n\r\n", 1, MalformedTrailer},
		{"trailer twice", "1\r\na\r\n0\r\n" + crcTrailer + "\r\n" + crcTrailer + "\r\n\r\n", 1, MalformedTrailer},
		{"trailer without colon", "1\r\na\r\n0\r\nx-amz-checksum-crc32\r\n\r\n", 1, MalformedTrailer},
		{"trailer without value", "1\r\na\r\n0\r\nx-amz-checksum-crc32:\r\n\r\n", 1, MalformedTrailer},
		{"trailer cut", "1\r\na\r\n0\r\n" + crcTrailer, 1, MalformedTrailer},
		{"trailer without end", "1\r\na\r\n0\r\n" + crcTrailer + "\r\n", 1, MalformedTrailer},
		{"long trailer", "1\r\na\r\n0\r\nx-amz-checksum-crc32:" + strings.Repeat("A", 1000) + "\r\n\r\n", 1, MalformedTrailer},
		{"garbage", "1\r\na\r\n0\r\n" + crcTrailer + "\r\n\r\nGET / HTTP/1.1", 1, MalformedTrailer},
		{"two line ends too many", "1\r\na\r\n0\r\n" + crcTrailer + "\r\n\r\n\r\n\r\n", 1, MalformedTrailer},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := request(t, "PUT", "/k", "", "X-Amz-Decoded-Content-Length", fmt.Sprint(tc.decoded), "X-Amz-Trailer", "x-amz-checksum-crc32")
			s := testSigning()
			s.PayloadHash = StreamingUnsignedTrailer
			sign(t, r, s)
			setBody(r, tc.body)
			c, err := testAuthenticator().Request(r, Info{})
			if err == nil {
				_, err = io.Copy(io.Discard, c.Body)
				_, again := c.Body.Read(make([]byte, 1))
				if err != nil && again != err {
					t.Errorf("after the error %v: %v", err, again)
				}
			}
			wantKind(t, err, tc.kind)
		})
	}
}

func TestBodyHeaders(t *testing.T) {
	for _, tc := range []struct {
		name     string
		hash     string
		headers  []string
		kind     fault.Kind
		unsigned bool // anonymous
	}{
		{"no decoded length", StreamingPayload, nil, MissingLength, false},
		{"bad decoded length", StreamingPayload, []string{"X-Amz-Decoded-Content-Length", "x"}, MissingLength, false},
		{"negative decoded length", StreamingPayload, []string{"X-Amz-Decoded-Content-Length", "-1"}, MissingLength, false},
		{"decoded longer than sent", StreamingPayload, []string{"X-Amz-Decoded-Content-Length", "1000"}, IncompleteBody, false},
		{"trailer that is no checksum", StreamingUnsignedTrailer, []string{"X-Amz-Decoded-Content-Length", "1", "X-Amz-Trailer", "x-amz-meta-a"}, UnsupportedTrailer, false},
		{"two trailers", StreamingUnsignedTrailer, []string{"X-Amz-Decoded-Content-Length", "1", "X-Amz-Trailer", "x-amz-checksum-crc32,x-amz-checksum-sha1"}, UnsupportedTrailer, false},
		{"ecdsa", streamingECDSA, nil, NotImplemented, false},
		{"ecdsa trailer", streamingECDSATrailer, nil, NotImplemented, false},
		{"no hash", "abc", nil, InvalidHeader, false},
		{"lower case", "unsigned-payload", nil, InvalidHeader, false},
		{"anonymous signed stream", StreamingPayload, []string{"X-Amz-Decoded-Content-Length", "1"}, InvalidHeader, true},
		{"anonymous wrong word", "STREAMING", nil, InvalidHeader, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := request(t, "PUT", "/k", "0\r\n\r\n", tc.headers...)
			s := testSigning()
			s.PayloadHash = tc.hash
			if tc.unsigned {
				r.Header.Set("X-Amz-Content-Sha256", tc.hash)
			} else {
				sign(t, r, s)
			}
			_, err := testAuthenticator().Request(r, Info{})
			wantKind(t, err, tc.kind)
		})
	}
}

func TestHashMismatch(t *testing.T) {
	for _, body := range []string{"", "other"} {
		r := request(t, "PUT", "/k", "")
		s := testSigning()
		s.PayloadHash = sha("body")
		sign(t, r, s)
		setBody(r, body)
		c, err := testAuthenticator().Request(r, Info{})
		if err == nil {
			_, err = io.ReadAll(c.Body)
		}
		e := wantKind(t, err, ContentSHA256Mismatch)
		if fieldOf(e, "ClientComputedContentSHA256") != sha("body") || fieldOf(e, "S3ComputedContentSHA256") != sha(body) {
			t.Errorf("fields %v", e.Fields)
		}
	}
}

// TestShortBody: a connection that ends early is the client's fault; other failures keep their words.
func TestShortBody(t *testing.T) {
	for _, hash := range []string{UnsignedPayload, sha("body")} {
		for _, tc := range []struct {
			err  error
			kind fault.Kind
		}{{io.ErrUnexpectedEOF, IncompleteBody}, {errors.New("reset"), ""}} {
			r := request(t, "PUT", "/k", "body")
			s := testSigning()
			s.PayloadHash = hash
			sign(t, r, s)
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader("bo"), iotest.ErrReader(tc.err)))
			c, err := testAuthenticator().Request(r, Info{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.ReadAll(c.Body)
			if err == nil || fault.Of(err) != tc.kind {
				t.Errorf("%s: %v", hash, err)
			}
		}
	}
}

// TestBodyMemory: what a body costs does not grow with what the client announces.
func TestBodyMemory(t *testing.T) {
	r := streamed(t, StreamingUnsignedTrailer, "", minChunk)
	r.Header.Set("X-Amz-Decoded-Content-Length", "1152921504606846976")
	r.ContentLength = -1
	s := testSigning()
	s.PayloadHash = StreamingUnsignedTrailer
	sign(t, r, s)
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader("40000000000000\r\n"), bytes.NewReader(make([]byte, 1<<20))))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c, err := testAuthenticator().Request(r, Info{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, c.Body)
	wantKind(t, err, IncompleteBody)
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 512<<10 {
		t.Errorf("%d bytes", grown)
	}
}
