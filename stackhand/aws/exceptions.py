"""What a call of AWS raises. Imported where it is caught: AWS's library is there only for the verbs that need it."""

from botocore.exceptions import BotoCoreError, ClientError

__all__ = ["BotoCoreError", "ClientError"]
