# A router image in Azure: a managed image of Debian 12. `az login` is the credential.
# The resource group has to be there: az group create -n images -l japaneast
variable "azure_resource_group" { default = "images" }
variable "azure_location" { default = "japaneast" }
variable "azure_vm_size" { default = "Standard_B2s" }

source "azure-arm" "router" {
  use_azure_cli_auth                = true
  location                          = var.azure_location
  vm_size                           = var.azure_vm_size
  os_type                           = "Linux"
  image_publisher                   = "Debian"
  image_offer                       = "debian-12"
  image_sku                         = "12-gen2"
  ssh_username                      = "packer"
  managed_image_name                = "wgmesh-router-${var.version}-${local.stamp}"
  managed_image_resource_group_name = var.azure_resource_group
  managed_image_zone_resilient      = true # its routers are in several zones
  azure_tags                        = local.labels
}
