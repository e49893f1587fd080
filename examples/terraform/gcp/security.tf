locals {
  # Where a peer's packets come from: of this site, the address made here; of another,
  # what the inventory says. Null: from anywhere, and WireGuard tells who it is.
  peers = {
    for key, tunnel in module.mesh.tunnels : key => merge(tunnel, {
      source = tunnel.own_site ? google_compute_address.router[tunnel.peer].address : tunnel.endpoint
      known  = tunnel.own_site || tunnel.endpoint != null
    })
  }
  known_sources = toset([for tunnel in local.peers : "${tunnel.source}/32" if tunnel.known])
}

# A tunnel has a port of its own at each router. GCP lets out what no rule forbids.
resource "google_compute_firewall" "tunnel" {
  for_each      = local.peers
  name          = "${local.name}-${each.value.router}-from-${each.value.peer}"
  network       = google_compute_network.site.id
  direction     = "INGRESS"
  source_ranges = [!each.value.known ? "0.0.0.0/0" : "${each.value.source}/32"]
  target_tags   = ["${local.name}-${each.value.router}"]

  allow {
    protocol = "udp"
    ports    = [tostring(each.value.port)]
  }
}

# From the other routers: pings outside of the tunnels, which mesh_status_info and
# mesh_measure_info send, and SSH where they join by themselves.
resource "google_compute_firewall" "peers" {
  name          = "${local.name}-peers"
  network       = google_compute_network.site.id
  direction     = "INGRESS"
  source_ranges = local.known_sources
  target_tags   = ["${local.name}-router"]

  allow {
    protocol = "icmp"
  }
  dynamic "allow" {
    for_each = module.mesh.joins ? ["join"] : []
    content {
      protocol = "tcp"
      ports    = ["22"]
    }
  }

  lifecycle {
    precondition {
      condition     = length(local.known_sources) > 0
      error_message = "${var.inventory}: no router of another site has a mesh_endpoint; one end of each tunnel needs one."
    }
  }
}

resource "google_compute_firewall" "ssh" {
  count         = length(module.mesh.ssh_sources) > 0 ? 1 : 0
  name          = "${local.name}-ansible"
  network       = google_compute_network.site.id
  direction     = "INGRESS"
  source_ranges = module.mesh.ssh_sources
  target_tags   = ["${local.name}-router"]

  allow {
    protocol = "tcp"
    ports    = ["22"]
  }
}

# What the site's nodes send to other sites arrives with their own addresses.
resource "google_compute_firewall" "site" {
  name          = "${local.name}-to-other-sites"
  network       = google_compute_network.site.id
  direction     = "INGRESS"
  source_ranges = module.mesh.networks
  target_tags   = ["${local.name}-router"]

  allow {
    protocol = "all"
  }
}

# And what other sites' nodes send to this one's. Narrow it here if not everything may
# reach everything.
resource "google_compute_firewall" "nodes" {
  name          = "${local.name}-from-other-sites"
  network       = google_compute_network.site.id
  direction     = "INGRESS"
  source_ranges = keys(module.mesh.others)
  target_tags   = values(local.node_tags)

  allow {
    protocol = "all"
  }
}
