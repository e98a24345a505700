/** Returns Terraform code with a variable, locals, functions, count and a dynamic block: 48 lines. */
export function terraformFile(number: number): string {
  return `variable "tokens_${number}" {
  type    = string
  default = "${number % 2 === 0 ? 'optional' : 'required'}"
}

locals {
  name_${number} = "web-\${var.tokens_${number}}"
  options_${number} = merge({ http_tokens = "optional" }, { http_tokens = var.tokens_${number} })
}

# An instance whose setting is computed.
resource "aws_instance" "web_${number}" {
  ami           = "ami-12345678"
  instance_type = "t3.micro"
  count         = var.tokens_${number} == "required" ? 2 : 1

  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = lookup(local.options_${number}, "http_tokens", "optional")
  }

  tags = {
    Name = local.name_${number}
    Env  = "prod"
  }
}

resource "aws_launch_template" "template_${number}" {
  name_prefix = "template-${number}"
  image_id    = "ami-12345678"

  dynamic "metadata_options" {
    for_each = [{ tokens = "required" }]
    content {
      http_tokens = metadata_options.value.tokens
    }
  }
}

resource "aws_security_group" "group_${number}" {
  name = "group-${number}"
  ingress {
    from_port   = 443
    to_port     = 443
    protocol    = "tcp"
    cidr_blocks = ["10.0.0.0/8"]
  }
}
`;
}
