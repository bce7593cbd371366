package runner

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Places inside the sandbox, as at AWS.
const (
	taskRoot   = "/var/task"
	runtimeDir = "/var/runtime"
)

// systemDirs hold the libraries and interpreters of a host. Links among them stay links.
var systemDirs = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store"}

// devices that a program may expect.
var devices = []string{"null", "zero", "full", "random", "urandom"}

const (
	oldRoot = "/old" // the host's tree, until it is let go
	newRoot = "/new" // what becomes the sandbox's root
)

// buildRoot replaces the whole tree of this mount namespace with what the order names.
func buildRoot(o *order) error {
	binds, err := resolveAll(append(append([]string(nil), systemDirs...), o.Binds...))
	if err != nil {
		return err
	}
	etc, err := resolveAll(o.Etc)
	if err != nil {
		return err
	}
	steps := []func() error{
		leaveHost,
		func() error { return tmpfs(newRoot, 16, 4096, "0755") },
		func() error { return showAll(binds) },
		func() error { return showAll(etc) },
		func() error { return makeDevices() },
		func() error { return makeFiles(o.Files) },
		func() error { return makeSpaces(o) },
		func() error { return hideAll(o.Hide, append(binds, etc...)) },
		enterRoot,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// shown is a path of the host and what it really is.
type shown struct {
	path, real string
	link       string // the path is this symbolic link and stays one
	dir        bool
	small      []byte // the content of a file
}

// resolveAll looks at the host's paths while they can still be reached by their names. What does not
// exist is left out.
func resolveAll(paths []string) ([]shown, error) {
	var all []shown
	for _, p := range paths {
		s, err := resolve(filepath.Clean(p))
		switch {
		case errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission):
		case err != nil:
			return nil, err
		default:
			all = append(all, s)
		}
	}
	return all, nil
}

func resolve(path string) (shown, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return shown{}, err
	}
	if info.Mode()&os.ModeSymlink != 0 && strings.Count(path, "/") == 1 {
		link, err := os.Readlink(path)
		return shown{path: path, link: link}, err
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return shown{}, err
	}
	if info, err = os.Stat(real); err != nil {
		return shown{}, err
	}
	s := shown{path: path, real: real, dir: info.IsDir()}
	if !s.dir && info.Mode().IsRegular() && info.Size() < 1<<20 {
		s.small, err = os.ReadFile(real)
	}
	return s, err
}

// leaveHost makes an empty tree the root, with the host's tree at oldRoot.
func leaveHost() error {
	const base = "/tmp"
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("separating mounts: %w", err)
	}
	if err := unix.Mount("base", base, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=64k,mode=0755"); err != nil {
		return fmt.Errorf("mounting the base: %w", err)
	}
	for _, d := range []string{oldRoot, newRoot} {
		if err := os.Mkdir(base+d, 0o755); err != nil {
			return err
		}
	}
	if err := unix.PivotRoot(base, base+oldRoot); err != nil {
		return fmt.Errorf("leaving the host's root: %w", err)
	}
	return os.Chdir("/")
}

// enterRoot makes newRoot the root, read-only, and lets the rest go.
func enterRoot() error {
	if err := unix.Unmount(oldRoot, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("letting the host's tree go: %w", err)
	}
	if err := os.Chdir(newRoot); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("entering the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return err
	}
	return os.Chdir("/")
}

// seal makes the root and the code read-only, once everything is in place.
func seal() error {
	for _, path := range []string{"/", taskRoot} {
		if err := restrict(path, unix.MOUNT_ATTR_RDONLY, 0); err != nil {
			return err
		}
	}
	return nil
}

// restrict adds mount attributes.
func restrict(path string, attributes uint64, flags uint) error {
	err := unix.MountSetattr(unix.AT_FDCWD, path, flags, &unix.MountAttr{Attr_set: attributes | unix.MOUNT_ATTR_NOSUID})
	if err != nil {
		return fmt.Errorf("restricting %s: %w", path, err)
	}
	return nil
}

func tmpfs(path string, megabytes, inodes int, mode string) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	options := fmt.Sprintf("size=%dm,nr_inodes=%d,mode=%s", megabytes, inodes, mode)
	if err := unix.Mount("tmpfs", path, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("mounting %s: %w", path, err)
	}
	return nil
}

// showAll binds paths of the host into the new root, read-only with all that is mounted below them.
func showAll(all []shown) error {
	for _, s := range all {
		if err := show(s); err != nil {
			return err
		}
	}
	return nil
}

func show(s shown) error {
	target := newRoot + s.path
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		if errors.Is(err, os.ErrPermission) || errors.Is(err, unix.EROFS) {
			return nil // below a directory that is shown already
		}
		return err
	}
	switch {
	case s.link != "":
		return os.Symlink(s.link, target)
	case !s.dir:
		if s.small == nil {
			return nil
		}
		return os.WriteFile(target, s.small, 0o444)
	}
	if _, err := os.Stat(target); err == nil {
		return nil // shown with a directory above it
	}
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	return bind(oldRoot+s.real, target, true)
}

func bind(from, to string, nodev bool) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("binding %s: %w", strings.TrimPrefix(to, newRoot), err)
	}
	attributes := uint64(unix.MOUNT_ATTR_RDONLY)
	if nodev {
		attributes |= unix.MOUNT_ATTR_NODEV
	}
	return restrict(to, attributes, unix.AT_RECURSIVE)
}

func makeDevices() error {
	dev := newRoot + "/dev"
	if err := os.MkdirAll(dev, 0o755); err != nil {
		return err
	}
	for _, name := range devices {
		target := filepath.Join(dev, name)
		if err := os.WriteFile(target, nil, 0o444); err != nil {
			return err
		}
		if err := unix.Mount(oldRoot+"/dev/"+name, target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("binding /dev/%s: %w", name, err)
		}
	}
	for name, to := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(to, filepath.Join(dev, name)); err != nil {
			return err
		}
	}
	return nil
}

func makeFiles(files map[string]string) error {
	for path, content := range files {
		target := newRoot + path
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := os.Remove(target); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := os.WriteFile(target, []byte(content), 0o444); err != nil {
			return err
		}
	}
	return nil
}

// makeSpaces makes the directories of the function's own: its code, its /tmp, its processes.
func makeSpaces(o *order) error {
	if err := tmpfs(newRoot+taskRoot, MaxUnzipped>>20+16, maxEntries*2, "0755"); err != nil {
		return err
	}
	if err := tmpfs(newRoot+"/tmp", o.Ephemeral, 64*o.Ephemeral, "1777"); err != nil {
		return err
	}
	proc := newRoot + "/proc"
	if err := os.MkdirAll(proc, 0o555); err != nil {
		return err
	}
	if err := unix.Mount("proc", proc, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "hidepid=2"); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	return nil
}

// hideAll covers paths that are shown or that a shown directory contains, by every name under which they are shown.
func hideAll(paths []string, all []shown) error {
	for _, p := range paths {
		p = filepath.Clean(p)
		names := []string{p}
		for _, s := range all {
			if below, ok := strings.CutPrefix(p+"/", s.real+"/"); ok && s.real != "" && s.real != s.path {
				names = append(names, filepath.Join(s.path, below))
			}
		}
		if err := hide(names); err != nil {
			return fmt.Errorf("hiding %s: %w", p, err)
		}
	}
	return nil
}

func hide(names []string) error {
	for _, name := range names {
		target := newRoot + name
		info, err := os.Stat(target)
		switch {
		case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ENOTDIR), errors.Is(err, os.ErrPermission):
			continue // nor does the code reach it, which may no more than we here
		case err != nil:
			return err
		case info.IsDir():
			err = unix.Mount("hidden", target, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_RDONLY, "size=4k,mode=0555")
		default:
			err = unix.Mount(oldRoot+"/dev/null", target, "", unix.MS_BIND, "")
		}
		if err != nil {
			return err
		}
	}
	return nil
}
