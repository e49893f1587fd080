# What makes a router of the base image is the same in every cloud:
#
#   packer init . && packer build -only='amazon-ebs.*' .
#
# No key is baked in: the play refuses one, and Packer's own goes with the machine.
variable "version" {
  description = "Of the collection that is installed here: ansible-galaxy collection list wgmesh.router."
  default     = "1.0.0"
}

variable "commit" {
  description = "Of your own repository, to find an image's sources again."
  default     = "none"
}

variable "router_join" {
  description = "The routers join the mesh by themselves at boot, see docs/join.md."
  type        = bool
  default     = false
}

variable "router_join_discovery" {
  description = "They find each other in a cloud, by sources that user-data brings; see docs/join.md."
  type        = bool
  default     = false
}

locals {
  stamp          = formatdate("YYYYMMDDhhmmss", timestamp())
  dashed_version = replace(var.version, ".", "-") # a label of GCP has no dots
  labels         = { "wgmesh.version" = var.version, commit = var.commit }
}

build {
  sources = [
    "source.amazon-ebs.router",
    "source.azure-arm.router",
    "source.googlecompute.router",
  ]

  provisioner "ansible" {
    playbook_file   = "image.yml" # - import_playbook: wgmesh.router.image
    user            = build.User  # of the source
    use_proxy       = false
    extra_arguments = ["--become", "-e", "router_join=${var.router_join} router_join_discovery=${var.router_join_discovery}"]
  }

  # Azure makes a machine of an image only when its agent has let go of the first one.
  # SSH takes no new connection by now; this is on the one that is open.
  provisioner "shell" {
    only            = ["azure-arm.router"]
    execute_command = "sudo sh -c '{{ .Vars }} {{ .Path }}'"
    inline          = ["waagent -force -deprovision+user", "sync"]
  }
}
