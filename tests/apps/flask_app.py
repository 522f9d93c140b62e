"""A site of Flask: what its users do most, each in one route.

FLASK_GATE names a FIFO: a streamed answer goes on with what somebody writes there.
FLASK_BEGUN names another: to it goes a line when a body has begun to arrive.
FLASK_FILE names a file to send.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from wsgiref.validate import validator

import flask

app = flask.Flask(__name__)
app.config["SECRET_KEY"] = "of the tests"
# With a limit Werkzeug reads the input in pieces. Without one it calls read() with no size when the
# input ends by itself, which PEP 3333 allows and the validator does not.
app.config["MAX_CONTENT_LENGTH"] = 16 << 20

application = validator(app)


@app.get("/json")
def query() -> flask.Response:
    return flask.jsonify(flask.request.args.to_dict())


@app.post("/json")
def same() -> flask.Response:
    return flask.jsonify(flask.request.get_json())


@app.post("/form")
def form() -> flask.Response:
    return flask.jsonify(flask.request.form.to_dict(flat=False))


@app.post("/upload")
def upload() -> flask.Response:
    file = flask.request.files["file"]
    digest = hashlib.sha256(file.read()).hexdigest()
    return flask.jsonify(name=file.filename, sha256=digest, note=flask.request.form["note"])


@app.put("/raw")
def raw() -> flask.Response:
    digest, size = hashlib.sha256(), 0
    while piece := flask.request.stream.read(65536):
        digest.update(piece)
        size += len(piece)
    return flask.jsonify(size=size, sha256=digest.hexdigest())


@app.put("/early")
def early() -> flask.Response:
    size = len(flask.request.stream.read(1000))
    with open(os.environ["FLASK_BEGUN"], "w") as begun:
        begun.write("begun\n")
    return flask.jsonify(size=size + len(flask.request.stream.read()))


@app.get("/streamed")
def streamed() -> flask.Response:
    @flask.stream_with_context
    def pieces() -> Iterator[str]:
        yield "first\n"
        with open(os.environ["FLASK_GATE"]) as gate:
            yield gate.read()
        yield f"last of {flask.request.path}\n"

    return flask.Response(pieces(), mimetype="text/plain")


@app.get("/visits")
def visits() -> str:
    flask.session["visits"] = flask.session.get("visits", 0) + 1
    return str(flask.session["visits"])


@app.get("/file")
def file() -> flask.Response:
    return flask.send_file(os.environ["FLASK_FILE"], mimetype="application/octet-stream")


@app.get("/folder/")
def folder() -> str:
    return flask.url_for("query", a=1)


@app.get("/start")
def start() -> flask.Response:
    return flask.redirect(flask.url_for("folder"))


@app.get("/outside")
def outside() -> str:
    return flask.url_for("folder", _external=True)


@app.get("/path/<path:name>")
def path(name: str) -> flask.Response:
    return flask.jsonify(name=name)


@app.delete("/thing")
def delete() -> flask.Response:
    response = flask.Response(status=204)
    # The validator wants no type where there is no body.
    del response.headers["Content-Type"]
    return response
