"""`.env.example`: the settings that it declares with their types, and the `.env` that one without types becomes.

A type says of a secret whether it is ours to make or somebody else's to give; where there are no types, as in most
projects, its name does.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from stackhand.cli.failure import ExitCode, Failure
from stackhand.project import dotenv, passthrough
from stackhand.project.compose import envfile
from stackhand.project.values import CHECKS, WORDS

KINDS = (
    "# type: secret generated   created here and by Terraform, changed by a rotation: between our own parts",
    "# type: secret given       never created or changed: a key or password that you received",
)
"""What a secret says of itself where it is declared."""
TYPE = re.compile(r"^# type: *(\w+)(.*)$", re.MULTILINE)
SECRET_BYTES = 24
"""As text that is 32 characters, which those that want a key of 32 bytes accept."""
EMPTY = re.compile(
    r"^(?P<key>[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_]\w*)[ \t]*=)[ \t]*(?:\"\"|'')?[ \t]*(?:#[^\n]*)?$",
    re.MULTILINE,
)
"""A setting without a value; Compose would take a comment right behind the sign of equality for one."""

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


@dataclass(frozen=True)
class Setting:
    """One entry of `.env.example`."""

    key: str  # the variable's name
    kind: str  # its type, one of `values.CHECKS`
    words: tuple[str, ...]  # the type's arguments, such as the choices
    default: str  # the example's value
    block: str  # the comment lines above it and the line itself, as they stand in the example

    @property
    def generated(self) -> bool:
        """Whether it is a secret between our own parts, which is ours to make."""
        return self.kind == "secret" and "generated" in self.words

    @property
    def given(self) -> bool:
        """Whether it is a secret that only the user can know."""
        return self.kind == "secret" and not self.generated


def read(example: Path) -> dict[str, Setting]:
    """Return the entries of `.env.example` by key: none where there is no such file, or one that declares no types.

    Raises:
        Failure: an entry has no `# type:` line, one of an unknown type, or one that is not written as it has to be.
    """
    text = _text(example)
    if not any(entries[1] in CHECKS for entries in TYPE.finditer(text)):
        return {}
    entries: dict[str, Setting] = {}
    defaults, _ = envfile.read(text, example.parent)
    for block in re.split(r"\n\s*\n", text):
        values, problems = dotenv.search(block)
        if not values:
            continue
        kind = TYPE.search(block)
        key = next(iter(values))
        default = defaults[key]
        if problems or len(values) > 1 or kind is None or kind[1] not in CHECKS:
            raise Failure(
                f"{example.name}: {key} needs one line '# type: T' above it and a blank line below it.",
                evidence=[f"T is one of: {', '.join(CHECKS)}"],
                code=ExitCode.PREFLIGHT,
            )
        entries[key] = Setting(key, kind[1], tuple(kind[2].split()), default, block.strip("\n"))
        _check_words(entries[key], example.name)
    return entries


def _text(example: Path) -> str:
    """Return the example; nothing where there is none."""
    try:
        return example.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(
            f"{example.name} cannot be read: {error}.", next=f"fix {example.name}", code=ExitCode.PREFLIGHT
        ) from error


def _check_words(entry: Setting, name: str) -> None:
    """Refuse a type whose words behind it are none of its own."""
    message = " ".join(entry.words)
    pattern, usage = WORDS.get(entry.kind, ("", entry.kind))
    if re.fullmatch(pattern, message):
        return
    bare = entry.kind == "secret" and not {"generated", "given"} & set(entry.words)
    raise Failure(
        f"{name}: {entry.key} is a secret without a kind: generated or given."
        if bare
        else f"{name}: {entry.key} has the type {f'{entry.kind} {message}'.strip()!r}, which is not valid.",
        evidence=KINDS if bare else [f"# type: {usage}"],
        next=f"fix the line '# type:' above {entry.key} in {name}, then repeat the command",
        code=ExitCode.PREFLIGHT,
    )


def names(path: Path) -> list[str]:
    """Return the settings that an example has; none where there is no such file."""
    return list(dict.fromkeys(passthrough.ASSIGNED.findall(passthrough.content(path))))


def filled(text: str) -> tuple[str, list[str]]:
    """Return the text that `.env` gets from an example, and a sentence on each kind of secret that had no value."""
    empty = [match["name"] for match in EMPTY.finditer(text) if is_secret(match["name"])]
    generated = [name for name in empty if is_generated(name)]
    given = [name for name in empty if not is_generated(name)]
    created = ".env created from .env.example"
    if generated:
        created += f"; generated, as it has no value there: {', '.join(generated)}"
    return EMPTY.sub(_with_secret, text), [created, *([not_set(given)] if given else [])]


def not_set(names: list[str]) -> str:
    """Return the sentence on secrets that nobody has given yet."""
    return f"not set, because only you know them: {', '.join(names)}; write them into .env"


def fresh() -> str:
    """Return a new secret."""
    return secrets.token_urlsafe(SECRET_BYTES)


def _with_secret(match: re.Match[str]) -> str:
    return f"{match['key']}{fresh()}" if is_generated(match["name"]) else match[0]


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
