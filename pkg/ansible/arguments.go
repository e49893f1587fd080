package ansible

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

const ownKey = "_ansible_"

// control holds those of Ansible's own arguments that matter here.
type control struct {
	Check bool `json:"_ansible_check_mode"`
	Diff  bool `json:"_ansible_diff"`
	Keep  bool `json:"_ansible_keep_remote_files"`
}

// parseControl reads Ansible's own arguments and ignores all others.
func parseControl(raw []byte) (control, error) {
	var own map[string]json.RawMessage
	if err := json.Unmarshal(raw, &own); err != nil {
		return control{}, fmt.Errorf("arguments: expected one JSON object: %w", err)
	}
	for k, v := range own {
		if !strings.HasPrefix(k, ownKey) || string(v) == "null" {
			delete(own, k)
		}
	}
	var ctl control
	tree, err := json.Marshal(own)
	if err != nil {
		return ctl, err
	}
	d := decoder{ignoreUnknown: true}
	d.document(tree, &ctl)
	return ctl, errors.Join(d.problems...)
}

// readArguments returns the JSON of the file that argv names, or of in when
// argv is empty. A file that Ansible made is unlinked at once: Ansible leaves
// it on the host when the controller dies. One that a person wrote stays.
func readArguments(argv []string, in io.Reader) ([]byte, error) {
	switch len(argv) {
	case 0:
		return io.ReadAll(in)
	case 1:
	default:
		return nil, fmt.Errorf("expected one argument, the file of arguments, got %d", len(argv))
	}
	raw, err := os.ReadFile(argv[0])
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(raw, []byte(`"`+ownKey)) {
		return raw, nil
	}
	if ctl, err := parseControl(raw); err == nil && ctl.Keep {
		return raw, nil
	}
	return raw, os.Remove(argv[0])
}
