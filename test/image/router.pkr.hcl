# The image of a router by Packer's qemu builder, from the base that base.sh made.
# Only this file knows qemu; in a template for a cloud the source block is another
# and the provisioner is the same. test/image/run gives the variables.
variable "base" { type = string }   # qcow2 of a machine with cloud-init
variable "seed" { type = string }   # what cloud-init gets here: the key below may log in
variable "key" { type = string }    # private key, of this build only
variable "output" { type = string } # folder that Packer makes
variable "arguments" { type = list(string) } # for ansible-playbook
variable "accelerator" { default = "tcg" }

source "qemu" "router" {
  iso_url          = var.base
  iso_checksum     = "none"
  disk_image       = true
  disk_size        = "4096M"
  format           = "qcow2"
  output_directory = var.output
  vm_name          = "router.qcow2"
  accelerator      = var.accelerator
  machine_type     = "q35"
  headless         = true
  cpus             = 2
  memory           = 1024
  qemuargs = [
    ["-cpu", "qemu64"],
    ["-display", "none"],
    # Packer's own would listen on all addresses of this machine.
    ["-netdev", "user,id=user.0,hostfwd=tcp:127.0.0.1:{{ .SSHHostPort }}-:22"],
    ["-serial", "file:${var.output}.console"],
    ["-drive", "file=${var.output}/router.qcow2,if=virtio,format=qcow2,cache=unsafe,discard=unmap"],
    ["-drive", "file=${var.seed},if=virtio,format=raw,readonly=on"],
  ]
  boot_wait              = "1s"
  ssh_username           = "debian"
  ssh_private_key_file   = var.key
  ssh_timeout            = "15m"
  ssh_handshake_attempts = 1000
  # On the connection that is open: the image takes no new one until it boots.
  shutdown_command = "sudo sh -c 'fstrim /; systemctl poweroff'"
  shutdown_timeout = "5m"
}

build {
  sources = ["source.qemu.router"]

  provisioner "ansible" {
    playbook_file = "test/image/router.yml"
    user          = "debian"
    # Packer's SSH proxy speaks no key type that today's OpenSSH takes.
    use_proxy        = false
    extra_arguments  = concat(["--become"], var.arguments)
    ansible_env_vars = ["ANSIBLE_HOST_KEY_CHECKING=False", "ANSIBLE_NOCOLOR=1", "ANSIBLE_TIMEOUT=60"]
  }
}
