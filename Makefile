# wgmesh.router. `make help` lists the targets; README.md says which two you need.
.DEFAULT_GOAL := help
SHELL := /bin/bash

INVENTORY ?= examples/field-case/inventory.yml
LAB_NAME  ?= lab
RUNS      ?= 5
LOAD      ?= 0
DRAINS    ?= 20
SEED      ?= 1
TOPOLOGIES ?= 100

BUILD := build
LAB   := $(BUILD)/lab-tool
GO    := go

# One set of flags for all, so that Go compiles a package once.
export CGO_ENABLED := 0
export GOFLAGS := $(strip $(filter-out -trimpath -buildvcs=false,$(GOFLAGS)) -trimpath -buildvcs=false)
# Where an image sets it, each start of Ansible compiles all of its Python anew, which is half of a
# short play.
unexport PYTHONDONTWRITEBYTECODE
export PATH := $(CURDIR)/$(BUILD)/tools:/usr/local/go/bin:/usr/lib/go/bin:$(PATH)

# Each target is a command, not a file: build/ and test/ are folders.
.PHONY: $(shell sed -n "s/^\([a-z0-9-]*\):.*/\1/p" $(firstword $(MAKEFILE_LIST)))

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install what the machine lacks: Debian packages, Go, Ansible in build/venv-newest
	@.ci/setup
	@.ci/venv

collection: ## build the modules, stage build/ansible_collections and its tarball
	@.ci/stage

$(LAB): go.mod $(wildcard cmd/lab/*.go internal/lab/*.go internal/lab/*/*.go pkg/inventory/*.go pkg/mesh/*.go) internal/lab/base.sh
	@mkdir -p $(BUILD)
	@$(GO) build -o $@ ./cmd/lab

# What waits for the network runs beside what compiles. Each has the machine's packages
# installed when it needs them; .ci/setup lets one at a time.
quick: # what a lab and plays on it need and nothing else, from nothing if need be
	@$(MAKE) -s -j 3 quick-base quick-ansible quick-modules

quick-base:
	@.ci/setup lab
	@.ci/base

quick-ansible:
	@python3 -c 'import ensurepip, venv' 2>/dev/null || .ci/setup lab
	@.ci/venv newest

quick-modules:
	@GOTOOLCHAIN=local $(GO) list -m >/dev/null 2>&1 || .ci/setup lab
	@.ci/stage host
	@$(MAKE) -s $(LAB)

lab-up: quick ## hosts for any inventory on this machine (INVENTORY=..., LAB_NAME=...)
	@. $(BUILD)/env && $(LAB) up --inventory $(INVENTORY) --name $(LAB_NAME)

lab-down: $(LAB) ## take the hosts away again, also those of a lab that was killed
	@$(LAB) down --name $(LAB_NAME)

demo: quick ## the whole chain on the 7-router case: up, mesh, pings, a router dies
	@test/demo/run

bench: setup collection $(LAB) ## what the play, one task and 200 tunnels cost, against others: medians of RUNS (root)
	@RUNS=$(RUNS) test/bench/run

lint: setup ## formatting, vet, golangci, shellcheck, ansible-lint
	@.ci/lint

galaxy: setup ## what Galaxy and reviewers run on the tarball: sanity on three cores, importer, lint, docs
	@.ci/galaxy

release-check: setup collection ## each requirement of Galaxy, the community package and Red Hat, and whether it holds
	@status=0; $(BUILD)/venv-newest/bin/python .ci/release_check.py || status=1; .ci/galaxy || status=1; exit $$status

follow: setup collection $(LAB) ## the README word by word, from the tarball, under the oldest and the newest core (root)
	@.ci/venv 2.14 2.21
	@test/follow/run

ee: setup ## the mesh play from the contents of the execution environment (root)
	@test/ee/run

unit: ## Go tests that need nothing
	@$(GO) test -timeout 60m ./...

integration: ## all Go tests, those with real BIRD and WireGuard in network namespaces, too (root)
	@.ci/venv moto
	@$(GO) test -tags integration -count=1 -p 2 -timeout 60m ./...

model: ## the model of the network against real BIRDs: TOPOLOGIES=100 random ones; and what a preview takes (root)
	@$(GO) test -run '^$$' -bench BenchmarkPreview -benchtime 1x ./pkg/model
	@set -o pipefail; $(GO) test -tags integration -count=1 -timeout 120m -parallel 4 -v -run TestModelIsBIRD ./pkg/model -topologies $(TOPOLOGIES) | grep -E 'seed [0-9]+:|^(ok|FAIL|---)| --- FAIL'

# To compile the clients takes minutes and 2 GB the first time. CI runs the cheap part alone.
emul: EMUL = ./...
emul: ## Azure's and Google's own clients against our stand-ins for their clouds
	@cd test/emul && $(GO) vet $(EMUL) && $(GO) test -v -count=1 -p 1 $(EMUL)

terraform: ## examples/terraform and examples/packer, offline, with mistakes that have to be noticed
	@.ci/terraform

discovery: setup ## the inventories of clouds, by the vendors' collections against stand-ins
	@.ci/test-discovery

protocol: setup ## the action plugins under real Ansible over SSH, and which inventories are refused (root)
	@.ci/test-ansible

tarball: setup ## two builds of the same sources are one tarball
	@.ci/test-tarball

EXTRACT := ./internal/fakecloud/published/extract
# armcompute: the last one with the api-version that we ask for. armresources: as test/emul has it.
AZURE := network/armnetwork/v9@v9.0.0 compute/armcompute/v6@v6.1.0 resources/armresources@v1.2.0
published: ## extract the vendors' published descriptions again, which stand-ins are compared with
	@$(GO) run $(EXTRACT) gcp google.golang.org/api@v0.311.0 >$(BUILD)/gcp.json
	@$(GO) run $(EXTRACT) azure $(AZURE:%=github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/%) >$(BUILD)/azure.json
	@mv $(BUILD)/gcp.json $(BUILD)/azure.json internal/fakecloud/published/

schemas: ## read the providers' schemas again, which examples/terraform is checked against (npm)
	@test/terraform/snapshot

# Can be repeated until that version is out. What it changes in the staged tree is staged anew.
changelog: setup collection ## fold the fragments into the changelog of the version in galaxy.yml
	@.ci/venv tools
	@. $(BUILD)/env && cd $(BUILD)/ansible_collections/wgmesh/router && antsibull-changelog release --update-existing
	@cp $(BUILD)/ansible_collections/wgmesh/router/CHANGELOG.md .
	@cp $(BUILD)/ansible_collections/wgmesh/router/changelogs/changelog.yaml collection/changelogs/
	@rm -f collection/changelogs/fragments/*.yml

# That shows that the stand-in of .ci/test-discovery says what Consul says. 1.13 is the last series
# that builds from the module proxy alone. Its go.mod replaces the modules beside it by folders of
# its repository; what is built as a dependency takes the released ones.
CONSUL := $(BUILD)/consul/consul-v1.13.9
$(CONSUL):
	@rm -rf $(@D) && mkdir -p $(@D)/module
	@cd $(@D)/module && $(GO) mod init consul && $(GO) get github.com/hashicorp/consul@$(@F:consul-%=%)
	@cd $(@D)/module && $(GO) build -o ../$(@F) github.com/hashicorp/consul

consul: $(CONSUL) ## the inventory plugin for Consul against a real one, which takes minutes to build
	@CONSUL=$(CURDIR)/$(CONSUL) TESTS=real_consul .ci/test-discovery

cores: protocol molecule ## the action plugins and Molecule under each ansible-core from 2.14 to the newest pre-release (root)

kernel: ## the integration tests with the kernel's WireGuard, in a virtual machine
	@.ci/kernel

molecule: setup collection $(LAB) ## the scenarios default and mesh
	@.ci/molecule

proof: setup collection $(LAB) ## what the README promises, on a lab of its own (root)
	@$(MAKE) -s proofs

proofs: # of what is staged already: those that RUN names, without those of SKIP
	@. $(BUILD)/env && $(GO) test -tags lab -count=1 -p 1 -timeout 180m -v -run '$(RUN)' -skip '^Test(Failover|Kills|Meet|Away)$(if $(SKIP),|$(SKIP))' ./internal/lab ./test/proof

failover: RUNS = 20
failover: setup collection $(LAB) ## 28 single faults and more, RUNS times, and what each costs: SEED=1 ONLY=tunnel,router BFD=fast (root)
	@. $(BUILD)/env && RUNS=$(RUNS) SEED=$(SEED) ONLY=$(ONLY) BFD=$(BFD) $(GO) test -tags lab -count=1 -timeout 0 -v -run '^TestFailover$$' ./test/proof

etcd: RUNS = 3
etcd: setup collection $(LAB) ## those faults, and an etcd of five members on the case's nodes: no acknowledged write is lost (root)
	@. $(BUILD)/env && RUNS=$(RUNS) SEED=$(SEED) ONLY=$(ONLY) BFD=$(BFD) $(GO) test -tags lab -count=1 -timeout 0 -v -run '^TestFailoverEtcd$$' ./test/proof

rolling: RUNS = 20
rolling: setup collection $(LAB) ## drain, rotate, upgrade, replace, remove and add, RUNS times under 200 packets/s for each pair of sites: ONLY=drain,replace PAUSE=0.04 (root)
	@. $(BUILD)/env && RUNS=$(RUNS) ONLY=$(ONLY) PAUSE=$(PAUSE) $(GO) test -tags lab -count=1 -timeout 0 -v -run '^TestFailoverTurns$$' ./test/proof

kills: setup collection $(LAB) ## the controller of a play dies at every one of its tasks, and the same command again: PLAYS=drain,add EVERY=2 FROM=9 MOST=30 (root)
	@. $(BUILD)/env && PLAYS=$(PLAYS) EVERY=$(EVERY) FROM=$(FROM) MOST=$(MOST) SEED=$(SEED) $(GO) test -tags lab -count=1 -timeout 0 -v -run '^TestKills$$' ./test/proof

meet: setup collection $(LAB) ## a second run of a play begins and ends while the first stands still in one of its tasks: PLAYS=rotate-alone EVERY=2 FROM=9 MOST=30 (root)
	@. $(BUILD)/env && PLAYS=$(PLAYS) EVERY=$(EVERY) FROM=$(FROM) MOST=$(MOST) SEED=$(SEED) $(GO) test -tags lab -count=1 -timeout 0 -v -run '^TestMeet$$' ./test/proof

away: setup collection $(LAB) ## the router of a play loses its power in one of its tasks, or its SSH with HOW=ssh: PLAYS=drain,remove EVERY=2 FROM=9 MOST=30 (root)
	@. $(BUILD)/env && HOW=$(HOW) PLAYS=$(PLAYS) EVERY=$(EVERY) FROM=$(FROM) MOST=$(MOST) SEED=$(SEED) $(GO) test -tags lab -count=1 -timeout 0 -v -run '^TestAway$$' ./test/proof

zones: setup collection $(LAB) ## latency between all nodes, with and without zone-aware entry: docs/runs/zones.txt (root)
	@. $(BUILD)/env && $(GO) test -tags lab -count=1 -timeout 30m -v -run '^TestFailoverZones$$' ./test/proof

adopt: ADOPT = examples/field-case/inventory.yml
adopt: setup collection $(LAB) ## the case's network, made by hand, is adopted and taken over under traffic (root)
	@. $(BUILD)/env && ADOPT=$(ADOPT) $(GO) test -tags lab -count=1 -timeout 60m -v -run '^TestFailoverAdopt$$' ./test/proof

floor: RUNS = 20
floor: setup collection $(LAB) ## TestFloor of the proof and the same on BIRD alone, RUNS rounds each: docs/runs/floor.txt (root)
	@. $(BUILD)/env && WGMESH_FLOOR_ROUNDS=$(RUNS) $(GO) test -tags lab -count=1 -timeout 60m -v -run '^TestFloor$$' ./test/proof
	@. $(BUILD)/env && WGMESH_FLOOR_ROUNDS=$(RUNS) $(GO) test -tags integration -count=1 -timeout 30m -v -run '^TestNothingLeavesWithoutBird$$' ./pkg/bird

drain: setup collection $(LAB) ## drain, power cut, undrain, DRAINS times under 200 packets/s each way (root)
	@. $(BUILD)/env && WGMESH_DRAINS=$(DRAINS) $(GO) test -tags lab -count=1 -timeout 120m -v -run '^TestRoutes$$' ./test/proof

survive: setup collection $(LAB) ## networkd, NetworkManager, nftables, BIRD restart and are upgraded under traffic: docs/runs/survive.txt (root)
	@. $(BUILD)/env && WGMESH_SURVIVE=all $(GO) test -tags lab -count=1 -timeout 60m -v -run '^TestFloor$$/^others$$' ./test/proof

sick: setup collection $(LAB) ## one router of seven is sick in every way there is (root)
	@. $(BUILD)/env && WGMESH_SICK=. $(GO) test -tags lab -count=1 -timeout 60m -v -run TestSick ./test/proof

truth: setup collection $(LAB) ## what drops or diverts what routers forward, and what only looks so: docs/runs/truth.txt (root)
	@set -o pipefail; $(GO) test -tags integration -count=1 -v -run '^TestTruth$$' ./modules/mesh_status | sed -n 's/^ *truth_[a-z_]*.go:[0-9]*: //p; /^\(---\|ok\|FAIL\)/p'
	@. $(BUILD)/env && WGMESH_TRUTH=. $(GO) test -tags lab -count=1 -timeout 30m -v -run '^TestDualStack$$' ./test/proof

image: setup collection ## a bootable router image by Packer and qemu: build/image/router.qcow2 (root)
	@test/image/run
	@test/image/look_test
	@test/image/boot_test

e2e: setup collection ## machines from such an image become a mesh by themselves; IMAGE=path for one that is there (root)
	@test/e2e/run

distros: setup collection $(LAB) ## both plays on booted Debian 12 and 13, Ubuntu 22.04 and 24.04, and on a mixed mesh (root)
	@test/distros/run

alerts: ## the alert rules of docs/at-night.md, by promtool (root)
	@.ci/alerts

birds: ## tests with a real BIRD on each BIRD of Debian's: docs/runs/bird.txt (root)
	@.ci/birds

bird3: PROOFS = TestMesh|TestRoutes
bird3: setup collection $(LAB) ## PROOFS on routers of Debian 13 with BIRD 3: docs/runs/bird.txt (root)
	@. $(BUILD)/env && LAB_UP='--suite trixie --package bird3' $(GO) test -tags lab -count=1 -timeout 60m -v -run '^($(PROOFS))$$' ./test/proof

test: ## set up and run all that CI runs (root)
	@.ci/test

again: ## make test RUNS times beside LOAD busy processes, and a table of what failed (root)
	@RUNS=$(RUNS) LOAD=$(LOAD) .ci/again

measure: ## how much of everything there is: lines, stand-ins, set-ups, repeated code
	@$(GO) run ./test/measure

clean: ## remove build/ (take the labs down first)
	@rm -rf $(BUILD)
