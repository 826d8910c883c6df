SHELL := /bin/bash
.DEFAULT_GOAL := help
GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
export CGO_ENABLED ?= 0

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  \033[36m%-14s\033[0m %s\n", $$1, $$2}'

build: ## Build the one static binary into bin/
	$(GO) build -trimpath -ldflags "-s -w" -o bin/kinora ./cmd/kinora

test: vet ## Run everything that a change must pass: vet, all tests, a short crash campaign
	scripts/with-postgres $(GO) test -timeout 12m ./...

race: ## Run all tests under the race detector
	CGO_ENABLED=1 scripts/with-postgres $(GO) test -race -timeout 30m ./...

vet: ## Run go vet and check the formatting
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not gofmt-ed:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...

lint: ## Run golangci-lint (its module is kept apart in tools/)
	$(GO) -C tools run github.com/golangci/golangci-lint/v2/cmd/golangci-lint run --path-prefix=.. ../...

tidy: ## Bring go.mod and go.sum in line with the code
	$(GO) mod tidy

clean: ## Remove what was built
	rm -rf bin dist

.PHONY: help build test race vet lint tidy clean
