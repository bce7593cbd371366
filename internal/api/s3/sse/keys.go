package sse

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/kms"
	"github.com/kura-s3/kura/internal/object"
	"github.com/kura-s3/kura/policy"
)

// ContextName is the pair of the encryption context that S3 sets itself.
const ContextName = "aws:s3:arn"

const (
	// bucketKeyLife is how long a bucket key is used before KMS is asked for another one.
	bucketKeyLife = 5 * time.Minute
	// maxRemembered bounds the bucket keys in memory, of each kind, and memorable the bytes of the
	// encryption context of each.
	maxRemembered = 10_000
	memorable     = 512
)

// Keys uses KMS keys for S3. Safe for concurrent use.
//
// A bucket key is a data key that KMS made for a bucket. It is remembered for a while, for the caller for
// whom it was made, so that writing and reading its objects asks KMS nothing; what is remembered is the
// data key, never the permission: each use is put to the Guard, and the KMS key must be usable.
type Keys struct {
	kms *kms.Store
	via string
	now func() time.Time

	made   memory[madeKey, made]
	opened memory[openedKey, opened]
}

// NewKeys uses the keys of a store for S3 in a region. Now nil is time.Now.
func NewKeys(store *kms.Store, region string, now func() time.Time) *Keys {
	if now == nil {
		now = time.Now
	}
	return &Keys{kms: store, via: kms.ViaService("s3", region), now: now}
}

// Want is what a write wants sealed, and under which key.
type Want struct {
	Bucket *object.Bucket
	Key    string
	Kind   object.Encryption // SSEKMS or DSSEKMS
	// KeyID as the request or the bucket's default names it; "": the key that AWS manages.
	KeyID     string
	Context   []object.Tag
	BucketKey bool
	By        *policy.Principal
}

// Seal makes the sealing of an object, with the permission kms:GenerateDataKey of the caller of g.
func (k *Keys) Seal(ctx context.Context, g authz.Grant, w *Want) (*object.Sealing, error) {
	key, alias, err := k.find(ctx, w)
	if err != nil {
		return nil, err
	}
	sealed := object.Sealed{Encryption: w.Kind, KeyARN: key.ARN, Context: w.Context, BucketKey: w.BucketKey && w.Kind == object.SSEKMS}
	name := madeKey{bucket: w.Bucket.ID, key: key.ARN, material: key.CurrentMaterial(), by: w.By.ARN, context: flat(w.Context)}
	var known made
	if sealed.BucketKey {
		known, _ = k.made.get(name, k.now())
	}
	if known.pairs == nil {
		if known.pairs, err = pairsOf(w.Bucket, w.Key, &sealed); err != nil {
			return nil, err
		}
	}
	use := kms.Use{Key: key, Action: "kms:GenerateDataKey", Context: known.pairs, Via: k.via, By: w.By, Alias: alias}
	if g, err = g.Ask(ctx, k.kms.DemandUse(use)); err != nil {
		return nil, err
	}
	if known.sealing != nil {
		return known.sealing, k.kms.Ready(g, use.Action, key, known.pairs)
	}
	known.sealing, err = k.generate(ctx, g, key, known.pairs, sealed)
	if err == nil && sealed.BucketKey && size(w.Context) <= memorable {
		k.made.put(name, known, k.now())
	}
	return known.sealing, err
}

func (k *Keys) generate(ctx context.Context, g authz.Grant, key *kms.Key, pairs map[string]string, sealed object.Sealed) (*object.Sealing, error) {
	plain, wrapped, err := k.kms.GenerateDataKey(ctx, g, key, pairs, object.KeySize)
	if err != nil {
		return nil, err
	}
	sealed.Wrapped = wrapped
	opened, err := object.NewKey(plain)
	clear(plain)
	return &object.Sealing{Sealed: sealed, Key: opened}, err
}

// find resolves the key that a write names. A bare id is of the bucket's account, an alias of the
// caller's.
func (k *Keys) find(ctx context.Context, w *Want) (key *kms.Key, alias string, err error) {
	if w.KeyID == "" {
		key, err = k.kms.ServiceKey(ctx, w.Bucket.Owner.Account, "s3")
		return key, "alias/aws/s3", err
	}
	return k.named(w)
}

func (k *Keys) named(w *Want) (key *kms.Key, alias string, err error) {
	if strings.HasPrefix(w.KeyID, "alias/") {
		key, err = k.kms.Find(w.KeyID, w.By.Account, k.kms.Region())
		return key, w.KeyID, err
	}
	if i := strings.Index(w.KeyID, ":alias/"); i >= 0 {
		alias = w.KeyID[i+1:]
	}
	key, err = k.kms.Find(w.KeyID, w.Bucket.Owner.Account, k.kms.Region())
	return key, alias, err
}

// ARN is the ARN of the key that a request names, for conditions on it; "" where there is no such key.
func (k *Keys) ARN(w *Want) string {
	key, _, err := k.named(w)
	if err != nil {
		return ""
	}
	return key.ARN
}

// Unseal opens the key of an object, with the permission kms:Decrypt of the caller of g.
func (k *Keys) Unseal(ctx context.Context, g authz.Grant, b *object.Bucket, name string, sealed *object.Sealed, by *policy.Principal) (*object.Key, error) {
	key, err := k.kms.KeyOf(sealed.Wrapped)
	if fault.Is(err, kms.UnknownCiphertext) {
		return nil, fault.New(kms.NotFound, "Key '"+sealed.KeyARN+"' does not exist")
	}
	if err != nil {
		return nil, err
	}
	id := openedKey{bucket: b.ID, by: by.ARN, wrapped: string(sealed.Wrapped)}
	var known opened
	if sealed.BucketKey {
		known, _ = k.opened.get(id, k.now())
	}
	if known.pairs == nil {
		if known.pairs, err = pairsOf(b, name, sealed); err != nil {
			return nil, err
		}
	}
	use := kms.Use{Key: key, Action: "kms:Decrypt", Context: known.pairs, Via: k.via, By: by}
	if g, err = g.Ask(ctx, k.kms.DemandUse(use)); err != nil {
		return nil, err
	}
	if known.key != nil {
		return known.key, k.kms.Ready(g, use.Action, key, known.pairs)
	}
	known.key, err = k.open(ctx, g, sealed, known.pairs)
	if err == nil && sealed.BucketKey && size(sealed.Context) <= memorable {
		k.opened.put(id, known, k.now())
	}
	return known.key, err
}

func (k *Keys) open(ctx context.Context, g authz.Grant, sealed *object.Sealed, pairs map[string]string) (*object.Key, error) {
	plain, _, err := k.kms.Decrypt(ctx, g, sealed.Wrapped, pairs)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	return object.NewKey(plain)
}

// pairsOf is the encryption context of an object: the pairs that its writer named, and S3's own.
func pairsOf(b *object.Bucket, key string, sealed *object.Sealed) (map[string]string, error) {
	var own string
	if sealed.BucketKey {
		own = b.ARN()
	} else {
		own = b.KeyARN(key)
	}
	pairs := make(map[string]string, 1+len(sealed.Context))
	for _, t := range sealed.Context {
		if strings.EqualFold(t.Key, ContextName) && (t.Key != ContextName || t.Value != own) {
			return nil, invalid("The encryption context key "+ContextName+" must be the ARN of the object, or of the bucket with a bucket key.", HeaderContext, "")
		}
		pairs[t.Key] = t.Value
	}
	pairs[ContextName] = own
	return pairs, nil
}

// size is how many bytes the pairs have.
func size(pairs []object.Tag) (n int) {
	for _, p := range pairs {
		n += len(p.Key) + len(p.Value)
	}
	return n
}

// flat is a text that two contexts have in common only when they are the same.
func flat(pairs []object.Tag) string {
	var b []byte
	for _, p := range pairs {
		b = strconv.AppendQuote(strconv.AppendQuote(b, p.Key), p.Value)
	}
	return string(b)
}

type madeKey struct {
	bucket                     uint64
	key, material, by, context string
}

type openedKey struct {
	bucket      uint64
	by, wrapped string
}

// made and opened are what is remembered: a bucket key, and the encryption context that it belongs to.
type made struct {
	sealing *object.Sealing
	pairs   map[string]string
}

type opened struct {
	key   *object.Key
	pairs map[string]string
}

// memory keeps values for bucketKeyLife.
type memory[K comparable, V any] struct {
	mu   sync.Mutex
	kept map[K]remembered[V]
}

type remembered[V any] struct {
	value V
	until time.Time
}

func (m *memory[K, V]) get(k K, now time.Time) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.kept[k]
	if !ok || !now.Before(r.until) {
		var none V
		return none, false
	}
	return r.value, true
}

func (m *memory[K, V]) put(k K, v V, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept == nil {
		m.kept = map[K]remembered[V]{}
	}
	if len(m.kept) >= maxRemembered {
		for k, r := range m.kept {
			if !now.Before(r.until) {
				delete(m.kept, k)
			}
		}
		if len(m.kept) >= maxRemembered {
			clear(m.kept)
		}
	}
	m.kept[k] = remembered[V]{v, now.Add(bucketKeyLife)}
}
