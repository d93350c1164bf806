"""Everything the API has: one module per resource, and the list of them all."""

from trunkline.api.resource import Resource
from trunkline.api.resources.accounts import ACCOUNTS
from trunkline.api.resources.alerts import ALERTS
from trunkline.api.resources.auth_tokens import AUTH_TOKEN_PROMOTION, SECONDARY_AUTH_TOKEN
from trunkline.api.resources.available_phone_numbers import AVAILABLE, COUNTRIES
from trunkline.api.resources.balance import BALANCE
from trunkline.api.resources.consents import CONSENTS
from trunkline.api.resources.contacts import CONTACTS, SAFE_LIST
from trunkline.api.resources.feedback import FEEDBACK
from trunkline.api.resources.geo_permissions import GEO_PERMISSIONS
from trunkline.api.resources.iam_keys import API_KEYS
from trunkline.api.resources.incoming_phone_numbers import NUMBERS, NUMBERS_BY_KIND
from trunkline.api.resources.keys import KEYS, SIGNING_KEYS
from trunkline.api.resources.media import MEDIA
from trunkline.api.resources.messages import MESSAGES
from trunkline.api.resources.outgoing_caller_ids import OUTGOING_CALLER_IDS
from trunkline.api.resources.service_senders import (
    ALPHA_SENDERS,
    CHANNEL_SENDERS,
    DESTINATION_ALPHA_SENDERS,
    SERVICE_NUMBERS,
    SERVICE_SHORT_CODES,
)
from trunkline.api.resources.services import SERVICES, USECASES_OF_SERVICES
from trunkline.api.resources.short_codes import SHORT_CODES

RESOURCES: tuple[Resource, ...] = (
    ACCOUNTS,
    BALANCE,
    KEYS,
    SIGNING_KEYS,
    API_KEYS,
    SECONDARY_AUTH_TOKEN,
    AUTH_TOKEN_PROMOTION,
    OUTGOING_CALLER_IDS,
    GEO_PERMISSIONS,
    MESSAGES,
    MEDIA,
    FEEDBACK,
    ALERTS,
    COUNTRIES,
    *AVAILABLE.values(),
    NUMBERS,
    *NUMBERS_BY_KIND.values(),
    SHORT_CODES,
    SERVICES,
    USECASES_OF_SERVICES,
    SERVICE_NUMBERS,
    SERVICE_SHORT_CODES,
    ALPHA_SENDERS,
    DESTINATION_ALPHA_SENDERS,
    CHANNEL_SENDERS,
    CONSENTS,
    CONTACTS,
    SAFE_LIST,
)
