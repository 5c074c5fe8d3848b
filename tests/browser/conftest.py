"""A browser, a server over real records, and pages that are watched for what none may do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from inspect import signature
from pathlib import Path

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Error,
    Page,
    StorageState,
    expect,
)

from tests.browser import shown
from tests.browser.chromium import launched
from tests.browser.site import Site, let_in, serve
from tests.browser.watched import Watch

PATIENCE = 60_000
"""Milliseconds that a condition may take: an own machine's seconds, a loaded one's minute."""
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One for all tests: each page has a context of its own."""
    with launched() as browser:
        yield browser


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store."""
    found = tmp_path_factory.mktemp("records")
    shown.write(found)
    return found


@pytest.fixture(scope="session")
def site(folder: Path) -> Iterator[Site]:
    """The dashboard as `kubectl sihl ui` serves it over a folder."""
    with serve(folder) as found:
        yield found


@pytest.fixture(scope="session")
def inside(browser: Browser, site: Site) -> StorageState:
    """The cookie of the one browser that the address lets in."""
    return let_in(browser, site)


Opened = Callable[..., Page]


@pytest.fixture
def expected() -> set[str]:
    """Words of errors that the test wants: what a console says that has one is no fault."""
    return set()


@pytest.fixture
def watch(site: Site, expected: set[str]) -> Watch:
    """What the test's pages may not do."""
    return Watch(site.origin, expected)


@pytest.fixture
def opened(browser: Browser, site: Site, inside: StorageState, watch: Watch) -> Iterator[Opened]:
    """Opens a page of the site: `opened(path, color_scheme="dark", ...)` as a context has it;
    `before` is done with the page before it goes there.

    When the test is over, no such page may have asked another origin for anything, met the content
    security policy, failed in a script or written an error to the console.
    """
    contexts: list[BrowserContext] = []

    def open_page(
        path: str = "/", before: Callable[[Page], None] = lambda _: None, **settings: object
    ) -> Page:
        context = browser.new_context(**{"storage_state": inside, **settings})  # type: ignore[arg-type]
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        watch.over(page, site.origin + path)
        before(page)
        page.goto(site.origin + path)
        return page

    yield open_page
    found = watch.found()
    for context in contexts:
        context.close()
    assert not found, "\n".join(found)


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Once more, where what failed may be the machine's network, which is not what is tested."""
    watch = pyfuncitem.funcargs.get("watch")
    if not isinstance(watch, Watch):
        return None
    given = {name: pyfuncitem.funcargs[name] for name in signature(pyfuncitem.obj).parameters}
    try:
        pyfuncitem.obj(**given)
    except (AssertionError, Error):
        if not watch.is_disturbed:
            raise
        watch.begin_again()
        pyfuncitem.obj(**given)
    return True
