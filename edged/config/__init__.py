"""The settings of the box: one TOML file, frozen and validated before anything starts.

`load` (or `parse`, `default_settings`) gives `Settings` or raises `ConfigError` with every problem at
once. Each component is handed its own section and nothing else.
"""

from edged.config.checks import contradictions_of_descriptors
from edged.config.choices import (
    AuthKind,
    ClientCertificate,
    ClockMode,
    Duplicate,
    Evidence,
    Exemption,
    HTTPVersion,
    Proof,
    ReasonVerdict,
    Role,
    SignatureAlgorithm,
    Transcode,
    Verify,
)
from edged.config.credentials import CredentialError, locate, missing_files, read_secret, read_secret_lines
from edged.config.loading import ConfigError, default_settings, find, load, parse
from edged.config.networks import Proxies
from edged.config.rates import Rates, RateWindow
from edged.config.remarks import remarks
from edged.config.scrypt import PasswordHash
from edged.config.settings import (
    Access,
    Auth,
    Box,
    Certificate,
    Commitment,
    Destination,
    DestinationTLS,
    Notifications,
    Origin,
    Password,
    Proxy,
    Route,
    Settings,
    Store,
    Token,
    When,
)

__all__ = [
    "Access",
    "Auth",
    "AuthKind",
    "Box",
    "Certificate",
    "ClientCertificate",
    "ClockMode",
    "Commitment",
    "ConfigError",
    "CredentialError",
    "Destination",
    "DestinationTLS",
    "Duplicate",
    "Evidence",
    "Exemption",
    "HTTPVersion",
    "Notifications",
    "Origin",
    "Password",
    "PasswordHash",
    "Proof",
    "Proxies",
    "Proxy",
    "RateWindow",
    "Rates",
    "ReasonVerdict",
    "Role",
    "Route",
    "Settings",
    "SignatureAlgorithm",
    "Store",
    "Token",
    "Transcode",
    "Verify",
    "When",
    "contradictions_of_descriptors",
    "default_settings",
    "find",
    "load",
    "locate",
    "missing_files",
    "parse",
    "read_secret",
    "read_secret_lines",
    "remarks",
]
