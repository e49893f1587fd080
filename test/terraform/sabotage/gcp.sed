# Each of these has to be noticed by gcp/tests; what the test then says follows.
# expect: forwarding: every router may forward
s/can_ip_forward = true/can_ip_forward = false/
# expect: ports: UDP, to that router
s/protocol = "udp"/protocol = "tcp"/
# expect: ports: those of the tunnels of gcp-1, and no other
s/tostring(each.value.port)/"51800"/
# expect: nodes: the other sites' networks come in
s/source_ranges = keys(module.mesh.others)/source_ranges = ["0.0.0.0\/0"]/
# expect: routes: the zone's nodes to the router, and no route for the router itself
s/= \[each.value.tag\]/= ["${local.name}-router"]/
# expect: role: reads and nothing else
s/compute.instances.list/compute.instances.update/
# expect: labels: the inventory's words
s/mesh_id  *= tostring(each.value.id)/mesh_id = "0"/
# expect: metadata: a router may publish its host key, and no private one is there for all to read
s/enable-guest-attributes = "TRUE"/enable-guest-attributes = "FALSE"/
