package atomicfile_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/wgmesh/router/pkg/atomicfile"
)

// Write replaces a file as a whole. A reader, or a power cut, finds the old content or
// the new one, and never a part.
func ExampleWrite() {
	folder, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "bird.conf")
	for _, text := range []string{"router id 0.0.0.1;\n", "router id 0.0.0.2;\n"} {
		if err := atomicfile.Write(path, []byte(text), 0o640); err != nil {
			fmt.Println(err)
			return
		}
	}
	text, err := os.ReadFile(path)
	fmt.Print(string(text), err)
	// Output:
	// router id 0.0.0.2;
	// <nil>
}

// Create refuses a path where a file is already.
func ExampleCreate() {
	folder, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "wgmesh.key")
	fmt.Println(atomicfile.Create(path, []byte("first"), 0o600))
	fmt.Println(errors.Is(atomicfile.Create(path, []byte("second"), 0o600), os.ErrExist))
	// Output:
	// <nil>
	// true
}
