"""A headless Chromium whose every page is watched: what it says, what it asks for, and how long it is busy."""
import contextlib
import os
import shutil

from playwright.sync_api import sync_playwright

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]
# Long tasks of the main thread, from before the first script on.
WATCH = """window.longTasks = [];
new PerformanceObserver((list) => window.longTasks.push(...list.getEntries().map((entry) => entry.duration))).observe({type: 'longtask', buffered: true});"""


class Watch:
    """What a page did that it must not do."""

    def __init__(self, page, url):
        self.errors, self.foreign, self.expected = [], [], []
        host = url.split("/")[2]
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: message.type in ("error", "warning") and self.errors.append(f"{message.text} {message.location.get('url', '')}"))
        page.on("request", lambda request: request.url.split("/")[2] != host and self.foreign.append(request.url))

    def problems(self):
        said = [error for error in self.errors if not any(text in error for text in self.expected)]
        return said + [f"asked another host: {url}" for url in self.foreign]


@contextlib.contextmanager
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS, chromium_sandbox=False)
        yield browser
        browser.close()


@contextlib.contextmanager
def window(browser, url, width=1280, height=900, scheme="light", **more):
    """A page at `url`, its Watch beside it as page.watch."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce", **more)
    context.set_default_timeout(30_000)
    page = context.new_page()
    page.add_init_script(WATCH)
    if assets := os.environ.get("EVILMOE_PAGE_ASSETS"):  # while working on the page: its files as they are on the disk
        page.route("**/assets/**", lambda route: route.fulfill(path=assets + route.request.url.split("/assets/")[1].split("?")[0]))
    page.watch = Watch(page, url)
    page.goto(url)
    yield page
    context.close()


def settle(page):
    """Until nothing is loading and charts are drawn."""
    page.wait_for_function("() => document.querySelector('#view h1') && !document.querySelector('.loading, [aria-busy], .waiting')")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
