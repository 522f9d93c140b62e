"""The admin of a Django site, and a view that streams. django_settings.py has the settings."""

from __future__ import annotations

import os
from wsgiref.validate import validator

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "django_settings")
application = validator(get_wsgi_application())

# Not before the settings are in force.
from django.contrib import admin  # noqa: E402
from django.http import HttpRequest, StreamingHttpResponse  # noqa: E402
from django.urls import path  # noqa: E402


def numbers(request: HttpRequest) -> StreamingHttpResponse:
    count = int(request.GET["count"])
    return StreamingHttpResponse((f"{number}\n" for number in range(count)), "text/plain")


urlpatterns = [path("admin/", admin.site.urls), path("numbers", numbers)]
