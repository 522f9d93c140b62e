"""A small site on forkd.app: a page with a form, a JSON route and a streamed one.

Served by a route such as `/demo/: {wsgi: "demo:app", path: [apps]}`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from html import escape

from forkd.app import App, HTTPError, Request, Response, redirect

STYLE = "body{font:1.1em/1.5 sans-serif;max-width:36em;margin:3em auto;padding:0 1em}"
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{style}</style>
<h1>{title}</h1>
"""
END = "\n</html>\n"

app = App(max_body=64 * 1024)


def begin(title: str) -> str:
    return PAGE.format(title=escape(title), style=STYLE)


def page(title: str, content: str) -> str:
    return begin(title) + content + END


@app.route("/")
def home(request: Request) -> str:
    form = f"""<form method="post" action="{request.base}/greet">
<p><label>Your name: <input name="name" required maxlength="80" autofocus></label>
<button>Say hello</button></p>
</form>
<ul>
<li><a href="{request.base}/square/12">The square of 12</a>, as JSON</li>
<li><a href="{request.base}/countdown">A countdown</a>, streamed</li>
</ul>"""
    name = request.cookies.get("name")
    return page(f"Hello, {name}!" if name else "Hello!", form)


@app.route("/greet", methods=["POST"])
def greet(request: Request) -> Response:
    name = request.form.get("name", "").strip()
    if not 0 < len(name) <= 80:
        raise HTTPError(400, "A name has 1 to 80 characters.")
    response = redirect(f"{request.base}/")
    response.set_cookie("name", name, path=f"{request.base}/", max_age=3600)
    return response


@app.route("/square/{number:int}")
def square(_: Request, number: int) -> dict[str, int]:
    if number > 10**9:
        raise HTTPError(400, "Give a number up to 1000000000.")
    return {"number": number, "square": number * number}


@app.route("/countdown")
def countdown(request: Request) -> Iterator[str]:
    yield begin("Countdown") + "<p>"
    for number in range(5, 0, -1):
        yield f"{number} ...\n"
        time.sleep(0.5)
    yield f'Done. <a href="{request.base}/">Back</a></p>{END}'


def missing(request: Request, _: HTTPError) -> str:
    return page("Not here", f'<p>No such page. <a href="{request.base}/">Back</a></p>')


app.errors[404] = missing
