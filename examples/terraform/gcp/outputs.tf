output "inventory" {
  description = "The site's routers for Ansible, to be given after the mesh's own: -i ../inventory.yml -i gcp.yml."
  value = yamlencode({ all = { children = { routers = { hosts = {
    for name, router in module.mesh.routers : name => merge(
      {
        mesh_id       = router.id
        mesh_site     = var.site
        mesh_zone     = router.zone
        mesh_endpoint = google_compute_address.router[name].address
        ansible_host  = google_compute_address.router[name].address
        ansible_user  = var.admin
      },
      router.host_key == null ? {} : { mesh_host_key = router.host_key },
    )
  } } } } })
}

output "endpoints" {
  description = "mesh_endpoint by router."
  value       = { for name, address in google_compute_address.router : name => address.address }
}

output "node_subnets" {
  description = "Subnets for the site's nodes, by network."
  value       = { for network, subnet in google_compute_subnetwork.nodes : network => subnet.id }
}

output "node_tags" {
  description = "The network tag of each zone's nodes. It brings them the routes and lets other sites in."
  value       = local.node_tags
}
