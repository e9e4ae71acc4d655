# anole: `make` lists the verbs.
SHELL := /bin/bash
GO ?= go
export CGO_ENABLED := 0
# A Go older than go.mod asks for fetches the right one, whatever its distributor chose.
export GOTOOLCHAIN ?= auto
# scripts/setup.sh links a Go there that is not in the PATH.
export PATH := $(CURDIR)/.cache/bin:$(PATH)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -s -w -X github.com/anole-os/anole/internal/cli.version=$(VERSION)
LINT := golangci-lint
LINT_VERSION := v2.15.0
ROOM ?= qos

.PHONY: help run build test test-unit test-vm lint generate bench draw fuzz docs install clean setup

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

run: build ## build, start the agent with the demo, measure, and stay up with the console
	@bin/anole qos demo

build: setup-go ## build bin/anole
	@$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/anole ./cmd/anole

.PHONY: setup-go
setup-go:
	@GO='$(GO)' scripts/setup.sh go

setup: ## install what the tests need (Debian packages), once
	@GO='$(GO)' scripts/setup.sh test

test: setup build ## all tests: unit with the race detector, real kernel, real peers, browser
	@scripts/test.sh

test-unit: ## the tests that need no root and no other program
	$(GO) vet ./...
	$(GO) test -short ./...

lint: .cache/bin/$(LINT) ## golangci-lint, pinned
	.cache/bin/$(LINT) run ./...

.cache/bin/$(LINT):
	GOBIN=$(CURDIR)/.cache/bin $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)

generate: setup ## remake generated files (BPF objects), byte for byte
	$(GO) generate ./...

bench: build ## measure a room against its peers and write the results: make bench ROOM=qos
	@GO='$(GO)' scripts/setup.sh bench
	bin/anole $(ROOM) bench --results test/bench/results/$(ROOM).json $(BENCH_FLAGS)
	@$(MAKE) --no-print-directory draw

draw: ## draw README tables and charts from the committed results
	$(GO) run ./test/bench/draw

test-vm: setup-go ## the real-kernel tests under Debian's kernels 6.1 and 6.12 in QEMU, cgroup v2 and v1
	@scripts/vm.sh test $(PACKAGES)

fuzz: ## run each fuzz target for FUZZTIME (default 30s)
	@scripts/fuzz.sh

docs: build ## remake docs/cli, docs/config.md, docs/metrics.md, docs/errors.md
	bin/anole gen docs docs

install: build ## install the binary, man pages, completion and systemd unit under $(PREFIX)
	@scripts/install.sh

clean: ## remove what was built
	rm -rf bin .cache
