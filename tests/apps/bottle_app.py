"""A site of Bottle. BOTTLE_FILES is the directory of its files.

`application` is validated; `bare` is not, so that a file reaches the server as one.
"""

from __future__ import annotations

import os
from wsgiref.validate import validator

import bottle

PAGE = bottle.SimpleTemplate("""\
<h1>Hello, {{name}}!</h1>
% for number in range(count):
<p>{{number}}</p>
% end
""")

bare = bottle.Bottle()
application = validator(bare)


@bare.get("/hello/<name>")
def hello(name: str) -> str:
    return PAGE.render(name=name, count=int(bottle.request.query.count or 0))


@bare.post("/sum")
def total() -> dict[str, int]:
    return {"sum": sum(int(number) for number in bottle.request.forms.getall("n"))}


@bare.get("/files/<name:path>")
def files(name: str) -> bottle.HTTPResponse:
    return bottle.static_file(name, root=os.environ["BOTTLE_FILES"])


@bare.get("/download/<name:path>")
def download(name: str) -> bottle.HTTPResponse:
    return bottle.static_file(name, root=os.environ["BOTTLE_FILES"], download=True)


@bare.get("/away")
def away() -> None:
    bottle.redirect("hello/you")
