package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/wgmesh/router/internal/lab/topology"
)

// aptBake is what makes a router image without the product's own role.
const aptBake = "export DEBIAN_FRONTEND=noninteractive; " +
	"printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d; " +
	"apt-get install -y -q --no-install-recommends bird2 wireguard-tools wireguard-go nftables; rc=$?; " +
	"rm /usr/sbin/policy-rc.d; exit $rc"

// unique is what must not be the same on two machines of one image.
var unique = []string{
	"etc/machine-id", "etc/hostname", "etc/hosts", "root/.ssh", "root/.ansible/tmp", "tmp", "var/tmp",
	"var/log", "var/lib/dbus/machine-id", "var/lib/systemd/random-seed", "run", "var/lib/docker", "var/lib/containerd",
}

// bakeName starts the names of the labs in which images are made.
const bakeName = "bake-"

// sweepBakes removes what is left of image makers for this cache that were killed,
// unless one is at work now.
func (l *lab) sweepBakes() error {
	unlock, err := l.lockCache(syscall.LOCK_EX | syscall.LOCK_NB)
	if err != nil {
		return nil // no cache, or an image is being made
	}
	defer unlock()
	states, _ := filepath.Glob(filepath.Join(stateRoot, bakeName+"*", "state.json"))
	for _, path := range states {
		b, err := open(options{name: filepath.Base(filepath.Dir(path)), cache: l.cache})
		if err == nil && filepath.Dir(b.Dir) == filepath.Clean(l.cache) { // another cache has another lock
			err = b.sweep(true)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// A batch is one router image to be made: over which layers, and where it goes.
type batch struct {
	image image
	below []string
	path  string
}

// bake boots a host per image in a lab of their own, makes them routers over ssh as
// Packer would, and keeps what that wrote as their layers.
func (l *lab) bake(ctx context.Context, all []batch) (err error) {
	work := all[0].path + ".new"
	b := &lab{
		options: options{name: bakeName + strings.TrimPrefix(filepath.Base(all[0].path), "router-"), cache: l.cache},
		begun:   l.begun,
	}
	b.Dir = work
	if err := b.sweep(true); err != nil { // of a bake that was killed
		return err
	}
	if err := os.RemoveAll(work); err != nil {
		return err
	}
	b.Dir = work
	b.Layers = layers{Routers: map[string][]string{}, Node: l.baseOf(all[0])}
	b.Topology = topology.Topology{Lab: b.name}
	inv := topology.Inventory{Vars: map[string]map[string]any{}}
	for i, a := range all {
		name := fmt.Sprintf("image-%d", i+1)
		b.Layers.Routers[a.image.String()] = a.below
		b.Topology.Hosts = append(b.Topology.Hosts, topology.Host{
			Name: name, Kind: topology.Router, Number: i + 1, Port: name, Image: a.image.String(),
		})
		inv.Hosts = append(inv.Hosts, name)
		inv.Vars[name] = map[string]any{}
	}
	if err := b.save(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.sweep(false)) }()
	if err := b.papers(ctx, inv); err != nil {
		return err
	}
	if err := b.network(ctx); err != nil {
		return err
	}
	if err := b.bootAll(ctx, inv.Hosts); err != nil {
		return err
	}
	if err := l.furnishImages(ctx, b, inv.Hosts); err != nil {
		return err
	}
	if err := b.sweep(false); err != nil {
		return err
	}
	for i, a := range all {
		if err := keep(filepath.Join(b.hostDir(inv.Hosts[i]), "upper"), a.path); err != nil {
			return err
		}
	}
	return os.RemoveAll(work)
}

func (l *lab) baseOf(b batch) []string { return b.below[len(b.below)-1:] }

// furnishImages runs the image playbook, or apt-get, on the hosts of the lab b.
func (l *lab) furnishImages(ctx context.Context, b *lab, hosts []string) error {
	out, err := "", error(nil)
	if l.playbook == "none" {
		for _, h := range hosts {
			var said string
			said, err = command(ctx, 20*time.Minute, "", "ssh", "-F", b.files().Config, h, aptBake)
			out += said
			if err != nil {
				break
			}
		}
	} else {
		out, err = command(ctx, 20*time.Minute, "", "ansible-playbook", "-i",
			filepath.Join(b.Dir, "inventory.yml"), "-e", "router_hosts=all", l.playbook)
	}
	if err == nil {
		return nil
	}
	log := filepath.Join(b.Dir, "bake.log")
	return errors.Join(fmt.Errorf("%w (all it said: %s)", err, log), os.WriteFile(log, []byte(out), 0o600))
}

// keep makes an image's layer of what its host has written.
func keep(upper, path string) error {
	for _, name := range unique {
		if err := os.RemoveAll(filepath.Join(upper, name)); err != nil {
			return err
		}
	}
	secrets, _ := filepath.Glob(filepath.Join(upper, "etc/wireguard/*"))
	if len(secrets) > 0 {
		return fmt.Errorf("the image would carry %v; keys are made on each router, never in an image", secrets)
	}
	return os.Rename(upper, path)
}
