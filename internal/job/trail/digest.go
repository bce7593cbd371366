package trail

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/klauspost/compress/gzip"
)

// Digest is the state of a trail's chain of digests.
type Digest struct {
	Begun     time.Time // of the span that the next one covers
	Files     []LogFile `json:",omitempty"`
	Previous  *Link     `json:",omitempty"`
	Delivered time.Time `json:",omitzero"`
	Error     string    `json:",omitempty"`
}

// Link is the newest digest of a chain.
type Link struct{ Bucket, Object, Hash, Signature string }

// LogFile is a log file in a digest (CloudTrail User Guide, "Digest file structure").
type LogFile struct {
	Bucket    string `json:"s3Bucket"`
	Object    string `json:"s3Object"`
	Hash      string `json:"hashValue"`
	Algorithm string `json:"hashAlgorithm"`
	Newest    string `json:"newestEventTime"`
	Oldest    string `json:"oldestEventTime"`
}

type digestDocument struct {
	Account           string    `json:"awsAccountId"`
	Start             string    `json:"digestStartTime"`
	End               string    `json:"digestEndTime"`
	Bucket            string    `json:"digestS3Bucket"`
	Object            string    `json:"digestS3Object"`
	Fingerprint       string    `json:"digestPublicKeyFingerprint"`
	Algorithm         string    `json:"digestSignatureAlgorithm"`
	Newest            *string   `json:"newestEventTime"`
	Oldest            *string   `json:"oldestEventTime"`
	PreviousBucket    *string   `json:"previousDigestS3Bucket"`
	PreviousObject    *string   `json:"previousDigestS3Object"`
	PreviousHash      *string   `json:"previousDigestHashValue"`
	PreviousAlgorithm *string   `json:"previousDigestHashAlgorithm"`
	PreviousSignature *string   `json:"previousDigestSignature"`
	Files             []LogFile `json:"logFiles"`
}

const (
	signatureAlgorithm = "SHA256withRSA"
	hashAlgorithm      = "SHA-256"
)

// digest delivers one when it is due.
func (s *Store) digest(ctx context.Context, t *Trail, st *State, final bool) error {
	now := s.config.Now().UTC().Truncate(time.Second)
	if st.Digest.Begun.IsZero() {
		st.Digest.Begun = t.Started // validation was switched on later
	}
	begun := st.Digest.Begun.Truncate(time.Second)
	if !final && now.Sub(begun) < s.config.DigestInterval {
		return nil
	}
	if !now.After(begun) {
		now = begun.Add(time.Second) // names and times of a chain ascend
	}
	pair, err := s.keys.current(ctx)
	if err != nil {
		return err
	}
	d := digestDocument{
		Account: t.Account, Start: stamp(begun), End: stamp(now), Bucket: t.Bucket,
		Object: fmt.Sprintf("%sCloudTrail-Digest/%s/%s/%s_CloudTrail-Digest_%s_%s_%s_%s.json.gz", t.folder(), t.Region,
			now.Format("2006/01/02"), t.Account, t.Region, t.Name, t.Region, now.Format("20060102T150405Z")),
		Fingerprint: pair.Fingerprint, Algorithm: signatureAlgorithm, Files: st.Digest.Files,
	}
	d.span()
	if d.Files == nil {
		d.Files = []LogFile{}
	}
	before := "null"
	if p := st.Digest.Previous; p != nil {
		algorithm := hashAlgorithm
		d.PreviousBucket, d.PreviousObject, d.PreviousHash, d.PreviousAlgorithm, d.PreviousSignature = &p.Bucket, &p.Object, &p.Hash, &algorithm, &p.Signature
		before = p.Signature
	}
	link, err := s.putDigest(ctx, t, &d, pair, before)
	if err != nil {
		return err
	}
	st.Digest = Digest{Begun: now, Previous: link, Delivered: s.config.Now().UTC()}
	return s.keep(ctx, t, st)
}

// span sets the times of the events in the files.
func (d *digestDocument) span() {
	for i := range d.Files {
		f := &d.Files[i]
		if d.Oldest == nil || f.Oldest < *d.Oldest {
			d.Oldest = &f.Oldest
		}
		if d.Newest == nil || f.Newest > *d.Newest {
			d.Newest = &f.Newest
		}
	}
}

func (s *Store) putDigest(ctx context.Context, t *Trail, d *digestDocument, pair *keyPair, before string) (*Link, error) {
	text, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	hash := hex.EncodeToString(sum[:])
	signature, err := pair.sign(d.End + "\n" + d.Bucket + "/" + d.Object + "\n" + hash + "\n" + before)
	if err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(text); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	h := t.headers()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Encoding", "gzip")
	h.Set("X-Amz-Meta-Signature", signature)
	h.Set("X-Amz-Meta-Signature-Algorithm", signatureAlgorithm)
	if err := agentOf(t).Put(ctx, s.config.S3, t.Bucket, d.Object, h, packed.Bytes()); err != nil {
		return nil, err
	}
	return &Link{Bucket: d.Bucket, Object: d.Object, Hash: hash, Signature: signature}, nil
}
