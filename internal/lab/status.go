package lab

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
)

func (l *lab) status() error {
	if !l.isUp() {
		if left := l.leftovers(); len(left) > 0 {
			return fmt.Errorf("lab %s was killed and has left %s; `lab down --name %s` removes it",
				l.name, strings.Join(left, ", "), l.name)
		}
		fmt.Printf("lab %s is not up\n", l.name)
		return nil
	}
	fmt.Printf("%-20s %-7s %-10s %-16s %-16s %s\n", "host", "site", "zone", "address", "endpoint", "power")
	for _, h := range l.Topology.Hosts {
		power, address, endpoint := "off", "-", "-"
		if l.running(h.Name) {
			power = "on"
		}
		if len(h.Addresses) > 0 {
			address = h.Addresses[0].Addr().String()
		}
		if h.Endpoint.IsValid() {
			endpoint = h.Endpoint.String()
		}
		fmt.Printf("%-20s %-7s %-10s %-16s %-16s %s\n", h.Name, h.Site, h.Zone, address, endpoint, power)
	}
	for _, c := range l.Cuts {
		fmt.Printf("cut: %s from %s\n", c.A, c.B)
	}
	return nil
}

// exec becomes ssh to a host, so that input, output and exit status are its own.
func (l *lab) exec(args []string) error {
	if len(args) < 1 {
		return errors.New("exec: want a host and a command")
	}
	if _, err := l.find(args[0]); err != nil {
		return err
	}
	ssh, err := exec.LookPath("ssh")
	if err != nil {
		return err
	}
	// As root, whoever comes over ssh otherwise: this is the lab's own way in.
	argv := slices.Concat([]string{"ssh", "-F", l.files().Config, "-l", "root", args[0], "--"}, args[1:])
	return syscall.Exec(ssh, argv, syscall.Environ())
}
