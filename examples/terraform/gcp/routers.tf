# Addresses outlive the machines: a router that is made again keeps its own.
resource "google_compute_address" "router" {
  for_each = module.mesh.routers
  name     = "${local.name}-${each.key}"
  region   = var.region
}

resource "google_compute_instance" "router" {
  for_each       = module.mesh.routers
  name           = each.key
  zone           = "${var.region}-${each.value.zone}"
  machine_type   = var.machine_type
  can_ip_forward = true # it forwards packets that are not its own
  tags           = ["${local.name}-router", "${local.name}-${each.key}"]

  # What the inventory plugin google.cloud.gcp_compute makes the routers' variables of.
  # A label cannot hold an address or a key: the address is the interface's, and the key
  # is the router's to publish, unless the inventory gives it.
  labels = {
    mesh      = var.mesh
    mesh_id   = tostring(each.value.id)
    mesh_site = var.site
    mesh_zone = each.value.zone
  }

  metadata = merge(
    {
      user-data              = module.mesh.user_data[each.key]
      ssh-keys               = "${var.admin}:${var.ssh_public_key}"
      block-project-ssh-keys = "TRUE"
      enable-oslogin         = "FALSE"
      # In which the router publishes its host key, and nobody else can write.
      enable-guest-attributes = "TRUE"
    },
    each.value.host_key == null ? {} : { mesh_host_key = each.value.host_key },
  )

  boot_disk {
    initialize_params {
      image = lookup(var.images, each.key, var.image)
    }
  }

  network_interface {
    subnetwork = google_compute_subnetwork.routers.id
    access_config {
      nat_ip = google_compute_address.router[each.key].address
    }
  }

  service_account {
    email  = google_service_account.router.email
    scopes = ["cloud-platform"] # the role below is what limits it
  }

  shielded_instance_config {
    enable_secure_boot          = true
    enable_vtpm                 = true
    enable_integrity_monitoring = true
  }
}

check "endpoints" {
  assert {
    condition = alltrue([
      for name, router in module.mesh.routers : router.endpoint == null ? true : router.endpoint == google_compute_address.router[name].address
    ])
    error_message = "${var.inventory}: mesh_endpoint of a router is not the address that it got. Bring the addresses of the output endpoints there, or take those lines out."
  }
}
