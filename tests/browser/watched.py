"""What no page may do, whatever a test does with it."""

from __future__ import annotations

from playwright.sync_api import ConsoleMessage, Page, Request

_LISTEN = """
window.violations = [];
document.addEventListener("securitypolicyviolation", event => {
  window.violations.push(`${event.violatedDirective} met ${event.blockedURI} ${event.sample}`);
});
"""
_READ = "() => window.violations || []"
_DISTURBED = "ERR_NETWORK_CHANGED"
"""Chromium breaks off what it asks when an address comes or goes on the machine, a pod's say."""


class Watch:
    """Notes faults of any number of pages.

    Args:
        origin: The only one that they may ask.
        expected: Words of the console's errors that are none.

    Attributes:
        is_disturbed: Whether the machine's network has changed beneath the browser.
    """

    def __init__(self, origin: str, expected: set[str]) -> None:
        self._origin = origin
        self._expected = expected
        self._pages: dict[Page, str] = {}
        self._found: list[str] = []
        self.is_disturbed = False

    def over(self, page: Page, address: str) -> None:
        """Watch a page, before it goes to its address."""
        page.add_init_script(_LISTEN)
        page.on("request", self._request)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._found.append(f"script failed: {error.stack}"))
        self._pages[page] = address

    def found(self) -> list[str]:
        """All that was found, a line each."""
        violations = [
            f"content security policy: {line}"
            for page in self._pages
            if not page.is_closed()
            for line in page.evaluate(_READ)
        ]
        return [*self._found, *violations]

    def begin_again(self) -> None:
        """Forget what was found, and have each page as it was when it was opened."""
        self.is_disturbed = False
        self._found.clear()
        for page, address in self._pages.items():
            page.goto(address)

    def _request(self, request: Request) -> None:
        # `data:` and `blob:` ask nobody, but the policy tells of them where they are not allowed.
        if not request.url.startswith((f"{self._origin}/", "data:", "blob:")):
            self._found.append(f"asked another origin: {request.url}")

    def _console(self, message: ConsoleMessage) -> None:
        if _DISTURBED in message.text:
            self.is_disturbed = True
        elif message.type == "error" and not any(word in message.text for word in self._expected):
            self._found.append(f"console: {message.text} ({message.location.get('url')})")
