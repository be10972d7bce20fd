# Where the services' log lines go. A task's stream is task/SERVICE/TASK-ID.

resource "aws_cloudwatch_log_group" "service" {
  for_each = local.tasks

  name              = "/${var.stack}/${var.environment}/${each.key}"
  retention_in_days = var.log_days
  kms_key_id        = aws_kms_key.main.arn
}
