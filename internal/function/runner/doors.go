package runner

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"sync"
)

// Connections cost the server file descriptors, and functions can open very many.
const (
	// maxStrangers connections may have said nothing yet by which a process could be known.
	maxStrangers = 256
	// maxConnections is how many one process may have, to the Runtime API and to this Kura's endpoint each,
	// where it reaches nothing else.
	maxConnections = 128
)

// doors keeps count of the connections at the shared listener.
type doors struct {
	mu        sync.Mutex
	strangers list.List // of net.Conn, the oldest first
	at        map[net.Conn]*list.Element
	of        map[net.Conn]*process
	count     map[*process]int
}

func newDoors() *doors {
	return &doors{at: map[net.Conn]*list.Element{}, of: map[net.Conn]*process{}, count: map[*process]int{}}
}

type connKey struct{}

// name lets a request find its connection.
func (d *doors) name(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// changed is told of every connection that begins or ends. The oldest stranger gives way to a new one.
func (d *doors) changed(c net.Conn, state http.ConnState) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch state {
	case http.StateNew:
		if d.strangers.Len() >= maxStrangers {
			oldest := d.strangers.Remove(d.strangers.Front()).(net.Conn)
			delete(d.at, oldest)
			oldest.Close()
		}
		d.at[c] = d.strangers.PushBack(c)
	case http.StateClosed, http.StateHijacked:
		d.known(c)
		if p := d.of[c]; p != nil {
			delete(d.of, c)
			if d.count[p]--; d.count[p] == 0 {
				delete(d.count, p)
			}
		}
	}
}

// known takes a connection off the strangers. Called with mu held.
func (d *doors) known(c net.Conn) {
	if e := d.at[c]; e != nil {
		d.strangers.Remove(e)
		delete(d.at, c)
	}
}

// admit tells whether p may use the connection of this request, which is no stranger any more.
func (d *doors) admit(req *http.Request, p *process) bool {
	c, ok := req.Context().Value(connKey{}).(net.Conn)
	if !ok {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.of[c] == p {
		return true
	}
	if d.of[c] != nil || d.count[p] >= maxConnections {
		return false
	}
	d.known(c)
	d.of[c] = p
	d.count[p]++
	return true
}
