mock_provider "google" {}

override_resource {
  target = google_compute_address.router["gcp-1"]
  values = { address = "198.51.100.71" }
}

variables {
  project        = "example-mesh"
  region         = "asia-northeast1"
  image          = "projects/example-mesh/global/images/wgmesh-router-0-1-0-1790000000"
  ssh_public_key = "ssh-ed25519 AAAA ansible"
  ssh_sources    = ["203.0.113.0/24"]
}

run "site" {
  assert {
    condition     = length(google_compute_instance.router) == 1 && alltrue([for i in google_compute_instance.router : i.can_ip_forward])
    error_message = "forwarding: every router may forward"
  }
  assert {
    condition     = google_compute_instance.router["gcp-1"].zone == "asia-northeast1-b"
    error_message = "every router is in its zone"
  }

  # Tunnels.
  assert {
    condition     = toset([for rule in google_compute_firewall.tunnel : one(one(rule.allow).ports)]) == toset(["51816", "51817", "51818", "51819", "51820", "51821"])
    error_message = "ports: those of the tunnels of gcp-1, and no other"
  }
  assert {
    condition     = alltrue([for rule in google_compute_firewall.tunnel : one(rule.allow).protocol == "udp" && toset(rule.target_tags) == toset(["wan-gcp-gcp-1"])])
    error_message = "ports: UDP, to that router"
  }
  assert {
    condition     = contains(google_compute_instance.router["gcp-1"].tags, "wan-gcp-gcp-1") && contains(google_compute_instance.router["gcp-1"].tags, "wan-gcp-router")
    error_message = "ports: the router has the tags that the rules name"
  }
  assert {
    condition = { for key, rule in google_compute_firewall.tunnel : key => one(rule.source_ranges) } == {
      "gcp-1/office-1" = "192.0.2.11/32", "gcp-1/office-2" = "192.0.2.12/32",
      "gcp-1/aws-1"    = "0.0.0.0/0", "gcp-1/aws-2" = "0.0.0.0/0", "gcp-1/azure-1" = "0.0.0.0/0", "gcp-1/azure-2" = "0.0.0.0/0"
    }
    error_message = "ports: from the peer where its address is known, else from anywhere"
  }
  assert {
    condition     = toset([for allow in google_compute_firewall.peers.allow : allow.protocol]) == toset(["icmp"]) && toset(google_compute_firewall.ssh[0].source_ranges) == toset(["203.0.113.0/24"])
    error_message = "SSH: only from ssh_sources, as no router joins by itself"
  }
  assert {
    condition     = toset(google_compute_firewall.nodes.source_ranges) == toset(["10.0.0.0/16", "10.1.0.0/16", "10.2.0.0/16"])
    error_message = "nodes: the other sites' networks come in"
  }
  assert {
    condition     = toset(google_compute_firewall.site.source_ranges) == toset(["10.3.0.0/16"]) && one(google_compute_firewall.site.allow).protocol == "all"
    error_message = "nodes: what they send to other sites may enter the router"
  }

  # Routes.
  assert {
    condition = { for route in google_compute_route.site : route.dest_range => [route.next_hop_instance, one(route.tags)] } == {
      for network in ["10.0.0.0/16", "10.1.0.0/16", "10.2.0.0/16"] : network => [google_compute_instance.router["gcp-1"].self_link, output.node_tags["b"]]
    }
    error_message = "routes: the zone's nodes to the router, and no route for the router itself"
  }

  # Identity.
  assert {
    condition     = alltrue([for permission in google_project_iam_custom_role.router.permissions : can(regex("\\.(get|list|getGuestAttributes)$", permission))])
    error_message = "role: reads and nothing else"
  }
  assert {
    condition = alltrue([for i in google_compute_instance.router : i.metadata["enable-guest-attributes"] == "TRUE" && alltrue([
      for value in values(i.metadata) : !strcontains(value, "PRIVATE") && !strcontains(value, "ssh_keys")
    ])])
    error_message = "metadata: a router may publish its host key, and no private one is there for all to read"
  }

  # Discovery, and the inventory.
  assert {
    condition     = google_compute_instance.router["gcp-1"].labels == tomap({ mesh = "wan", mesh_id = "7", mesh_site = "gcp", mesh_zone = "b" })
    error_message = "labels: the inventory's words"
  }
  assert {
    condition = yamldecode(output.inventory).all.children.routers.hosts["gcp-1"] == {
      mesh_id      = 7, mesh_site = "gcp", mesh_zone = "b", mesh_endpoint = "198.51.100.71"
      ansible_host = "198.51.100.71", ansible_user = "ansible"
    }
    error_message = "inventory: what Ansible has to know of gcp-1"
  }
  assert {
    condition = alltrue([
      for name, host in yamldecode(file("../../field-case/inventory.yml")).all.children.routers.hosts :
      alltrue([for key, value in host : yamldecode(output.inventory).all.children.routers.hosts[name][key] == value]) if host.mesh_site == "gcp"
    ])
    error_message = "inventory: the routers of the field case"
  }
}

run "two_zones" {
  variables {
    inventory = "tests/two-zones.yml"
  }
  assert {
    condition = { for key, route in google_compute_route.site : key => route.priority if route.dest_range == "10.0.0.0/16" } == {
      "a gcp-1 10.0.0.0/16" = 500, "a gcp-2 10.0.0.0/16" = 600, "b gcp-1 10.0.0.0/16" = 600, "b gcp-2 10.0.0.0/16" = 500
    }
    error_message = "routes: a zone's own router first"
  }
}

run "joins_by_itself" {
  variables {
    join_sources = ["../inventory.yml"]
  }
  assert {
    condition     = toset(google_compute_firewall.peers.source_ranges) == toset(["192.0.2.11/32", "192.0.2.12/32"]) && contains([for allow in google_compute_firewall.peers.allow : allow.protocol], "tcp")
    error_message = "join: SSH from the peers whose addresses are known"
  }
  assert {
    condition     = strcontains(google_compute_instance.router["gcp-1"].metadata["user-data"], "/etc/wgmesh/join.yml")
    error_message = "join: user-data brings join.yml"
  }
}

run "zone_for_a_region" {
  command = plan
  variables {
    region = "asia-northeast1-b"
  }
  expect_failures = [var.region]
}

run "mesh_that_is_no_name" {
  command = plan
  variables {
    mesh = "My Mesh"
  }
  expect_failures = [var.mesh]
}
