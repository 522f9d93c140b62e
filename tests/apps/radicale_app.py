"""Radicale, which keeps its calendars in the directory RADICALE_DATA.

RADICALE_USERS is a file of names and passwords.

Not validated: its answers without a body have no Content-Type.
"""

from __future__ import annotations

import os

from radicale import config
from radicale.app import Application

configuration = config.load()
configuration.update(
    {
        "auth": {
            "type": "htpasswd",
            "htpasswd_encryption": "plain",
            "htpasswd_filename": os.environ["RADICALE_USERS"],
            "delay": "0",
        },
        "rights": {"type": "owner_only"},
        "storage": {"filesystem_folder": os.environ["RADICALE_DATA"]},
    },
    "the tests",
)
application = Application(configuration)
