package app

import (
	"math"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/function"
	"github.com/kura-s3/kura/internal/posture"
	"github.com/kura-s3/kura/policy"
)

// policied are the types of which nothing is watched but the policy: how the resources of an account are listed, and
// one is found. Their ids are their ARNs.
var policied = map[string]struct {
	arns func(w *watched, account string) ([]string, error)
	find func(w *watched, arn string) *posture.Resource
}{
	posture.TypeQueue:    {(*watched).queues, (*watched).queue},
	posture.TypeTopic:    {(*watched).topics, (*watched).topic},
	posture.TypeFunction: {(*watched).functions, (*watched).function},
}

// withPolicy is such a resource.
func withPolicy(typ, name, arn, account string, created time.Time, tags map[string]string, document *policy.Document) *posture.Resource {
	return &posture.Resource{
		Type: typ, ID: arn, Name: name, ARN: arn, Account: account, Created: created, Tags: tags,
		Policy: &posture.Policy{Document: document, Kind: policy.Resource},
	}
}

func (w *watched) queues(account string) ([]string, error) {
	all, _, err := w.s.queues.List(w.grant, account, "", "", math.MaxInt)
	arns := make([]string, 0, len(all))
	for _, q := range all {
		arns = append(arns, w.s.queues.ARN(q))
	}
	return arns, err
}

func (w *watched) queue(arn string) *posture.Resource {
	q, err := w.s.queues.ByARN(arn)
	if err != nil {
		return nil
	}
	return withPolicy(posture.TypeQueue, q.Name, arn, q.Account, q.Created, q.Tags, q.Policy)
}

func (w *watched) topics(account string) (arns []string, err error) {
	for more, after := true, ""; more; {
		var page []string
		if page, more, err = w.s.topics.store.List(w.grant, account, after); err != nil {
			return nil, err
		}
		arns = append(arns, page...)
		if more {
			after = page[len(page)-1]
		}
	}
	return arns, nil
}

func (w *watched) topic(arn string) *posture.Resource {
	t, err := w.s.topics.store.Topic(arn)
	if err != nil {
		return nil
	}
	return withPolicy(posture.TypeTopic, t.Name, arn, t.Account, t.Created, t.Tags, t.Policy)
}

// functions are the functions, and what of them has a policy of its own: versions and aliases.
func (w *watched) functions(account string) ([]string, error) {
	all, err := w.s.functions.List(w.grant, account)
	var arns []string
	for _, f := range all {
		arns = append(arns, w.s.functions.ARN(function.Ref{Account: account, Name: f.Name}))
		for qualifier := range f.Policies {
			if qualifier != "" {
				arns = append(arns, w.s.functions.ARN(function.Ref{Account: account, Name: f.Name, Qualifier: qualifier}))
			}
		}
	}
	return arns, err
}

func (w *watched) function(arn string) *posture.Resource {
	if !strings.HasPrefix(arn, "arn:aws:lambda:") {
		return nil
	}
	r, err := w.s.functions.Parse("", arn, "")
	if err != nil {
		return nil
	}
	f, err := w.s.functions.Function(r)
	if err != nil || r.Qualifier != "" && f.Policies[r.Qualifier] == nil {
		return nil
	}
	return withPolicy(posture.TypeFunction, f.Name, arn, f.Account, f.Latest.Modified, f.Tags, f.PolicyOf(r.Qualifier))
}
