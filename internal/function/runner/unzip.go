package runner

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxEntries bounds the files and directories of one archive.
const maxEntries = 50_000

// CheckCode tells whether an archive can be unpacked within the limits, without unpacking it. What it unpacks to
// is measured again when it is unpacked.
func CheckCode(zipped []byte) error {
	// The directory is not read before it is known to be short: a reader keeps all of it in memory.
	if bytes.Count(zipped, []byte("PK\x01\x02")) > maxEntries {
		return fmt.Errorf("%w: more than %d files", ErrCode, maxEntries)
	}
	z, err := openCode(bytes.NewReader(zipped), int64(len(zipped)))
	if err == nil && len(z.File) == 0 {
		err = ErrCodeEmpty
	}
	return err
}

// openCode reads an archive's directory and refuses what no function's code has: names that leave the
// directory, devices, too much.
func openCode(r io.ReaderAt, size int64) (*zip.Reader, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCode, err)
	}
	if len(z.File) > maxEntries {
		return nil, fmt.Errorf("%w: more than %d files", ErrCode, maxEntries)
	}
	var total uint64
	for _, f := range z.File {
		if err := checkEntry(f); err != nil {
			return nil, err
		}
		total += f.UncompressedSize64
		if f.UncompressedSize64 > MaxUnzipped || total > MaxUnzipped {
			return nil, ErrCodeSize
		}
	}
	return z, nil
}

func checkEntry(f *zip.File) error {
	name := strings.TrimSuffix(f.Name, "/")
	if !filepath.IsLocal(name) || strings.ContainsAny(name, "\x00\\") || len(name) > 1024 {
		return fmt.Errorf("%w: the name %.80q", ErrCode, f.Name)
	}
	if mode := f.Mode(); !mode.IsRegular() && !mode.IsDir() && mode.Type() != fs.ModeSymlink {
		return fmt.Errorf("%w: %.80q is neither a file, a directory nor a link", ErrCode, f.Name)
	}
	return nil
}

// target is where a symbolic link of an archive leads: to a place inside the archive, or it is refused.
func target(f *zip.File) (string, error) {
	in, err := f.Open()
	if err != nil {
		return "", fmt.Errorf("%w: %.80q: %w", ErrCode, f.Name, err)
	}
	defer in.Close()
	b, err := io.ReadAll(io.LimitReader(in, 4096))
	if err != nil {
		return "", fmt.Errorf("%w: %.80q: %w", ErrCode, f.Name, err)
	}
	to := string(b)
	if filepath.IsAbs(to) || strings.ContainsRune(to, 0) || !filepath.IsLocal(filepath.Join(filepath.Dir(f.Name), to)) {
		return "", fmt.Errorf("%w: the link %.80q leads out of the archive", ErrCode, f.Name)
	}
	return to, nil
}

// unpack writes an archive's files below dir, which must be empty. Sizes are counted while writing: what the
// archive says of itself is not believed.
func unpack(r io.ReaderAt, size int64, dir string) error {
	z, err := openCode(r, size)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	left := int64(MaxUnzipped)
	var links []*zip.File
	for _, f := range z.File {
		if f.Mode().Type() == fs.ModeSymlink {
			links = append(links, f)
			continue
		}
		n, err := unpackOne(root, f, left)
		if err != nil {
			return err
		}
		left -= n
	}
	// Links come last, so that no file is written through one.
	for _, f := range links {
		to, err := target(f)
		if err != nil {
			return err
		}
		if err := errors.Join(root.MkdirAll(filepath.Dir(f.Name), 0o755), root.Symlink(to, f.Name)); err != nil {
			return fmt.Errorf("%w: %w", ErrCode, err)
		}
	}
	return nil
}

func unpackOne(root *os.Root, f *zip.File, left int64) (int64, error) {
	name := strings.TrimSuffix(f.Name, "/")
	if f.Mode().IsDir() || strings.HasSuffix(f.Name, "/") {
		return 0, root.MkdirAll(name, 0o755)
	}
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrCode, err)
	}
	in, err := f.Open()
	if err != nil {
		return 0, fmt.Errorf("%w: %.80q: %w", ErrCode, f.Name, err)
	}
	defer in.Close()
	// Readable by all: the code runs as a user of its own.
	out, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fs.FileMode(0o444)|f.Mode().Perm()&0o555|0o200)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrCode, err)
	}
	n, err := io.Copy(out, io.LimitReader(in, left+1))
	err = errors.Join(err, out.Close())
	if err != nil {
		return n, fmt.Errorf("%w: %.80q: %w", ErrCode, f.Name, err)
	}
	if n > left {
		return n, ErrCodeSize
	}
	return n, nil
}
