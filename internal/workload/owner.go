package workload

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// ErrNobody says that the kernel does not know the connection, or that nobody holds its other end any more.
var ErrNobody = errors.New("workload: nobody has the other end of the connection")

// tables are where Linux lists the TCP sockets of this network namespace. A socket for both families talks
// to an IPv4 address from the second.
var tables = []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"}

// overflowUser is shown for users that have no number in this user namespace.
const overflowUser = 65534

// Owner is the user who opened the connection from peer to local, both on this machine: the owner of the
// socket whose own address is peer. It is the effective user of the process at that moment; who hands the
// socket on hands that on.
//
// A socket that is no longer held is listed as root's. So only an established connection counts, and it is
// looked up twice: what was let go in between is not established the second time.
func Owner(peer, local netip.AddrPort) (uint32, error) {
	first, err := lookUp(peer, local)
	if err != nil {
		return 0, err
	}
	second, err := lookUp(peer, local)
	if err != nil {
		return 0, err
	}
	if first != second || first.inode == 0 || first.uid == overflowUser {
		return 0, ErrNobody
	}
	return first.uid, nil
}

// socket is what is told of one.
type socket struct {
	uid   uint32
	inode uint64
}

func lookUp(peer, local netip.AddrPort) (socket, error) {
	for _, path := range tables {
		f, err := os.Open(path)
		if errors.Is(err, os.ErrNotExist) {
			continue // no IPv6
		}
		if err != nil {
			return socket{}, err
		}
		s, found, err := find(f, peer, local)
		f.Close()
		if err != nil || found {
			return s, err
		}
	}
	return socket{}, ErrNobody
}

// established is the state of such a connection.
const established = "01"

// find reads a table: sl, local address, remote address, state, queues, timer, retransmits, uid, timeout, inode.
func find(table io.Reader, peer, local netip.AddrPort) (s socket, found bool, err error) {
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 10 || f[3] != established {
			continue
		}
		from, ok := parseEnd(f[1])
		to, ok2 := parseEnd(f[2])
		if !ok || !ok2 || from != unmapped(peer) || to != unmapped(local) {
			continue
		}
		uid, err := strconv.ParseUint(f[7], 10, 32)
		if err != nil {
			return s, false, err
		}
		inode, err := strconv.ParseUint(f[9], 10, 64)
		return socket{uint32(uid), inode}, err == nil, err
	}
	return s, false, lines.Err()
}

func unmapped(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// parseEnd reads an address as the kernel prints it: words of four bytes, each in the machine's order (Kura runs
// on little-endian ones), and the port.
func parseEnd(text string) (netip.AddrPort, bool) {
	address, port, ok := strings.Cut(text, ":")
	b, err := hex.DecodeString(address)
	p, err2 := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || err2 != nil || len(b)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(b); i += 4 {
		b[i], b[i+1], b[i+2], b[i+3] = b[i+3], b[i+2], b[i+1], b[i]
	}
	a, ok := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a.Unmap(), uint16(p)), ok
}

// Sizes of a token.
const (
	minToken = 32
	maxToken = 1024
)

// ReadToken reads the token in a file that nobody but its owner can read or write, who is this process's user or
// root.
func ReadToken(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return "", errors.New("it is not a regular file")
	case info.Mode().Perm()&0o077 != 0:
		return "", fmt.Errorf("others can read it (mode %04o): chmod 600", info.Mode().Perm())
	case !ok || owner.Uid != 0 && int(owner.Uid) != os.Geteuid():
		return "", errors.New("it belongs to another user")
	}
	b, err := io.ReadAll(io.LimitReader(f, maxToken+2))
	if err != nil {
		return "", err
	}
	token := strings.TrimRight(string(b), "\r\n")
	if len(token) < minToken || len(token) > maxToken || strings.ContainsAny(token, "\r\n") {
		return "", fmt.Errorf("a token is one line of %d to %d characters", minToken, maxToken)
	}
	return token, nil
}
