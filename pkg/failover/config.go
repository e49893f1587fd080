package failover

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/wgmesh/router/pkg/birdc"
	"github.com/wgmesh/router/pkg/cloud"
	"github.com/wgmesh/router/pkg/plan"
)

// A Config is what the file says: what mesh_plan computes, and how to go about it.
type Config struct {
	plan.Failover
	// Mesh is the mark that a table has to carry.
	Mesh string `json:"mesh"`
	// BackAfter is how long a router has to be well before it takes its own
	// tables back, in seconds.
	BackAfter int `json:"back_after"`
	// StartAfter is how long a partner may take to come up after we did, in seconds.
	StartAfter int `json:"start_after"`
	// Socket is BIRD's control socket.
	Socket string `json:"socket"`
	// APIEndpoint and MetadataEndpoint are used in place of the cloud's own.
	APIEndpoint      string `json:"api_endpoint"`
	MetadataEndpoint string `json:"metadata_endpoint"`
}

func (c Config) after() time.Duration      { return time.Duration(c.After) * time.Millisecond }
func (c Config) backAfter() time.Duration  { return time.Duration(c.BackAfter) * time.Second }
func (c Config) startAfter() time.Duration { return time.Duration(c.StartAfter) * time.Second }

// Load reads a file. An error is one line for each thing that is wrong.
func Load(path string) (Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return Config{}, err
	}
	defer f.Close()
	c, err := Parse(f)
	if err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// mostConfig bounds the file: a mesh of 363 routers needs a tenth of that.
const mostConfig = 1 << 20

// Parse reads a configuration, strictly: a word that it does not know is an
// error, and so is what cannot work.
func Parse(r io.Reader) (Config, error) {
	c := Config{BackAfter: 30, StartAfter: 10, Socket: birdc.Socket}
	text, err := io.ReadAll(io.LimitReader(r, mostConfig))
	if err != nil {
		return c, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return c, fmt.Errorf("expected the configuration as the role routes writes it: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return c, errors.New("something follows the configuration: expected one JSON object")
	}
	return c, c.validate()
}

func (c Config) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Router == "" {
		bad("router: it is empty: name this router")
	}
	if c.Cloud != cloud.AWS {
		bad("cloud: %q: expected %s; on Azure the load balancer's probe moves the traffic", c.Cloud, cloud.AWS)
	}
	if c.Mesh == "" {
		bad("mesh: it is empty: expected the mark of the route tables")
	}
	if len(c.Prefixes) == 0 {
		bad("prefixes: there is none: expected the networks of the other sites")
	}
	for _, p := range c.Prefixes {
		if !p.IsValid() || p != p.Masked() {
			bad("prefixes: %s: expected a network without bits beyond its length", p)
		}
	}
	if len(c.Peers) == 0 {
		bad("peers: there is none: expected the routers of other sites, by which this one knows that it is well")
	}
	for _, number := range []struct {
		name             string
		value, min, most int
	}{{"after", c.After, 0, 60_000}, {"back_after", c.BackAfter, 1, 86_400}, {"start_after", c.StartAfter, 1, 3600}} {
		if number.value < number.min || number.value > number.most {
			bad("%s: %d: expected %d to %d", number.name, number.value, number.min, number.most)
		}
	}
	return errors.Join(append(errs, c.validateOthers()...)...)
}

// validateOthers checks the other routers, and whose each table is.
func (c Config) validateOthers() (errs []error) {
	names, owner := []string{c.Router}, map[string]string{}
	own := func(who string, tables []string) {
		for _, t := range tables {
			switch other, taken := owner[t]; {
			case t == "":
				errs = append(errs, fmt.Errorf("%s: tables: one is empty", who))
			case taken:
				errs = append(errs, fmt.Errorf("tables: %s is given to %s and to %s: "+
					"a table has one router that cares for it", t, other, who))
			}
			owner[t] = who
		}
	}
	own(c.Router, c.Tables)
	sessions := map[plan.BFDSession]string{}
	all := slices.Clone(c.Peers)
	for _, p := range c.Partners {
		all = append(all, p.FailoverPeer)
		own(p.Name, p.Tables)
	}
	for _, p := range all {
		if p.Name == "" || slices.Contains(names, p.Name) {
			errs = append(errs, fmt.Errorf("routers: the name %q is empty or given twice", p.Name))
		}
		if p.Interface == "" || !p.Address.IsValid() {
			errs = append(errs, fmt.Errorf("%s: expected the interface and the address of its BFD session", p.Name))
		} else if other := sessions[p.BFDSession]; other != "" {
			errs = append(errs,
				fmt.Errorf("%s: its session %s on %s is that of %s", p.Name, p.Address, p.Interface, other))
		}
		names, sessions[p.BFDSession] = append(names, p.Name), p.Name
	}
	for _, p := range c.Partners {
		for _, b := range p.Before {
			if b == p.Name || !slices.ContainsFunc(c.Partners, func(o plan.FailoverPartner) bool {
				return o.Name == b
			}) {
				errs = append(errs, fmt.Errorf("%s: before: %s is none of the other partners", p.Name, b))
			}
		}
	}
	return errs
}
