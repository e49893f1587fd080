# A router image in GCP, of Ubuntu 24.04: Google's Debian has no cloud-init, so that
# user-data would not be read. `gcloud auth application-default login` is the credential.
variable "gcp_project" { default = "example-mesh" }
variable "gcp_zone" { default = "asia-northeast1-b" }
variable "gcp_machine_type" { default = "e2-small" }

source "googlecompute" "router" {
  project_id              = var.gcp_project
  zone                    = var.gcp_zone
  machine_type            = var.gcp_machine_type
  source_image_family     = "ubuntu-2404-lts-amd64"
  source_image_project_id = ["ubuntu-os-cloud"]
  ssh_username            = "packer"
  image_name              = "wgmesh-router-${local.dashed_version}-${local.stamp}"
  image_description       = "wgmesh.router ${var.version} on Ubuntu 24.04"
  image_family            = "wgmesh-router" # names the newest
  image_labels            = { wgmesh_version = local.dashed_version, commit = var.commit }
  metadata                = { block-project-ssh-keys = "TRUE", enable-oslogin = "FALSE" }
}
