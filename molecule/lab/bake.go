package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/wgmesh/router/molecule/lab/topology"
)

// aptBake is what makes a router image without the product's own role.
const aptBake = "export DEBIAN_FRONTEND=noninteractive; printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d; " +
	"apt-get install -y -q --no-install-recommends bird2 wireguard-tools wireguard-go nftables; rc=$?; rm /usr/sbin/policy-rc.d; exit $rc"

// unique is what must not be the same on two machines of one image.
var unique = []string{
	"etc/machine-id", "etc/hostname", "etc/hosts", "root/.ssh", "root/.ansible/tmp", "tmp", "var/tmp",
	"var/log", "var/lib/dbus/machine-id", "var/lib/systemd/random-seed", "run",
}

// bakeName starts the names of the labs in which images are made.
const bakeName = "bake-"

// sweepBakes removes what is left of image makers that were killed, unless one is
// at work now.
func (l *lab) sweepBakes() error {
	unlock, err := l.lockCache(syscall.LOCK_EX | syscall.LOCK_NB)
	if err != nil {
		return nil // no cache, or an image is being made
	}
	defer unlock()
	states, _ := filepath.Glob(filepath.Join(stateRoot, bakeName+"*", "state.json"))
	for _, path := range states {
		b, err := open(options{name: filepath.Base(filepath.Dir(path)), cache: l.cache})
		if err == nil {
			err = b.sweep(true)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bake boots one host from the base in a lab of its own, makes it a router over
// ssh as Packer would, and keeps what that wrote as a layer at path.
func (l *lab) bake(ctx context.Context, key, base, path string) (err error) {
	b := &lab{options: options{name: bakeName + key, cache: l.cache}, begun: l.begun}
	b.Dir = path + ".new"
	b.Layers = layers{Router: []string{base}, Node: []string{base}}
	if err := b.sweep(true); err != nil { // of a bake that was killed
		return err
	}
	if err := os.RemoveAll(path + ".new"); err != nil {
		return err
	}
	b.Dir = path + ".new"
	b.Layers = layers{Router: []string{base}, Node: []string{base}}
	b.Topology = topology.Topology{Lab: b.name, Hosts: []topology.Host{{Name: "image", Kind: topology.Router, Number: 1, Port: "image"}}}
	if err := b.save(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.sweep(false)) }()
	inv := topology.Inventory{Hosts: []string{"image"}, Vars: map[string]map[string]any{"image": {}}}
	if err := b.papers(ctx, inv); err != nil {
		return err
	}
	if err := b.network(ctx); err != nil {
		return err
	}
	if err := b.bootAll(ctx, []string{"image"}); err != nil {
		return err
	}
	out, log := "", filepath.Join(path+".new", "bake.log")
	if l.playbook == "none" {
		out, err = command(ctx, 5*time.Minute, "", "ssh", "-F", b.files().Config, "image", aptBake)
	} else {
		out, err = command(ctx, 5*time.Minute, "", "ansible-playbook", "-i", filepath.Join(b.Dir, "inventory.yml"), l.playbook)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%w (all it said: %s)", err, log), os.WriteFile(log, []byte(out), 0o600))
	}
	upper := filepath.Join(b.hostDir("image"), "upper")
	if err := b.sweep(false); err != nil {
		return err
	}
	for _, name := range unique {
		if err := os.RemoveAll(filepath.Join(upper, name)); err != nil {
			return err
		}
	}
	secrets, _ := filepath.Glob(filepath.Join(upper, "etc/wireguard/*"))
	if len(secrets) > 0 {
		return fmt.Errorf("the image would carry %v; keys are made on each router, never in an image", secrets)
	}
	if err := os.Rename(upper, path); err != nil {
		return err
	}
	return os.RemoveAll(path + ".new")
}
