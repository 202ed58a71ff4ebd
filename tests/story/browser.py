"""Look at pages with Chromium: run by the example service's own Python, which has Playwright.

Reads JSON from standard input: a list of {"url", "path", "width", "height"}, with "question" to ask it on the
service's page before. Prints JSON: for each, what the page's answer and sources say.
"""

from __future__ import annotations

import json
import sys

from playwright import sync_api

FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync"
)


def main(chromium: str) -> None:
    """Do as asked."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=[*FLAGS.split(), "--disable-component-update"]
        )
        print(json.dumps([looked(browser, asked) for asked in json.load(sys.stdin)]))
        browser.close()


def looked(browser: sync_api.Browser, asked: dict[str, str | int]) -> dict[str, str]:
    """Open a page, ask a question where there is one, and take its picture."""
    size = sync_api.ViewportSize(width=int(asked["width"]), height=int(asked["height"]))
    page = browser.new_page(viewport=size, color_scheme="light")
    seen = {}
    page.goto(str(asked["url"]))
    if question := asked.get("question"):
        page.get_by_label("Question").fill(str(question))
        page.get_by_role("button", name="Ask").click()
        sync_api.expect(page.locator("#mode")).to_contain_text("quoted", timeout=30_000)
        seen = {
            "title": page.locator("h1").inner_text(),
            "health": page.locator("#health").inner_text(),
            "answer": page.locator("#text").inner_text(),
            "sources": page.locator("#sources").inner_text(),
        }
    page.screenshot(path=str(asked["path"]))
    page.close()
    return seen


if __name__ == "__main__":
    main(sys.argv[1])
