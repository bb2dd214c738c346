"""GET /playground: a page to try the models on. A few files of ours; it may load nothing from elsewhere."""

from __future__ import annotations

from importlib.resources import files

from service.answer import Answer
from service.call import Call
from service.route import Endpoint, Route

CONTENT_SECURITY_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    b"form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
FILES = {
    "/playground": ("index.html", b"text/html; charset=utf-8"),
    "/playground/app.js": ("app.js", b"text/javascript; charset=utf-8"),
    "/playground/table.js": ("table.js", b"text/javascript; charset=utf-8"),
    "/playground/style.css": ("style.css", b"text/css; charset=utf-8"),
}


def routes() -> list[Route]:
    return [
        Route(method="GET", path="/", endpoint=show_the_way),
        *(Route(method="GET", path=path, endpoint=_file(name, kind)) for path, (name, kind) in FILES.items()),
    ]


async def show_the_way(call: Call) -> Answer:
    """For who types the address that the service says it listens on."""
    return Answer(b"", 307, [(b"location", b"/playground")])


def _file(name: str, media_type: bytes) -> Endpoint:
    content = (files("service") / "playground" / name).read_bytes()

    async def show(call: Call) -> Answer:
        headers = [
            (b"content-type", media_type),
            (b"content-security-policy", CONTENT_SECURITY_POLICY),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"cache-control", b"no-cache"),
        ]
        return Answer(content, headers=headers)

    return show
