# The agent on a fleet of plain EC2 instances: by user data for those to come, by Systems Manager for those that are there.
terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "region" {
  type = string
}

variable "collector_url" {
  type        = string
  description = "wss:// URL of the collector"
  validation {
    condition     = can(regex("^wss://[A-Za-z0-9.:/_-]+$", var.collector_url))
    error_message = "Must be a wss:// URL."
  }
}

variable "token_parameter" {
  type        = string
  description = "Name of the SecureString in Parameter Store with the enrolment token"
}

variable "script_url" {
  type        = string
  description = "https:// URL of install.sh in S3"
}

variable "deb" {
  type        = object({ url = string, sha256 = string })
  description = "Of the release, for Ubuntu and Debian"
}

variable "rpm" {
  type        = object({ url = string, sha256 = string })
  description = "Of the release, for Amazon Linux 2023"
}

variable "image_id" {
  type = string
}

variable "image_is_debian" {
  type        = bool
  description = "Whether image_id is an Ubuntu or a Debian"
  default     = false
}

variable "instance_profile" {
  type        = string
  description = "Allows ssm:GetParameter on token_parameter, kms:Decrypt on its key, s3:GetObject on script_url"
}

locals {
  package = var.image_is_debian ? var.deb : var.rpm
}

resource "aws_launch_template" "watched" {
  name_prefix = "imdswatch-"
  image_id    = var.image_id
  user_data = base64encode(templatefile("${path.module}/user-data.yaml.tftpl", {
    install_script  = filebase64("${path.module}/install.sh")
    package_url     = local.package.url
    package_sha256  = local.package.sha256
    collector_url   = var.collector_url
    token_parameter = var.token_parameter
    region          = var.region
  }))

  iam_instance_profile {
    name = var.instance_profile
  }

  # Until the fleet is ready: imdswatch readiness says when "required" breaks nobody.
  # imdswatch:ignore imdsv1-allowed this template is for the time before tokens are required
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "optional"
    http_put_response_hop_limit = 2
    instance_metadata_tags      = "enabled"
  }
}

resource "aws_ssm_document" "install" {
  name            = "imdswatch-agent"
  document_type   = "Command"
  document_format = "YAML"
  content         = file("${path.module}/ssm-document.yaml")
}

resource "aws_ssm_association" "install" {
  name                = aws_ssm_document.install.name
  association_name    = "imdswatch-agent"
  schedule_expression = "rate(1 day)"
  max_concurrency     = "10%"
  max_errors          = "5%"

  parameters = {
    ScriptUrl      = var.script_url
    DebUrl         = var.deb.url
    DebSha256      = var.deb.sha256
    RpmUrl         = var.rpm.url
    RpmSha256      = var.rpm.sha256
    CollectorUrl   = var.collector_url
    TokenParameter = var.token_parameter
  }

  targets {
    key    = "tag:imdswatch"
    values = ["on"]
  }
}
