output "routers" {
  description = "The site's routers by name: id, zone, host_key (null when the inventory gives none, and the router publishes its own)."
  value = {
    for name, router in local.own : name => {
      id       = router.mesh_id
      zone     = router.mesh_zone
      host_key = try(router.mesh_host_key, null)
      endpoint = try(router.mesh_endpoint, null)
    }
  }
}

output "tunnels" {
  description = "The tunnels of the site's routers, by ROUTER/PEER: router, peer, peer_id, own_site, endpoint (null when the inventory has none), port."
  value       = local.tunnels
}

output "zones" {
  description = "The site's zones: subnets by zone."
  value       = local.zones
}

output "router_subnets" {
  description = "The subnet of the routers of each zone (null without a gateway)."
  value       = local.router_subnets[var.site]
}

output "zone_routers" {
  description = "The router that each zone's nodes send to."
  value       = local.zone_routers
}

output "networks" {
  description = "The site's IPv4 networks."
  value       = local.networks
}

output "others" {
  description = "IPv4 networks of the other sites, with the site's name."
  value       = local.others
}

output "joins" {
  description = "Whether routers join by themselves, so that they need TCP 22 of each other."
  value       = length(var.join_sources) > 0
}

output "user_data" {
  description = "cloud-config of each router."
  value       = local.user_data
  sensitive   = true
}

output "ssh_sources" {
  description = "The networks of Ansible's controller. None of them is everybody."
  value       = var.ssh_sources
}
