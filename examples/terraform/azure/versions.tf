terraform {
  required_version = ">= 1.9"
  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = ">= 4.50, < 5.0"
    }
  }
}

# The subscription comes from ARM_SUBSCRIPTION_ID, as the credentials do.
provider "azurerm" {
  features {}
}
