SHELL := /bin/bash
.DEFAULT_GOAL := help
GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
export CGO_ENABLED ?= 0

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  \033[36m%-14s\033[0m %s\n", $$1, $$2}'

build: ## Build the one static binary into bin/
	$(GO) build -trimpath -ldflags "-s -w" -o bin/kinora ./cmd/kinora

# Most of the tests' time is waiting: two packages more at once than there are cores keep these busy.
PACKAGES ?= $(shell echo $$(( 2 + $$(nproc 2>/dev/null || echo 2) )))
test: vet ## Run everything that a change must pass: vet, all tests, a short crash campaign
	scripts/with-chromium scripts/with-postgres $(GO) test -p $(PACKAGES) -timeout 12m ./...

race: ## Run all tests under the race detector
	CGO_ENABLED=1 scripts/with-chromium scripts/with-postgres $(GO) test -race -timeout 30m ./...

generate: ## Draw the dashboard's pages anew from their templates
	$(GO) tool templ fmt internal/dashboard
	$(GO) tool templ generate -path internal/dashboard

screenshots: ## Take the pictures of the dashboard in docs/images anew
	scripts/with-chromium $(GO) test ./internal/dashboard/browsertest -run '^TestScreenshots$$' -count 1 -args -pictures $(CURDIR)/docs/images

ROUNDS ?= 200
crash: ## Kill the real program ROUNDS times on each database, and count (ROUNDS=200)
	scripts/with-postgres $(GO) test ./internal/crash -run TestNothingIsLost -rounds $(ROUNDS) -timeout 3h -v -count 1

outage: ## Take PostgreSQL away for a minute under load
	scripts/with-postgres $(GO) test ./internal/crash -run TestDatabaseOutage -outage 60s -timeout 10m -v -count 1

FUZZTIME ?= 1m
fuzz: ## Run every fuzz target for FUZZTIME (1m)
	@for pkg in $$($(GO) list ./...); do for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
		echo "$$pkg $$f"; $(GO) test $$pkg -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) || exit 1; done; done

bench: build ## Measure this machine and Kinora on it (kinora bench)
	bin/kinora bench

bench-webhooks: build ## Measure deliveries in the situations that hurt (kinora bench webhooks)
	bin/kinora bench webhooks

bench-upstreams: build ## Measure how late the ends of upstreams' jobs are seen (kinora bench upstreams)
	bin/kinora bench upstreams

bench-river: ## Repeat the comparison of River jobs and the due index on SQLite
	$(GO) test ./internal/queue -run '^$$' -bench . -benchtime 20000x

vet: ## Run go vet and check the formatting
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not gofmt-ed:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...

lint: ## Run golangci-lint (its module is kept apart in tools/)
	$(GO) -C tools run github.com/golangci/golangci-lint/v2/cmd/golangci-lint run --path-prefix=.. ../...

tidy: ## Bring go.mod and go.sum in line with the code
	$(GO) mod tidy

clean: ## Remove what was built
	rm -rf bin dist

.PHONY: help build generate screenshots test race crash outage fuzz bench bench-webhooks bench-upstreams bench-river vet lint tidy clean
