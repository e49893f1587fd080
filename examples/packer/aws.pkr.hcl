# A router image in AWS: an AMI of Debian 12. Packer finds the credentials as the
# AWS CLI does, and makes a key pair and a security group that go away with the build.
variable "aws_region" { default = "ap-northeast-1" }
variable "aws_instance_type" { default = "t3.small" }

source "amazon-ebs" "router" {
  region          = var.aws_region
  instance_type   = var.aws_instance_type
  ssh_username    = "admin"
  ami_name        = "wgmesh-router-${var.version}-${local.stamp}"
  ami_description = "wgmesh.router ${var.version} on Debian 12"
  tags            = local.labels
  snapshot_tags   = local.labels
  run_tags        = { Name = "packer-wgmesh-router" }
  source_ami_filter {
    filters     = { name = "debian-12-amd64-*", virtualization-type = "hvm", root-device-type = "ebs" }
    owners      = ["136693071363"] # Debian
    most_recent = true
  }

  # Debian's own Packer, 1.6, does not know these four: leave them out there. Without
  # the first, the machine that is built on lets everybody come to its SSH: name who may,
  # temporary_security_group_source_cidrs = ["192.0.2.1/32"].
  temporary_security_group_source_public_ip = true
  imds_support                              = "v2.0" # the AMI's instances take IMDSv2 only, unless told otherwise
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required" # and so does the machine that is built on
    http_put_response_hop_limit = 1
  }
}
