# Everything here needs Go, and the tests a python3 (3.7 or newer, the standard library
# alone); what else is needed is fetched by Go itself. `make help` says what there is.

VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# The race detector needs a C compiler: without one, Go has cgo off.
RACE      ?= $(if $(filter 1,$(shell go env CGO_ENABLED)),-race)
TIMEOUT   ?= 20m
# Scenarios mostly wait for processes: more of them than cores may run side by side.
PARALLEL  ?= 8
BENCH     ?= .
BENCHTIME ?= 1s
FUZZTIME  ?= 10000x
GOLANGCI  ?= go tool -modfile=tools.mod golangci-lint

.DEFAULT_GOAL := help
.PHONY: help build test lint bench fuzz clean

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-6s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## bin/cpr-batch, one static file
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/cpr-batch ./cmd/cpr-batch

test: ## all tests, under the race detector where there is a C compiler
	go vet ./...
	$(if $(RACE),,@echo 'make test: no C compiler, so the tests run without the race detector')
	go test $(RACE) -parallel $(PARALLEL) -timeout $(TIMEOUT) ./...

lint: ## formatting, linters, and whether macOS still builds
	@unformatted=$$(gofmt -l cmd configs pipeline pyworker sinks sources); \
	if [ -n "$$unformatted" ]; then echo "gofmt -w $$unformatted"; exit 1; fi
	go vet ./...
	CGO_ENABLED=0 GOOS=darwin go vet ./...
	$(GOLANGCI) run ./...

bench: ## all benchmarks; BENCH=regexp BENCHTIME=3x
	go test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -benchmem -timeout 1h ./...

fuzz: ## each fuzz target for so many inputs; FUZZTIME=1000000x
	@go test -list '^Fuzz' ./... | awk '/^Fuzz/ {name[++n] = $$1} /^ok/ {for (i = 1; i <= n; i++) print $$2, name[i]; n = 0}' | \
	while read -r package name; do \
		echo "$$package $$name"; \
		go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$package" || exit 1; \
	done

clean: ## remove what was built
	rm -rf bin
