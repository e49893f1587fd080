output "inventory" {
  description = "The site's routers for Ansible, to be given after the mesh's own: -i ../inventory.yml -i aws.yml."
  value = yamlencode({ all = { children = { routers = { hosts = {
    for name, router in module.mesh.routers : name => merge(
      { for key, value in aws_instance.router[name].tags : key => value if startswith(key, "mesh_") },
      {
        mesh_id           = router.id
        mesh_route_tables = [for zone, owner in module.mesh.zone_routers : aws_route_table.zone[zone].id if owner == name]
        routes_mesh       = var.mesh
        ansible_host      = aws_eip.router[name].public_ip
        ansible_user      = "admin"
      },
    )
  } } } } })
}

output "endpoints" {
  description = "mesh_endpoint by router."
  value       = { for name, address in aws_eip.router : name => address.public_ip }
}

output "node_subnets" {
  description = "Subnets for the site's nodes, by network."
  value       = { for network, subnet in aws_subnet.nodes : network => subnet.id }
}

output "node_security_group" {
  description = "Lets in what comes from the other sites; attach it to the nodes."
  value       = aws_security_group.nodes.id
}
