# What a site's cloud has to know of the mesh, from Ansible's inventory. Pure: no
# provider, no resource.
terraform {
  required_version = ">= 1.9"
}

locals {
  group = yamldecode(file(var.inventory)).all.children.routers

  # An absent router keeps its id, and has no tunnels.
  routers = { for name, router in local.group.hosts : name => router if try(router.mesh_state, "present") != "absent" }
  own     = { for name, router in local.routers : name => router if router.mesh_site == var.site }
  site    = local.group.vars.mesh_sites[var.site]

  # A zone is a list of subnets, or a dictionary with networks and gateway.
  all_zones = {
    for site, options in local.group.vars.mesh_sites : site => {
      for name, zone in try(options.zones, {}) : name => flatten([try(zone.networks, zone)])
    }
  }
  zones = local.all_zones[var.site]

  # These examples make IPv4 networks only.
  networks = [for network in flatten([local.site.networks]) : network if !strcontains(network, ":")]
  others = merge([
    for name, site in local.group.vars.mesh_sites : {
      for network in flatten([site.networks]) : network => name if !strcontains(network, ":")
    } if name != var.site
  ]...)

  # A zone's routers have a subnet of their own: the /28 whose first address is their
  # gateway, the zone's or else the site's.
  router_subnets = {
    for site, zones in local.all_zones : site => {
      for zone in keys(zones) : zone => try(cidrsubnet("${[
        for gateway in flatten([
          try(local.group.vars.mesh_sites[site].zones[zone].gateway, []), try(local.group.vars.mesh_sites[site].gateway, [])
        ]) : split("%", gateway)[0] if !strcontains(gateway, ":")
      ][0]}/28", 0, 0), null)
    }
  }

  # The router that a zone's nodes send to: the zone's own, else the site's first.
  zone_routers = {
    for zone in keys(local.zones) : zone => concat(
      sort([for name, router in local.own : name if router.mesh_zone == zone]),
      sort(keys(local.own)),
    )[0]
  }

  # Between ids i < j runs tunnel (j-1)(j-2)/2 + i, one UDP port at both ends.
  port_base = try(local.group.vars.mesh_port_base, 51800)
  tunnels = merge([
    for name, router in local.own : {
      for peer, other in local.routers : "${name}/${peer}" => {
        router   = name
        peer     = peer
        peer_id  = other.mesh_id
        own_site = other.mesh_site == var.site
        endpoint = try(other.mesh_endpoint, null)
        port = local.port_base + min(router.mesh_id, other.mesh_id) + (
          (max(router.mesh_id, other.mesh_id) - 1) * (max(router.mesh_id, other.mesh_id) - 2) / 2
        )
      } if peer != name
    }
  ]...)
}
