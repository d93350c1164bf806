"""What is wrong with a form, so that it can be said beside the field that it is about."""

import re

from trunkline.domain.errors import Refusal

_ABOUT_A_FIELD = re.compile(r"Invalid parameter `(\w+)`: (.*)", re.DOTALL)


def mistakes_of(refusal: Refusal) -> dict[str, str]:
    """Return what a refusal says, by the field that it names; "" for what is about none."""
    found = _ABOUT_A_FIELD.fullmatch(refusal.message)
    return {found[1]: found[2]} if found else {"": refusal.message}
