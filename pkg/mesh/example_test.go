package mesh_test

import (
	"fmt"

	"github.com/wgmesh/router/pkg/mesh"
)

// Plan computes one router's part of the mesh. The two ends of a tunnel agree, because
// both come from the same description.
func ExampleMesh_Plan() {
	m := mesh.Mesh{
		Sites: map[string]mesh.Site{
			"office": {AS: 65010, Networks: mesh.List{"10.0.0.0/16"}},
			"azure":  {AS: 65020, Networks: mesh.List{"10.1.0.0/16"}},
		},
		Routers: map[string]mesh.Router{
			"office-1": {ID: 1, Site: "office", Endpoint: "192.0.2.11"},
			"azure-1":  {ID: 3, Site: "azure", Endpoint: "203.0.113.11"},
		},
	}
	m.SetDefaults()
	for _, name := range []string{"office-1", "azure-1"} {
		p, err := m.Plan(name)
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, t := range p.Tunnels {
			fmt.Println(name, t.Name, t.ListenPort, t.Peers[0].Endpoint)
		}
	}
	// Output:
	// office-1 wg2 51802 203.0.113.11:51802
	// azure-1 wg2 51802 192.0.2.11:51802
}
