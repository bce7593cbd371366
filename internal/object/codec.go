package object

import (
	"encoding/binary"
	"errors"
)

// errRecord says that stored bytes are not a record of a known format.
var errRecord = errors.New("object: not a record of a known format")

// decoder takes a record apart. After the first surprise it gives zero values, and end fails.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) fail() { d.b, d.bad = nil, true }

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// size is a number of bytes, which must fit an int64.
func (d *decoder) size() int64 {
	v := d.uvarint()
	if v > 1<<62 {
		d.fail()
		return 0
	}
	return int64(v)
}

// count is a number of things that follow, each at least one byte long.
func (d *decoder) count() int {
	v := d.uvarint()
	if v > uint64(len(d.b)) {
		d.fail()
		return 0
	}
	return int(v)
}

// fixed and bytes alias the record.
func (d *decoder) fixed(n int) []byte {
	if len(d.b) < n {
		d.fail()
		return nil
	}
	p := d.b[:n:n]
	d.b = d.b[n:]
	return p
}

func (d *decoder) bytes() []byte { return d.fixed(d.count()) }

func (d *decoder) string() string { return string(d.bytes()) }

// format takes the leading format number, which must be want.
func (d *decoder) format(want byte) {
	if d.byte() != want {
		d.fail()
	}
}

// end fails when something was wrong or is left.
func (d *decoder) end() error {
	if d.bad || len(d.b) != 0 {
		return errRecord
	}
	return nil
}

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendBytes(dst, p []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(p)))
	return append(dst, p...)
}
