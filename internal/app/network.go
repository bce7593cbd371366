package app

import (
	"context"
	"encoding/json"
	"maps"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/event"
	"github.com/kura-s3/kura/internal/finding"
	"github.com/kura-s3/kura/internal/network"
)

// openNetwork reads who may connect where.
func (s *server) openNetwork(context.Context) (err error) {
	listeners := []string{"http", "https"}
	for _, e := range s.config.Endpoints {
		listeners = append(listeners, e.ID)
	}
	s.network, err = network.Open(network.Config{
		Path: s.config.Network, Listeners: listeners, Services: signingNames, Changed: s.networkChanged, Log: s.log,
	})
	return err
}

// startNetwork follows the rules' changes, and tells of what should not be open.
func (s *server) startNetwork(context.Context) error {
	s.tellOpenSurfaces()
	s.background(func(ctx context.Context) { s.network.Watch(ctx, s.options.Reload) })
	s.background(s.tellRefusals)
	return nil
}

// networkChanged is called when the rules were read anew.
func (s *server) networkChanged(err error) {
	if err != nil {
		s.tellNetwork("Network Rules Not Loaded", map[string]any{"file": s.config.Network, "error": err.Error()})
		s.findNetwork(finding.NetworkRulesBroken, "", "The network rules could not be read again.",
			"The file "+finding.Clean(s.config.Network)+" or one that it names is wrong. The rules before stay in force: what was to be shut out meanwhile is not.")
		return
	}
	s.front.Readmit()
	s.tellOpenSurfaces()
}

// tellOpenSurfaces says, at each start and each change, which surfaces of administration everybody reaches.
func (s *server) tellOpenSurfaces() {
	open := map[string]string{}
	for _, surface := range s.network.OpenSurfaces() {
		open[string(surface)] = "the rules say so (open: true)"
	}
	for _, l := range s.listeners {
		if s.network.Everywhere(l.label()) && !l.private() {
			open[string(network.Admin)] = "listener " + l.label() + " has no allow list"
		}
	}
	for surface, why := range open {
		s.log.Warn("every address may reach a surface of administration", "surface", surface, "because", why)
		s.tellNetwork("Network Surface Open", map[string]any{"surface": surface, "because": why})
		s.findNetwork(finding.AdministrationOpen, surface, "Every address may reach a surface of administration: "+surface+".",
			"Limit it in the file of --network: surfaces, or the allow list and the services of the listener. Because: "+why+".")
	}
}

// private tells whether only this machine reaches the listener.
func (b *bound) private() bool {
	t, ok := b.Addr().(*net.TCPAddr)
	return ok && t.IP.IsLoopback()
}

// findNetwork makes a finding about the server itself.
func (s *server) findNetwork(typ, surface, title, description string) {
	err := s.findings.Report(context.Background(), nil, finding.Sighting{
		Account: s.operator(), Type: typ, Severity: finding.SeverityOf(typ), Title: title, Description: description, Actor: surface,
		Resource: finding.Resource{ResourceType: finding.Server},
	})
	if err != nil {
		s.log.Error("a finding about the network rules is lost", "type", typ, "err", err)
	}
}

// refusalsEvery is how often refused connections are summed up in an event.
const refusalsEvery = time.Minute

func (s *server) tellRefusals(ctx context.Context) {
	tick := time.NewTicker(refusalsEvery)
	defer tick.Stop()
	before := s.network.Refused()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := s.network.Refused()
		if maps.Equal(before, now) {
			continue
		}
		detail := map[string]any{"seconds": int(refusalsEvery.Seconds())}
		for reason, n := range now {
			detail[strings.TrimPrefix(reason, "network_")] = n - before[reason]
		}
		s.tellNetwork("Network Connections Refused", detail)
		before = now
	}
}

// tellNetwork puts an event on the default bus of the first account, whose the server is.
func (s *server) tellNetwork(what string, detail map[string]any) {
	raw, err := json.Marshal(detail)
	if err == nil {
		_, err = s.bus.Publish(context.Background(), nil, event.Event{
			Source: "kura", DetailType: what, Account: s.operator(), Region: s.config.Region, Time: time.Now(), Detail: raw,
		})
	}
	if err != nil {
		s.log.Error("an event of the network rules is lost", "what", what, "err", err)
	}
}

// operator is the account whose the server is: the first one.
func (s *server) operator() string {
	if id := s.identities.ManagingAccount(); id != "" {
		return id
	}
	return s.identities.Accounts()[0] // without an organization there is no other
}

// serves tells the pipeline which services answer where.
func (s *server) serves(p *api.Peer, service string) bool {
	return s.network.Serves(p.Listener, service, p.IP)
}

// reaches tells the front who may see a surface.
func (s *server) reaches(surface string, from netip.Addr) bool {
	return s.network.Reaches(network.Surface(surface), from)
}

// refusedConnections counts them by reason: those of limits, and those of the rules.
func (s *server) refusedConnections() map[string]int64 {
	all := s.front.Stats().Refused
	maps.Copy(all, s.network.Refused())
	return all
}
