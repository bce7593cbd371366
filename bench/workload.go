package main

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/kura-s3/kura/bench/internal/s3conn"
)

const (
	smallSize    = 4 << 10
	largeSize    = 16 << 20
	partSize     = 8 << 20
	partsEach    = 4
	pageKeys     = 1000
	deleteBatch  = 100
	deletesRound = 5000
	smallObjects = 1000
	largeObjects = 8
	// largeRing is how many large keys a connection writes before it overwrites the first: space in
	// use stays bounded, and giving it back is part of the work.
	largeRing = 4

	objectBucket = "bench-objects"
	listBucket   = "bench-list"
)

// errExhausted ends a round early: there is nothing left to work on.
var errExhausted = errors.New("nothing left")

// costUnit says per what the server's processor time is stated.
type costUnit int

const (
	perOperation costUnit = iota
	perKey
	perGiB
)

// workload is one row of the table: what is asked, over how many connections, and what is wanted
// of Kura.
type workload struct {
	name  string
	title string
	conns int
	// bare says that the bare net/http reference can play it.
	bare bool
	// prepare makes what the steps need, once per target; nil for nothing.
	prepare func(ctx context.Context, s *site) error
	// beforeRound makes what one round uses up; outside the measured time. nil for nothing.
	beforeRound func(ctx context.Context, s *site) error
	// step is one operation.
	step func(ctx context.Context, w *worker) error
	// cost is the unit of the processor time; perUnit is how many of it (keys, bytes) one step
	// handles.
	cost    costUnit
	perUnit int64
	goal    goal
}

// goal is what Kura wants of a workload; a zero field wants nothing.
type goal struct {
	// Cost is the most that the server may take, in the workload's unit: ms per operation, µs per
	// key, s per GiB.
	Cost float64 `json:"cost,omitempty"`
	// P50 is the highest median latency in ms.
	P50 float64 `json:"p50_ms,omitempty"`
	// Rate is the least of keys or operations per second.
	Rate float64 `json:"rate,omitempty"`
}

func workloads() []workload {
	return []workload{
		{name: "put-4k", title: "PUT 4 KiB", conns: 16, bare: true, step: putSmall, goal: goal{Cost: 0.15}},
		{name: "put-4k-1", title: "PUT 4 KiB", conns: 1, bare: true, step: putSmall, goal: goal{P50: 0.5}},
		{name: "get-4k", title: "GET 4 KiB", conns: 16, bare: true, prepare: prepareSmall, step: getSmall, goal: goal{Cost: 0.07}},
		{name: "head", title: "HEAD", conns: 16, bare: true, prepare: prepareSmall, step: headSmall, goal: goal{Cost: 0.06}},
		{name: "list", title: "list, 1,000 keys a page", conns: 4, prepare: prepareListing, step: listPage, cost: perKey, perUnit: pageKeys, goal: goal{Cost: 3, Rate: 250_000}},
		{name: "list-delimiter", title: "list the prefixes of the whole bucket", conns: 4, prepare: prepareListing, step: listPrefixes},
		{name: "delete", title: "multi-delete, 100 keys each", conns: 2, beforeRound: prepareDeletes, step: deleteMany, cost: perKey, perUnit: deleteBatch, goal: goal{Cost: 30}},
		{name: "put-16m", title: "PUT 16 MiB, signed body", conns: 4, bare: true, step: putLarge(true), cost: perGiB, perUnit: largeSize, goal: goal{Cost: 2.9}},
		{name: "put-16m-unsigned", title: "PUT 16 MiB, unsigned body", conns: 4, bare: true, step: putLarge(false), cost: perGiB, perUnit: largeSize},
		{name: "get-16m", title: "GET 16 MiB", conns: 4, bare: true, prepare: prepareLarge, step: getLarge, cost: perGiB, perUnit: largeSize, goal: goal{Cost: 0.5}},
		{name: "multipart", title: "multipart, 4 parts of 8 MiB", conns: 4, step: putParts, cost: perGiB, perUnit: partSize * partsEach, goal: goal{Cost: 3.2}},
	}
}

func workloadNames() []string {
	var names []string
	for _, w := range workloads() {
		names = append(names, w.name)
	}
	return names
}

// site is one target as the workloads use it.
type site struct {
	endpoint *s3conn.Endpoint
	payloads *payloads
	objects  int
	// fresh numbers the keys that no round may write twice.
	fresh atomic.Int64
	// listed and preparedSmall, preparedLarge say what is there already.
	listed, preparedSmall, preparedLarge bool
	// doomed counts down the keys that a round of deletes has left.
	doomed atomic.Int64
}

// worker is one connection at work.
type worker struct {
	*site
	id   int
	seq  int
	conn *s3conn.Conn
	text []byte
}

// do sends a request and takes anything but a 2xx for an error.
func (w *worker) do(ctx context.Context, r *s3conn.Request) (s3conn.Response, error) {
	resp, err := w.conn.Do(ctx, r)
	if err == nil {
		if err = resp.Err(); err != nil {
			err = fmt.Errorf("%s %s?%s: %w", r.Method, r.Path, r.Query, err)
		}
	}
	return resp, err
}

func objectPath(prefix string, n int) string {
	return "/" + objectBucket + "/" + prefix + "/" + fmt.Sprintf("%08d", n)
}

func putSmall(ctx context.Context, w *worker) error {
	return w.put(ctx, objectPath("put", int(w.fresh.Add(1))), w.payloads.small)
}

func (w *worker) put(ctx context.Context, path string, p payload) error {
	_, err := w.do(ctx, &s3conn.Request{Method: "PUT", Path: path, Body: p.body, PayloadHash: p.hash})
	return err
}

func prepareSmall(ctx context.Context, s *site) error {
	if s.preparedSmall {
		return nil
	}
	s.preparedSmall = true
	return s.each(ctx, smallObjects, func(w *worker, i int) error {
		return w.put(ctx, objectPath(strconv.Itoa(smallSize), i), w.payloads.small)
	})
}

// spread walks the n objects in an order that is neither sorted nor random, each worker elsewhere.
func (w *worker) spread(n int) int {
	w.seq++
	return (w.id*7919 + w.seq*613) % n
}

func getSmall(ctx context.Context, w *worker) error {
	resp, err := w.do(ctx, &s3conn.Request{Method: "GET", Path: objectPath(strconv.Itoa(smallSize), w.spread(smallObjects))})
	if err == nil && len(resp.Body) != smallSize {
		err = fmt.Errorf("GET: %d bytes of %d", len(resp.Body), smallSize)
	}
	return err
}

func headSmall(ctx context.Context, w *worker) error {
	_, err := w.do(ctx, &s3conn.Request{Method: "HEAD", Path: objectPath(strconv.Itoa(smallSize), w.spread(smallObjects))})
	return err
}

func listKey(i int) string { return fmt.Sprintf("prefix-%06d/object-%06d", i/pageKeys, i%pageKeys) }

func prepareListing(ctx context.Context, s *site) error {
	if s.listed {
		return nil
	}
	s.listed = true
	return s.each(ctx, s.objects, func(w *worker, i int) error {
		return w.put(ctx, "/"+listBucket+"/"+listKey(i), w.payloads.tiny)
	})
}

func listPage(ctx context.Context, w *worker) error {
	query := "list-type=2&max-keys=1000"
	want := min(pageKeys, w.objects)
	if w.objects > pageKeys {
		after := listKey(w.spread(w.objects - pageKeys))
		query += "&start-after=" + string(bytes.ReplaceAll([]byte(after), []byte("/"), []byte("%2F")))
	}
	resp, err := w.do(ctx, &s3conn.Request{Method: "GET", Path: "/" + listBucket, Query: query})
	if err != nil {
		return err
	}
	if n := bytes.Count(resp.Body, []byte("<Key>")); n != want {
		return fmt.Errorf("list: %d keys of %d", n, want)
	}
	return nil
}

func listPrefixes(ctx context.Context, w *worker) error {
	resp, err := w.do(ctx, &s3conn.Request{Method: "GET", Path: "/" + listBucket, Query: "delimiter=%2F&list-type=2&max-keys=1000"})
	if err != nil {
		return err
	}
	want := min((w.objects+pageKeys-1)/pageKeys, pageKeys)
	if n := bytes.Count(resp.Body, []byte("<CommonPrefixes>")); n != want {
		return fmt.Errorf("list: %d prefixes of %d", n, want)
	}
	return nil
}

func prepareDeletes(ctx context.Context, s *site) error {
	s.doomed.Store(deletesRound)
	return s.each(ctx, deletesRound, func(w *worker, i int) error {
		return w.put(ctx, objectPath("doomed", i), w.payloads.tiny)
	})
}

func deleteMany(ctx context.Context, w *worker) error {
	end := int(w.doomed.Add(-deleteBatch)) + deleteBatch
	if end <= 0 {
		return errExhausted
	}
	b := append(w.text[:0], `<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>true</Quiet>`...)
	for i := end - deleteBatch; i < end; i++ {
		b = append(b, "<Object><Key>doomed/"...)
		b = fmt.Appendf(b, "%08d", i)
		b = append(b, "</Key></Object>"...)
	}
	b = append(b, "</Delete>"...)
	w.text = b
	return w.post(ctx, "/"+objectBucket, "delete=", b)
}

// post sends a body of XML and looks into the answer for errors: both of S3's batch operations
// may answer 200 and fail.
func (w *worker) post(ctx context.Context, path, query string, body []byte) error {
	sum := md5.Sum(body)
	resp, err := w.do(ctx, &s3conn.Request{
		Method: "POST", Path: path, Query: query, Body: body, PayloadHash: hashOf(body),
		Header: []s3conn.Header{{Name: "content-md5", Value: base64.StdEncoding.EncodeToString(sum[:])}},
	})
	if err == nil && bytes.Contains(resp.Body, []byte("<Error>")) {
		err = fmt.Errorf("POST %s?%s: %.200s", path, query, resp.Body)
	}
	return err
}

func putLarge(signed bool) func(context.Context, *worker) error {
	return func(ctx context.Context, w *worker) error {
		p := w.payloads.large
		if !signed {
			p.hash = s3conn.UnsignedPayload
		}
		w.seq++
		return w.put(ctx, objectPath("large", w.id*largeRing+w.seq%largeRing), p)
	}
}

func prepareLarge(ctx context.Context, s *site) error {
	if s.preparedLarge {
		return nil
	}
	s.preparedLarge = true
	return s.each(ctx, largeObjects, func(w *worker, i int) error {
		return w.put(ctx, objectPath(strconv.Itoa(largeSize), i), w.payloads.large)
	})
}

func getLarge(ctx context.Context, w *worker) error {
	resp, err := w.do(ctx, &s3conn.Request{Method: "GET", Path: objectPath(strconv.Itoa(largeSize), w.spread(largeObjects)), Discard: true})
	if err == nil && resp.Size != largeSize {
		err = fmt.Errorf("GET: %d bytes of %d", resp.Size, largeSize)
	}
	return err
}

func putParts(ctx context.Context, w *worker) error {
	w.seq++
	path := objectPath("multipart", w.id*largeRing+w.seq%largeRing)
	resp, err := w.do(ctx, &s3conn.Request{Method: "POST", Path: path, Query: "uploads="})
	if err != nil {
		return err
	}
	_, rest, _ := bytes.Cut(resp.Body, []byte("<UploadId>"))
	id, _, ok := bytes.Cut(rest, []byte("</UploadId>"))
	if !ok {
		return fmt.Errorf("no upload id in %.200s", resp.Body)
	}
	upload := "uploadId=" + escapeQuery(string(id))
	body := []byte("<CompleteMultipartUpload>")
	for n := 1; n <= partsEach; n++ {
		p := w.payloads.part
		resp, err := w.do(ctx, &s3conn.Request{Method: "PUT", Path: path, Query: "partNumber=" + strconv.Itoa(n) + "&" + upload, Body: p.body, PayloadHash: p.hash})
		if err != nil {
			return err
		}
		body = fmt.Appendf(body, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", n, resp.ETag)
	}
	return w.post(ctx, path, upload, append(body, "</CompleteMultipartUpload>"...))
}
