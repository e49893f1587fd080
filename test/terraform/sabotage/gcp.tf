# What `terraform validate` has to refuse, by the snapshot of the provider's schema.
# expect: An argument named "can_ip_forwards" is not expected here
resource "google_compute_instance" "misspelt" {
  name            = "n"
  machine_type    = "m"
  can_ip_forwards = true
  boot_disk {}
  network_interface {}
}

# expect: Insufficient boot_disk blocks
resource "google_compute_instance" "block" {
  name         = "n"
  machine_type = "m"
  network_interface {}
}

# expect: The argument "dest_range" is required
resource "google_compute_route" "missing" {
  name    = "r"
  network = "n"
}

# expect: Inappropriate value for attribute "priority": a number is required
resource "google_compute_route" "type" {
  name       = "r"
  network    = "n"
  dest_range = "10.0.0.0/16"
  priority   = "first"
}
