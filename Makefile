# Everything here needs Go, and the tests a python3 (3.7 or newer, the standard library
# alone); what else is needed is fetched by Go itself, by test-models, which installs Python
# packages into the user's cache, and by test-slurm, which installs Debian's slurm-wlm.
# `make help` says what there is.

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
.PHONY: help build test test-models test-slurm lint bench fuzz clean

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## bin/cpr-batch, one static file
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/cpr-batch ./cmd/cpr-batch

test: ## all tests, under the race detector where there is a C compiler
	go vet ./...
	$(if $(RACE),,@echo 'make test: no C compiler, so the tests run without the race detector')
	go test $(RACE) -parallel $(PARALLEL) -timeout $(TIMEOUT) ./...

test-models: ## the examples with TensorFlow, scikit-learn and LightGBM, which are installed first
	go vet -tags models ./configs/examples/
	go test -tags models -count 1 -timeout $(TIMEOUT) ./configs/examples/

# slurmctld and slurmd are in /usr/sbin, which is not in everybody's PATH.
test-slurm: export PATH := $(PATH):/usr/sbin:/sbin
test-slurm: ## a run by a Slurm array, one task killed, one requeued; installs slurm-wlm first (Debian, Ubuntu)
	@{ command -v slurmctld && command -v slurmd && command -v sbatch; } >/dev/null || { \
		if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
			echo 'make test-slurm: Slurm is missing: install slurmctld, slurmd and their commands (Debian and Ubuntu: sudo apt-get install slurm-wlm)' >&2; exit 1; \
		fi; \
		apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends slurm-wlm >/dev/null; \
	}
	go vet -tags slurm ./configs/examples/
	go test -tags slurm -run '^TestSlurm' -count 1 -timeout 5m ./configs/examples/

lint: ## formatting, linters, and whether macOS still builds
	@unformatted=$$(gofmt -l cmd configs pipeline pyworker sinks sources); \
	if [ -n "$$unformatted" ]; then echo "gofmt -w $$unformatted"; exit 1; fi
	go vet ./...
	CGO_ENABLED=0 GOOS=darwin go vet ./...
	$(GOLANGCI) run ./...

bench: ## all benchmarks; BENCH=regexp BENCHTIME=3x
	go test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -benchmem -timeout 1h ./...

fuzz: ## each fuzz target for so long or so many inputs; FUZZTIME=1m or 1000000x
	@grep -rEo '^func Fuzz[A-Za-z0-9]*' --include='*_test.go' cmd configs pipeline pyworker sinks sources | sed 's|\(.*\)/[^/]*:func |./\1 |' | sort | \
	while read -r package name; do \
		echo "$$package $$name"; \
		go test -vet=off -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$package" || exit 1; \
	done

clean: ## remove what was built
	rm -rf bin
