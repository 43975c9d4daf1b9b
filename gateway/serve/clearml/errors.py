"""Every way a ClearML call can fail: status, subcode and text as the API server 2.3.0 words them (clearml.md 2.2)."""

from __future__ import annotations

from collections.abc import Sequence


class ApiError(Exception):
    """An answer other than 200. ``message`` is sent to the caller."""

    def __init__(self, code: int, subcode: int, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.subcode = subcode
        self.message = message
        self.retry_after = retry_after
        """Seconds, for 429 and 503."""


def invalid_path(path: str) -> ApiError:
    """The path names neither a version nor an endpoint as it should."""
    return ApiError(400, 0, f"Invalid request path {path}")


def unknown_endpoint(name: str, version: str) -> ApiError:
    """No such endpoint, or only in a later version."""
    return ApiError(404, 0, f"Unable to find endpoint for name {name} and version {version}")


def malformed_body() -> ApiError:
    """The body is not JSON, or beyond the limits."""
    return ApiError(400, 0, "The browser (or proxy) sent a request that this server could not understand.")


def validation(text: str) -> ApiError:
    """A field is missing or has a wrong value."""
    return ApiError(400, 12, f"Validation error ({text})")


def required_field(name: str) -> ApiError:
    """A field is missing."""
    return validation(f"error for field '{name}'. field is required!")


def invalid_access_key() -> ApiError:
    """The key to revoke is none of the caller's."""
    return ApiError(400, 300, "Invalid user (invalid user or invalid access key)")


def invalid_user_id(user_id: str, company: str) -> ApiError:
    """No such user in that company."""
    return ApiError(400, 301, f"Invalid user id: id={user_id}, company={company}")


def access_key_not_found() -> ApiError:
    """The key to edit is none of the caller's."""
    return ApiError(400, 75, "Access key not found (none of this user)")


def unusable_value(text: str) -> ApiError:
    """A value that no record can hold, such as an e-mail address that is none."""
    return ApiError(400, 800, f"Data validation error: {text}")


def invalid_object_id(object_id: str, company: str) -> ApiError:
    """No object with this id that the caller could change."""
    return ApiError(400, 10, f"Invalid object id: id={object_id}, company={company}")


def both_impersonation_headers() -> ApiError:
    """Act-As and Impersonate-As in one request."""
    return ApiError(400, 5, "Invalid headers (only one allowed): X-Clearml-Impersonate-As, X-Clearml-Act-As")


def impersonation_refused(role: str) -> ApiError:
    """The caller's role may not act for others."""
    return ApiError(400, 6, f"Impersonation error (not allowed for role): role={role}")


def impersonation_by_acting() -> ApiError:
    """The caller's token was itself made by impersonation."""
    return ApiError(400, 6, "Impersonation error (this token acts for a user already)")


def impersonated_unproved(user_id: str) -> ApiError:
    """Nobody can tell whether that user is still there, and their last login is too long ago."""
    return ApiError(400, 6, f"Impersonation error (user has to log in again): id={user_id}")


def impersonated_unknown(user_id: str, company: str) -> ApiError:
    """No such user in the caller's company."""
    return ApiError(400, 6, f"Impersonation error (unknown user): id={user_id}, company={company}")


def failed_loading_user() -> ApiError:
    """The caller is no person with a user record."""
    return ApiError(400, 300, "Invalid user (failed loading user)")


def only_for_people() -> ApiError:
    """The caller is a service, which has neither keys nor preferences nor vaults."""
    return ApiError(400, 300, "Invalid user (failed loading user: services have no user record)")


def missing_credentials() -> ApiError:
    """Neither header nor cookie."""
    return ApiError(401, 20, "Unauthorized (missing credentials)")


def bad_scheme() -> ApiError:
    """An Authorization scheme other than Basic and Bearer."""
    return ApiError(401, 10, "Unauthorized (bad authentication header type)")


def malformed_credentials(reason: str) -> ApiError:
    """Basic credentials that are not base64."""
    return ApiError(401, 21, f"Unauthorized (malformed credentials) ({reason})")


def bad_login() -> ApiError:
    """One text for every failed login, so that nobody learns which names exist."""
    return ApiError(401, 22, "Unauthorized (invalid credentials) (bad username or password)")


def invalid_token(reason: str) -> ApiError:
    """A token that does not verify."""
    return ApiError(401, 30, f"Invalid token (invalid jwt token): reason={reason}")


def revoked_token() -> ApiError:
    """A token whose session was logged out, or whose owner is gone."""
    return ApiError(401, 30, "Invalid token (revoked token)")


def role_refused(role: str, allowed: Sequence[str]) -> ApiError:
    """The caller's role may not call this endpoint."""
    return ApiError(403, 20, f"Forbidden (not allowed for role): role={role}, allowed=({', '.join(allowed)})")


def other_company() -> ApiError:
    """An administrator of one company wants to change another."""
    return ApiError(403, 20, "Forbidden (this belongs to another company)")


def only_for_oneself() -> ApiError:
    """Somebody acts for another where only they themselves may."""
    return ApiError(403, 20, "Forbidden (not while acting for another user)")


def cross_site() -> ApiError:
    """A state-changing call made with a cookie from another site, or by GET."""
    return ApiError(403, 20, "Forbidden (cross-site request)")


def too_slow() -> ApiError:
    """The body did not arrive."""
    return ApiError(408, 0, "Request body was not received in time")


def too_large() -> ApiError:
    """The body is larger than ``http.max_body`` or ``http.max_login_body``."""
    return ApiError(413, 0, "Request body is too large")


def throttled(retry_after: int) -> ApiError:
    """Too many failed logins from one address."""
    return ApiError(429, 0, "Too many failed logins from this address", retry_after=retry_after)


def internal() -> ApiError:
    """Something the caller can do nothing about; the log has the details."""
    return ApiError(500, 0, "General server error")


def unavailable(retry_after: int) -> ApiError:
    """The directory cannot be asked just now; waiting jobs survive a 503, a 401 or 500 would kill them."""
    return ApiError(503, 0, "Service temporarily unavailable", retry_after=retry_after)
