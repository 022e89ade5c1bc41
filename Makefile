# The commands of the README. Every stage prints its time.
SHELL := /bin/bash
.DEFAULT_GOAL := help

.PHONY: help deps guest build demo demo-down test fuzz lint soak bench

help: ## What there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

deps: ## Install the system packages that building, testing and running need
	@scripts/deps install

guest: ## Build the small Linux guest (cached by content)
	@scripts/stage "guest" guest/build

build: ## Build the release binaries
	@scripts/stage "release binaries" scripts/build release

demo: ## Boot a virtual machine from nothing and show its greeting
	@scripts/demo up

demo-down: ## Remove everything that `make demo` made
	@scripts/demo down

test: ## Pass every test, real guests included
	@scripts/test

fuzz: ## Give every parser and patch a minute of bad input (FUZZ_SECONDS)
	@scripts/fuzz

lint: ## Formatting, lints, layers
	@scripts/lint

soak: ## What is too slow for every change: full guests, many seeds
	@scripts/soak

bench: ## Measure the budgets and print them as a table and as JSON
	@scripts/bench
