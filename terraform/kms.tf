# One key encrypts what is deleted with this environment: cache, secrets, logs, images, messages. Databases outlive it and use another key.

resource "aws_kms_key" "main" {
  description             = "${local.name}: what goes with it"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.key.json
}

resource "aws_kms_alias" "main" {
  name          = "alias/${local.name}"
  target_key_id = aws_kms_key.main.key_id
}

data "aws_iam_policy_document" "key" {
  #checkov:skip=CKV_AWS_109: in the policy of a key, "*" is that key
  #checkov:skip=CKV_AWS_111: in the policy of a key, "*" is that key
  #checkov:skip=CKV_AWS_356: in the policy of a key, "*" is that key
  statement {
    sid       = "PoliciesOfThisAccountDecide"
    actions   = ["kms:*"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:aws:iam::${local.account}:root"]
    }
  }

  statement {
    sid       = "LogsOfThisStack"
    actions   = ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"]
    resources = ["*"]

    principals {
      type        = "Service"
      identifiers = ["logs.${var.region}.amazonaws.com"]
    }

    condition {
      test     = "ArnLike"
      variable = "kms:EncryptionContext:aws:logs:arn"
      values = [
        for group in ["/${var.stack}/${var.environment}/*", "/aws/rds/instance/${local.name}-*", "/aws/rds/cluster/${local.name}-*"] :
        "arn:aws:logs:${var.region}:${local.account}:log-group:${group}"
      ]
    }
  }

  statement {
    sid       = "AlarmsIntoTheTopic"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey*"]
    resources = ["*"]

    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }

  # EventBridge names neither an account nor a rule when it publishes: with aws:SourceAccount or aws:SourceArn, no event would arrive.
  # SNS itself names the topic that it encrypts for.
  statement {
    sid       = "EventsIntoTheTopic"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey*"]
    resources = ["*"]

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "kms:EncryptionContext:aws:sns:topicArn"
      values   = ["arn:aws:sns:${var.region}:${local.account}:${local.alarms_topic}"]
    }
  }
}
