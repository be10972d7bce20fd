"""Everything that speaks to AWS through boto3: the session, and what each of its errors means."""
