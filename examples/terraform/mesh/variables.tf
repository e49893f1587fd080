variable "inventory" {
  description = "Path of the mesh's Ansible inventory: one YAML file with the group routers, its mesh_sites and its hosts."
  type        = string

  validation {
    condition = can(keys(yamldecode(file(var.inventory)).all.children.routers.vars.mesh_sites)) && (
      can(keys(yamldecode(file(var.inventory)).all.children.routers.hosts))
    )
    error_message = "inventory ${var.inventory}: expected a YAML file with all.children.routers.vars.mesh_sites and all.children.routers.hosts, as ../inventory.yml; Terraform reads no other form of Ansible's inventories."
  }

  validation {
    condition = alltrue([
      for name, router in try(yamldecode(file(var.inventory)).all.children.routers.hosts, {}) :
      can(tonumber(router.mesh_id)) && can(router.mesh_site)
    ])
    error_message = "inventory ${var.inventory}: every router needs mesh_id and mesh_site; one of them has not."
  }
}

variable "site" {
  description = "The site that is made here, a key of mesh_sites."
  type        = string

  validation {
    condition     = contains(keys(local.group.vars.mesh_sites), var.site)
    error_message = "site ${var.site}: ${var.inventory} has no such site; it has ${join(", ", keys(local.group.vars.mesh_sites))}."
  }

  validation {
    condition     = length([for router in local.routers : router if router.mesh_site == var.site]) > 0
    error_message = "site ${var.site}: ${var.inventory} has no router with this mesh_site; nothing would be made."
  }

  validation {
    condition = alltrue([
      for router in local.routers : contains(keys(try(local.all_zones[var.site], {})), try(router.mesh_zone, "")) if router.mesh_site == var.site
    ])
    error_message = "site ${var.site}: every router of it needs a mesh_zone that is one of the site's zones, which are ${join(", ", keys(try(local.all_zones[var.site], {})))}."
  }

  validation {
    condition = alltrue([
      for router in local.routers : can(cidrhost(local.router_subnets[var.site][router.mesh_zone], 0)) if router.mesh_site == var.site
    ])
    error_message = "site ${var.site}: the routers have a subnet of their own here, the /28 of their gateway: give the site, or each zone with a router, a gateway in the inventory, such as 10.1.0.1."
  }

  validation {
    condition = alltrue([
      for subnet in values(try(local.router_subnets[var.site], {})) : subnet == null ? true : (
        anytrue([
          for network in flatten([local.group.vars.mesh_sites[var.site].networks]) :
          try(cidrsubnet("${cidrhost(subnet, 0)}/${split("/", network)[1]}", 0, 0) == network, false)
        ]) &&
        !anytrue([
          for network in flatten(values(local.all_zones[var.site])) :
          try(cidrsubnet("${cidrhost(subnet, 0)}/${split("/", network)[1]}", 0, 0) == network, false)
        ])
      )
    ])
    error_message = "site ${var.site}: the gateways' /28 (${join(", ", [for subnet in values(try(local.router_subnets[var.site], {})) : subnet if subnet != null])}) have to be in the site's networks and outside of its zones', which are the nodes'."
  }
}

variable "join_sources" {
  description = "Files for /etc/wgmesh from which a router that joins by itself finds the others. None: the mesh play peers them."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for path in var.join_sources : fileexists(path)])
    error_message = "join_sources: not there: ${join(", ", [for path in var.join_sources : path if !fileexists(path)])}."
  }

  # User-data is read by more than the router: on GCP by whoever may list instances.
  validation {
    condition     = alltrue([for path in var.join_sources : !strcontains(try(file(path), ""), "PRIVATE KEY")])
    error_message = "join_sources: a private key is in ${join(", ", [for path in var.join_sources : path if strcontains(try(file(path), ""), "PRIVATE KEY")])}: they go into user-data, which others can read. A router makes its own keys."
  }
}

variable "ssh_sources" {
  description = "IPv4 networks from which Ansible's controller reaches the routers over SSH."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for source in var.ssh_sources : try(cidrnetmask(source) != "" && tonumber(split("/", source)[1]) >= 8, false)])
    error_message = "ssh_sources: ${join(", ", var.ssh_sources)}: expected IPv4 networks of /8 or smaller, such as 192.0.2.0/24. A wider one, or a few of them, is everybody."
  }
}
