"""WsgiDAV on the directory WEBDAV_ROOT, open to all.

WEBDAV_MOUNT is where it is: empty, or /path.
"""

from __future__ import annotations

import os
from wsgiref.validate import validator

from wsgidav.fs_dav_provider import FilesystemProvider
from wsgidav.wsgidav_app import WsgiDAVApp

application = validator(
    WsgiDAVApp(
        {
            "provider_mapping": {"/": FilesystemProvider(os.environ["WEBDAV_ROOT"])},
            "mount_path": os.environ["WEBDAV_MOUNT"],
            "simple_dc": {"user_mapping": {"*": True}},
            # Both are kept in memory, so this is for one worker.
            "property_manager": True,
            "lock_storage": True,
            "verbose": 1,
        }
    )
)
