# A router image in AWS. Azure's and GCP's differ in the source block only.
# Packer 1.7 and newer also want plugins: plugins.pkr.hcl beside this file.
variable "region" { default = "ap-northeast-1" }
variable "router_join" { default = "false" }

source "amazon-ebs" "router" {
  region        = var.region
  instance_type = "t3.small"
  ami_name      = "wgmesh-router-{{timestamp}}"
  ssh_username  = "admin"
  source_ami_filter {
    filters     = { name = "debian-12-amd64-*", virtualization-type = "hvm" }
    owners      = ["136693071363"] # Debian
    most_recent = true
  }
}

build {
  sources = ["source.amazon-ebs.router"]

  provisioner "ansible" {
    playbook_file   = "image.yml" # one line: - import_playbook: wgmesh.router.image
    user            = "admin"
    use_proxy       = false
    extra_arguments = ["--become", "-e", "router_join=${var.router_join}"]
  }
}
