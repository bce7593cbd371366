package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/kura-s3/kura/internal/config"
	"github.com/kura-s3/kura/internal/engine"
	"github.com/kura-s3/kura/internal/function"
	"github.com/kura-s3/kura/internal/identity"
	"github.com/kura-s3/kura/internal/job/lifecycle"
	"github.com/kura-s3/kura/internal/keys"
	"github.com/kura-s3/kura/internal/object"
)

// formatFile is in every data directory from its first moment.
const formatFile = "format"

// maxReported bounds the problems that a doctor names; all are counted.
const maxReported = 1000

// diagnosis is what the doctor says of a directory, and the form of its JSON.
type diagnosis struct {
	Sound    bool      `json:"sound"`
	Buckets  int64     `json:"buckets"`
	Objects  int64     `json:"objects"`
	Versions int64     `json:"versions"`
	Markers  int64     `json:"deleteMarkers"`
	Uploads  int64     `json:"uploads"`
	Bytes    int64     `json:"bytes"`
	Locked   int64     `json:"lockedBodies"` // under keys of KMS or of customers: measured, not opened
	Accounts int       `json:"accounts"`
	Keys     int       `json:"kmsKeys"`
	Count    int64     `json:"problemCount"`
	Problems []problem `json:"problems"`
}

type problem struct {
	Where string `json:"where"`
	What  string `json:"what"`
}

// Doctor checks a data directory that nobody serves, and tells w. What a crash left half done is
// first settled, as at every start. Sound is false when anything is wrong.
func Doctor(ctx context.Context, c *config.Config, w io.Writer, asJSON bool) (sound bool, err error) {
	if _, err := os.Stat(filepath.Join(c.Data, formatFile)); err != nil {
		return false, fmt.Errorf("%s is no data directory of Kura: %w", c.Data, err)
	}
	log := slog.New(slog.DiscardHandler)
	s := &server{config: c, log: log}
	defer func() { err = errors.Join(err, s.close()) }()
	f, err := s.examine(ctx)
	if err != nil {
		return false, err
	}
	return f.Sound, f.tell(w, asJSON)
}

// examine opens the stores and has each look at what is its own. A store that does not even open
// is a finding like any other.
func (s *server) examine(ctx context.Context) (*diagnosis, error) {
	f := &diagnosis{Problems: []problem{}}
	if err := s.openEngines(ctx); errors.Is(err, engine.ErrLocked) {
		return nil, err
	} else if err != nil {
		return f.wrong("engine", err), nil
	}
	sealer, err := configuredSealer(s.config)
	if err != nil {
		return nil, err
	}
	ring, err := keys.Open(ctx, s.engines.Meta, sealer)
	if err != nil {
		return f.wrong("keys", err), nil
	}
	// Opening an empty store of identities would found it.
	exist, err := s.identitiesExist(ctx)
	if err != nil {
		return nil, err
	}
	if !exist {
		return f.wrong("identities", errors.New("there are none: the first start did not come to its end")), nil
	}
	people, err := identity.Open(ctx, identity.Config{Meta: s.engines.Meta, Secrets: ring, Log: s.log})
	if err != nil {
		return f.wrong("identities", err), nil
	}
	s.onClose(people.Close)
	f.Accounts = len(people.Accounts())
	if f.Keys, err = s.examineKMS(ctx, ring, people, f.add); err != nil {
		return f.wrong("keys of KMS", err), nil
	}
	if err := s.examineTopics(ctx, ring, people); err != nil {
		return f.wrong("topics", err), nil
	}
	if err := function.Check(ctx, function.Config{Meta: s.engines.Meta, Secrets: ring, Region: s.config.Region}, f.add); err != nil {
		return f.wrong("functions", err), nil
	}
	if err := s.examineLogs(ctx, ring, people, f.add); err != nil {
		return f.wrong("logs", err), nil
	}
	objects, err := object.Open(ctx, object.Config{Meta: s.engines.Meta, Blob: s.engines.Blob, Keys: ring, Log: s.log})
	if err != nil {
		return f.wrong("objects", err), nil
	}
	s.onClose(func() error { return objects.Close(context.Background()) })
	sum, err := objects.Check(ctx, func(p object.Problem) { f.add(p.Where, p.What) })
	if err != nil {
		return nil, err
	}
	for _, b := range objects.Configured(lifecycle.Setting) {
		if _, err := lifecycle.Decode(b.Settings[lifecycle.Setting]); err != nil {
			f.add(b.Name, "its lifecycle rules cannot be read: nothing expires in it")
		}
	}
	f.Buckets, f.Objects, f.Versions, f.Markers = sum.Buckets, sum.Objects, sum.Versions, sum.Markers
	f.Uploads, f.Bytes, f.Locked = sum.Uploads, sum.Bytes, sum.Locked
	f.Sound = f.Count == 0
	return f, nil
}

func (f *diagnosis) add(where, what string) {
	f.Count++
	if len(f.Problems) < maxReported {
		f.Problems = append(f.Problems, problem{where, what})
	}
}

func (f *diagnosis) wrong(where string, err error) *diagnosis {
	f.add(where, err.Error())
	return f
}

func (f *diagnosis) tell(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(f)
	}
	for _, p := range f.Problems {
		fmt.Fprintf(w, "%s: %s\n", p.Where, p.What)
	}
	if n := f.Count - int64(len(f.Problems)); n > 0 {
		fmt.Fprintf(w, "… and %d more\n", n)
	}
	verdict := "sound"
	if !f.Sound {
		verdict = fmt.Sprintf("%d problem(s)", f.Count)
	}
	_, err := fmt.Fprintf(w, "%s: %d accounts, %d buckets, %d objects, %d older versions, %d delete markers, %d uploads, %d bytes\n",
		verdict, f.Accounts, f.Buckets, f.Objects, f.Versions, f.Markers, f.Uploads, f.Bytes)
	if err == nil && f.Locked > 0 {
		_, err = fmt.Fprintf(w, "%d bodies are under keys of KMS or of customers: they are there and as long as they were; their bytes were not authenticated\n", f.Locked)
	}
	return err
}
