module "mesh" {
  source       = "../mesh"
  inventory    = var.inventory
  site         = var.site
  join_sources = var.join_sources
  ssh_sources  = var.ssh_sources
}

locals {
  name          = "${var.mesh}-${var.site}"
  router_subnet = values(module.mesh.router_subnets)[0]
  node_subnets = merge([
    for zone, networks in module.mesh.zones : { for network in networks : network => zone if !strcontains(network, ":") }
  ]...)
  # A node belongs to a zone by its network tag. It sends to the router of its zone, and
  # to another one when that machine does not run: GCP leaves such a route out.
  node_tags = { for zone in keys(module.mesh.zones) : zone => "${local.name}-${zone}" }
  routes = merge(flatten([
    for zone in keys(module.mesh.zones) : [
      for router in keys(module.mesh.routers) : {
        for network, site in module.mesh.others : "${zone} ${router} ${network}" => {
          name     = "${local.name}-${zone}-${router}-${replace(replace(network, ".", "-"), "/", "-")}"
          tag      = local.node_tags[zone]
          router   = router
          network  = network
          site     = site
          priority = module.mesh.zone_routers[zone] == router ? 500 : 600
        }
      }
    ]
  ])...)
}

resource "google_compute_network" "site" {
  name                    = local.name
  auto_create_subnetworks = false
  mtu                     = 1460 # what mesh_plan_info takes for cloud: gcp
}

resource "google_compute_subnetwork" "routers" {
  name          = "${local.name}-routers"
  network       = google_compute_network.site.id
  region        = var.region
  ip_cidr_range = local.router_subnet

  lifecycle {
    precondition {
      condition     = length(distinct(values(module.mesh.router_subnets))) == 1
      error_message = "site ${var.site}: the routers share a subnet on GCP: give the site one gateway in ${var.inventory}, and its zones none."
    }
  }
}

resource "google_compute_subnetwork" "nodes" {
  for_each      = local.node_subnets
  name          = "${local.name}-${each.value}-${replace(replace(each.key, ".", "-"), "/", "-")}"
  network       = google_compute_network.site.id
  region        = var.region
  ip_cidr_range = each.key
}

# Only nodes have these routes: a packet that a router cannot send is lost, instead of
# coming back to it.
resource "google_compute_route" "site" {
  for_each          = local.routes
  name              = each.value.name
  description       = "To ${each.value.site} by ${each.value.router}"
  network           = google_compute_network.site.id
  dest_range        = each.value.network
  next_hop_instance = google_compute_instance.router[each.value.router].self_link
  priority          = each.value.priority
  tags              = [each.value.tag]
}
