"""Settings of the Doccano that the tests start: those of production, without a queue of tasks beside the server.

Read by the server's own Python, in the server's own environment.
"""

import os

from config.settings.production import *  # noqa: F403
from config.settings.production import DATABASES, LOGGING

HOME = os.environ["DOCCANO_HOME"]

CELERY_TASK_ALWAYS_EAGER = True
CELERY_TASK_STORE_EAGER_RESULT = True
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DATABASES["default"].update(
    ENGINE="django.db.backends.sqlite3", NAME=os.path.join(HOME, "db.sqlite3"), OPTIONS={"timeout": 30}
)
MEDIA_ROOT = os.path.join(HOME, "media")
DJANGO_DRF_FILEPOND_FILE_STORE_PATH = MEDIA_ROOT
DJANGO_DRF_FILEPOND_UPLOAD_TMP = os.path.join(HOME, "uploads")
DJANGO_DRF_FILEPOND_ALLOW_EXTERNAL_UPLOAD_DIR = True
LOGGING["root"]["level"] = "WARNING"
