# make run      serve ./kura-data on loopback
# make test     everything that CI checks
# make bench    the measured comparison with fsync, bare net/http, a Kura that records everything, one that is busy with
#               background jobs, and other servers that are named; and how soon an
#               alarm is told (BENCH='--only alarm --references=false --restarts=false' for that alone)
# make torture  what takes too long for every day: large transfers, a million objects that expire, replication beside a writer,
#               crashes over and over, every fuzzer for a while

SHELL    := /bin/bash
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
COMMIT   ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
LDFLAGS  := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
FUZZTIME ?= 30s
RUN      ?=
# Unit tests; acceptance has its own step.
UNITS     = $(shell go list ./... | grep -v /acceptance)

.PHONY: run build test units acceptance lint fmt clients bench torture

run: build
	bin/kura serve $(RUN)

build:
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/kura ./cmd/kura

test: lint units acceptance

# Seeds of the fuzzers and the conformance suites of the engines are among the unit tests.
units: clients
	go test -race -timeout 15m $(UNITS)
	go vet -tags kafka ./internal/job/notify && go build -tags kafka -o /dev/null ./cmd/kura
	go test -race -tags kafka ./internal/job/notify
	set -o pipefail; go test -tags pkcs11 -v ./internal/sealer/pkcs11 | grep -E 'SKIPPED|^(ok|FAIL|---)'

# Stories that pass are one line each; one that fails is told whole.
acceptance: clients
	@log=$$(mktemp); TF_PLUGIN_DIR="$${TF_PLUGIN_DIR:-$$(.ci/terraform-mirror)}" go test -count=1 -timeout 15m -v ./acceptance >$$log 2>&1; status=$$?; \
	[ $$status = 0 ] || cat $$log; \
	grep -aE '^(=== SKIPPED|PASS|FAIL|ok)|^ *--- ' $$log; rm -f $$log; exit $$status

lint:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$unformatted" ]; then echo "gofmt: $$unformatted"; exit 1; fi
	go vet ./...
	go tool staticcheck ./...

fmt:
	gofmt -w $$(git ls-files '*.go')

# Installs the clients that are missing, where it may; says loudly what it could not.
clients:
	@.ci/clients

bench: build
	go run ./bench --kura bin/kura --recorded bin/kura --busy bin/kura $(BENCH)

torture: clients
	TF_PLUGIN_DIR="$${TF_PLUGIN_DIR:-$$(.ci/terraform-mirror)}" KURA_TEST_LARGE=1 go test -count=1 -timeout 60m -v ./acceptance
	KURA_MEASURE=1 go test -count=1 -timeout 90m -v -run 'Million|KeepsUp' ./internal/job/...
	go test -count=20 -timeout 60m -run 'Crash|Linear|Kill|Fault' ./internal/...
	@for p in $$(go list ./...); do \
		for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz'); do \
			echo "== $$p $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p || exit 1; \
		done; \
	done
