package inventory

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/object"
)

// fileSize is how large a data file grows before the next begins. The files of a report are sent from
// memory, one by one.
const fileSize = 8 << 20

// report is one report in the making.
type report struct {
	job    *Job
	bucket *object.Bucket
	id     string
	conf   *configuration
	to     *destination
	began  time.Time
	names  []string
	most   int // of a data file

	buffer   bytes.Buffer
	writer   *gzip.Writer
	line     []byte
	inFile   int
	versions int
	files    []file
}

// file is a data file as the manifest tells it.
type file struct {
	Key  string `json:"key"`
	Size int64  `json:"size"`
	MD5  string `json:"MD5checksum"`
}

// manifest of a report (S3 User Guide, "Locating your inventory list").
type manifest struct {
	SourceBucket      string `json:"sourceBucket"`
	DestinationBucket string `json:"destinationBucket"`
	Version           string `json:"version"`
	Created           string `json:"creationTimestamp"`
	FileFormat        string `json:"fileFormat"`
	FileSchema        string `json:"fileSchema"`
	Files             []file `json:"files"`
}

// report makes and delivers the report of a configuration, and says how many versions it lists.
func (j *Job) report(ctx context.Context, b *object.Bucket, id string, c *configuration, began time.Time) (int, error) {
	g, err := j.config.Guard.System(ctx, "inventory", authz.Demand{Action: "s3:ListBucketVersions", Resource: authz.Resource{ARN: b.ARN()}})
	if err != nil {
		return 0, err
	}
	r := &report{job: j, bucket: b, id: id, conf: c, to: &c.Destination.S3BucketDestination, began: began, names: c.columns(), most: fileSize}
	r.writer = gzip.NewWriter(&r.buffer)
	in := &object.ListVersionsInput{Bucket: b.Name, Prefix: c.Filter.Prefix, Max: object.MaxList}
	for {
		page, err := j.config.Objects.ListVersions(ctx, g, in)
		if err != nil {
			return 0, err
		}
		if !j.there(b) {
			return 0, errGone
		}
		if err := r.add(ctx, page.Versions); err != nil {
			return 0, err
		}
		if !page.Truncated {
			break
		}
		in.KeyMarker, in.VersionIDMarker = page.NextKeyMarker, page.NextVersionIDMarker
	}
	if err := r.flush(ctx); err != nil {
		return 0, err
	}
	return r.versions, r.finish(ctx)
}

var errGone = errors.New("inventory: the bucket is gone")

// there tells whether a bucket is still the one of its name: another one's keys are not its owner's to see.
func (j *Job) there(b *object.Bucket) bool {
	return slices.ContainsFunc(j.config.Objects.Buckets(), func(now *object.Bucket) bool { return now.ID == b.ID })
}

// add writes rows, and sends a file that has grown large.
func (r *report) add(ctx context.Context, versions []object.Info) error {
	for i := range versions {
		o := &versions[i]
		if !r.conf.allVersions() && (!o.Latest || o.DeleteMarker) {
			continue
		}
		r.line = row(r.line[:0], r.names, o)
		if _, err := r.writer.Write(r.line); err != nil {
			return err
		}
		r.inFile++
		r.versions++
	}
	if r.buffer.Len() < r.most {
		return nil
	}
	return r.flush(ctx)
}

// flush sends the data file that was begun. A report of nothing has one empty file.
func (r *report) flush(ctx context.Context) error {
	if r.inFile == 0 && len(r.files) > 0 {
		return nil
	}
	if err := r.writer.Close(); err != nil {
		return err
	}
	data := r.buffer.Bytes()
	sum := md5.Sum(data)
	f := file{
		Key:  r.to.path(r.bucket.Name, r.id, "data", r.name(len(r.files))+".csv.gz"),
		Size: int64(len(data)), MD5: hex.EncodeToString(sum[:]),
	}
	if err := r.put(ctx, f.Key, "application/x-gzip", data); err != nil {
		return err
	}
	r.files = append(r.files, f)
	r.buffer.Reset()
	r.writer.Reset(&r.buffer)
	r.inFile = 0
	return nil
}

// name of the nth data file: in the form of a UUID, and the same when the report is made again.
func (r *report) name(n int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s %s %d", r.bucket.ID, r.id, stamp(r.began), n))
	h := hex.EncodeToString(sum[:16])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

// finish sends what tells of the files: the manifest last but for its checksum.
func (r *report) finish(ctx context.Context) error {
	links := make([]string, len(r.files))
	for i, f := range r.files {
		links[i] = "s3://" + r.to.bucket() + "/" + f.Key
	}
	if err := r.put(ctx, r.to.path(r.bucket.Name, r.id, "hive", "dt="+hive(r.began), "symlink.txt"), "text/plain", []byte(strings.Join(links, "\n"))); err != nil {
		return err
	}
	text, err := json.MarshalIndent(manifest{
		SourceBucket: r.bucket.Name, DestinationBucket: r.to.Bucket, Version: "2016-11-30",
		Created: strconv.FormatInt(r.began.UnixMilli(), 10), FileFormat: "CSV", FileSchema: strings.Join(r.names, ", "), Files: r.files,
	}, "", "  ")
	if err != nil {
		return err
	}
	if err := r.put(ctx, r.to.path(r.bucket.Name, r.id, stamp(r.began), "manifest.json"), "application/json", text); err != nil {
		return err
	}
	sum := md5.Sum(text)
	return r.put(ctx, r.to.path(r.bucket.Name, r.id, stamp(r.began), "manifest.checksum"), "text/plain", []byte(hex.EncodeToString(sum[:])))
}

// put delivers one object under the destination's policy.
func (r *report) put(ctx context.Context, key, contentType string, body []byte) error {
	address := url.URL{Scheme: "https", Host: "inventory.invalid", Path: "/" + r.to.bucket() + "/" + key}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, address.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	sum := md5.Sum(body)
	h := req.Header
	h.Set("Content-Type", contentType)
	h.Set("Content-Md5", base64.StdEncoding.EncodeToString(sum[:]))
	h.Set("X-Amz-Acl", "bucket-owner-full-control")
	h.Set("User-Agent", "s3.amazonaws.com")
	owner := r.to.AccountID
	if own := r.job.config.Own; own != nil && own(r.bucket) {
		owner = r.bucket.Owner.Account // the destination's name may have become somebody else's
	}
	if owner != "" {
		h.Set("X-Amz-Expected-Bucket-Owner", owner)
	}
	if e := r.to.Encryption; e != nil {
		h.Set("X-Amz-Server-Side-Encryption", "AES256")
		if e.SSEKMS != nil {
			h.Set("X-Amz-Server-Side-Encryption", "aws:kms")
			h.Set("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", e.SSEKMS.KeyID)
		}
	}
	answer, err := r.job.config.Deliver(ctx, deliverer(r.bucket), req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusOK {
		_, err = io.Copy(io.Discard, answer.Body)
		return err
	}
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
	return fmt.Errorf("inventory: %s to %s: %d %s", key, r.to.bucket(), answer.StatusCode, text)
}
