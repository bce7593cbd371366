package front

import (
	"bytes"
	"sync"
)

// Answers whose bodies have a size in this range are gathered: net/http sends smaller ones in one
// write by itself, and of larger ones a further write is a small part.
const (
	gatherFrom = 3 << 10
	gatherTo   = 16 << 10
	gatherRoom = gatherTo + 8<<10
)

var gatherBuffers = sync.Pool{New: func() any { b := make([]byte, 0, gatherRoom); return &b }}

// gathered is the answer of a connection that is being put together, of announced size. net/http writes
// one answer at a time, by one goroutine.
//
// What was announced and does not come is no danger: a handler that writes less than its Content-Length
// makes net/http close the connection, and the client sees a broken answer either way.
type gathered struct {
	body   int // announced, 0: nothing is gathered
	buffer *[]byte
}

var headerEnd = []byte("\r\n\r\n")

// expect announces an answer with a body of n bytes: header and body are then written at once.
func (g *gathered) expect(n int) {
	g.body = n
	g.buffer = gatherBuffers.Get().(*[]byte)
}

// take gives what is to be written now that b has come; more: nothing yet.
func (g *gathered) take(b []byte) (all []byte, more bool) {
	if g.body == 0 {
		return b, false
	}
	*g.buffer = append(*g.buffer, b...)
	if len(*g.buffer) > gatherRoom { // headers of a size that nobody expected
		return *g.buffer, false
	}
	at := bytes.Index(*g.buffer, headerEnd)
	return *g.buffer, at < 0 || len(*g.buffer) < at+len(headerEnd)+g.body
}

// done ends the gathering: what was taken has been written.
func (g *gathered) done() {
	if g.body == 0 {
		return
	}
	g.body = 0
	if cap(*g.buffer) == gatherRoom {
		*g.buffer = (*g.buffer)[:0]
		gatherBuffers.Put(g.buffer)
	}
	g.buffer = nil
}
