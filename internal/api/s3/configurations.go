package s3

import (
	"bytes"
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/wire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/object"
)

// Configurations of which a bucket has many, each under an id: inventory, metrics, analytics and
// Intelligent-Tiering. Each is a setting of its own, named KIND/ID, and stored as the JSON of AWS's shape.

const (
	maxConfigurations  = 1000
	configurationsPage = 100
)

// configurations is one kind of them: PutIn … name the inputs and outputs of its operations, C the shape
// of a configuration.
type configurations[PutIn, GetIn, DeleteIn, ListIn, GetOut, ListOut, C any] struct {
	setting                 string
	put, get, delete, list  *wire.Operation
	readAction, writeAction string
	of                      func(*PutIn) *C
	id                      func(*C) *string
	check                   func(*C) error
	keys                    func(*C) authz.Keys
	got                     func(*C) *GetOut
	gone                    func(bucket, id string) // told when one was deleted; optional
	listed                  func(all []C, token, next *string, truncated *bool) *ListOut
}

func (k *configurations[PutIn, GetIn, DeleteIn, ListIn, GetOut, ListOut, C]) ops(s *Service) []*api.Op {
	return []*api.Op{
		api.Declare(api.Decl[PutIn, empty]{
			Wire: k.put, Class: audit.Management, Access: api.Write, Unsigned: true,
			Demands: func(c *api.Call, in *PutIn) ([]authz.Demand, error) {
				conf := k.of(in)
				if conf == nil {
					return nil, fault.New(malformedXML, "")
				}
				return s.needChange(c, k.writeAction, k.conditionKeys(conf), func(b object.Bucket) *object.Bucket {
					raw, err := json.Marshal(conf)
					if err != nil {
						return nil
					}
					return with(b, k.setting+"/"+at(c).query.get("id"), raw)
				})
			},
			Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *PutIn) (*empty, error) {
				return k.store(ctx, s, g, c, k.of(in))
			},
		}),
		api.Declare(api.Decl[GetIn, GetOut]{
			Wire: k.get, Class: audit.Management, Access: api.Read, Unsigned: true,
			Demands: onBucket[GetIn](s, k.readAction),
			Do: func(_ context.Context, _ authz.Grant, c *api.Call, _ *GetIn) (*GetOut, error) {
				raw := at(c).found.Settings[k.setting+"/"+at(c).query.get("id")]
				if raw == nil {
					return nil, noConfiguration(c)
				}
				conf, err := decodeSetting[C](raw)
				if err != nil {
					return nil, err
				}
				return k.got(conf), nil
			},
		}),
		api.Declare(api.Decl[DeleteIn, empty]{
			Wire: k.delete, Class: audit.Management, Access: api.Write, Unsigned: true,
			Demands: onBucket[DeleteIn](s, k.writeAction),
			Do: func(ctx context.Context, g authz.Grant, c *api.Call, _ *DeleteIn) (*empty, error) {
				id := at(c).query.get("id")
				name := k.setting + "/" + id
				_, err := s.config.Objects.UpdateBucket(ctx, g, k.writeAction, at(c).bucket, func(b *object.Bucket) error {
					if b.Settings[name] == nil {
						return noConfiguration(c)
					}
					delete(b.Settings, name)
					return nil
				})
				if err == nil && k.gone != nil {
					k.gone(at(c).bucket, id)
				}
				return &empty{}, err
			},
		}),
		api.Declare(api.Decl[ListIn, ListOut]{
			Wire: k.list, Class: audit.Management, Access: api.Read, Unsigned: true,
			Demands: onBucket[ListIn](s, k.readAction),
			Do:      func(_ context.Context, _ authz.Grant, c *api.Call, _ *ListIn) (*ListOut, error) { return k.page(c) },
		}),
	}
}

func noConfiguration(c *api.Call) error {
	return fault.New(noSuchConfiguration, "", "BucketName", at(c).bucket)
}

func (k *configurations[PutIn, GetIn, DeleteIn, ListIn, GetOut, ListOut, C]) conditionKeys(conf *C) authz.Keys {
	if k.keys == nil {
		return nil
	}
	return k.keys(conf)
}

// configurationID is what may name a configuration.
var configurationID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

func (k *configurations[PutIn, GetIn, DeleteIn, ListIn, GetOut, ListOut, C]) store(ctx context.Context, s *Service, g authz.Grant, c *api.Call, conf *C) (*empty, error) {
	id := at(c).query.get("id")
	if named := k.id(conf); named == nil || *named != id || !configurationID.MatchString(id) {
		return nil, fault.New(invalidConfiguration, "", "ConfigurationId", id)
	}
	if err := k.check(conf); err != nil {
		return nil, err
	}
	raw, err := json.Marshal(conf)
	if err != nil {
		return nil, err
	}
	name := k.setting + "/" + id
	_, err = s.config.Objects.UpdateBucket(ctx, g, k.writeAction, at(c).bucket, func(b *object.Bucket) error {
		if b.Settings[name] == nil && len(settingsOf(b, k.setting)) >= maxConfigurations {
			return fault.New(tooManyConfigurations, "")
		}
		b.Settings[name] = raw
		return s.stillJudged(c, b)
	})
	return &empty{}, err
}

// settingsOf are the ids of a kind that a bucket has, in order.
func settingsOf(b *object.Bucket, setting string) []string {
	var ids []string
	for name := range b.Settings {
		if id, ok := strings.CutPrefix(name, setting+"/"); ok {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (k *configurations[PutIn, GetIn, DeleteIn, ListIn, GetOut, ListOut, C]) page(c *api.Call) (*ListOut, error) {
	var token *string
	if text := at(c).query.get("continuation-token"); text != "" {
		token = &text
	}
	after, err := decodeToken(token)
	if err != nil {
		return nil, err
	}
	b := at(c).found
	var all []C
	var next *string
	truncated := false
	ids := settingsOf(b, k.setting)
	for i, id := range ids {
		if id <= after {
			continue
		}
		if len(all) == configurationsPage {
			text := encodeToken(ids[i-1])
			next, truncated = &text, true
			break
		}
		conf, err := decodeSetting[C](b.Settings[k.setting+"/"+id])
		if err != nil {
			return nil, err
		}
		all = append(all, *conf)
	}
	return k.listed(all, token, next, &truncated), nil
}

// decodeSetting reads a stored configuration strictly.
func decodeSetting[C any](raw []byte) (*C, error) {
	conf := new(C)
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(conf); err != nil {
		return nil, err
	}
	return conf, nil
}

// setting stores one setting of the addressed bucket; nil takes it away.
func (s *Service) setSetting(ctx context.Context, g authz.Grant, c *api.Call, action, name string, value any) (*empty, error) {
	var raw []byte
	if value != nil {
		var err error
		if raw, err = json.Marshal(value); err != nil {
			return nil, err
		}
	}
	_, err := s.config.Objects.UpdateBucket(ctx, g, action, at(c).bucket, func(b *object.Bucket) error {
		if raw == nil {
			delete(b.Settings, name)
		} else {
			b.Settings[name] = raw
		}
		return nil
	})
	return &empty{}, err
}
