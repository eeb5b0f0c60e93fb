"""Authenticators: who may publish and play. Give one to `arcly.Engine(authenticator=…)`.

Each is a `StreamAuthenticator`. They hold nothing that has to be closed. What fails, hangs or is malformed is refused.
"""

from arcly.services.auth.combine import Action, AllOf, AnyOf, Authenticator, PermitAll
from arcly.services.auth.external import HttpAuthenticator
from arcly.services.auth.jwks import JwksUrl
from arcly.services.auth.jwt import JwtAuthenticator
from arcly.services.auth.signed_token import SignedToken
from arcly.services.auth.users import User, Users

__all__ = [
    "Action",
    "AllOf",
    "AnyOf",
    "Authenticator",
    "HttpAuthenticator",
    "JwksUrl",
    "JwtAuthenticator",
    "PermitAll",
    "SignedToken",
    "User",
    "Users",
]
