"""What the name of a variable says: that it is a secret, and whether it is ours to make or somebody else's to give."""

from __future__ import annotations

import re
from functools import lru_cache

WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
SECRET = re.compile("auth|cookie|credentials?|dsn|masterauth|pass|passcode|pwd|sig|signature")
ENDINGS = ("apikey", "passphrase", "passwd", "password", "requirepass", "secret", "token")
HARMLESS_END = re.compile(
    "age|algorithm|arn|count|dir|encryption|endpoint|enabled|expiration|expires|expiry|file|header|host|"
    "id|length|method|mode|name|path|policy|port|required|size|sock|state|status|timeout|ttl|type|uri|url|"
    "user|version"
)
"""What a name ends in that only speaks of a secret: TOKEN_FILE, password_encryption."""
OTHER_KEY = re.compile(
    "cache|foreign|group|hash|host|idempotency|kms|object|partition|primary|public|range|routing|sort|unique"
)
"""What stands before `key` when that is no secret."""
FOLDERS = ("PWD", "OLDPWD")
MADE = re.compile("salt|.*(key|keys|pass|passphrase|passwd|password|pwd|secret|token)")
"""What a secret has in its name that is any text hard to guess; a DSN, for one, is none."""
OF_A_FORM = re.compile("cert|certificate|gpg|pem|pgp|private|public|pub|publishable|rsa|ssh|ssl|tls|vapid")
OWN = re.compile("cookie|csrf|django|encryption|flask|jwt|laravel|nextauth|rails|salt|session|signing")
"""What only the parts of a stack know of each other, also where `api` stands in the name."""
OF_OTHERS = re.compile(
    "access|account|api|apikey|bot|client|consumer|deploy|email|external|imap|ldap|licen[cs]e|live|mail|mailer|merchant|"
    "oauth|personal|pop|provider|recaptcha|registry|remote|sandbox|saml|smtp|sms|sso|storage|subscription|tenant|upstream|"
    "vendor|webhook"
)
"""What stands in the name of a secret that another party gives out."""
PARTIES = re.compile(
    "ably|adyen|airtable|algolia|amplitude|anthropic|apns|apple|auth0|aws|azure|bitbucket|braintree|bugsnag|ceph|clerk|"
    "cloudflare|cloudinary|cohere|datadog|deepl|deepseek|digitalocean|discord|docker|dockerhub|dropbox|elevenlabs|facebook|"
    "fastly|fcm|firebase|gcp|gcs|gemini|github|gitlab|google|groq|hcaptcha|heroku|hetzner|hf|honeybadger|honeycomb|hubspot|"
    "huggingface|instagram|intercom|klarna|langsmith|line|linear|linkedin|mailchimp|mailgun|mailjet|mandrill|mapbox|maps|"
    "microsoft|mistral|mixpanel|mollie|netlify|newrelic|ngrok|notion|npm|okta|openai|openrouter|openweathermap|paddle|"
    "paypal|perplexity|pinecone|plaid|posthog|postmark|pusher|pypi|razorpay|reddit|replicate|resend|rollbar|s3|salesforce|"
    "segment|sendgrid|sentry|shopify|slack|snowflake|spaces|spotify|square|stripe|supabase|tailscale|telegram|tiktok|turnstile|"
    "twilio|twitch|twitter|vercel|whatsapp|xai|youtube|zendesk|zoom"
)
"""Services whose keys are received, never invented. One that is missing here is made, and `up` names it."""


@lru_cache(maxsize=4096)
def is_secret(name: str) -> bool:
    """Whether a name says that what it names is a secret."""
    parts = _parts(name)
    if HARMLESS_END.fullmatch(parts[-1]) or name in FOLDERS:
        return False
    if parts[-1] == "key" and len(parts) > 1:
        return OTHER_KEY.fullmatch(parts[-2]) is None
    return SECRET.fullmatch(parts[-1]) is not None or any(word.endswith(ENDINGS) for word in parts)


def is_generated(name: str) -> bool:
    """Whether a secret of that name is one between the parts of a stack, which can be generated."""
    parts = _parts(name)
    words = {*parts, *re.split("[^a-z0-9]+", name.lower())}  # S3 and AUTH0 are no words of letters alone

    def has(pattern: re.Pattern[str]) -> bool:
        return any(pattern.fullmatch(word) for word in words)

    if not is_secret(name) or not has(MADE) or has(OF_A_FORM) or has(PARTIES):
        return False
    return has(OWN) or not has(OF_OTHERS)


def _parts(name: str) -> list[str]:
    return [word.lower() for word in WORD.findall(name)] or [""]
