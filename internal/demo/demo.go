// Package demo is a guided tour through a Kura that was just made: the case studies, step by step, with real
// requests to a real server.
//
// It promises that nothing is played: each answer that is told came from the server, each is held to what
// AWS answers there, and the first that differs ends the tour. It knows of the server what any client knows.
package demo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Config of a tour.
type Config struct {
	// HTTP and HTTPS are the server's endpoints. Required.
	HTTP, HTTPS string
	// Client trusts the server's certificate. Required.
	Client *http.Client
	// Functions says that the server runs functions in Python with boto3.
	Functions bool
	// Region of the server. Required.
	Region string
	// AccessKeyID and Secret are the administrator's. Required.
	AccessKeyID, Secret string
	// Begin is told of each case study, Report of each step. Required.
	Begin  func(Case) error
	Report func(Step) error
}

// Case is one case study.
type Case struct {
	Name, Title string
	run         func(*tour)
}

// Step is one thing that is shown.
type Step struct {
	Case      string     `json:"case"`
	Title     string     `json:"title"`
	Exchanges []Exchange `json:"exchanges"`
	OK        bool       `json:"ok"`
	// Problem says what is not as it should be.
	Problem string `json:"problem,omitempty"`
}

// Exchange is one request and its answer.
type Exchange struct {
	// As is who asks: a user's or a role's name, "anonymous".
	As string `json:"as"`
	// Command is what a person would type.
	Command string `json:"command"`
	// Answer is what came back, in short.
	Answer string `json:"answer"`
}

// Cases are the case studies in their order.
func Cases() []Case {
	return []Case{
		{"S0", "Files of customers: private, encrypted, logged", s0},
		{"S1", "The first week with AWS's security model: groups, roles, MFA, least privilege", s1},
		{"S2", "KMS with S3: two buckets, and one that became public by mistake", s2},
		{"S3", "A bucket becomes public, and people hear of it within a second", s3},
		{"S4", "A bucket for one address: the Allow that does not restrict, the Deny that does", s4},
	}
}

// tour is one walk. The first failure is kept, and what comes after it is not done.
type tour struct {
	ctx     context.Context
	config  Config
	account string
	admin   *caller
	name    string // of the case
	step    *Step
	steps   int
	err     error
}

// Run walks through the cases and tells how many steps it took.
func Run(ctx context.Context, c Config, cases []Case) (steps int, err error) {
	t := &tour{ctx: ctx, config: c, admin: &caller{name: "admin", key: c.AccessKeyID, secret: c.Secret}}
	t.step = &Step{}
	who := t.query(t.admin, "sts", "GetCallerIdentity", nil)
	t.account = who.element("Account")
	t.step = nil
	for _, study := range cases {
		if t.err != nil {
			break
		}
		t.name = study.Name
		if t.err = c.Begin(study); t.err == nil {
			study.run(t)
			t.end()
		}
	}
	if t.err != nil && ctx.Err() != nil {
		t.err = ctx.Err()
	}
	return t.steps, t.err
}

// show begins a step.
func (t *tour) show(title string) {
	t.end()
	if t.err == nil {
		t.step = &Step{Case: t.name, Title: title}
	}
}

// end tells of the step that was begun.
func (t *tour) end() {
	if t.step == nil {
		return
	}
	step := *t.step
	t.step = nil
	t.steps++
	if step.OK = t.err == nil; !step.OK {
		step.Problem = t.err.Error()
	}
	if err := t.config.Report(step); err != nil && t.err == nil {
		t.err = err
	}
}

// fail ends the tour.
func (t *tour) fail(format string, args ...any) {
	if t.err == nil {
		t.err = fmt.Errorf(format, args...)
	}
}

// want holds what was said to what should be.
func (t *tour) want(what, got, want string) {
	if got != want {
		t.fail("%s is %q; it should be %q", what, got, want)
	}
}

// tell adds something that is not a request.
func (t *tour) tell(as, command, answer string) {
	if t.err == nil {
		t.step.Exchanges = append(t.step.Exchanges, Exchange{as, command, answer})
	}
}

// until asks again until done, for what comes a moment later.
func (t *tour) until(what string, done func() bool) {
	const patience = 30 * time.Second
	for end := time.Now().Add(patience); t.err == nil; {
		if done() {
			return
		}
		if time.Now().After(end) {
			t.fail("%s: not within %s", what, patience)
			return
		}
		select {
		case <-t.ctx.Done():
			t.err = t.ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// ErrStopped says that whoever watches wants no more.
var ErrStopped = errors.New("stopped")
