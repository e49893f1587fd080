package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/wgmesh/router/pkg/cloud"
	"github.com/wgmesh/router/pkg/cloud/aws"
	"github.com/wgmesh/router/pkg/cloud/azure"
	"github.com/wgmesh/router/pkg/cloud/gcp"
	"github.com/wgmesh/router/pkg/cloud/hostkey"
	"github.com/wgmesh/router/pkg/join"
	"github.com/wgmesh/router/pkg/plan"
)

const publishHelp = `wgmesh-cloud publish-host-key puts the public half of this machine's SSH host key where
its cloud lets nobody but this machine write, for inventories to read as mesh_host_key.
systemd runs it as wgmesh-host-key.service, before each wgmesh join.

  wgmesh-cloud publish-host-key [--config FILE] [--cloud NAME] [--replace]

  --config FILE  how this router joins: router and identity_file (default /etc/wgmesh/join.yml)
  --cloud NAME   aws, azure or gcp (default: what the firmware says)
  --replace      also in place of a key that this machine did not publish

Exit status: 0 done, or there is no cloud; 75 try again; 78 something has to be changed first.
`

// A publisher is what a test has another one of.
type publisher struct {
	dmi fs.FS
	cloud.Way
	limit time.Duration
}

// publishLimit has room for a metadata service that is updated just then, and 50 s for the rest.
const publishLimit = azure.MetadataUpdate + 50*time.Second

func publishCommand(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return publisher{
		dmi: os.DirFS("/sys/class/dmi/id"), Way: cloud.Way{Pace: cloud.DefaultPace()}, limit: publishLimit,
	}.command(ctx, args, stdout, stderr)
}

func (p publisher) command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("wgmesh-cloud publish-host-key", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	config := flags.String("config", plan.JoinFile, "")
	name := flags.String("cloud", "", "")
	replace := flags.Bool("replace", false, "")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, _ = io.WriteString(stdout, publishHelp)
		return 0
	case err == nil && flags.NArg() > 0:
		err = fmt.Errorf("%q is one argument too many", flags.Arg(0))
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "wgmesh-cloud publish-host-key: %v\n\n%s", err, publishHelp)
		return usage
	}
	ctx, cancel := context.WithTimeout(ctx, p.limit)
	defer cancel()
	said, status, err := p.publish(ctx, *config, *name, *replace)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "wgmesh-cloud publish-host-key: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
		return status
	}
	_, _ = fmt.Fprintf(stdout, "wgmesh-cloud publish-host-key: %s\n", said)
	return 0
}

func (p publisher) publish(ctx context.Context, path, name string, replace bool) (said string, status int, err error) {
	config, err := join.Load(path)
	switch {
	case err != nil:
		return "", badConfig, err
	case config.Mode != "router":
		return "mode: " + config.Mode + ": nobody asks for this router's host key", 0, nil
	}
	if config.Router == "" {
		host, _ := os.Hostname()
		config.Router, _, _ = strings.Cut(host, ".")
	}
	if name == "" {
		name, err = cloud.Detect(p.dmi)
		if errors.As(err, new(*fs.PathError)) {
			return "", tryAgain, err
		}
		if err != nil {
			return fmt.Sprintf("%s: no cloud of ours runs this machine: bring %s.pub to the inventory as mesh_host_key",
				config.Router, config.IdentityFile), 0, nil
		}
	}
	key, err := hostkey.Load(config.IdentityFile)
	switch {
	case errors.Is(err, hostkey.ErrNoKey):
		return "", tryAgain, err
	case err != nil:
		return "", badConfig, fmt.Errorf("identity_file: %w", err)
	}
	place, err := p.place(ctx, name)
	if err != nil {
		return "", tryAgain, err
	}
	if place == nil {
		return "", usage, fmt.Errorf("--cloud: %q is none of aws, azure, gcp", name)
	}
	said, err = hostkey.Publish(ctx, place, key, config.Router, replace)
	if errors.As(err, new(hostkey.Refused)) {
		return "", badConfig, err
	}
	return said, tryAgain, err
}

// place connects to where the cloud has room for the key; nil for an unknown cloud.
func (p publisher) place(ctx context.Context, name string) (hostkey.Place, error) {
	switch name {
	case cloud.AWS:
		return aws.ConnectHostKey(ctx, p.Way)
	case cloud.Azure:
		return azure.ConnectHostKey(ctx, p.Way)
	case cloud.GCP:
		return gcp.ConnectHostKey(ctx, p.Way)
	}
	return nil, nil
}
