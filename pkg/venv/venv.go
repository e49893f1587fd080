// Package venv looks at a virtual environment of Python.
package venv

import (
	"os"
	"path/filepath"
	"strings"
)

// Dead reports whether the Python of the environment with this folder of programs is gone, or
// is another version than its packages were installed for. An upgrade of the distribution
// brings that about, and nothing in the folder changes. It starts nothing.
func Dead(bin string) bool {
	environment := filepath.Dir(bin)
	if _, err := os.Stat(filepath.Join(environment, "pyvenv.cfg")); err != nil {
		return false // it is none
	}
	python, err := filepath.EvalSymlinks(filepath.Join(bin, "python3"))
	if err != nil {
		return true
	}
	version := filepath.Base(python)
	if !strings.HasPrefix(version, "python3.") {
		return false // its name does not say which it is
	}
	_, err = os.Stat(filepath.Join(environment, "lib", version))
	return err != nil
}
