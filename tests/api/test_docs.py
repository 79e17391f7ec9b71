"""/docs, and the description that it shows."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.ovsdb


class _Loaded(HTMLParser):
    """What a page makes a browser fetch, and scripts within it."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.n_inline = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag in ("script", "link", "img", "iframe"):
            self.urls += [url for url in (found.get("src"), found.get("href")) if url]
        self.n_inline += (tag == "script" and "src" not in found) + (tag == "style") + ("style" in found)


def test_the_page_loads_nothing_from_elsewhere(http: httpx.Client) -> None:
    page = http.get("/docs")
    assert page.status_code == 200 and page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'self';" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    assert "://" not in page.text
    loaded = _Loaded()
    loaded.feed(page.text)
    assert loaded.n_inline == 0, "the policy forbids it"
    assert {url.rpartition(".")[2] for url in loaded.urls} == {"js", "css", "svg"}
    for url in loaded.urls:
        answer = http.get(url)
        assert (answer.status_code, len(answer.content) > 100) == (200, True), url
        assert answer.headers["content-security-policy"] == page.headers["content-security-policy"]
        if url.endswith(".css"):
            assert set(re.findall(r"url\(\"?([a-z]+):", answer.text)) <= {"data"}
    start = http.get("/docs/start.js").text
    assert "://" not in start and "validatorUrl: null" in start and 'url: "/openapi.json"' in start


@pytest.mark.parametrize("path", ["/docs/other.js", "/docs/%2e%2e/app.py", "/docs/..%2fapp.py"])
def test_nothing_else_is_served(http: httpx.Client, path: str) -> None:
    assert http.get(path).status_code == 404


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for part in value.values():
            yield from _references(part)
    elif isinstance(value, list):
        for part in value:
            yield from _references(part)


def test_the_description_is_whole(http: httpx.Client) -> None:
    description = http.get("/openapi.json").json()
    assert description["openapi"] == "3.1.0"
    schemas = description["components"]["schemas"]
    missing = {name for name in _references(description) if name.rpartition("/")[2] not in schemas}
    assert not missing
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], (method, path)
            assert operation["tags"] and any(status.startswith("2") for status in operation["responses"]), (method, path)
