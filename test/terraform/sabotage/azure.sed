# Each of these has to be noticed by azure/tests; what the test then says follows.
# expect: forwarding: IP forwarding of every router's interface is on
s/ip_forwarding_enabled          = true/ip_forwarding_enabled = false/
# expect: HA ports: all protocols and ports, on a Standard load balancer
s/= "All"/= "Tcp"/
# expect: HA ports: floating IP, and only to routers that the probe reaches
s/floating_ip_enabled            = true/floating_ip_enabled = false/
# expect: ports: those of the tunnels of azure-1, and no other
s/tostring(each.value.port)/"51800-52000"/
# expect: priorities: none twice in a group and direction
s/1400 + each/1000 + each/
# expect: probe: the routers let it in
s/tostring(azurerm_lb_probe.router.port)/"22"/
# expect: probe: it asks wgmesh-health.socket, not only whether something listens
s/= "Http"/= "Tcp"/
# expect: routes: to the load balancer's address
s/= "VirtualAppliance"/= "Internet"/
# expect: role: reads and nothing else
s#networkInterfaces/read"#networkInterfaces/write"#
# expect: tags: the inventory's words
s/mesh_zone     = router.zone/mesh_zone = "0"/
# expect: role: a router writes tags of its own network interface, and nothing of another
s/scope  *= azurerm_network_interface.router.each.key..id/scope = azurerm_resource_group.site.id/
