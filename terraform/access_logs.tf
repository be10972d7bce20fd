# The load balancer's access logs, one object each five minutes.

resource "aws_s3_bucket" "access_logs" {
  #checkov:skip=CKV_AWS_18: it holds access logs; logging access to them would never end
  #checkov:skip=CKV_AWS_144: logs of requests are not worth a copy in a second region
  #checkov:skip=CKV2_AWS_62: nothing reacts to new log files
  #checkov:skip=CKV_AWS_145: the load balancer delivers only to buckets with Amazon's own key
  count = local.own_balancer ? 1 : 0

  bucket        = "${local.name}-${local.account}-access-logs"
  force_destroy = !var.deletion_protection
}

resource "aws_s3_bucket_versioning" "access_logs" {
  count = local.own_balancer ? 1 : 0

  bucket = aws_s3_bucket.access_logs[0].id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "access_logs" {
  count = local.own_balancer ? 1 : 0

  bucket = aws_s3_bucket.access_logs[0].id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_public_access_block" "access_logs" {
  count = local.own_balancer ? 1 : 0

  bucket                  = aws_s3_bucket.access_logs[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_lifecycle_configuration" "access_logs" {
  count = local.own_balancer ? 1 : 0

  bucket = aws_s3_bucket.access_logs[0].id

  rule {
    id     = "expire"
    status = "Enabled"

    filter {}

    expiration {
      days = 90
    }

    noncurrent_version_expiration {
      noncurrent_days = 7
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }
}

resource "aws_s3_bucket_policy" "access_logs" {
  count = local.own_balancer ? 1 : 0

  bucket = aws_s3_bucket.access_logs[0].id
  policy = data.aws_iam_policy_document.access_logs[0].json
}

data "aws_iam_policy_document" "access_logs" {
  count = local.own_balancer ? 1 : 0

  statement {
    sid       = "DeliveryByTheLoadBalancer"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.access_logs[0].arn}/AWSLogs/${local.account}/*"]

    principals {
      type        = "Service"
      identifiers = ["logdelivery.elasticloadbalancing.amazonaws.com"]
    }
  }

  statement {
    sid       = "NothingInTheClear"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.access_logs[0].arn, "${aws_s3_bucket.access_logs[0].arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}
